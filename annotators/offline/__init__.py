"""Annotation without a server: tasks and answers as files.

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.annotators.offline.connector import Offline

__all__ = ["Offline"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.connector"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
