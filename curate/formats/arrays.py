"""Values and columns of any origin as plain Arrow arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.errors import InputError

__all__ = [
    "Bad",
    "cast_column",
    "from_values",
    "media_from_values",
    "plain",
    "plain_type",
    "to_text",
    "unify_types",
]

Bad = dict[int, tuple[str, str]]
"""Row -> (code, reason) of the values that could not be taken."""

_EXACT = 2.0**53


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type we store: one spelling of text and binary, no dictionaries, no extensions, no half floats."""
    if isinstance(type_, pa.BaseExtensionType):
        return plain_type(type_.storage_type)
    if pt.is_dictionary(type_):
        return plain_type(type_.value_type)
    if pt.is_run_end_encoded(type_):
        return plain_type(type_.value_type)
    if pt.is_large_string(type_) or pt.is_string_view(type_):
        return pa.string()
    if pt.is_large_binary(type_) or pt.is_binary_view(type_):
        return pa.binary()
    if pt.is_float16(type_):
        return pa.float32()
    if pt.is_fixed_size_list(type_):
        return pa.list_(plain_type(type_.value_type), type_.list_size)
    if pt.is_list(type_) or pt.is_large_list(type_) or pt.is_list_view(type_) or pt.is_large_list_view(type_):
        return pa.list_(plain_type(type_.value_type))
    if pt.is_struct(type_):
        return pa.struct([pa.field(f.name, plain_type(f.type)) for f in type_])
    return type_


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous array of the type we store; unions and empty structs become JSON text."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # combine_chunks keeps several where one would overflow
        array = pa.concat_arrays(array.chunks)
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    if pt.is_dictionary(array.type):
        return plain(array.dictionary_decode())
    if pt.is_union(array.type) or (pt.is_struct(array.type) and array.type.num_fields == 0):
        return _json(array)
    wanted = plain_type(array.type)
    return array if array.type.equals(wanted) else array.cast(wanted)


def unify_types(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    """The narrowest type that holds both without loss of meaning; text where nothing else does."""
    if a.equals(b) or pt.is_null(b):
        return a
    if pt.is_null(a):
        return b
    if pt.is_integer(a) and pt.is_integer(b):
        return a if a.bit_width > b.bit_width and pt.is_signed_integer(a) else _wider(a, b)
    if (pt.is_integer(a) or pt.is_floating(a)) and (pt.is_integer(b) or pt.is_floating(b)):
        return pa.float64()
    if pt.is_struct(a) and pt.is_struct(b):
        names = list(dict.fromkeys([f.name for f in a] + [f.name for f in b]))
        return pa.struct([(name, unify_types(_member(a, name), _member(b, name))) for name in names])
    if pt.is_fixed_size_list(a) or pt.is_fixed_size_list(b) or (pt.is_list(a) and pt.is_list(b)):
        if pt.is_nested(a) and pt.is_nested(b) and not pt.is_struct(a) and not pt.is_struct(b):
            return pa.list_(unify_types(a.value_type, b.value_type))
        return pa.string()
    return pa.string()


def _wider(a: pa.DataType, b: pa.DataType) -> pa.DataType:
    if pt.is_signed_integer(a) == pt.is_signed_integer(b):
        return a if a.bit_width >= b.bit_width else b
    unsigned, signed = (a, b) if pt.is_unsigned_integer(a) else (b, a)
    if signed.bit_width > unsigned.bit_width:
        return signed
    return pa.int64() if unsigned.bit_width < 64 else pa.string()


def _member(type_: pa.StructType, name: str) -> pa.DataType:
    index = type_.get_field_index(name)
    return pa.null() if index < 0 else type_.field(index).type


def cast_column(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Cast to a type that `unify_types` gave; to text as values are written, nested ones as JSON."""
    if array.type.equals(wanted):
        return array
    if pt.is_null(wanted):
        return pa.nulls(len(array))  # a column of empty cells
    if pt.is_string(wanted):
        return _json(array) if pt.is_nested(array.type) else to_text(array)[0]
    if pt.is_nested(wanted) and not pt.is_null(array.type):
        return pa.array(array.to_pylist(), wanted)  # members that this piece did not have
    return array.cast(wanted)


def _json(array: pa.Array) -> pa.Array:
    return pa.array([None if v is None else json_text(v) for v in array.to_pylist()], pa.string())


def json_text(value: Any) -> str:
    """A value as JSON; what JSON has no word for as its text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def to_text(array: pa.Array) -> tuple[pa.Array, Bad]:
    """Any column as text, as one would write it: 3.0 is "3", true is "true". NaN is missing.

    Lists, structs and bytes that are not UTF-8 cannot be text: null there, and reported.
    """
    array = plain(array)
    kind = array.type
    if pt.is_null(kind):
        return pa.nulls(len(array), pa.string()), {}
    if pt.is_string(kind):
        return _check_utf8(array)
    if pt.is_binary(kind) or pt.is_fixed_size_binary(kind):
        try:
            return array.cast(pa.binary()).cast(pa.string()), {}
        except pa.ArrowInvalid:
            return _decode_rows(array)
    if pt.is_floating(kind):
        return _floats_to_text(array), {}
    if pt.is_nested(kind):
        reason = f"holds {kind}, which is not one text"
        rows = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
        return pa.nulls(len(array), pa.string()), {int(row): ("type", reason) for row in rows}
    try:
        return array.cast(pa.string()), {}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if v is None else str(v) for v in array.to_pylist()], pa.string()), {}


