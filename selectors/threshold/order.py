"""What the selectors of this folder share: an order in which ties go by id, and what a budget leaves to choose."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Budget, View, resolve_budget
from curate.errors import InputError
from curate.fitting import columns_of, numbers

__all__ = ["Ids", "ViewIds", "ascending", "capacity", "columns_of", "numbers", "some"]


class Ids(Protocol):
    """Where ids are looked up by row: an Arrow array of them, or a view that is asked only where it matters."""

    def take(self, indices: pa.Array) -> Any: ...


class ViewIds:
    """Ids of a view's rows, read only for the rows that are asked for: ties are few, ids are the widest column."""

    def __init__(self, view: View) -> None:
        self._view = view

    def take(self, indices: pa.Array) -> pa.ChunkedArray:
        """Ids of these rows, in this order."""
        return self._view.take(indices.to_numpy(), ["id"]).column("id")


class _Some:
    """Ids of some rows of a longer list: row i here is row `rows[i]` there."""

    def __init__(self, ids: Ids, rows: npt.NDArray[np.int64]) -> None:
        self._ids, self._rows = ids, rows

    def take(self, indices: pa.Array) -> Any:
        return self._ids.take(pa.array(self._rows[indices.to_numpy()]))


def some(ids: Ids, rows: npt.NDArray[np.int64]) -> Ids:
    """The ids of these rows, still to be read."""
    return _Some(ids, rows)


def ascending(keys: npt.NDArray[Any], ids: Ids, count: int | None = None) -> npt.NDArray[np.int64]:
    """The rows with the `count` lowest keys (all by default), lowest first, equal keys in the order of their ids.

    `keys` (n,) numbers without NaN, `ids` (n,) unique strings. Ids are read only where keys are equal.
    """
    rows = np.arange(len(keys))
    if count is not None and count < len(keys):
        rows = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1]) if count else rows[:0]
    rows = rows[np.argsort(keys[rows])]
    equal = keys[rows[1:]] == keys[rows[:-1]]
    if equal.any():
        tied = np.append(equal, False) | np.append(False, equal)
        rows[tied] = _by_key_and_id(keys, ids, rows[tied])
    return rows[:count]


def _by_key_and_id(keys: npt.NDArray[Any], ids: Ids, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    import polars as pl

    frame = pl.DataFrame({"key": keys[rows], "id": ids.take(pa.array(rows)), "row": rows})
    return frame.sort("key", "id")["row"].to_numpy()


def capacity(budget: Budget | None, total: int, available: int, what: str) -> int:
    """How many to choose where only `available` of `total` items have what it takes.

    A fraction is one of all items and stops at what is available; a count must be filled.
    Raises InputError as `resolve_budget` does, and for a count above `available`.
    """
    count = resolve_budget(budget, total)
    share = isinstance(budget, float) or (isinstance(budget, str) and budget.strip().endswith("%"))
    if count > available and not share:
        raise InputError(
            f"budget {count}: only {available} of {total} items have {what}; ask for at most that"
        )
    return min(count, available)
