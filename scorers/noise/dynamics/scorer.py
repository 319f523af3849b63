"""`training-dynamics`: how a model came to its answer for each item, from a log or from a small head trained here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, detail, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, order_by_id, read_labels
from curate.scorers.noise.dynamics.head import Head, Loss, TrainsHead, train_head
from curate.scorers.noise.dynamics.items import Items, read_items, read_logits
from curate.scorers.noise.dynamics.log import LogitLog
from curate.scorers.noise.dynamics.measures import Dynamics, Trajectory, training_dynamics

__all__ = ["Measure", "TrainingDynamics"]

Measure = Literal["confidence", "margin", "target", "correctness"]


@dataclass(frozen=True)
class TrainingDynamics(TrainsHead):
    """Scores how readily a model came to believe each label, over the epochs of its training; higher = keep.

    The epochs come from a `log` (folder of a `LogitLog`), from a vector column `logits` (epochs x classes numbers, epoch
    after epoch; `classes` in that order, by default the labels sorted by code point), or, where neither is named, from a small head trained here on `embedding` by
    `loss` (see `head.Head`). `by` is the measure that is the score; all of `measures.Dynamics` stand beside it.
    """

    log: str | None = None
    logits: str | None = None
    classes: tuple[str, ...] = ()
    by: Measure = "confidence"
    beta: float = 0.7
    loss: Loss = "elr"

    name: ClassVar[str] = "training-dynamics"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.log is not None and self.logits is not None:
            raise InputError("training-dynamics: name a `log` or a column `logits`, not both")
        if self.classes and self.logits is None:
            raise InputError(
                "training-dynamics: `classes` is the order of a column `logits`, and none is named"
            )
        if not 0 <= self.beta < 1:
            raise InputError(f"training-dynamics: beta={self.beta}: from 0 up to, not including, 1")
        self._head()

    @property
    def needs(self) -> tuple[str, ...]:
        if self.log is not None:
            return (self.label,)
        return (self.label, self.logits or self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        numbers = ("confidence", "variability", "correctness", "closeness", "margin", "target", "ambiguity")
        return (
            score("training_dynamics"),
            *(detail(f"dynamics_{name}", pa.float32()) for name in numbers),
            detail("dynamics_forgetting", pa.int32()),
            detail("dynamics_learnt", pa.bool_()),
            detail("dynamics_epochs", pa.int32()),
            detail("dynamics_suggested_label", pa.string()),
        )

    def ready(self) -> None:
        """Raises InputError where there is no such log, MissingExtraError where a head is to be trained without torch."""
        if self.log is not None:
            LogitLog.open(self.log)
        elif self.logits is None:
            super().ready()

    def fit(self, view: View) -> FittedTable:
        """Measure a whole view. Raises InputError for a log of other items, one class, epochs that do not divide."""
        if self.log is not None:
            return self._from_log(view, self.log)
        if self.logits is not None:
            items = read_logits(view, self.logits, self.label, self.classes)
        else:
            items = read_items(view, self.embedding, self.label)
        if not len(items.usable):
            return self._table(items, Trajectory(items.codes, 2).result())
        trajectory = Trajectory(items.codes, len(items.classes), beta=self.beta)
        for epoch in self._epochs(items, trajectory):
            trajectory.add(epoch)
        return self._table(items, trajectory.result())

    def _epochs(self, items: Items, trajectory: Trajectory) -> Iterable[npt.NDArray[Any]]:
        k = len(items.classes)
        if self.logits is None:
            train_head(
                items.x, items.codes, k, head=self._head(), on_epoch=lambda _, logits: trajectory.add(logits)
            )
            return ()
        if items.x.shape[1] % k or not items.x.shape[1]:
            raise InputError(
                f"training-dynamics: {self.logits!r} has {counted(items.x.shape[1], 'number')} a row, which is no "
                f"multiple of the {counted(k, 'class', 'classes')} of the labels: epochs x classes, epoch after epoch, "
                "is meant"
            )
        return (items.x[:, low : low + k] for low in range(0, items.x.shape[1], k))

    def _head(self) -> Head:
        return self.train_with(loss=self.loss, beta=self.beta)

    def _from_log(self, view: View, folder: str) -> FittedTable:
        log = LogitLog.open(folder)
        dynamics = training_dynamics(log, log.labels, beta=self.beta)
        order, place, ids, labels = _places(view, log, self.label)
        names = np.array(log.classes, object)
        reasons = np.full(len(order), None, object)
        reasons[place < 0] = "not in the log"
        for row in np.flatnonzero((place >= 0) & (labels != names[log.labels[place]])):
            trained = names[log.labels[place[row]]]
            reasons[row] = f"the log was made with the label {trained!r}, not {labels[row]!r}"
        reasons[labels == None] = f"no {self.label}"  # noqa: E711 - element by element
        usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        if len(order) and not len(usable):
            raise InputError(
                f"training-dynamics: no item has the id and the label it has in the log {folder}: the view has "
                f"{ids[0]!r} ({labels[0]!r}), the log {log.ids[0].as_py()!r} ({names[log.labels[0]]!r})"
            )
        empty = np.zeros((len(usable), 0), np.float32)
        items = Items(order, usable, empty, log.labels[place[usable]], log.classes, reasons)
        return self._table(items, dynamics.take(place[usable]))

    def _table(self, items: Items, found: Dynamics) -> FittedTable:
        columns: dict[str, npt.NDArray[Any]] = {"training_dynamics": getattr(found, self.by)}
        for name in found._fields:
            columns[f"dynamics_{name}"] = getattr(found, name)
        columns["dynamics_forgetting"] = np.where(found.learnt, found.forgetting, np.nan)
        columns["dynamics_suggested_label"] = np.array([*items.classes, None], object)[found.suggested]
        unscored = np.full(len(found.epochs), None, object)
        unscored[found.epochs == 0] = "no finite logits in any epoch"
        return items.table(self, columns, _notes(found, items.codes), unscored)


def _notes(found: Dynamics, labels: npt.NDArray[np.int64]) -> tuple[str, ...]:
    seen = found.epochs[found.epochs > 0]
    if not len(seen):
        return ()
    notes = []
    partly = int((found.epochs < seen.max()).sum())
    if partly:
        notes.append(
            f"{counted(partly, 'item was', 'items were')} seen in fewer epochs than others (at most {seen.max()})"
        )
    if seen.max() < 3:
        notes.append(
            f"only {counted(seen.max(), 'epoch was', 'epochs were')} logged: variability and forgetting say little"
        )
    right = float(np.nanmean(found.correctness))
    commonest = float(np.bincount(labels).max() / len(labels))
    if right < commonest + 0.05:
        notes.append(
            f"over its epochs the model was right for {right:.1%} of the labels, the commonest label is "
            f"{commonest:.1%} of them: it learnt little, and its dynamics say little about errors"
        )
    return tuple(notes)


def _places(
    view: View, log: LogitLog, label: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[str], npt.NDArray[np.object_]]:
    """Rows of the view by id, where each is in the log (-1: nowhere), ids and labels in that order."""
    import pyarrow.compute as pc

    order = order_by_id(view)
    taken = view.to_arrow(["id"]).column("id").take(pa.array(order))
    place = pc.index_in(taken, log.ids).fill_null(-1).to_numpy().astype(np.int64)
    labels = np.array(read_labels(view, label, order).to_pylist(), object)
    return order, place, taken.to_pylist(), labels
