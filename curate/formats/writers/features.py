"""Arrow schemas as the feature descriptions of Hugging Face `datasets` (version 4 and later), without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curate.kinds import Kind

__all__ = ["annotate", "features", "media_types"]


def media_types(schema: pa.Schema, kind: Kind) -> dict[str, str]:
    """Media columns whose bytes are in the rows -> `Image` or `Audio`."""
    roles = (("image", "Image"), ("audio", "Audio"))
    return {
        column: feature
        for role, feature in roles
        for column in kind.roles.get(role, ())
        if column in schema.names and pa.types.is_struct(schema.field(column).type)
    }


def features(schema: pa.Schema, media: Mapping[str, str]) -> dict[str, Any]:
    """The `features` of a data set with these columns."""
    return {f.name: {"_type": media[f.name]} if f.name in media else _feature(f.type) for f in schema}


def annotate(schema: pa.Schema, media: Mapping[str, str]) -> pa.Schema:
    """The schema with the metadata by which `datasets` finds its features again in Parquet and Arrow files."""
    info = {"info": {"features": features(schema, media)}}
    return schema.with_metadata({"huggingface": json.dumps(info)})


def _feature(type_: pa.DataType) -> Any:
    if pa.types.is_struct(type_):
        return {f.name: _feature(f.type) for f in type_}
    if pa.types.is_fixed_size_list(type_):
        return {"feature": _feature(type_.value_type), "length": type_.list_size, "_type": "List"}
    if pa.types.is_list(type_):
        return {"feature": _feature(type_.value_type), "_type": "List"}
    return {"dtype": _dtype(type_), "_type": "Value"}


def _dtype(type_: pa.DataType) -> str:
    t = pa.types
    if t.is_boolean(type_):
        return "bool"
    if t.is_float32(type_):
        return "float32"
    if t.is_float64(type_):
        return "float64"
    if t.is_timestamp(type_):
        return f"timestamp[{type_.unit}]" if type_.tz is None else f"timestamp[{type_.unit}, tz={type_.tz}]"
    if t.is_time(type_) or t.is_date(type_):
        return str(type_).partition("[")[0] if t.is_date(type_) else str(type_)
    if t.is_decimal(type_):
        return f"decimal{type_.bit_width}({type_.precision}, {type_.scale})"
    return str(type_)
