"""Who an item is: a stable hash of its content, derived ids, and ids that occur twice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import xxhash

from curate.formats.arrays import json_text, plain
from curate.formats.rows import REJECTED, Rejection, to_rejected
from curate.kinds import Kind

__all__ = ["DerivedIds", "DuplicateIds", "finish", "hash_rows"]

_FACTS = ("sha256", "bytes", "width", "height", "seconds", "rate", "channels", "data")
_HEX = np.array([f"{i:04x}".encode() for i in range(1 << 16)], "S4").view("<u4")

U64 = npt.NDArray[np.uint64]


def finish(table: pa.Table, kind: Kind, derived: DerivedIds | None = None) -> pa.Table:
    """Add `_hash` (uint64: the row's content) and fill in missing ids from the 128-bit hash of the kind's columns.

    A medium counts by `<column>_sha256` where that is known and by its address where not, so that moving a file changes
    neither. The hash depends on values only: not on the library that made the column, its width (int32 or int64), the
    order of columns, or whether a column without values is there. `derived` carries the ids given so far from batch to
    batch: the second row of equal content gets `~2`.
    """
    content = _content_columns(table, kind)
    wide = hash_rows(content, len(table))
    own = [
        (name, table.column(name))
        for name in table.column_names
        if not name.startswith("_") and name != "id" and name not in kind.content and not _is_fact(name, kind)
    ]
    mixed = wide[:, 0] ^ _sum_columns(own, len(table))
    table = _put(table, "_hash", pa.array(_mix(mixed), pa.uint64()))
    ids = plain(table.column("id"))
    if not ids.null_count:
        return table
    where = np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))
    made = (derived or DerivedIds()).give(wide[where])
    filled = pc.replace_with_mask(ids, pc.is_null(ids), made)
    return _put(table, "id", filled)


def _put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.append_column(name, values) if index < 0 else table.set_column(index, name, values)


def _is_fact(name: str, kind: Kind) -> bool:
    return any(name == f"{column}_{fact}" for column in kind.media for fact in _FACTS)


def _content_columns(table: pa.Table, kind: Kind) -> list[tuple[str, pa.Array]]:
    """(tag, values) of the kind's columns: media by digest, else by bytes, else by address."""
    found = []
    for name in kind.content:
        values = [
            (f"{name}_{how}" if how else name, plain(table.column(f"{name}_{how}" if how else name)))
            for how in (("sha256", "data", "") if name in kind.media else ("",))
            if (f"{name}_{how}" if how else name) in table.column_names
        ]
        known: pa.Array | None = None
        for tag, column in values:
            free = column if known is None else pc.if_else(known, pa.scalar(None, column.type), column)
            found.append((tag, free))
            known = pc.is_valid(column) if known is None else pc.or_(known, pc.is_valid(column))
    return found


# --- Hashing rows -----------------------------------------------------------------------------------------------


def hash_rows(columns: Iterable[tuple[str, pa.Array]], size: int) -> npt.NDArray[np.uint64]:
    """XXH3-128 of each row's values as (n, 2) uint64.

    A row is the concatenation, by name, of (hash of the name, length, bytes) of its values that are not null: what is
    null or absent adds nothing. Arrow builds all rows in one buffer; only the call of the hash is per row.
    """
    pieces: list[pa.Array] = []
    for name, column in sorted(columns, key=lambda item: item[0]):
        values = _as_bytes(column)
        if values.null_count == size:
            continue
        pieces += [_prefixes(name, values), values.fill_null(b"")]
    if not pieces:
        empty = xxhash.xxh3_128_digest(b"")
        return np.tile(np.frombuffer(empty, "<u8"), (size, 1))
    joined = pc.binary_join_element_wise(
        *(p.cast(pa.large_binary()) for p in pieces), pa.scalar(b"", pa.large_binary())
    )
    return _hash_values(joined)


def _hash_values(rows: pa.Array) -> npt.NDArray[np.uint64]:
    hashed = xxhash.xxh3_128_digest
    return np.frombuffer(
        b"".join([hashed(row) for row in rows.to_numpy(zero_copy_only=False)]), "<u8"
    ).reshape(-1, 2)


def _prefixes(name: str, values: pa.Array) -> pa.Array:
    """(hash of the name, length), 12 bytes, for each value; nothing for a null."""
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    heads = np.empty(len(values), [("name", "<u8"), ("length", "<u4")])
    heads["name"] = xxhash.xxh64_intdigest(name.encode())
    heads["length"] = pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(valid * heads.itemsize, out=offsets[1:])
    data = pa.py_buffer(heads[valid].tobytes())
    return pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(offsets), data])


def _as_bytes(column: pa.Array) -> pa.Array:
    array = plain(column)
    if pt.is_string(array.type):
        return array.view(pa.binary())
    if pt.is_binary(array.type) or pt.is_fixed_size_binary(array.type):
        return array.cast(pa.binary())
    return pa.array([None if v is None else json_text(v).encode() for v in array.to_pylist()], pa.binary())


def _sum_columns(columns: Iterable[tuple[str, pa.ChunkedArray]], size: int) -> U64:
    """The user's own columns: numbers are mixed as arrays, the others go through `hash_rows` together. Sums do not
    depend on the order of columns, and nulls add nothing."""
    total = np.zeros(size, np.uint64)
    others: list[tuple[str, pa.Array]] = []
    for name, column in columns:
        array = plain(column)
        bits = _number_bits(array)
        if bits is None:
            others.append((name, array))
            continue
        seed = np.uint64(xxhash.xxh64_intdigest(name.encode()))
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        total += np.where(valid, _mix(bits ^ seed), np.uint64(0))
    if others:
        total += hash_rows(others, size)[:, 0]
    return total


def _number_bits(array: pa.Array) -> U64 | None:
    """Numbers and truth values as 64 bits that depend on the value alone: 1, 1.0 and true in any width are one."""
    type_ = array.type
    if pt.is_boolean(type_):
        array = array.cast(pa.uint8())
    elif not (pt.is_integer(type_) or pt.is_floating(type_)):
        return None
    filled: npt.NDArray[Any] = array.fill_null(0).to_numpy(zero_copy_only=False)
    if filled.dtype.kind == "u":
        return filled.astype(np.uint64)
    if filled.dtype.kind == "i":
        return filled.astype(np.int64).view(np.uint64)
    floats = filled.astype(np.float64)
    floats = np.where(np.isnan(floats), np.nan, floats)  # one NaN
    whole = (np.abs(floats) < 2.0**53) & (np.floor(floats) == floats)
    return np.where(
        whole, np.where(whole, floats, 0).astype(np.int64).view(np.uint64), floats.view(np.uint64)
    )


def _mix(values: U64) -> U64:
    """The finaliser of splitmix64: every bit of the input moves every bit of the output."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


# --- Ids ----------------------------------------------------------------------------------------------------------


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
        hashes = _hash_values(plain(table.column("id")).view(pa.binary()))
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
