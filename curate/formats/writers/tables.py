"""One plain, stable schema for every export: types that all readers know, `id` first, vectors of fixed length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import role_of
from curate.errors import SchemaError
from curate.kinds import Kind

__all__ = ["conform", "plain_schema"]


def conform(
    batches: Iterable[pa.RecordBatch], kind: Kind, schema: pa.Schema | None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema to write and the batches cast to it; the first batch decides where no `schema` is given.

    Columns: `id`, those of the kind in its order, then the rest as they come. Raises SchemaError for a missing or
    null `id`, two columns of one name, and, while iterating, batches that do not fit.
    """
    stream = iter(batches)
    first = next(stream, None)
    given = schema if schema is not None else first.schema if first is not None else None
    if given is None:
        given = pa.schema([pa.field("id", pa.string()), *kind.fields])
    target = plain_schema(given, kind, first)
    rest = stream if first is None else chain([first], stream)
    return target, (_cast(batch, target) for batch in rest if batch.num_rows)


def plain_schema(schema: pa.Schema, kind: Kind, sample: pa.RecordBatch | None = None) -> pa.Schema:
    """`schema` with the columns in order and their types made plain; `sample` gives vectors their length."""
    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(
            f"cannot export two columns of one name: {', '.join(map(repr, twice))}; rename one of them"
        )
    if "id" not in names:
        raise SchemaError(f"cannot export rows without an `id` column; the columns are {names}")
    first = ["id", *(f.name for f in kind.fields if f.name in names and f.name != "id")]
    order = first + [name for name in names if name not in first]
    return pa.schema([_plain_field(schema.field(name), sample) for name in order])


def _plain_field(field: pa.Field, sample: pa.RecordBatch | None) -> pa.Field:
    if pa.types.is_fixed_size_binary(field.type):  # a checksum: hexadecimal is what people compare it with
        return pa.field(field.name, pa.string())
    role = role_of(field)
    type_ = _plain_type(field.type)
    if (
        role == "vector"
        and pa.types.is_list(type_)
        and sample is not None
        and field.name in sample.schema.names
    ):
        lengths = pc.unique(pc.drop_null(pc.list_value_length(sample.column(field.name))))
        if len(lengths) == 1:
            type_ = pa.list_(type_.value_type, lengths[0].as_py())
    metadata = {"curate.role": role} if (field.metadata or {}).get(b"curate.role") else None
    return pa.field(field.name, type_, metadata=metadata)


def _plain_type(type_: pa.DataType) -> pa.DataType:
    """The nearest type that Parquet, JSON and `datasets` all hold without loss."""
    t = pa.types
    if isinstance(type_, pa.BaseExtensionType):
        return _plain_type(type_.storage_type)
    if t.is_dictionary(type_):
        return _plain_type(type_.value_type)
    if t.is_null(type_) or t.is_large_string(type_) or t.is_string_view(type_):
        return pa.string()
    if t.is_large_binary(type_) or t.is_binary_view(type_) or t.is_fixed_size_binary(type_):
        return pa.binary()
    if t.is_float16(type_):
        return pa.float32()
    if t.is_fixed_size_list(type_):
        return pa.list_(_plain_type(type_.value_type), type_.list_size)
    if t.is_list(type_) or t.is_large_list(type_) or t.is_list_view(type_) or t.is_large_list_view(type_):
        return pa.list_(_plain_type(type_.value_type))
    if t.is_map(type_):
        pair = [pa.field("key", _plain_type(type_.key_type)), pa.field("value", _plain_type(type_.item_type))]
        return pa.list_(pa.struct(pair))
    if t.is_struct(type_):
        return pa.struct([pa.field(f.name, _plain_type(f.type)) for f in type_])
    return type_


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    missing = [name for name in schema.names if name not in batch.schema.names]
    extra = [name for name in batch.schema.names if name not in schema.names]
    if missing or extra:
        raise SchemaError(
            f"the batches to export differ in their columns: one lacks {missing} and has {extra} beyond {schema.names}"
        )
    columns = [_cast_column(batch.column(field.name), field) for field in schema]
    if columns[schema.get_field_index("id")].null_count:
        raise SchemaError("cannot export rows whose `id` is null; every item of a store has one")
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast_column(array: pa.Array, field: pa.Field) -> pa.Array:
    if array.type == field.type:
        return array
    try:
        if pa.types.is_fixed_size_binary(array.type) and pa.types.is_string(field.type):
            import polars as pl

            return (
                pl.Series(pl.from_arrow(array.cast(pa.binary())))
                .bin.encode("hex")
                .to_arrow()
                .cast(pa.string())
            )
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        return array.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise SchemaError(
            f"column {field.name!r} is {array.type} in one batch and {field.type} in the export: {error}"
        ) from error
