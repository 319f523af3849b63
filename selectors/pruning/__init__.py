"""Which classes of a source set to keep for a target: functions on arrays; the registered selectors lie beside them.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.selectors.pruning.centroids import class_centroids, nearest_centroid
    from curate.selectors.pruning.classes import ClassSelection, random_classes
    from curate.selectors.pruning.features import feature_mapping
    from curate.selectors.pruning.labels import label_mapping

_HOMES = {
    "ClassSelection": "classes",
    "class_centroids": "centroids",
    "feature_mapping": "features",
    "label_mapping": "labels",
    "nearest_centroid": "centroids",
    "random_classes": "classes",
}
"""Public name -> the module it lies in."""

__all__ = [
    "ClassSelection",
    "class_centroids",
    "feature_mapping",
    "label_mapping",
    "nearest_centroid",
    "random_classes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
