"""Rows that an import refuses, in the form in which they are listed, and which of them are listed no more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.records import REJECTED
from curate.store import NewPart, PartStore, PartWriter
from curate.store.writer import read_tables


def no_rejections() -> pa.Table:
    """An empty list of rejections."""
    return REJECTED.empty_table()


def rejections(rows: pa.Table, codes: pa.ChunkedArray, reasons: pa.ChunkedArray) -> pa.Table:
    """Refused rows in the form in which they are listed."""
    if not rows.num_rows:
        return no_rejections()
    visible = [
        n
        for n in rows.schema.names
        if not n.startswith("_") and not pa.types.is_binary(rows.schema.field(n).type)
    ]
    data = [
        json.dumps(row, ensure_ascii=False, default=str)[:1000] for row in rows.select(visible).to_pylist()
    ]
    columns = [
        rows["_source"].cast(pa.string()),
        rows["_index"],
        rows["id"],
        codes,
        reasons,
        pa.array(data, pa.string()),
    ]
    return pa.table(columns, names=REJECTED.names).cast(REJECTED)


def refuse(table: pa.Table, which: npt.NDArray[np.bool_], code: str, reason: str) -> pa.Table:
    """The rows of a table that `which` marks, refused for one reason."""
    n = int(which.sum())
    if not n:
        return no_rejections()
    rows = table.filter(pa.array(which))
    return rejections(
        rows, pa.chunked_array([[code] * n], pa.string()), pa.chunked_array([[reason] * n], pa.string())
    )


def outdated(
    store: PartStore, writer: PartWriter, parts: Iterable[NewPart], sources: Collection[str]
) -> tuple[list[NewPart], list[str]]:
    """Parts to add and ids of parts to remove, so that `parts` list no row of `sources` any more: these are read anew, and what
    is refused of them is told again. Older versions of the store list what they listed.
    """
    add, remove = list[NewPart](), list[str]()
    for part in parts:
        rows = read_tables(store.path, [part], REJECTED)
        kept = rows.filter(
            pc.invert(pc.is_in(rows["source"], value_set=pa.array(sorted(sources), pa.string())))
        )
        if len(kept) < len(rows):
            remove.append(part.part_id)
            add += [writer.rejected(kept, part.stats)] if len(kept) else []
    return add, remove
