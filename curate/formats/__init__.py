"""Readers and writers: rows of any origin in, exports out."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.formats.export import ExportResult, export
    from curate.formats.manifest import check_export
    from curate.formats.source import Source, SourceBatch, open_source
    from curate.formats.vectors import read_vectors

_HOME = {
    "ExportResult": "export",
    "Source": "source",
    "SourceBatch": "source",
    "check_export": "manifest",
    "export": "export",
    "open_source": "source",
    "read_vectors": "vectors",
}

__all__ = [
    "ExportResult",
    "Source",
    "SourceBatch",
    "check_export",
    "export",
    "open_source",
    "read_vectors",
]


def __getattr__(name: str) -> Any:
    # Lazy: `curate --help` must not pay for Arrow.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """`export` is a function here and the module that holds it: importing the module must not hide the function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "export" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
