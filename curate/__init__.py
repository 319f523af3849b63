"""Decide what a model is trained on: one store, many scores, a selection, and the reason for every item.

import curate

store = curate.open("pets.curate", create=True)
store.add("photos/", kind="image-text")
store.score("image-basics")
store.select("top", by="image_basics", budget=0.1, name="core")
store.report("report.html")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.api import Store, clone, open
    from curate.compared import compare
    from curate.contracts import Selection
    from curate.recipe import Recipe, read_recipe

__version__ = "0.1.0"
__all__ = ["Recipe", "Selection", "Store", "__version__", "clone", "compare", "open", "read_recipe"]

_HOMES = {
    "Store": "curate.api",
    "open": "curate.api",
    "clone": "curate.api",
    "compare": "curate.compared",
    "Selection": "curate.contracts",
    "Recipe": "curate.recipe",
    "read_recipe": "curate.recipe",
}


def __getattr__(name: str) -> Any:
    # Lazy, so that `import curate` and `curate --help` cost nothing.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
