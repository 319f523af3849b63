"""Coresets: few items that stand for all, as functions on arrays; the registered selectors lie beside them.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.selectors.coreset.centres import k_center
    from curate.selectors.coreset.facility import facility_location
    from curate.selectors.coreset.herd import herding

_HOMES = {
    "facility_location": "facility",
    "herding": "herd",
    "k_center": "centres",
}

__all__ = [
    "facility_location",
    "herding",
    "k_center",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
