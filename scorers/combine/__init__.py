"""Several scores made into one: means of ranks or of values, or weights learned from a few hundred trusted answers.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.combine.calibration import calibrate
    from curate.scorers.combine.growth import learning_curve
    from curate.scorers.combine.learning import learn
    from curate.scorers.combine.leave_one_out import contributions
    from curate.scorers.combine.means import mean_score, rank_mean
    from curate.scorers.combine.metrics import average_precision, roc_area, spearman

_HOMES = {
    "average_precision": "metrics",
    "calibrate": "calibration",
    "contributions": "leave_one_out",
    "learn": "learning",
    "learning_curve": "growth",
    "mean_score": "means",
    "rank_mean": "means",
    "roc_area": "metrics",
    "spearman": "metrics",
}
"""Public function -> the module it lies in."""

__all__ = [
    "average_precision",
    "calibrate",
    "contributions",
    "learn",
    "learning_curve",
    "mean_score",
    "rank_mean",
    "roc_area",
    "spearman",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
