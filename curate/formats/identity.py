"""Ids: made of content where none are given, and found out where they occur twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.formats.arrays import plain
from curate.formats.hashing import U64, hash_values
from curate.formats.rows import REJECTED, Rejection, to_rejected

__all__ = ["DerivedIds", "DuplicateIds"]

_HEX = np.array([f"{i:04x}".encode() for i in range(1 << 16)], "S4").view("<u4")


class _Runs:
    """Keys seen so far, as sorted runs that are merged when they reach equal size: some ten bytes more than the records
    themselves, and membership of many keys at once."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self._runs: list[npt.NDArray[np.void]] = []

    def find(
        self, low: U64, high: npt.NDArray[np.uint32]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.void]]:
        """(whether seen, the record) for each key."""
        seen = np.zeros(len(low), bool)
        records = np.zeros(len(low), self._dtype)
        for run in self._runs:
            at = np.searchsorted(run["low"], low)
            np.minimum(at, len(run) - 1, out=at)
            hit = (run["low"][at] == low) & (run["high"][at] == high)
            seen |= hit
            records[hit] = run[at[hit]]
        return seen, records

    def add(self, records: npt.NDArray[np.void]) -> None:
        """Remember records; of equal keys in one call the first in the array must be the only."""
        if not len(records):
            return
        run = records[np.argsort(records["low"], kind="stable")]
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            both = np.concatenate([self._runs.pop(), run])
            run = both[np.argsort(both["low"], kind="stable")]
        self._runs.append(run)

    def update(
        self, low: U64, high: npt.NDArray[np.uint32], field: str, values: npt.NDArray[np.uint32]
    ) -> None:
        """Set a field of records that are known."""
        for run in self._runs:
            at = np.minimum(np.searchsorted(run["low"], low), len(run) - 1)
            hit = (run["low"][at] == low) & (run["high"][at] == high)
            run[field][at[hit]] = values[hit]


def _first_and_rank(
    low: U64, high: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each key, where it first occurs in the arrays and how many equal ones came before it."""
    order = np.lexsort((np.arange(len(low)), high, low))
    a, b = low[order], high[order]
    starts = np.ones(len(low), bool)
    starts[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    begin = np.maximum.accumulate(np.where(starts, np.arange(len(low)), 0))
    first = np.empty(len(low), np.int64)
    rank = np.empty(len(low), np.int64)
    first[order] = order[begin]
    rank[order] = np.arange(len(low)) - begin
    return first, rank


class DerivedIds:
    """Ids made of content: 32 hex digits, then `~2`, `~3` for further rows of the same content, in order."""

    def __init__(self) -> None:
        self._seen = _Runs(np.dtype([("low", "<u8"), ("high", "<u4"), ("count", "<u4")]))

    def give(self, hashes: npt.NDArray[np.uint64]) -> pa.Array:
        """Ids for the 128-bit hashes (n, 2) of the next rows."""
        low, high = hashes[:, 0].copy(), (hashes[:, 1] >> np.uint64(32)).astype(np.uint32)
        first, rank = _first_and_rank(low, high)
        _, records = self._seen.find(low, high)
        before = records["count"].astype(np.int64)
        number = before + rank + 1
        self._remember(low, high, first, number)
        text = _HEX[np.ascontiguousarray(hashes).view("<u2").reshape(-1, 8)].tobytes()
        offsets = pa.py_buffer(np.arange(0, 32 * (len(low) + 1), 32, dtype=np.int32))
        ids = pa.Array.from_buffers(pa.string(), len(low), [None, offsets, pa.py_buffer(text)])
        if number.max(initial=0) < 2:
            return ids
        suffix = pc.binary_join_element_wise(ids, pa.array(number).cast(pa.string()), "~")
        return pc.if_else(pa.array(number > 1), suffix, ids)

    def _remember(
        self,
        low: U64,
        high: npt.NDArray[np.uint32],
        first: npt.NDArray[np.int64],
        number: npt.NDArray[np.int64],
    ) -> None:
        keys, at = np.unique(first, return_inverse=True)
        count = np.zeros(len(keys), np.int64)
        np.maximum.at(count, at, number)
        known, _ = self._seen.find(low[keys], high[keys])
        fresh = np.zeros(int((~known).sum()), self._seen._dtype)
        fresh["low"], fresh["high"], fresh["count"] = low[keys][~known], high[keys][~known], count[~known]
        self._seen.update(low[keys][known], high[keys][known], "count", count[known].astype(np.uint32))
        self._seen.add(fresh)


class DuplicateIds:
    """Rows whose id an earlier row of the same source had. Keeps 96 bits of a hash and the place for each id, 24 bytes:
    among 100 million ids the odds of taking two for one are below one in ten trillion."""

    def __init__(self) -> None:
        self._seen = _Runs(np.dtype([("low", "<u8"), ("high", "<u4"), ("source", "<u4"), ("row", "<i8")]))
        self._sources: dict[str, int] = {}

    def split(self, table: pa.Table) -> tuple[pa.Table, pa.Table]:
        """(rows whose id is new, the others as rejections that name the first)."""
        if not len(table):
            return table, REJECTED.empty_table()
        hashes = hash_values(plain(table.column("id")).view(pa.binary()))
        low, high = hashes[:, 0].copy(), (hashes[:, 1] >> np.uint64(32)).astype(np.uint32)
        first, rank = _first_and_rank(low, high)
        seen, records = self._seen.find(low, high)
        again = seen | (rank > 0)
        records["low"], records["high"] = low, high
        codes = pc.dictionary_encode(plain(table.column("_source")).fill_null(""))
        numbers = np.array(
            [self._sources.setdefault(s, len(self._sources)) for s in codes.dictionary.to_pylist()]
        )
        here, rows = numbers[codes.indices.to_numpy()], table.column("_index").to_numpy()
        records["source"] = np.where(seen, records["source"], here[first])
        records["row"] = np.where(seen, records["row"], rows[first])
        self._seen.add(records[~again])
        if not again.any():
            return table, REJECTED.empty_table()
        return table.filter(pa.array(~again)), self._reject(table, np.flatnonzero(again), records)

    def _reject(
        self, table: pa.Table, rows: npt.NDArray[np.int64], records: npt.NDArray[np.void]
    ) -> pa.Table:
        names = list(self._sources)
        lost = table.take(pa.array(rows))
        shown = lost.select([name for name in table.column_names if not name.startswith("_")]).to_pylist()
        found = []
        for i, row in enumerate(rows.tolist()):
            place = f"row {records['row'][row]} of {names[records['source'][row]]}"
            found.append(
                Rejection(
                    source=lost.column("_source")[i].as_py(),
                    row=lost.column("_index")[i].as_py(),
                    id=shown[i]["id"],
                    code="duplicate-id",
                    reason=f"{place} has the id {shown[i]['id']!r} already",
                    data=shown[i],
                )
            )
        return to_rejected(found)
