"""Rows as a source has them -> rows as the kind wants them, and the rows that cannot be."""

from __future__ import annotations

import functools
import os.path
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from curate.counting import counted
from curate.errors import SchemaError
from curate.formats.arrays import Bad, plain, to_text
from curate.formats.mapping import Plan
from curate.formats.rows import Chunk, Rejection, to_rejected
from curate.formats.sets import SETS, marked, to_sets

__all__ = ["MAX_ID_BYTES", "SourceBatch", "resolve_uris", "shape_chunk"]

MAX_ID_BYTES = 512


@dataclass(frozen=True)
class SourceBatch:
    """Rows ready for the store.

    `table`: `id` string (null: derive it), the kind's columns as its types, the user's own, `_source` string and
    `_index` int64 (row number in that source). Media columns hold absolute addresses; where only bytes exist they are
    in a binary column `<media>_data` beside it. `rejected`: schema `rows.REJECTED`.
    """

    table: pa.Table
    rejected: pa.Table


def shape_chunk(chunk: Chunk, plan: Plan, *, root: str | None, max_text_bytes: int) -> SourceBatch:
    """Cast, resolve and check the rows of a chunk. No row is lost: each is in `table` or in `rejected`."""
    bad: Bad = {}
    columns: dict[str, pa.Array] = {}
    if plan.id is not None:
        columns["id"] = _ids(_text(chunk, "id", plan.id, bad), bad)
    else:
        columns["id"] = pa.nulls(len(chunk.table), pa.string())
    for ours, theirs in plan.fields.items():
        if ours in plan.kind.media:
            found = _media(chunk, ours, theirs, bad)
            columns.update({**found, ours: resolve_uris(found[ours], root or chunk.base)})
        elif ours in plan.kind.sets:
            columns[ours] = _sets(chunk, plan, columns.get("label"), bad)
        else:
            columns[ours] = _text(chunk, ours, theirs, bad)
            _check_single(ours, theirs, chunk, plan)
    for ours, theirs in plan.extra.items():
        columns[ours] = _own(chunk, ours, theirs, bad)
    _check_sizes(columns, bad, max_text_bytes)
    _check_required(columns, plan, bad)
    size = len(chunk.table)
    sources = chunk.sources if isinstance(chunk.sources, pa.Array) else pa.repeat(chunk.sources, size)
    columns["_source"], columns["_index"] = sources, pa.array(chunk.rows, pa.int64())
    table = pa.table(columns)
    rejected = chunk.rejected + _reject(chunk, table, bad)
    if bad:
        keep = np.ones(size, bool)
        keep[list(bad)] = False
        table = table.filter(pa.array(keep))
    order = sorted(range(len(rejected)), key=lambda i: (rejected[i].row is None, rejected[i].row or 0))
    return SourceBatch(table, to_rejected([rejected[i] for i in order]))


def _note(bad: Bad, found: Bad, ours: str) -> None:
    """Add what was found in one column; the first fault of a row is the one reported."""
    for row, (code, reason) in found.items():
        bad.setdefault(row, (f"type-{ours}" if code == "type" else code, f"column {ours!r} {reason}"))


def _text(chunk: Chunk, ours: str, theirs: str, bad: Bad) -> pa.Array:
    array, found = to_text(plain(chunk.table.column(theirs)))
    _note(bad, found, ours)
    return array


def _check_single(ours: str, theirs: str, chunk: Chunk, plan: Plan) -> None:
    """Raises SchemaError where a column of one label an item holds several."""
    type_ = chunk.table.column(theirs).type
    if ours == "label" and plan.kind.sets and (pt.is_list(type_) or pt.is_large_list(type_)):
        raise SchemaError(
            f"column {theirs!r} is to be 'label', one text, but holds {type_}: several labels of an item are 'labels'. "
            f'Say columns={{"labels": "{theirs}"}}'
        )


def _sets(chunk: Chunk, plan: Plan, label: pa.Array | None, bad: Bad) -> pa.Array:
    """The column `labels`. Beside a `label`, and not asked for by name, it is the user's own and stays as it is; but a row
    without a label may have its labels there, if they are lists of texts."""
    if plan.marks:
        sets, found = marked(chunk.table, plan.marks)
        _note(bad, found, "labels")
        return sets
    theirs = plan.fields["labels"]
    column = chunk.table.column(theirs)
    if label is None or plan.plays("labels"):
        sets, found = to_sets(column, theirs)
        _note(bad, found, "labels")
        return sets
    own, alone = _own(chunk, "labels", theirs, bad), _gone(label)
    if own.type != SETS or not pc.any(alone).as_py():
        return own
    sets, found = to_sets(column, theirs)
    _note(bad, {row: why for row, why in found.items() if alone[row].as_py()}, "labels")
    return pc.if_else(alone, sets, own)


def _gone(text: pa.Array) -> pa.Array:
    return pc.or_(pc.is_null(text), pc.equal(text, "").fill_null(False))


def _own(chunk: Chunk, ours: str, theirs: str, bad: Bad) -> pa.Array:
    array = plain(chunk.table.column(theirs))
    if not pt.is_string(array.type):
        return array if not pt.is_null(array.type) else array.cast(pa.string())
    checked, found = to_text(array)
    _note(bad, found, ours)
    return checked


