"""What language models say about text: contamination, preference pairs, faulty questions, as functions on arrays.

Names are imported when they are used, so that what needs torch costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.text.pairs import contradictions
    from curate.scorers.text.preference import ches
    from curate.scorers.text.questions import faulty_questions
    from curate.scorers.text.tokens import mean_log_prob, min_k, min_k_plus_plus, zlib_ratio

_HOMES = {
    "ches": "preference",
    "contradictions": "pairs",
    "faulty_questions": "questions",
    "mean_log_prob": "tokens",
    "min_k": "tokens",
    "min_k_plus_plus": "tokens",
    "zlib_ratio": "tokens",
}
"""Public function -> the module it lies in."""

__all__ = [
    "ches",
    "contradictions",
    "faulty_questions",
    "mean_log_prob",
    "min_k",
    "min_k_plus_plus",
    "zlib_ratio",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
