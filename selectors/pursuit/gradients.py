"""A column of gradients of a view as a pursuit reads it: in place, without the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import Vectors, View
from curate.errors import InputError, SchemaError
from curate.fitting import numbers, read_labels, read_vectors

__all__ = ["Blanked", "open_column", "read_targets", "true_rows"]

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Blanked:
    """Vectors of which the rows `hidden` (n,) bool are zeros, whatever lies there."""

    inner: Vectors | npt.NDArray[Any]
    hidden: Mask

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape[0], self.inner.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64 if self.inner.dtype == np.float64 else np.float32)

    def __len__(self) -> int:
        return len(self.inner)

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        start = 0
        for chunk in [self.inner] if isinstance(self.inner, np.ndarray) else self.inner.chunks():
            for low in range(0, len(chunk), 8192):
                piece = chunk[low : low + 8192]
                yield self._blank(piece, self.hidden[start : start + len(piece)])
                start += len(piece)

    def take(self, rows: Ints) -> npt.NDArray[Any]:
        values = self.inner[rows] if isinstance(self.inner, np.ndarray) else self.inner.take(rows)
        return self._blank(values, self.hidden[rows])

    def to_numpy(self) -> npt.NDArray[Any]:
        return self.take(np.arange(len(self)))

    def _blank(self, values: npt.NDArray[Any], hidden: Mask) -> npt.NDArray[Any]:
        if values.dtype == self.dtype and not hidden.any():
            return values
        values = values.astype(self.dtype)
        values[hidden] = 0
        return values


def open_column(view: View, column: str) -> Blanked:
    """A column of vectors without reading it all, the rows that are null or not finite hidden.

    Plain lists of one length count, too. One pass over the rows. Raises InputError where there is no usable row.
    """
    null = np.asarray(view.to_arrow([column]).column(0).is_null(), bool)
    inner: Vectors | npt.NDArray[Any]
    try:
        inner = view.vectors(column)
    except SchemaError:
        inner = read_vectors(view, column, np.arange(len(view)))
    hidden = null.copy()
    start = 0
    for chunk in [inner] if isinstance(inner, np.ndarray) else inner.chunks():
        step = max(1, (1 << 22) // max(1, chunk.shape[1]))
        for low in range(0, len(chunk), step):
            piece = chunk[low : low + step]
            wide = piece if piece.dtype.itemsize > 2 else piece.astype(np.float32)
            hidden[start : start + len(piece)] |= ~finite_rows(wide)
            start += len(piece)
    if hidden.all():
        raise InputError(f"none of {len(view)} items has finite {column!r}: there is nothing to choose from")
    return Blanked(inner, hidden)


def true_rows(view: View, expression: str) -> Mask:
    """(n,) where an expression is true; null is no."""
    return np.asarray(np.nan_to_num(numbers(view.compute(expression), expression)) != 0, bool)


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
