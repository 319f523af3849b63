"""The unit of work of scoring: one part, read, scored, checked and written; pure, idempotent, committed by others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import ROW, Scorer, column_name, reason_name
from curate.counting import counted
from curate.errors import SchemaError
from curate.run.aligned import merge, read_aligned, spread
from curate.run.stopwatch import Stopwatch
from curate.store import ColumnSet, NewPart, Part, PartStore, PartWriter, Snapshot, StoreView
from curate.store.excerpt import files_of
from curate.store.layout import Home
from curate.store.places import open_place

BATCH_ROWS = 8192
"""Rows a scorer sees at once."""


@dataclass(frozen=True)
class ScoreTask:
    """Score `rows` (row numbers within the part) of item part `base`, reading what `excerpt` lists; `store` is where workers
    find it (`open_place`), `writer` the lease under which files are made."""

    store: str
    excerpt: Snapshot
    base: Part
    rows: npt.NDArray[np.int64]
    scorer: Scorer
    column_set: ColumnSet
    old: tuple[Part, ...] = ()
    writer: str = ""


@dataclass(frozen=True)
class ScoredPart:
    """Parts that are durable and wait for their commit. `times` are seconds: `transfer`, fetching parts and media from where
    they are and handing in what was made; `read` from parts; `decode`, what the scorer waited for media to be opened;
    `model`, the rest of scoring; `write`. `opening` is what opening media took over all threads, waited for or not."""

    base: str
    parts: tuple[NewPart, ...]
    rows: int
    times: Mapping[str, float] = field(default_factory=dict)


def score_part(task: ScoreTask) -> ScoredPart:
    """Score one part and write its columns. Runs in any process, on any machine that can reach the task's place."""
    place, watch = open_place(task.store), Stopwatch()
    with place.holding([*files_of(task.excerpt, task.base), *task.old]):
        watch.lap("transfer")
        view = StoreView.over(place, task.excerpt).at(task.base.seq_lo + task.rows)
        tables = []
        for batch in view.batches(["id", *task.scorer.needs], rows=BATCH_ROWS):
            watch.lap("read")
            tables.append(answer(task.scorer, batch, task.column_set))
            watch.lap("model")
        table = pa.concat_tables(tables).combine_chunks()
        writer = PartWriter(place.path, task.writer)
        made = write_part(place, writer, task.base, task.rows, table, task.column_set, task.old)
        watch.lap("write")
    place.hand_in(made.parts)
    watch.lap("transfer")
    return replace(made, times=watch.times())


def fit_tasks(
    store: PartStore, view: StoreView, snapshot: Snapshot, fitted: Scorer, column_set: ColumnSet
) -> Iterator[ScoredPart]:
    """The answers of a fitted scorer, part by part, written as they come."""
    seqs, ids = view.seqs(), view.ids()
    with store.writer() as writer:
        for part in snapshot.items:
            low, high = np.searchsorted(seqs, [part.seq_lo, part.seq_lo + part.rows])
            if low == high:
                continue
            watch, inside = Stopwatch(), np.arange(low, high)
            batch = pa.record_batch({"id": _flat(ids.take(pa.array(inside))), ROW: pa.array(inside)})
            table = answer(fitted, batch, column_set)
            watch.lap("model")
            made = write_part(store, writer, part, seqs[inside] - part.seq_lo, table, column_set, ())
            watch.lap("write")
            times = watch.times()
            yield replace(made, times={name: times[name] for name in ("model", "write")})


def write_part(
    store: Home,
    writer: PartWriter,
    base: Part,
    rows: npt.NDArray[np.int64],
    table: pa.Table,
    column_set: ColumnSet,
    old: tuple[Part, ...],
) -> ScoredPart:
    """Spread the scored rows over the part, merge with earlier answers, and write."""
    reason = reason_name(column_set.name)
    full, asked = spread(table, rows, base.rows, reason), len(rows)
    if old:
        before = read_aligned(store.path, old, full.schema.names)
        full, asked = merge(before, full, rows), asked + int(old[0].stats.get("asked", 0))
    parts = writer.columns(full, base, column_set, stats={"asked": asked})
    return ScoredPart(base.part_id, tuple(parts), len(rows))


def answer(scorer: Scorer, batch: pa.RecordBatch, column_set: ColumnSet) -> pa.Table:
    """Ask a scorer, and check that what comes back is what it promised: rows, columns and types."""
    given = scorer.score(batch)
    if given.num_rows != batch.num_rows:
        raise SchemaError(
            f"{scorer.name} gave {counted(given.num_rows, 'row')} for a batch of {batch.num_rows}"
        )
    theirs = [f.name for f in scorer.gives] + [reason_name(column_name(scorer.name))]
    columns: dict[str, Any] = {}
    for name, want in zip(theirs, column_set.schema(), strict=True):
        if name not in given.schema.names:
            raise SchemaError(f"{scorer.name} did not give {name!r}; it gave {', '.join(given.schema.names)}")
        column = given.column(name)
        columns[want.name] = column if pa.types.is_list(want.type) else column.cast(want.type)
    return pa.table(columns)


def _flat(values: Any) -> pa.Array:
    return pc.cast(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values, pa.string())
