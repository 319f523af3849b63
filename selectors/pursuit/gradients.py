"""A column of gradients of a view as a pursuit reads it: in place, without the rows that cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import View
from curate.errors import InputError
from curate.fitting import Blanked, open_vectors, read_labels

__all__ = ["open_column", "read_targets"]

Ints = npt.NDArray[np.int64]


def open_column(view: View, column: str) -> Blanked:
    """A column of vectors without reading it all, the rows that are null or not finite hidden.

    Plain lists of one length count, too. One pass over the rows. Raises InputError where there is no usable row.
    """
    inner, null = open_vectors(view, column)
    hidden = null.copy()
    start = 0
    for chunk in inner.chunks():
        step = max(1, (1 << 22) // max(1, chunk.shape[1]))
        for low in range(0, len(chunk), step):
            piece = chunk[low : low + step]
            wide = piece if piece.dtype.itemsize > 2 else piece.astype(np.float32)
            hidden[start : start + len(piece)] |= ~finite_rows(wide)
            start += len(piece)
    if hidden.all():
        raise InputError(f"none of {len(view)} items has finite {column!r}: there is nothing to choose from")
    return Blanked(inner, hidden)


def read_targets(
    view: View, vectors: Blanked, rows: Ints, tasks: str | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any], tuple[str, ...]]:
    """The mean gradients (m, D) of the target's tasks, the gradients (t, D) of the items `rows`, and the tasks' names.

    Items without a task (null) are one, named "". Raises InputError where no target item has a finite gradient.
    """
    rows = rows[~vectors.hidden[rows]]
    if not len(rows):
        raise InputError(
            "no item of the target has finite gradients: say which items stand for what is to be learnt"
        )
    values = vectors.take(rows)
    if tasks is None:
        return values.mean(axis=0, dtype=np.float64)[None], values, ("",)
    labels = np.array(read_labels(view, tasks, rows).fill_null("").to_pylist(), str)
    names, codes = np.unique(labels, return_inverse=True)
    means = [values[codes == j].mean(axis=0, dtype=np.float64) for j in range(len(names))]
    return np.stack(means), values, tuple(str(name) for name in names)
