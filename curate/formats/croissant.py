"""`croissant.json`: Croissant 1.1 metadata (JSON-LD), by which other tools find the files, columns and types.

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.counting import counted
from curate.formats.writers.draft import FileRecord

__all__ = ["CROISSANT", "describe"]

CROISSANT = "croissant.json"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_ENCODING = {
    "parquet": "application/x-parquet",
    "jsonl": "application/jsonlines",
    "csv": "text/csv",
    "datasets": "application/vnd.apache.arrow.stream",
    "webdataset": "application/x-tar",
}
_SUFFIX = {
    "parquet": ".parquet",
    "jsonl": ".jsonl",
    "csv": ".csv",
    "datasets": ".arrow",
    "webdataset": ".tar",
}


def describe(
    manifest: Mapping[str, Any], schema: pa.Schema, files: Sequence[FileRecord], media: Mapping[str, str]
) -> bytes:
    """The bytes of `croissant.json`. `media`: columns that hold bytes -> `Image` or `Audio`.

    Every data file is a FileObject with its sha256; the record set reads the columns of all of them. Formats that
    Croissant cannot read by column (saved Arrow, tar) are described file by file, without a record set.
    """
    format_ = manifest["format"]
    data = [
        file for file in files if file.path.endswith(_SUFFIX[format_]) and not file.path.startswith("media/")
    ]
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": manifest["title"],
        "description": _description(manifest),
        "license": manifest["license"],
        "version": manifest["dataset_version"],
        **{theirs: manifest[ours] for ours, theirs in _OPTIONAL.items() if manifest.get(ours)},
        "distribution": [_file_object(file, _ENCODING[format_]) for file in data],
    }
    if format_ in ("parquet", "jsonl", "csv"):
        document["distribution"].append(_file_set(format_))
        described = {f.name: _field(f.name, f.type, format_, media.get(f.name)) for f in schema}
        document["recordSet"] = [_record_set([f for f in described.values() if f is not None])]
        deep = ", ".join(repr(name) for name, field in described.items() if field is None)
        document["description"] += f" Columns too deeply nested to be described: {deep}." if deep else ""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


_OPTIONAL = {"citation": "citeAs", "url": "url", "date_published": "datePublished"}


def _description(manifest: Mapping[str, Any]) -> str:
    counts = manifest["counts"]
    failed = counts["failed"]
    left_out = (
        f" {counted(failed, 'item is', 'items are')} left out: media could not be read." if failed else ""
    )
    items = counted(counts["rows"], f"{manifest['kind']} item")
    return f"{manifest['description']} {items}.{left_out}".strip()


def _file_object(file: FileRecord, encoding: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": encoding,
        "sha256": file.sha256,
    }


def _file_set(format_: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": "data",
        "name": "data",
        "description": "All shards, in order.",
        "encodingFormat": _ENCODING[format_],
        "includes": f"data/train-*{_SUFFIX[format_]}",
    }


def _record_set(fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "items",
        "name": "items",
        "key": {"@id": "items/id"},
        "field": fields,
    }


def _field(name: str, type_: pa.DataType, format_: str, media: str | None) -> dict[str, Any] | None:
    """One column; None for lists of structs and deeper nesting, which Croissant cannot describe by column."""
    out: dict[str, Any] = {"@type": "cr:Field", "@id": f"items/{name}", "name": name}
    source: dict[str, Any] = {"fileSet": {"@id": "data"}, "extract": {"column": name}}
    if media is not None:
        out["dataType"] = f"sc:{media}Object"
        source["transform"] = {"jsonPath": "bytes"}
    elif pa.types.is_nested(type_) and format_ == "csv":
        out["dataType"] = "sc:Text"
    elif pa.types.is_struct(type_):
        return _struct(name, type_, out, source)
    elif pa.types.is_nested(type_):
        if pa.types.is_nested(type_.value_type):
            return None
        size = type_.list_size if pa.types.is_fixed_size_list(type_) else -1
        out |= {"dataType": _data_type(type_.value_type, format_), "isArray": True, "arrayShape": str(size)}
    else:
        out["dataType"] = _data_type(type_, format_)
    return {**out, "source": source}


def _struct(
    name: str, type_: pa.DataType, out: dict[str, Any], source: dict[str, Any]
) -> dict[str, Any] | None:
    if any(pa.types.is_nested(f.type) or not f.name.isidentifier() for f in type_) or not type_.num_fields:
        return None
    out["subField"] = [
        {
            "@type": "cr:Field",
            "@id": f"items/{name}/{f.name}",
            "name": f.name,
            "dataType": _data_type(f.type, "parquet"),
            "source": {**source, "transform": {"jsonPath": f.name}},
        }
        for f in type_
    ]
    return out


def _data_type(type_: pa.DataType, format_: str) -> str:
    t = pa.types
    if t.is_boolean(type_):
        return "sc:Boolean"
    if t.is_integer(type_):
        return f"cr:{'U' if t.is_unsigned_integer(type_) else ''}Int{type_.bit_width}"
    if t.is_floating(type_):
        return f"cr:Float{type_.bit_width}"
    if t.is_timestamp(type_) or t.is_date(type_):
        return "sc:DateTime" if t.is_timestamp(type_) else "sc:Date"
    return "sc:Text"
