"""Label Studio: tasks to a server, every answer back. Talks to it itself: its SDK may send twice what writes.

    connector         `LabelStudio`, by which all of it is reached
    wire, server      requests, and what can become of them
    ledger            what we remember of a server
    places, shelf     the project of a round, and its tasks by our keys
    pushing, pulling, status
    serving           how media get there
    hints, backend    what the server tells us of its own accord, and asks us for; `listening` hears it

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.annotators.label_studio.connector import LabelStudio

_HOMES = {"LabelStudio": "connector"}
"""Public name -> the module it lies in."""

__all__ = ["LabelStudio"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
