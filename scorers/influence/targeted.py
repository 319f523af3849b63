"""What scorers of a column of gradients against a target share: reading both from a view, and answers by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Vectors, View, column_name, detail, score
from curate.errors import InputError, SchemaError
from curate.fitting import FittedTable, answered, columns_of, numbers, order_by_id, read_labels, read_vectors
from curate.scorers.influence.matching import Influence

__all__ = ["Aim", "Targeted", "groups_of", "is_target", "open_vectors", "read_aim"]

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Whole:
    """One array as `Vectors`."""

    array: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape[0], self.array.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        yield self.array

    def take(self, rows: Rows) -> npt.NDArray[Any]:
        return self.array[rows]

    def to_numpy(self) -> npt.NDArray[Any]:
        return self.array


@dataclass(frozen=True, eq=False)
class _Masked:
    """Vectors of which some rows are NaN, whatever lies there: those that are null, or are not to take part."""

    inner: Vectors
    hidden: Mask

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.inner)

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        start = 0
        for chunk in self.inner.chunks():
            for low in range(0, len(chunk), 8192):
                piece = chunk[low : low + 8192]
                gone = self.hidden[start : start + len(piece)]
                start += len(piece)
                yield _blanked(piece, gone)

    def take(self, rows: Rows) -> npt.NDArray[Any]:
        return _blanked(self.inner.take(rows), self.hidden[rows])

    def to_numpy(self) -> npt.NDArray[Any]:
        return _blanked(self.inner.to_numpy(), self.hidden)


def _blanked(piece: npt.NDArray[Any], gone: Mask) -> npt.NDArray[Any]:
    if not gone.any():
        return piece
    values = np.array(piece, np.float32)
    values[gone] = np.nan
    return values


@dataclass(frozen=True, eq=False)
class Aim:
    """What is scored and by what: `train` all rows, those of the target and without a gradient NaN; `target` (m, D) its
    gradients in the order of ids, and their sub-task `tasks` (m,), None where there are none; `reasons` (n,) why a row is not scored."""

    train: Vectors
    target: npt.NDArray[np.float32]
    tasks: npt.NDArray[np.object_] | None
    reasons: npt.NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class Targeted:
    """A column of `gradients` of `checkpoints` checkpoints, and which items are the `target` (a column or expression that
    is true for them), in which sub-tasks (the column `tasks`)."""

    gradients: str = "gradients"
    target: str = "target"
    tasks: str = ""
    checkpoints: int = 1

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def needs(self) -> tuple[str, ...]:
        extra = (self.tasks,) if self.tasks else ()
        return tuple(dict.fromkeys((self.gradients, *columns_of(self.target), *extra)))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        column = column_name(self.name)
        return (score(column), detail(f"{column}_task", pa.string()))

    def influence(self, aim: Aim) -> Influence:
        """How far each row helps; the scorer's own."""
        raise NotImplementedError

    def fit(self, view: View) -> FittedTable:
        """Score a whole view. Raises InputError where no item is the target, or its gradients are not to be used."""
        if not len(view):
            return answered(self, np.empty(0, np.int64), {}, np.empty(0, object))
        aim = read_aim(self, view)
        found = self.influence(aim)
        lost = ~np.isfinite(found.score) & (aim.reasons == None)  # noqa: E711 - element by element
        aim.reasons[lost] = f"{self.gradients} is not finite"
        rows = np.flatnonzero(aim.reasons == None)  # noqa: E711
        best = np.array(found.tasks, object)[found.by_task[rows].argmax(axis=1)]
        column = column_name(self.name)
        return answered(self, rows, {column: found.score[rows], f"{column}_task": best}, aim.reasons)


def read_aim(scorer: Targeted, view: View) -> Aim:
    """The rows to score and the target of a view. Raises InputError where there is no target."""
    vectors, null = open_vectors(view, scorer.gradients)
    chosen = is_target(view, scorer.target)
    order = order_by_id(view)
    rows = order[(chosen & ~null)[order]]
    reasons = np.full(len(view), None, object)
    reasons[null] = f"no {scorer.gradients}"
    reasons[chosen] = "is the target by which others are judged"
    values = np.asarray(vectors.take(rows), np.float32)
    finite = np.isfinite(values).all(axis=1)
    rows, values = rows[finite], values[finite]
    if not len(rows):
        raise InputError(
            f"{scorer.name}: none of {len(view)} items is the target by {scorer.target!r} and has finite {scorer.gradients}: "
            "say which items stand for what the model shall do well"
        )
    tasks = None
    if scorer.tasks:
        tasks = np.array(read_labels(view, scorer.tasks, rows).fill_null("").to_pylist(), object)
    return Aim(_Masked(vectors, null | chosen), values, tasks, reasons)


def open_vectors(view: View, column: str) -> tuple[Vectors, Mask]:
    """A column of vectors without reading it all, and which rows are null. Plain lists of one length count, too."""
    null = np.asarray(view.to_arrow([column]).column(0).is_null(), bool)
    try:
        return view.vectors(column), null
    except SchemaError:
        return _Whole(read_vectors(view, column, np.arange(len(view)))), null


def is_target(view: View, expression: str) -> Mask:
    """(n,) where a column or expression is true; null is no. Raises InputError where it is neither true nor false nor a number."""
    return np.asarray(np.nan_to_num(numbers(view.compute(expression), expression)) != 0, bool)


def groups_of(aim: Aim) -> Sequence[Any] | None:
    """The sub-task of each target item, as the functions take it."""
    return None if aim.tasks is None else list(aim.tasks)
