"""A stable hash of each row: the same values give the same number, whatever made the columns."""

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

__all__ = ["U64", "hash_rows", "hash_values", "mix", "sum_columns"]

U64 = npt.NDArray[np.uint64]


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
    return hash_values(joined)


def hash_values(rows: pa.Array) -> npt.NDArray[np.uint64]:
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


def sum_columns(columns: Iterable[tuple[str, pa.ChunkedArray]], size: int) -> U64:
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
        total += np.where(valid, mix(bits ^ seed), np.uint64(0))
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


def mix(values: U64) -> U64:
    """The finaliser of splitmix64: every bit of the input moves every bit of the output."""
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
