"""Columns from outside, brought to the items by id: what `attach` and `join` do part by part, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.run.context import RunContext
from curate.run.ledger import StepRecord
from curate.store import ColumnSet, NewPart, PartWriter

__all__ = ["write_matched"]

Rows = npt.NDArray[np.int64]


def write_matched(
    context: RunContext,
    column_set: ColumnSet,
    rows: Rows,
    take: Callable[[Rows], Sequence[pa.Array | pa.ChunkedArray]],
    record: StepRecord,
    *,
    missing: str,
    beside: Callable[[PartWriter], list[NewPart]] = lambda writer: [],
) -> None:
    """Write `column_set` for every item part and commit it with the step.

    `rows` (items,) says for each item which row of what was given is its own, -1 for none; `take` gives the columns for
    such rows, null at -1. `missing` is the reason of an item without one; `beside` makes further parts of the commit.
    What is as it was is left as it is.
    """
    snapshot = context.store.snapshot()
    seqs, schema = context.store.view().seqs(), column_set.schema()
    add: list[NewPart] = []
    remove: list[str] = []
    with context.progress.step(record.title, len(rows)) as meter, context.store.writer() as writer:
        for part in snapshot.items:
            low, high = np.searchsorted(seqs, [part.seq_lo, part.seq_lo + part.rows])
            local = np.full(part.rows, -1, np.int64)
            local[seqs[low:high] - part.seq_lo] = rows[low:high]
            why = pc.if_else(pa.array(local < 0), missing, pa.scalar(None, pa.string()))
            table = pa.Table.from_arrays([*take(local), why], names=schema.names).cast(schema)
            live = {p.part_id for p in snapshot.aligned.get((column_set.digest, part.part_id), ())}
            parts = writer.columns(table, part, column_set, stats={"asked": part.rows})
            add += [p for p in parts if p.part_id not in live]
            remove += sorted(live - {p.part_id for p in parts})
            meter.advance(part.rows)
        add += beside(writer)
        record.computed = int((rows >= 0).sum())
        step = (record.digest, {"done": True})
        context.commit(record.kind, add=add, remove=remove, columns=[column_set], step=step)
