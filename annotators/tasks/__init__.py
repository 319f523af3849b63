"""What a task is, what is asked, and what an answer is, whoever shows it: no network, no package of a tool.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.annotators.tasks.annotation import annotator_of, read_annotation, read_time
    from curate.annotators.tasks.answer import ANSWER_KEY, ANSWERS, STATUSES, answer_table
    from curate.annotators.tasks.config import Config, config_problems, read_config
    from curate.annotators.tasks.control import Control
    from curate.annotators.tasks.custom import Custom
    from curate.annotators.tasks.guesses import (
        PreAnnotations,
        check_question,
        check_round,
        read_guesses,
        read_question,
    )
    from curate.annotators.tasks.labels import ImageClassification, MultiLabel, TextClassification
    from curate.annotators.tasks.pairs import ImageTextAlignment
    from curate.annotators.tasks.preference import PairwisePreference
    from curate.annotators.tasks.receipt import PullReceipt, PushReceipt
    from curate.annotators.tasks.result import Parsed, check_result, read_result, write_result
    from curate.annotators.tasks.speech import TranscriptCheck
    from curate.annotators.tasks.task import MARKS, Task, make_task, shown_hash, task_key
    from curate.annotators.tasks.template import TEMPLATES, Template, build_template

_HOMES = {
    "ANSWERS": "answer",
    "ANSWER_KEY": "answer",
    "Config": "config",
    "Control": "control",
    "Custom": "custom",
    "ImageClassification": "labels",
    "ImageTextAlignment": "pairs",
    "MARKS": "task",
    "MultiLabel": "labels",
    "PairwisePreference": "preference",
    "Parsed": "result",
    "PreAnnotations": "guesses",
    "PullReceipt": "receipt",
    "PushReceipt": "receipt",
    "STATUSES": "answer",
    "TEMPLATES": "template",
    "Task": "task",
    "Template": "template",
    "TextClassification": "labels",
    "TranscriptCheck": "speech",
    "annotator_of": "annotation",
    "answer_table": "answer",
    "build_template": "template",
    "check_question": "guesses",
    "check_result": "result",
    "check_round": "guesses",
    "config_problems": "config",
    "make_task": "task",
    "read_annotation": "annotation",
    "read_config": "config",
    "read_guesses": "guesses",
    "read_question": "guesses",
    "read_result": "result",
    "read_time": "annotation",
    "shown_hash": "task",
    "task_key": "task",
    "write_result": "result",
}
"""Public name -> the module it lies in."""

__all__ = [
    "ANSWERS",
    "ANSWER_KEY",
    "MARKS",
    "STATUSES",
    "TEMPLATES",
    "Config",
    "Control",
    "Custom",
    "ImageClassification",
    "ImageTextAlignment",
    "MultiLabel",
    "PairwisePreference",
    "Parsed",
    "PreAnnotations",
    "PullReceipt",
    "PushReceipt",
    "Task",
    "Template",
    "TextClassification",
    "TranscriptCheck",
    "annotator_of",
    "answer_table",
    "build_template",
    "check_question",
    "check_result",
    "check_round",
    "config_problems",
    "make_task",
    "read_annotation",
    "read_config",
    "read_guesses",
    "read_question",
    "read_result",
    "read_time",
    "shown_hash",
    "task_key",
    "write_result",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
