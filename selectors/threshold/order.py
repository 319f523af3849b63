"""What the selectors of this folder share: an order in which ties go by id, and what a budget leaves to choose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.choosing import capacity
from curate.contracts import View
from curate.fitting import columns_of, number_pieces, numbers

__all__ = [
    "Ids",
    "ViewIds",
    "ascending",
    "by_key_and_id",
    "capacity",
    "columns_of",
    "heads_of",
    "number_pieces",
    "numbers",
    "tied",
]


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


# Between Arrow and NumPy by buffers: pyarrow's own ways import pandas where they can, which costs more than the rest.


def _plain(indices: pa.Array) -> npt.NDArray[np.int64]:
    return np.frombuffer(indices.buffers()[1], np.int64, len(indices), indices.offset * 8)


def _arrow(rows: npt.NDArray[np.int64]) -> pa.Array:
    data = np.ascontiguousarray(rows, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


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
    equal = tied(picked)
    if equal.any():
        near = np.sort(rows[equal])
        heads = np.zeros(len(rows), np.uint64)
        heads[equal] = heads_of(near, ids)[np.searchsorted(near, rows[equal])]
        by_key_and_id(picked, rows, heads, ids)
    return rows[:count]


def tied(keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which of the ordered `keys` have an equal beside them."""
    found = np.zeros(len(keys), np.bool_)
    np.equal(keys[1:], keys[:-1], out=found[1:])
    found[:-1] |= found[1:]
    return found


def heads_of(rows: npt.NDArray[Any], ids: Ids) -> npt.NDArray[np.uint64]:
    """The first eight bytes of the ids of ascending `rows`, in whose order a block of them lies in few files, as numbers."""
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK].astype(np.int64)
        found[start : start + _BLOCK] = _heads(ids.take(_arrow(block)))
    return found


def by_key_and_id(
    keys: npt.NDArray[Any], rows: npt.NDArray[Any], heads: npt.NDArray[np.uint64], ids: Ids
) -> None:
    """Bring `rows`, which are in the order of their `keys`, into that of their ids where keys are equal, in place.

    Ids are compared by their `heads` (`heads_of`), which are needed only there; what is still equal is read whole.
    """
    for at in _ties(keys, tied(keys)):
        order = np.lexsort((heads[at], keys[at]))
        mine = heads[at][order]
        rows[at] = rows[at][order]
        same = (mine[1:] == mine[:-1]) & (keys[at][1:] == keys[at][:-1])
        if same.any():
            _by_whole_id(keys, rows, at[np.append(same, False) | np.append(False, same)], ids)


def _ties(keys: npt.NDArray[Any], tied: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.int64]]:
    """Where `tied` is true, a block at a time; no run of equal keys is cut."""
    start = 0
    while start < len(keys):
        stop = min(start + _BLOCK, len(keys))
        if stop < len(keys) and keys[stop - 1] == keys[stop]:
            stop = int(np.searchsorted(keys, keys[stop], side="right"))
        if len(at := np.flatnonzero(tied[start:stop])):
            yield at + start
        start = stop


def _by_whole_id(keys: npt.NDArray[Any], rows: npt.NDArray[Any], at: npt.NDArray[np.int64], ids: Ids) -> None:
    by_id = pc.sort_indices(ids.take(_arrow(rows[at].astype(np.int64))))
    by_id = np.frombuffer(by_id.buffers()[1], np.uint64, len(by_id))
    rows[at] = rows[at][by_id[np.argsort(keys[at][by_id], kind="stable")]]


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
