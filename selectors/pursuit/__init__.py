"""Pursuit: few items whose weighted gradients or embeddings add up to a target, as functions on arrays.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.selectors.pursuit.active import nonnegative_least_squares
    from curate.selectors.pursuit.projection import information_projection
    from curate.selectors.pursuit.pursuing import Pursued, pursue
    from curate.selectors.pursuit.softcap import soft_cap
    from curate.selectors.pursuit.trajectory import (
        leading_directions,
        target_subspaces,
        usual_product,
    )

_HOMES = {
    "Pursued": "pursuing",
    "information_projection": "projection",
    "leading_directions": "trajectory",
    "nonnegative_least_squares": "active",
    "pursue": "pursuing",
    "soft_cap": "softcap",
    "target_subspaces": "trajectory",
    "usual_product": "trajectory",
}

__all__ = [
    "Pursued",
    "information_projection",
    "leading_directions",
    "nonnegative_least_squares",
    "pursue",
    "soft_cap",
    "target_subspaces",
    "usual_product",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
