"""What an item does to a model: gradients on disk, and what is concluded from them, as functions on arrays.

Names are imported when they are used, so that what needs torch or numba costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.influence.gradient_store import GradientStore
    from curate.scorers.influence.header import Header
    from curate.scorers.influence.projection import Projection, project

_HOMES = {
    "GradientStore": "gradient_store",
    "Header": "header",
    "Projection": "projection",
    "project": "projection",
}
"""Public name -> the module it lies in."""

__all__ = ["GradientStore", "Header", "Projection", "project"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