def _check_utf8(array: pa.Array) -> tuple[pa.Array, Bad]:
    # Parquet files are believed about the encoding of their text when read; we are not.
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        return _decode_rows(array.view(pa.binary()))
    return array, {}


def _decode_rows(array: pa.Array) -> tuple[pa.Array, Bad]:
    texts: list[str | None] = []
    bad: Bad = {}
    for row, value in enumerate(array.to_pylist()):
        try:
            texts.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            texts.append(None)
            bad[row] = ("invalid-utf8", f"is not UTF-8: {error.reason} at byte {error.start}")
    return pa.array(texts, pa.string()), bad


def _floats_to_text(array: pa.Array) -> pa.Array:
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less(pc.abs(array), _EXACT))
    integers = pc.if_else(whole, array, pa.scalar(None, array.type)).cast(pa.int64()).cast(pa.string())
    other = pc.if_else(pc.is_nan(array), pa.scalar(None, pa.string()), array.cast(pa.string()))
    return pc.if_else(whole, integers, other)


def from_values(values: Sequence[Any]) -> tuple[pa.Array, Bad]:
    """Python objects as a column. Where their types do not fit together all become text, nested ones JSON."""
    try:
        return plain(pa.array(values, from_pandas=True)), {}
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        OverflowError,
        ValueError,
        TypeError,
    ):
        pass
    texts: list[str | None] = []
    bad: Bad = {}
    for row, value in enumerate(values):
        text = _value_text(value)
        try:
            if text is not None:
                text.encode()
        except UnicodeEncodeError as error:
            bad[row] = ("invalid-utf8", f"holds half a character: {error.reason} at {error.start}")
            text = None
        texts.append(text)
    return pa.array(texts, pa.string()), bad


def _value_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    if isinstance(value, (int, PurePath)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "surrogateescape")  # found out above if it is none
    if isinstance(value, (dict, list, tuple)):
        return json_text(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return _value_text(value.tolist())
    return str(value)


def media_from_values(values: Sequence[Any]) -> tuple[pa.Array, Bad]:
    """Pictures and sounds in memory as a column struct<bytes, path>.

    Takes bytes, addresses (text or Path), {"bytes", "path"}, Pillow images, uint8 arrays (H, W[, C]) (both become PNG),
    and {"array", "sampling_rate"} (becomes WAV).
    """
    taken: list[dict[str, Any] | None] = []
    bad: Bad = {}
    for row, value in enumerate(values):
        try:
            taken.append(_one_medium(value))
        except InputError as error:
            taken.append(None)
            bad[row] = ("type", f"holds {error}")
    return pa.array(taken, pa.struct([("bytes", pa.binary()), ("path", pa.string())])), bad


def _one_medium(value: Any) -> dict[str, Any] | None:
    from PIL import Image

    from curate.media import encode_png, encode_wav

    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(value), "path": None}
    if isinstance(value, (str, PurePath)):
        return {"bytes": None, "path": str(value)}
    if isinstance(value, (Image.Image, np.ndarray)):
        return {"bytes": encode_png(value), "path": None}
    if isinstance(value, dict) and "sampling_rate" in value and value.get("array") is not None:
        return {"bytes": encode_wav(np.asarray(value["array"]), int(value["sampling_rate"])), "path": None}
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        data, path = value.get("bytes"), value.get("path")
        return {"bytes": data, "path": None if path is None else str(path)}
    raise InputError(f"a {type(value).__name__}: expected bytes, a path, a picture, a uint8 array or a sound")
