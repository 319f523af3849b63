"""What scorers of a column of gradients against a target share: reading both from a view, and answers by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Vectors, View, column_name, detail, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import (
    Blanked,
    FittedTable,
    answered,
    columns_of,
    open_vectors,
    order_by_id,
    read_labels,
    true_rows,
)
from curate.scorers.influence.matching import Influence

__all__ = ["Aim", "Targeted", "groups_of", "read_aim"]


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
    chosen = true_rows(view, scorer.target)
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
            f"{scorer.name}: none of {counted(len(view), 'item')} is the target by {scorer.target!r} and has finite "
            f"{scorer.gradients}: say which items stand for what the model shall do well"
        )
    tasks = None
    if scorer.tasks:
        tasks = np.array(read_labels(view, scorer.tasks, rows).fill_null("").to_pylist(), object)
    return Aim(Blanked(vectors, null | chosen, np.nan), values, tasks, reasons)


def groups_of(aim: Aim) -> Sequence[Any] | None:
    """The sub-task of each target item, as the functions take it."""
    return None if aim.tasks is None else list(aim.tasks)
