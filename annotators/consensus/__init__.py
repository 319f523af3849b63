"""What many people's answers say together, and whom to trust: functions on frames of answers.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.annotators.consensus.ability import glad
    from curate.annotators.consensus.aggregation import aggregate, consensus, soft_labels
    from curate.annotators.consensus.answers import Answers, read_answers
    from curate.annotators.consensus.asking import ask_again
    from curate.annotators.consensus.coins import mace, one_coin
    from curate.annotators.consensus.confusions import dawid_skene
    from curate.annotators.consensus.copies import copying_pairs
    from curate.annotators.consensus.fairness import drop_effect, group_errors
    from curate.annotators.consensus.kappa import cohen_kappa, fleiss_kappa, krippendorff_alpha
    from curate.annotators.consensus.model_vote import crowdlab
    from curate.annotators.consensus.numeric import aggregate_numbers
    from curate.annotators.consensus.ordinal import ordinal_dawid_skene, ordinal_median
    from curate.annotators.consensus.quality import annotator_table, confusion_table
    from curate.annotators.consensus.reliability import agreement
    from curate.annotators.consensus.stamping import rubber_stamps
    from curate.annotators.consensus.votes import majority

_HOMES = {
    "Answers": "answers",
    "aggregate": "aggregation",
    "aggregate_numbers": "numeric",
    "agreement": "reliability",
    "annotator_table": "quality",
    "ask_again": "asking",
    "cohen_kappa": "kappa",
    "confusion_table": "quality",
    "consensus": "aggregation",
    "copying_pairs": "copies",
    "crowdlab": "model_vote",
    "dawid_skene": "confusions",
    "drop_effect": "fairness",
    "fleiss_kappa": "kappa",
    "glad": "ability",
    "group_errors": "fairness",
    "krippendorff_alpha": "kappa",
    "mace": "coins",
    "majority": "votes",
    "one_coin": "coins",
    "ordinal_dawid_skene": "ordinal",
    "ordinal_median": "ordinal",
    "read_answers": "answers",
    "rubber_stamps": "stamping",
    "soft_labels": "aggregation",
}
"""Public name -> the module it lies in."""

__all__ = [
    "Answers",
    "aggregate",
    "aggregate_numbers",
    "agreement",
    "annotator_table",
    "ask_again",
    "cohen_kappa",
    "confusion_table",
    "consensus",
    "copying_pairs",
    "crowdlab",
    "dawid_skene",
    "drop_effect",
    "fleiss_kappa",
    "glad",
    "group_errors",
    "krippendorff_alpha",
    "mace",
    "majority",
    "one_coin",
    "ordinal_dawid_skene",
    "ordinal_median",
    "read_answers",
    "rubber_stamps",
    "soft_labels",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
