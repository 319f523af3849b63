"""A stored selection as users hold it: its rows with rank, weight, gain and reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.counting import counted
from curate.run.chosen import still_chosen
from curate.store import PartStore, SelectionInfo, StoreView


class StoredSelection:
    """A named selection in a store. `items` is the view of its rows; `to_arrow` has id, rank, weight, gain, reason.

    Items that were deleted, or replaced by an update, since it was made are in none of them; `info.rows` counts them, too.
    """

    def __init__(self, store: PartStore, name: str) -> None:
        self._store, self.name = store, name

    @property
    def info(self) -> SelectionInfo:
        """How it was made: digest, seed, statistics."""
        return self._store.snapshot().selections[self.name]

    @property
    def stats(self) -> Mapping[str, Any]:
        """What the selector said: parameters, seconds, memory, and the same budget at random."""
        return self.info.stats

    @property
    def items(self) -> StoreView:
        """The selected items, in order of import, with all columns."""
        return self._store.view().within(self.name)

    def __len__(self) -> int:
        return len(self.items)

    def to_arrow(self) -> pa.Table:
        """`id`, `rank` (best first, from 0), `weight`, `gain`, `reason`, in order of rank."""
        view = self._store.view()
        table, position = still_chosen(self._store, self.name, view)
        ids = view.take(position, ["id"])["id"]
        return table.drop_columns(["seq"]).add_column(0, "id", ids)

    def to_polars(self) -> Any:
        """The same as a Polars frame."""
        import polars as pl

        return pl.from_arrow(self.to_arrow())

    def __repr__(self) -> str:
        return f"StoredSelection({self.name!r}, {counted(len(self), 'item')})"

    def _repr_html_(self) -> str:
        from curate.report import selection_html

        return selection_html(self._store, self.name)
