"""Tables as file bytes: the same rows always give the same bytes, whatever chunks or dictionaries they came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import SchemaError

_SAMPLE = 1024


def parquet_bytes(table: pa.Table) -> pa.Buffer:
    """One row group, zstd, page checksums (pyarrow can check them), floats split by byte, repeated values once."""
    table = settle(table)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=max(1, table.num_rows), **parquet_options(table))
    return sink.getvalue()


def parquet_options(table: pa.Table) -> dict[str, Any]:
    """How pyarrow is to write a part whose (first) rows these are."""
    floats = [f.name for f in table.schema if pa.types.is_float32(f.type) or pa.types.is_float64(f.type)]
    return {
        "compression": "zstd",
        "write_page_checksum": True,
        "use_byte_stream_split": floats,
        "use_dictionary": [name for name in table.column_names if _repeats(table[name])],
        "write_statistics": True,
        "store_schema": True,
    }


def settle(table: pa.Table) -> pa.Table:
    """The table in one chunk per column, dictionaries in order of first appearance and without unused values."""
    columns = []
    for column in table.combine_chunks().columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type).dictionary_encode().cast(column.type)
        columns.append(column)
    return pa.table(columns, schema=table.schema)


def _repeats(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return True
    if pa.types.is_nested(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return False
    sample = column.slice(0, _SAMPLE)
    return bool(pc.count_distinct(sample).as_py() * 2 <= max(1, len(sample)))


def arrow_bytes(vectors: pa.FixedSizeListArray, field: pa.Field) -> pa.Buffer:
    """An uncompressed Arrow file of one column in one batch, for memory-mapping without a copy."""
    batch = pa.record_batch([vectors], schema=pa.schema([field]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type is stored as a vector: a list of floating or integer numbers."""
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(check(kind) for check in lists):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def tells_no_length(column: pa.ChunkedArray) -> bool:
    """Whether nothing in a column of vectors says how long they are: all null, and the type leaves it open."""
    return not pa.types.is_fixed_size_list(column.type) and column.null_count == len(column)


def fixed_vectors(column: pa.ChunkedArray, name: str) -> pa.FixedSizeListArray:
    """A list column as one array of vectors of equal length; null rows stay null, and hold zeros.

    Raises SchemaError if lengths differ, or a vector holds a null.
    """
    if len(column) and tells_no_length(column):
        raise SchemaError(f"vector column {name!r} holds no vector that would say how long they are")
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # pyarrow gives a ChunkedArray where there are no chunks at all
        array = pa.array([], column.type)
    dim = _dim(array, name)
    values = array.flatten()
    if values.null_count:
        raise SchemaError(
            f"vector column {name!r} holds nulls inside vectors: make the whole vector null instead"
        )
    values = pa.array(values)
    fixed = pa.list_(values.type, dim)
    if not array.null_count:
        return pa.FixedSizeListArray.from_arrays(values, type=fixed)
    present = np.asarray(pc.is_valid(array))
    plain = values.to_numpy(zero_copy_only=False)
    dense = np.zeros((len(array), dim), dtype=plain.dtype)
    dense[present] = plain.reshape(-1, dim)
    flat = pa.array(dense.reshape(-1), type=values.type)
    return pa.FixedSizeListArray.from_arrays(flat, type=fixed, mask=pa.array(~present))


def _dim(array: pa.Array, name: str) -> int:
    if pa.types.is_fixed_size_list(array.type):
        return int(array.type.list_size)
    lengths = pc.unique(pc.list_value_length(array).drop_null()).to_pylist()
    if len(lengths) > 1:
        shown = ", ".join(map(str, sorted(lengths)[:5]))
        raise SchemaError(
            f"vector column {name!r} holds vectors of different lengths ({shown}): one is needed"
        )
    return int(lengths[0]) if lengths else 0


def require_columns(table: pa.Table, names: Sequence[str], what: str) -> None:
    """Raise SchemaError naming the columns that `table` lacks."""
    missing = [n for n in names if n not in table.column_names]
    if missing:
        raise SchemaError(
            f"{what} lacks {', '.join(missing)}: it has {', '.join(table.column_names) or 'no columns'}"
        )
