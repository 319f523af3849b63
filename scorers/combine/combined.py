"""`combine`: several scores made one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, reason_name, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, order_by_id
from curate.scorers.combine.calibration import calibrate
from curate.scorers.combine.learning import learn
from curate.scorers.combine.leave_one_out import LEARNING, Method, combine, contributions
from curate.scorers.combine.metrics import spearman
from curate.scorers.combine.reading import (
    check_columns,
    needed,
    read_context,
    read_groups,
    read_scores,
    read_truth,
)

__all__ = ["Combine"]


@dataclass(frozen=True)
class Combine:
    """Makes one score of several columns: the mean of their ranks or values, or weights learned from trusted answers.

    `columns`  score columns or expressions over columns, higher = keep each (`0 - outlier` turns one round).
    `method`   "rank-mean": the mean rank, in (0, 1); "mean": the mean value, for scores on one scale; "learned": the
               chance of a yes, or the answer expected, learned from the column `truth`; "linear", "ordinal",
               "isotonic": the rating expected, on the scale of `truth`, no column counting against itself (`calibrate`).
    `truth`    a column or expression with trusted answers of a few hundred items, null elsewhere: yes or no (a bool, or
               1 and 0; true = keep) or numbers (higher = keep). With "rank-mean" and "mean" it serves the notes alone.
    `groups`   a column whose values are kept together in the folds, as the prompt of several images; empty: none.
    `context`  columns that are no scores but may move a rating, as who made the image: for the last three methods.
    `folds`, `seed`  of the cross-validation: no item is scored by a model that has seen its own answer.

    A missing value counts as the middle of its column; an item without any value is not scored.
    Notes of the fitted scorer tell what each column brings: `score-contributions` has intervals and tables.
    """

    columns: tuple[str, ...]
    method: Method = "rank-mean"
    truth: str = ""
    groups: str = ""
    context: tuple[str, ...] = ()
    folds: int = 5
    seed: int = 0

    name: ClassVar[str] = "combine"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_columns(self.name, self.columns)
        if self.method in LEARNING and not self.truth:
            raise InputError(
                f"combine: {self.method} needs answers: name the column that holds them as `truth`"
            )
        if self.context and self.method not in LEARNING[1:]:
            raise InputError(
                f"combine: context is for {', '.join(LEARNING[1:])}; {self.method} has no use for it"
            )
        if self.folds < 2:
            raise InputError(f"combine: folds={self.folds}: cross-validation needs at least two")

    @property
    def needs(self) -> tuple[str, ...]:
        groups = (self.groups,) if self.groups else ()
        return tuple(dict.fromkeys((*needed((*self.columns, self.truth, *self.context)), *groups)))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("combine"),)

    def fit(self, view: View) -> FittedTable:
        """Combine the columns of a view. Raises InputError where there is not enough to learn from."""
        order = order_by_id(view)
        scores = read_scores(view, self.columns, order)
        truth = read_truth(view, self.truth, order) if self.truth and len(order) else None
        notes: tuple[str, ...] = ()
        options: dict[str, Any] = {"groups": read_groups(view, self.groups, order)}
        if self.method in LEARNING and len(order):
            assert truth is not None  # __post_init__ asks for it
            options["context"], names = read_context(view, self.context, order)
            combined, note = self._learn(scores, truth, options, names)
            notes += (note,)
        else:
            combined = combine(scores, self.method) if len(order) else np.empty(0)
        notes += self._notes(scores, combined, truth, options)
        values = np.full(len(order), np.nan, np.float32)
        values[order] = combined
        none = np.isnan(values)
        reasons = np.full(len(order), None, object)
        reasons[none] = f"no value of {', '.join(self.columns)}"
        columns = [pa.array(values, pa.float32(), mask=none), pa.array(reasons, pa.string())]
        table = pa.table(columns, ["combine", reason_name(self.name)])
        return FittedTable(self.name, self.version, self.gives, table, notes)

    def _learn(
        self,
        scores: npt.NDArray[Any],
        truth: npt.NDArray[Any],
        options: dict[str, Any],
        names: tuple[str, ...],
    ) -> tuple[npt.NDArray[Any], str]:
        """The combination, and a note of its weights."""
        given: dict[str, Any] = {"folds": self.folds, "seed": self.seed}
        if self.method == "learned":
            learned = learn(scores, truth, groups=options["groups"], **given)
            combined, weights, penalty = learned.score, learned.weights, learned.penalty
            what = "weights on the log-odds of ranks"
        else:
            method: Any = self.method
            calibrated = calibrate(scores, truth, method=method, **options, **given)
            combined, penalty = calibrated.score, calibrated.penalty
            weights = np.concatenate([calibrated.weights, calibrated.context])
            what = "what one standard deviation adds" + " to the log-odds" * (self.method == "ordinal")
        told = ", ".join(
            f"{name} {weight:.2f}" for name, weight in zip((*self.columns, *names), weights, strict=True)
        )
        answers = int((~np.isnan(truth)).sum())
        return combined, f"learned from {counted(answers, 'answer')} (penalty {penalty:g}), {what}: {told}"

    def _notes(
        self,
        scores: npt.NDArray[Any],
        combined: npt.NDArray[Any],
        truth: npt.NDArray[Any] | None,
        options: dict[str, Any],
    ) -> tuple[str, ...]:
        """What each column brings: beside the answers where there are any, else to the order of the items."""
        if len(self.columns) < 2 or not len(combined):
            return ()
        if truth is None:
            return self._changes(scores, combined)
        try:
            given: dict[str, Any] = {"folds": self.folds, "repeats": 200, "seed": self.seed, **options}
            found = contributions(scores, truth, self.method, **given)
        except InputError as error:
            return (f"what each column brings could not be measured: {error}",)
        first = (
            f"{found.metric} on {counted(found.items, 'answer')}: combined {found.combined.value:.3f}, the best single "
            f"column ({self.columns[found.best]}) {found.alone[found.best].value:.3f}, random {found.random:.3f}"
        )
        each = [
            f"{column} brings {gain.value:+.3f} {found.metric} (95 % {gain.low:+.3f} to {gain.high:+.3f})"
            for column, gain in zip(self.columns, found.gain, strict=True)
            if gain is not None
        ]
        return (first, *each)

    def _changes(self, scores: npt.NDArray[Any], combined: npt.NDArray[Any]) -> tuple[str, ...]:
        notes = []
        for i, column in enumerate(self.columns):
            rest = combine(np.delete(scores, i, 1), self.method)
            both = ~np.isnan(rest) & ~np.isnan(combined)
            same = spearman(combined[both], rest[both]) if both.any() else float("nan")
            notes.append(
                f"without {column} the order of the items correlates {same:.3f} with that of all columns"
            )
        return tuple(notes)
