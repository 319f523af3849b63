"""Cut a stream of record batches into shards and chunks by rows and bytes, whatever the batches' own boundaries.

The cuts depend on the rows alone, so the same rows give the same files however they were batched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["CHUNK_BYTES", "CHUNK_ROWS", "Limits", "split", "weigh"]

CHUNK_ROWS = 65_536
"""Rows of one Parquet row group, one Arrow batch, one call of a text writer."""

CHUNK_BYTES = 64 * 2**20
"""Uncompressed bytes at which a chunk ends early: what bounds memory when rows are heavy."""


@dataclass(frozen=True)
class Limits:
    """Where a shard ends: after `rows` rows or once its rows weigh `bytes` uncompressed, whichever comes first."""

    rows: int
    bytes: int


def split(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, limits: Limits
) -> Iterator[tuple[int, Iterator[pa.Table]]]:
    """Shards as (number from 0, its chunks). Without a single row there is one shard with one empty chunk.

    Each shard's chunks must be consumed before the next shard is asked for (as with `itertools.groupby`).
    """
    for number, group in groupby(_Cutter(schema, limits).cut(batches), key=itemgetter(0)):
        yield number, (table for _, table in group)


@dataclass
class _Cutter:
    schema: pa.Schema
    limits: Limits
    pending: list[pa.RecordBatch] = field(default_factory=list)
    chunk_rows: int = 0
    chunk_bytes: int = 0
    shard: int = 0
    shard_rows: int = 0
    shard_bytes: int = 0

    def cut(self, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
        empty = True
        for batch in batches:
            total = np.cumsum(weigh(batch))
            start = 0
            while start < batch.num_rows:
                empty = False
                stop = self._stop(total, start)
                self._take(
                    batch.slice(start, stop - start),
                    int(total[stop - 1] - (total[start - 1] if start else 0)),
                )
                start = stop
                if self._shard_full() or self._chunk_full():
                    yield self._flush()
        if self.pending:
            yield self._flush()
        elif empty:
            yield 0, self.schema.empty_table()

    def _stop(self, total: npt.NDArray[np.int64], start: int) -> int:
        """One past the last row that still goes into this chunk and this shard: at least one row."""
        rows = min(CHUNK_ROWS - self.chunk_rows, self.limits.rows - self.shard_rows)
        room = min(CHUNK_BYTES - self.chunk_bytes, self.limits.bytes - self.shard_bytes)
        before = int(total[start - 1]) if start else 0
        by_bytes = int(np.searchsorted(total, before + room, side="left")) + 1
        return max(start + 1, min(start + rows, by_bytes, len(total)))

    def _take(self, batch: pa.RecordBatch, weight: int) -> None:
        self.pending.append(batch)
        self.chunk_rows += batch.num_rows
        self.shard_rows += batch.num_rows
        self.chunk_bytes += weight
        self.shard_bytes += weight

    def _chunk_full(self) -> bool:
        return self.chunk_rows >= CHUNK_ROWS or self.chunk_bytes >= CHUNK_BYTES

    def _shard_full(self) -> bool:
        return self.shard_rows >= self.limits.rows or self.shard_bytes >= self.limits.bytes

    def _flush(self) -> tuple[int, pa.Table]:
        table = compact(pa.Table.from_batches(self.pending, self.schema))
        number = self.shard
        if self._shard_full():
            self.shard, self.shard_rows, self.shard_bytes = number + 1, 0, 0
        self.pending, self.chunk_rows, self.chunk_bytes = [], 0, 0
        return number, table


def compact(table: pa.Table) -> pa.Table:
    """The same rows in fresh buffers: no slices of larger ones, and nothing left over under nulls.

    Two tables of equal rows are then equal in memory too, which Arrow files show; and Polars refuses slices of
    fixed-size lists.
    """
    rows = pa.Array.from_buffers(pa.int64(), table.num_rows, [None, pa.py_buffer(np.arange(table.num_rows))])
    columns = [column.combine_chunks().take(rows) for column in table.columns]
    return pa.Table.from_arrays(columns, schema=table.schema)


def weigh(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """(rows,) int64: about how many bytes each row holds uncompressed, from lengths alone."""
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        total += _weights(column)
    return total


def _weights(array: pa.Array) -> npt.NDArray[np.int64]:
    type_ = array.type
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return _integers(pc.binary_length(array))
    if pa.types.is_struct(type_):
        parts = [_weights(child) for child in array.flatten()]
        return np.sum(parts, axis=0, dtype=np.int64) if parts else np.zeros(len(array), np.int64)
    if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_):
        lengths = _integers(pc.list_value_length(array))
        inner = np.concatenate(([0], np.cumsum(_weights(array.flatten()))))
        ends = np.cumsum(lengths)
        weights: npt.NDArray[np.int64] = inner[ends] - inner[ends - lengths]
        return weights
    width = getattr(type_, "byte_width", 1) if not pa.types.is_boolean(type_) else 1
    return np.full(len(array), width, np.int64)


def _integers(lengths: pa.Array) -> npt.NDArray[np.int64]:
    """An int32 or int64 array as int64, null as 0.

    Read from the buffers: `to_numpy` and `fill_null` import pandas where it is installed, which takes 0.8 s.
    """
    validity, data = lengths.buffers()
    part = slice(lengths.offset, lengths.offset + len(lengths))
    width = np.int32 if lengths.type.bit_width == 32 else np.int64
    numbers = np.frombuffer(data, width)[part].astype(np.int64)
    if validity is not None:
        numbers *= np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[part]
    return numbers
