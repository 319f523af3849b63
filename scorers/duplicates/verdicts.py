"""What the fitted duplicate scorers share: finding a batch's rows in what was fitted, and writing the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import ROW, reason_name

__all__ = ["answer", "find", "reasons", "rows_of"]


def rows_of(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """The positions of a batch's rows in the view that was fitted."""
    rows: npt.NDArray[np.int64] = batch.column(batch.schema.get_field_index(ROW)).to_numpy()
    return rows


def find(
    ascending: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Where each row stands in an ascending array (any place if it does not), and whether it does."""
    if not len(ascending):
        return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
    at = np.minimum(np.searchsorted(ascending, rows), len(ascending) - 1).astype(np.int64)
    return at, ascending[at] == rows


def reasons(missing: npt.NDArray[np.bool_], text: str) -> pa.StringArray:
    """`text` where something is missing, null elsewhere."""
    return pa.array([text], pa.string()).take(pa.array(np.zeros(len(missing), np.int32), mask=~missing))


def answer(name: str, gives: Sequence[pa.Field], columns: Sequence[pa.Array]) -> pa.RecordBatch:
    """A batch of the fields a scorer gives and, last, its reasons."""
    fields = [*gives, pa.field(reason_name(name), pa.string())]
    return pa.record_batch(list(columns), schema=pa.schema(fields))
