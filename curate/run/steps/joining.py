"""`join`: plain columns of a table, joined to items by id, as columns that know where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from curate.contracts import detail, digest, reason_name
from curate.counting import counted
from curate.errors import InputError, SchemaError, UnknownNameError
from curate.run.context import RunContext
from curate.run.identity import KnownIds
from curate.run.ledger import StepRecord
from curate.run.matched import write_matched
from curate.store import ColumnSet

__all__ = ["run_join"]

MISSING = "no row for this id in what was joined"


def run_join(
    context: RunContext,
    columns: Any,
    *,
    name: str,
    key: str = "id",
    origin: Mapping[str, Any] | None = None,
) -> StepRecord:
    """Join the columns of a frame to the items by id. Items without a row are null with a reason.

    Joined under the same name again, they replace what was there; older versions keep theirs. `origin` says how the columns
    came about (JSON-able; `made_by` is shown), and is part of their identity. Raises InputError for ids that are no items, or twice;
    SchemaError for names that are taken, lists of numbers, or a table without columns.
    """
    given = dict(origin or {})
    title = f"join {name}" + (f", made by {given['made_by']}" if "made_by" in given else "")
    with context.record("join", name, title, params=given) as record:
        ids, values = _split(_table(columns), key)
        column_set = _column_set(context, name, values.schema, given)
        record.columns = [f.name for f in values.schema]
        view = context.store.view()
        rows = _rows(view, ids)
        record.digest = digest("join", column_set.digest, view.digest, _content(ids, values))
        found = int((rows >= 0).sum())
        record.counts = {"rows": len(view), "joined": found, "without_a_row": len(view) - found}
        record.reasons = {MISSING: len(view) - found} if found < len(view) else {}
        if context.store.recall(record.digest) and name in context.store.snapshot().sets:
            record.reused = True
            return record
        write_matched(
            context,
            column_set,
            rows,
            lambda local: values.take(pa.array(local, mask=local < 0)).columns,
            record,
            missing=MISSING,
        )
    return record


def _table(columns: Any) -> pa.Table:
    if hasattr(columns, "column_names"):
        return columns
    import polars as pl

    try:
        return pl.DataFrame(columns).to_arrow()
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SchemaError(f"a {type(columns).__name__} is no frame of columns: {error}") from None


def _split(table: pa.Table, key: str) -> tuple[pa.ChunkedArray, pa.Table]:
    if key not in table.column_names:
        raise UnknownNameError("column with the ids", key, table.column_names)
    values = table.drop_columns([key])
    if not values.num_columns:
        raise SchemaError(f"there is nothing to join: the table has the column {key!r} alone")
    for field in values.schema:
        listed = pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
        if pa.types.is_fixed_size_list(field.type) or (
            listed and pa.types.is_floating(field.type.value_type)
        ):
            raise SchemaError(f"column {field.name!r} holds vectors: `attach` them")
    return table[key].cast(pa.string()), values


def _column_set(context: RunContext, name: str, schema: pa.Schema, origin: dict[str, Any]) -> ColumnSet:
    snapshot = context.store.snapshot()
    for field in schema:
        home = snapshot.column_home.get(field.name)
        if field.name in snapshot.column_home and (
            home is None or (home.scorer, home.name) != ("join", name)
        ):
            raise SchemaError(f"there is a column {field.name!r} already; join under another name")
    fields = pa.schema(
        [
            *(f if f.metadata else detail(f.name, f.type) for f in schema),
            pa.field(reason_name(name), pa.string()),
        ]
    )
    serialised = fields.serialize().to_pybytes()
    identity = digest("join", name, origin, str(fields))
    return ColumnSet(name, identity, serialised, "join", 1, origin)


def _rows(view: Any, ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """For each item, the row of the table, -1 where there is none."""
    if ids.null_count:
        raise InputError(f"row {pc.index(pc.is_null(ids), True).as_py()} of what is joined has no id")
    flat = ids.combine_chunks() if ids.num_chunks != 1 else ids.chunk(0)
    known = KnownIds.of(view, contents=False)
    position = known.find(flat)
    if (position < 0).any():
        strange = np.flatnonzero(position < 0)
        raise InputError(
            f"{len(strange):,} of {counted(len(flat), 'id')} are no items, such as {flat[int(strange[0])].as_py()!r}"
        )
    seqs = known.seq[position]
    order = np.argsort(seqs, kind="stable")
    twice = np.flatnonzero(np.diff(seqs[order]) == 0)
    if len(twice):
        raise InputError(
            f"the id {flat[int(order[twice[0]])].as_py()!r} has more than one row; keep one for each id"
        )
    rows = np.full(len(view), -1, np.int64)
    rows[np.searchsorted(view.seqs(), seqs)] = np.arange(len(flat))
    return rows


def _content(ids: pa.ChunkedArray, values: pa.Table) -> str:
    """What is joined, whatever the order of its rows."""
    order = pc.sort_indices(ids)
    whole = pa.Table.from_arrays([ids, *values.columns], names=["id", *values.column_names]).take(order)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as stream:
        stream.write_table(whole.combine_chunks())
    return xxhash.xxh3_128_hexdigest(sink.getvalue())
