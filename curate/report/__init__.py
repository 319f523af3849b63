"""The HTML report of a store and a run, and the views that notebooks show.

`write_report` makes one self-contained file. `store_html`, `view_html`, `item_html`, `selection_html`,
`findings_html` and `run_html` give fragments for `_repr_html_`; `findings_svg` gives a curve as a picture.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.report.findings import findings_svg
    from curate.report.item import item_html
    from curate.report.notebook import findings_html, run_html, selection_html, store_html, view_html
    from curate.report.writer import write_report

_HOME = {
    "findings_html": "notebook",
    "findings_svg": "findings",
    "item_html": "item",
    "run_html": "notebook",
    "selection_html": "notebook",
    "store_html": "notebook",
    "view_html": "notebook",
    "write_report": "writer",
}

__all__ = [
    "findings_html",
    "findings_svg",
    "item_html",
    "run_html",
    "selection_html",
    "store_html",
    "view_html",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # Lazy: templates and decoders are needed only by those who look.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
