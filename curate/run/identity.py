"""Which ids the store already holds: a compact index, so that re-import is one vectorised look-up per batch.

An id is told by two independent 64-bit hashes (a false match among 10^9 ids has a chance of about 10^-20); the index
takes 32 bytes an item, whatever the length of its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.store import StoreView

_SEEDS = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)


@dataclass(frozen=True)
class KnownIds:
    """Sorted by the first hash; `seq` and `row_hash` (content, 0 where unknown) belong to the same item."""

    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]
    seq: npt.NDArray[np.int64]
    row_hash: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, view: StoreView, *, contents: bool) -> KnownIds:
        """Index the items of a view; with `contents`, also the hash of each row's content."""
        if not len(view):
            none = np.zeros(0, np.uint64)
            return cls(none, none, np.zeros(0, np.int64), none)
        firsts, seconds, rows = [], [], []
        for batch in view.batches(["id", "_hash"] if contents else ["id"]):
            first, second = hash_ids(batch.column("id"))
            firsts.append(first)
            seconds.append(second)
            if contents:
                rows.append(batch.column("_hash").to_numpy(zero_copy_only=False))
        first = np.concatenate(firsts)
        order = np.argsort(first, kind="stable")
        row_hash = np.concatenate(rows)[order] if contents else np.zeros(len(order), np.uint64)
        return cls(first[order], np.concatenate(seconds)[order], view.seqs()[order], row_hash)

    def find(self, ids: pa.Array) -> npt.NDArray[np.int64]:
        """Position in this index of each id, -1 where it is new."""
        first, second = hash_ids(ids)
        found = np.full(len(first), -1, np.int64)
        if not len(self.first):
            return found
        position = np.searchsorted(self.first, first)
        todo = np.arange(len(first))
        # Equal first hashes lie side by side: walk them until the second hash agrees (nearly always at once).
        while len(todo):
            at = position[todo]
            inside = at < len(self.first)
            todo, at = todo[inside], at[inside]
            same = self.first[at] == first[todo]
            todo, at = todo[same], at[same]
            hit = self.second[at] == second[todo]
            found[todo[hit]] = at[hit]
            todo = todo[~hit]
            position[todo] += 1
        return found


def hash_ids(ids: pa.Array | pa.ChunkedArray) -> Iterable[npt.NDArray[np.uint64]]:
    """Two hashes of each id; comparable within one process only."""
    import polars as pl  # planning reads this module, and needs no frames

    series = pl.Series(pa.chunked_array([ids]) if isinstance(ids, pa.Array) else ids)
    return tuple(series.hash(seed=seed & 0x7FFFFFFF).to_numpy() for seed in _SEEDS)