def _ids(array: pa.Array, bad: Bad) -> pa.Array:
    too_long = pc.greater(pc.binary_length(array), MAX_ID_BYTES)
    for row in _rows(too_long):
        bad.setdefault(row, ("id-too-long", f"the id has more than {MAX_ID_BYTES} bytes"))
    return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)


def _rows(mask: pa.Array) -> list[int]:
    found: list[int] = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False)).tolist()
    return found


def _media(chunk: Chunk, ours: str, theirs: str, bad: Bad) -> dict[str, pa.Array]:
    array = plain(chunk.table.column(theirs))
    size = len(array)
    if pt.is_struct(array.type) and {"bytes", "path"} & {f.name for f in array.type}:
        members = {f.name: pc.struct_field(array, f.name) for f in array.type}
        data = plain(members["bytes"]) if "bytes" in members else pa.nulls(size, pa.binary())
        paths = members.get("path", pa.nulls(size, pa.string()))
    elif pt.is_binary(array.type):
        data, paths = array, pa.nulls(size, pa.string())
    elif pt.is_string(array.type) or pt.is_null(array.type):
        data, paths = pa.nulls(size, pa.binary()), array
    else:
        raise SchemaError(
            f"column {theirs!r} is to be {ours!r} but holds {array.type}: expected paths or URLs (text), bytes, or "
            "structs of bytes and path"
        )
    data = data.cast(pa.binary())
    text, found = to_text(paths)
    _note(bad, found, ours)
    text = pc.if_else(
        pc.or_(pc.is_valid(data), pc.equal(text, "").fill_null(False)), pa.scalar(None, pa.string()), text
    )
    uris = {ours: text}
    return uris if data.null_count == size else {**uris, f"{ours}_data": data}


def resolve_uris(uris: pa.Array, base: str) -> pa.Array:
    """Relative paths become absolute under `base` (a folder, or the URL of one); absolute ones and URLs stay."""
    if uris.null_count == len(uris):
        return uris
    stays = pc.or_(pc.starts_with(uris, "/"), pc.match_substring_regex(uris, r"^[A-Za-z][A-Za-z0-9+.\-]*://"))
    short = pc.replace_substring_regex(uris, r"^(\./+)+", "")
    joined = pc.binary_join_element_wise(base.rstrip("/"), short, "/")
    absolute = pc.if_else(stays, uris, joined)
    climbs = pc.match_substring_regex(absolute, r"^/.*(/\.\.?(/|$)|//)")
    if not pc.any(climbs).as_py():
        return absolute
    return pa.array(
        [
            os.path.normpath(u) if c else u
            for u, c in zip(absolute.to_pylist(), climbs.to_pylist(), strict=True)
        ],
        pa.string(),
    )


def _check_sizes(columns: dict[str, pa.Array], bad: Bad, limit: int) -> None:
    for name, array in columns.items():
        if not pt.is_string(array.type) or name == "id":
            continue
        lengths = pc.binary_length(array)
        for row in _rows(pc.greater(lengths, limit)):
            reason = f"column {name!r} has {counted(lengths[row].as_py(), 'byte')}, the limit is {limit} (max_text_bytes)"
            bad.setdefault(row, ("too-long", reason))


def _check_required(columns: dict[str, pa.Array], plan: Plan, bad: Bad) -> None:
    absent: dict[str, pa.Array] = {}
    for name in {name for those in plan.kind.needed.values() for name in those} & set(plan.fields):
        gone = pc.is_null(columns[name])
        if f"{name}_data" in columns:
            gone = pc.and_(gone, pc.is_null(columns[f"{name}_data"]))
        elif name in plan.kind.sets and columns[name].type != SETS:
            continue  # the user's own, whatever it holds
        elif name not in plan.kind.media and name not in plan.kind.sets:
            gone = _gone(columns[name])
        absent[name] = gone
    for what, those in plan.kind.needed.items():
        there = [name for name in those if name in absent]
        nothing = functools.reduce(pc.and_, [absent[name] for name in there])
        reason = (
            f"column {there[0]!r} is empty, and items of this kind need it{_hint(there[0], plan)}"
            if len(there) == 1
            else f"{' and '.join(there)}: empty, and items of this kind need one of them"
        )
        for row in _rows(nothing):
            bad.setdefault(row, (f"missing-{what}", reason))


def _hint(column: str, plan: Plan) -> str:
    """How a column that stands beside an empty label and holds no lists would count."""
    if column != "label" or "labels" not in plan.fields:
        return ""
    return '; texts in \'labels\' are read as sets where they are asked for: columns={"labels": "labels"}'


def _reject(chunk: Chunk, table: pa.Table, bad: Bad) -> list[Rejection]:
    if not bad:
        return []
    rows = sorted(bad)
    taken = chunk.table.take(pa.array(rows, pa.int64()))
    ids, sources = table.column("id"), table.column("_source")
    found = []
    for position, row in enumerate(rows):
        code, reason = bad[row]
        data = {name: _value(taken.column(name)[position]) for name in taken.column_names}
        found.append(
            Rejection(
                source=sources[row].as_py(),
                row=int(chunk.rows[row]),
                code=code,
                reason=reason,
                data=data,
                id=ids[row].as_py(),
            )
        )
    return found


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except (UnicodeDecodeError, ValueError):  # text that is none: the very reason it is rejected
        buffer = scalar.as_buffer() if hasattr(scalar, "as_buffer") else None
        return "?" if buffer is None else buffer.to_pybytes()[:1000].decode("utf-8", "backslashreplace")
