"""How healthy a data set is as a whole: its labels, classes, groups, vectors and the order in which it came.

Functions on arrays; the registered analyses lie beside them. Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.noise.health.balance import class_balance
    from curate.scorers.noise.health.clusters import k_means
    from curate.scorers.noise.health.conflicts import label_conflicts
    from curate.scorers.noise.health.embedding import rankme
    from curate.scorers.noise.health.groups import compare_groups
    from curate.scorers.noise.health.intervals import holm, skewed_tail, wilson
    from curate.scorers.noise.health.joint import label_noise, noise_rates, overlapping_classes
    from curate.scorers.noise.health.shift import mean_shift, order_drift, source_drift
    from curate.scorers.noise.health.verified import verified_rate

_HOMES = {
    "class_balance": "balance",
    "compare_groups": "groups",
    "holm": "intervals",
    "k_means": "clusters",
    "label_conflicts": "conflicts",
    "label_noise": "joint",
    "mean_shift": "shift",
    "noise_rates": "joint",
    "order_drift": "shift",
    "overlapping_classes": "joint",
    "rankme": "embedding",
    "skewed_tail": "intervals",
    "source_drift": "shift",
    "verified_rate": "verified",
    "wilson": "intervals",
}
"""Public function -> the module it lies in."""

__all__ = [
    "class_balance",
    "compare_groups",
    "holm",
    "k_means",
    "label_conflicts",
    "label_noise",
    "mean_shift",
    "noise_rates",
    "order_drift",
    "overlapping_classes",
    "rankme",
    "skewed_tail",
    "source_drift",
    "verified_rate",
    "wilson",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
