"""A view in which the ranks of an earlier selection can be asked for, so that a selector continues it."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pyarrow as pa

from curate.contracts import View
from curate.errors import InputError
from curate.run.context import RunContext
from curate.store import StoreView

__all__ = ["continued"]

_RANK = "earlier_rank"
"""What the selector is told is mandatory: it exists in the view that it is shown, and nowhere else."""


class _Ranked:
    """A view with one more thing to compute: the rank of each row in an earlier selection, null where it was not in."""

    def __init__(self, view: StoreView, ranks: pa.Array) -> None:
        self._view, self._ranks = view, pa.chunked_array([ranks])

    def __len__(self) -> int:
        return len(self._view)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def compute(self, expression: str) -> pa.ChunkedArray:
        return self._ranks if expression == _RANK else self._view.compute(expression)


def check_continuing(selector: Any, after: str) -> None:
    """Raises InputError for a selector that cannot continue a selection."""
    fields = {f.name for f in dataclasses.fields(selector)}
    if "mandatory" not in fields or selector.mandatory:
        why = "has mandatory items already" if "mandatory" in fields else "cannot continue a selection"
        raise InputError(f"select {selector.name} after {after!r}: it {why}")


def continued(context: RunContext, selector: Any, view: StoreView, after: str) -> tuple[Any, View]:
    """The selector with the items of selection `after` mandatory, in their order, and the view to show it.

    Items of the earlier selection that are not in the view are left out. Raises UnknownNameError for a selection that
    is not there, and InputError for a selector that cannot continue one.
    """
    context.selection(after)
    check_continuing(selector, after)
    table = context.store.selection_table(after)
    seqs, ranks = table["seq"].to_numpy(), table["rank"].to_numpy()
    own = view.seqs()
    place = np.minimum(np.searchsorted(own, seqs), max(len(own) - 1, 0))
    there = own[place] == seqs if len(own) else np.zeros(len(seqs), bool)
    rank = np.full(len(own), np.nan)
    rank[place[there]] = ranks[there]
    column = pa.array(rank, from_pandas=True)
    return dataclasses.replace(selector, mandatory=_RANK), cast(View, _Ranked(view, column))
