"""Rows that an import refuses, in the form in which they are listed."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.records import REJECTED


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
