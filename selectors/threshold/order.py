"""What the selectors of this folder share: an order in which ties go by id, and what a budget leaves to choose."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.choosing import capacity
from curate.contracts import View
from curate.fitting import columns_of, numbers

__all__ = ["Ids", "ViewIds", "ascending", "capacity", "columns_of", "numbers", "some"]


_BLOCK = 1 << 17
"""Ids looked up at once where values tie."""


class Ids(Protocol):
    """Where ids are looked up by row: an Arrow array of them, or a view that is asked only where it matters."""

    def take(self, indices: pa.Array) -> Any: ...


class ViewIds:
    """Ids of a view's rows, read only for the rows that are asked for: ties are few, ids are the widest column."""

    def __init__(self, view: View) -> None:
        self._view = view

    def take(self, indices: pa.Array) -> pa.ChunkedArray:
        """Ids of these rows, in this order."""
        return self._view.take(_plain(indices), ["id"]).column("id")


class _Some:
    """Ids of some rows of a longer list: row i here is row `rows[i]` there."""

    def __init__(self, ids: Ids, rows: npt.NDArray[np.int64]) -> None:
        self._ids, self._rows = ids, rows

    def take(self, indices: pa.Array) -> Any:
        return self._ids.take(_arrow(self._rows[_plain(indices)]))


# Between Arrow and NumPy by buffers: pyarrow's own ways import pandas where they can, which costs more than the rest.


def _plain(indices: pa.Array) -> npt.NDArray[np.int64]:
    return np.frombuffer(indices.buffers()[1], np.int64, len(indices), indices.offset * 8)


def _arrow(rows: npt.NDArray[np.int64]) -> pa.Array:
    data = np.ascontiguousarray(rows, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


def some(ids: Ids, rows: npt.NDArray[np.int64]) -> Ids:
    """The ids of these rows, still to be read."""
    return _Some(ids, rows)


def ascending(keys: npt.NDArray[Any], ids: Ids, count: int | None = None) -> npt.NDArray[np.int64]:
    """The rows with the `count` lowest keys (all by default), lowest first, equal keys in the order of their ids.

    `keys` (n,) numbers without NaN, `ids` (n,) unique strings. Ids are read only where keys are equal.
    """
    if count is not None and count < len(keys):
        rows = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1]) if count else np.arange(0)
        picked = keys[rows]
        order = np.argsort(picked)
        rows, picked = rows[order], picked[order]
        del order
    else:
        rows = np.argsort(keys)
        picked = keys[rows]
    equal = picked[1:] == picked[:-1]
    if equal.any():
        tied = np.append(equal, False) | np.append(False, equal)
        rows[tied] = _by_key_and_id(picked[tied], ids, rows[tied])
    return rows[:count]


def _by_key_and_id(keys: npt.NDArray[Any], ids: Ids, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Equal `keys` lie side by side. Ids are compared by their first eight bytes; only what is still equal is read whole."""
    heads = np.empty(len(rows), np.uint64)
    nearest = np.argsort(rows)  # in the order of rows a block of ids lies in few files
    for start in range(0, len(rows), _BLOCK):
        block = nearest[start : start + _BLOCK]
        heads[block] = _heads(ids.take(_arrow(rows[block])))
    del nearest
    order = np.lexsort((heads, keys))
    rows, heads, keys = rows[order], heads[order], keys[order]
    equal = (heads[1:] == heads[:-1]) & (keys[1:] == keys[:-1])
    if equal.any():
        tied = np.append(equal, False) | np.append(False, equal)
        by_id = pc.sort_indices(ids.take(_arrow(rows[tied])))
        by_id = np.frombuffer(by_id.buffers()[1], np.uint64, len(by_id))
        rows[tied] = rows[tied][by_id[np.argsort(keys[tied][by_id], kind="stable")]]
    return rows


def _heads(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The first eight bytes of each string as one number, which is less where the string is less (or equal)."""
    chunks = ids.chunks if isinstance(ids, pa.ChunkedArray) else [ids]
    return np.concatenate([_chunk_heads(chunk) for chunk in chunks]) if chunks else np.empty(0, np.uint64)


def _chunk_heads(ids: pa.Array) -> npt.NDArray[np.uint64]:
    ids = ids.cast(pa.string())
    _, offsets_buffer, data_buffer = ids.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32, len(ids) + 1, ids.offset * 4).astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    starts, lengths = offsets[:-1], np.diff(offsets)
    heads = np.zeros(len(ids), np.uint64)
    for i in range(8):
        inside = lengths > i
        heads <<= np.uint64(8)
        heads[inside] |= data[starts[inside] + i]
    return heads
