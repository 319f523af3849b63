"""Columns aligned with an item part: spread the rows that were scored over all rows, and merge with what was there.

A row nobody asked to score is null with the reason NOT_ASKED, so that a later, wider run scores just the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.store import Part

NOT_ASKED = "not asked"


def read_aligned(root: Path, parts: Sequence[Part], names: Sequence[str]) -> pa.Table:
    """These columns of the aligned parts of one item part, as one table."""
    columns: dict[str, pa.ChunkedArray] = {}
    for part in parts:
        present = [name for name in part.arrow_schema().names if name in names]
        if not present:
            continue
        if part.table == "vector":
            with pa.memory_map(str(root / part.path)) as source:
                table = pa.ipc.open_file(source).read_all()
        else:
            table = pq.read_table(root / part.path, columns=present)
        columns.update({name: table[name] for name in present})
    return pa.table(columns)


def asked_rows(root: Path, parts: Sequence[Part], reason: str) -> npt.NDArray[np.bool_]:
    """Which rows of an item part were asked of a scorer, whether or not it could answer."""
    table = read_aligned(root, parts, [reason])
    missing = pc.fill_null(pc.equal(table[reason].combine_chunks().cast(pa.string()), NOT_ASKED), False)
    return ~np.asarray(missing.to_numpy(zero_copy_only=False), dtype=bool)


def spread(scored: pa.Table, rows: npt.NDArray[np.int64], total: int, reason: str) -> pa.Table:
    """A table of `total` rows with `scored` at `rows`, everything else null and NOT_ASKED."""
    if len(rows) == total:
        return scored
    where = np.full(total, -1, dtype=np.int64)
    where[rows] = np.arange(len(rows))
    index = pa.array(where, mask=where < 0)
    full = scored.take(index)
    return _with_reason(
        full, reason, pc.if_else(pa.array(where < 0), NOT_ASKED, full[reason].combine_chunks())
    )


def merge(old: pa.Table, new: pa.Table, fresh: npt.NDArray[np.int64]) -> pa.Table:
    """`old` with the rows `fresh` taken from `new`; both tables have one row per item of the part."""
    pick = np.arange(old.num_rows)
    pick[fresh] += old.num_rows
    schema = new.schema
    return (
        pa.concat_tables([old.select(schema.names).cast(schema), new]).take(pa.array(pick)).combine_chunks()
    )


def _with_reason(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
