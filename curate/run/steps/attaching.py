"""`attach`: vectors from a file or an array, joined to items by id, as a column aligned with the item parts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from curate.contracts import digest, reason_name, vector
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.formats import read_vectors
from curate.formats.vectors import vectors_ahead
from curate.recipe.model import AttachStep
from curate.records import REJECTED
from curate.run.components import Homes
from curate.run.context import RunContext, located
from curate.run.identity import KnownIds
from curate.run.ledger import StepRecord
from curate.run.matched import write_matched
from curate.store import ColumnSet

MISSING = "no row for this id in what was attached"


def run_attach(context: RunContext, step: AttachStep, data: Any = None, ids: Any = None) -> StepRecord:
    """Execute one `attach` step. Items without a vector are null with a reason; vectors without an item are listed."""
    by_rows = step.ids == "rows"
    listed = ids if ids is not None else (None if by_rows or step.ids is None else context.path(step.ids))
    source = data if data is not None else context.path(step.attach)
    found, values = read_vectors(source, ids=listed, key=step.key)
    name = step.name.replace("-", "_")
    with context.record("attach", step.attach, f"attach {step.attach} as {name}", columns=[name]) as record:
        view = context.store.view()
        rows = _in_order(len(view), values) if by_rows else _by_id(view, found, values)
        column_set = _column_set(context, name, values)
        content = xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).data)
        record.digest = digest("attach", column_set.digest, view.digest, content, by_rows)
        have = rows >= 0
        unknown = np.setdiff1d(np.arange(len(values)), rows[have])
        record.counts = {
            "rows": len(view),
            "scored": int(have.sum()),
            "failed": int((~have).sum()),
            "unknown": len(unknown),
        }
        record.reasons = {MISSING: int((~have).sum())} if not have.all() else {}
        if context.store.recall(record.digest) and name in context.store.snapshot().sets:
            record.reused = True
            return record
        write_matched(
            context,
            column_set,
            rows,
            partial(_vectors, values),
            record,
            missing=MISSING,
            beside=lambda writer: (
                [writer.rejected(_unknown(found, unknown, record.name))]
                if len(unknown) and found is not None
                else []
            ),
        )
    return record


def check_attached(step: AttachStep, base: Path, items: int | None) -> None:
    """Raises InputError where a file, by what its header says, cannot be attached to so many items (None: nobody knows)."""
    by_rows = step.ids == "rows"
    listed = None if by_rows or step.ids is None else located(base, step.ids)
    told = vectors_ahead(located(base, step.attach), ids=listed, key=step.key)
    if told is None:
        return
    rows, known = told
    if by_rows and items is not None:
        _check_order(items, rows)
    elif not by_rows and not known:
        raise _without_ids(rows, items)


def _by_id(view: Any, ids: pa.Array | None, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """For each item, the row of its vector, -1 where there is none."""
    if ids is None:
        raise _without_ids(len(values), len(view))
    known = KnownIds.of(view, contents=False)
    position = known.find(ids.cast(pa.string()))
    hit = np.flatnonzero(position >= 0)
    if len(ids) and not len(hit):
        raise InputError(
            f"none of the {counted(len(ids), 'id')} (first {ids[0].as_py()!r}) is the id of an item"
        )
    seqs = known.seq[position[hit]]
    unique, counts = np.unique(seqs, return_counts=True)
    if (counts > 1).any():
        twice = ids[int(hit[np.flatnonzero(seqs == unique[counts > 1][0])[0]])].as_py()
        raise InputError(f"the id {twice!r} has more than one vector; keep one row for each id")
    rows = np.full(len(view), -1, np.int64)
    rows[np.searchsorted(view.seqs(), seqs)] = hit
    return rows


def _without_ids(rows: int, items: int | None) -> InputError:
    so_many = "" if items is None else f" ({counted(items, 'item')})"
    return InputError(
        f"{counted(rows, 'vector has', 'vectors have')} no ids; name a file of ids, or say ids='rows' if they are in the "
        f"order of import{so_many}"
    )


def _in_order(n: int, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    _check_order(n, len(values))
    return np.arange(n)


def _check_order(items: int, rows: int) -> None:
    if rows != items:
        raise InputError(
            f"{counted(rows, 'vector')} for {counted(items, 'item')}: in the order of import they must be as many"
        )


def _column_set(context: RunContext, name: str, values: npt.NDArray[Any]) -> ColumnSet:
    check_free(name, context.store.snapshot())
    kind = pa.from_numpy_dtype(values.dtype)
    fields = pa.schema([vector(name, values.shape[1], kind), pa.field(reason_name(name), pa.string())])
    identity = digest("attach", name, str(kind), values.shape[1])
    return ColumnSet(name, identity, fields.serialize().to_pybytes(), "attach", 1)


def check_free(name: str, snapshot: Homes) -> None:
    """Raises SchemaError where there is a column of this name already that was not attached."""
    home = snapshot.column_home.get(name)
    if name in snapshot.column_home and (home is None or home.scorer != "attach"):
        raise SchemaError(f"there is a column {name!r} already; attach under another name")


def _vectors(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> list[pa.Array]:
    absent = rows < 0
    block = values[np.where(absent, 0, rows)]
    flat = pa.array(block.reshape(-1))
    return [pa.FixedSizeListArray.from_arrays(flat, block.shape[1], mask=pa.array(absent))]


def _unknown(ids: pa.Array, rows: npt.NDArray[np.int64], source: str) -> pa.Table:
    n = len(rows)
    columns = {
        "source": pa.array([source] * n),
        "row": pa.array(rows, pa.int64()),
        "id": ids.take(pa.array(rows)).cast(pa.string()),
        "code": pa.array(["unknown-id"] * n),
        "reason": pa.array(["no item has this id"] * n),
        "data": pa.nulls(n, pa.string()),
    }
    return pa.table(columns, schema=REJECTED)
