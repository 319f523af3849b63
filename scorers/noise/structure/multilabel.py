"""`multilabel-errors`: labels that an item of several labels has wrongly, or lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_numbers
from curate.arrays.labels import listed
from curate.contracts import View, detail, flag, score
from curate.errors import InputError
from curate.fitting import FittedTable, answered, order_by_id, read_vectors
from curate.scorers.noise.structure.binary import (
    BinaryFilter,
    binary_issues,
    binary_thresholds,
    exponential_average,
)
from curate.scorers.noise.structure.ragged import choose_sets, names_of, read_sets
from curate.scorers.noise.structure.sets import label_matrix, names_where, validate_label_probs

__all__ = ["MultilabelErrors", "MultilabelFound", "Quality", "multilabel_errors"]

Quality = Literal["ratio", "self_confidence"]


@dataclass(frozen=True)
class MultilabelErrors:
    """Scores sets of labels against the probability of each label, and names what to add and to remove.

    The score in [0, 1] is the quality of an item's set, mostly that of its most doubtful label; higher = keep.
    `labels` is a column of lists, or of strings split by `delimiter`; an empty set is a set. Of several columns the first
    that has a set counts; left alone, that is `labels`, then `label`, as far as they are there. `pred_probs` is the
    vector column of out-of-sample probabilities, one per label and each by itself, in the order `classes` (default:
    the distinct labels sorted by code point). `method`, `alpha` and `filter_by` as in `multilabel_errors`.
    Beside the score: `label_set_issue`, `labels_to_add`, `labels_to_remove`.
    """

    labels: str | tuple[str, ...] = "label"
    pred_probs: str = "label_probs"
    delimiter: str = ";"
    classes: tuple[str, ...] = ()
    method: Quality = "ratio"
    alpha: float = 0.8
    filter_by: BinaryFilter = "prune_by_noise_rate"

    name: ClassVar[str] = "multilabel-errors"
    version: ClassVar[int] = 1

    def resolve(self, columns: Sequence[str], kind: str) -> MultilabelErrors:
        """A copy that reads `labels` where items have such a column (`choose_sets`)."""
        return replace(self, labels=choose_sets(self.labels, columns))

    @property
    def needs(self) -> tuple[str, ...]:
        return (*names_of(self.labels), self.pred_probs)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        names = pa.list_(pa.string())
        return (
            score("multilabel_errors"),
            flag("label_set_issue"),
            detail("labels_to_add", names),
            detail("labels_to_remove", names),
        )

    def fit(self, view: View) -> FittedTable:
        """Find the wrong and missing labels of a view. Raises InputError where the whole input is wrong."""
        order = order_by_id(view)
        sets = read_sets(view, self.labels, order, self.delimiter)
        probs = read_vectors(view, self.pred_probs, order)
        if not len(order):
            return self._table(order, np.empty(0, object), np.empty((0, 0), bool), None, ())
        reasons = validate_label_probs(probs, lambda: view.take(order, ["id"]).column("id").to_pylist())
        given, faults, classes = label_matrix(sets, self.classes, probs.shape[1])
        reasons = np.where(faults == None, reasons, faults)  # noqa: E711 - element by element
        usable = reasons == None  # noqa: E711 - element by element
        given, probs = (given, probs) if usable.all() else (given[usable], probs[usable])
        found = multilabel_errors(
            probs, given, method=self.method, alpha=self.alpha, filter_by=self.filter_by
        )
        return self._table(order, reasons, given, found, classes)

    def _table(
        self,
        order: npt.NDArray[np.int64],
        reasons: npt.NDArray[np.object_],
        given: npt.NDArray[np.bool_],
        found: MultilabelFound | None,
        classes: tuple[str, ...],
    ) -> FittedTable:
        why = np.full(len(order), None, object)
        why[order] = reasons
        if found is None:
            return answered(self, order[:0], {}, why, classes=classes)
        no_null = np.zeros(len(given), bool)
        columns = (
            found.score,
            found.issue.any(1),
            names_where(found.issue & ~given, classes, no_null),
            names_where(found.issue & given, classes, no_null),
        )
        values = dict(zip((f.name for f in self.gives), columns, strict=True))
        rows = order[reasons == None]  # noqa: E711 - element by element
        return answered(self, rows, values, why, notes=_notes(given, found, classes), classes=classes)


class MultilabelFound(NamedTuple):
    """`score` (n,) float32, quality of each set; `flagged` (n,) bool, any label of it is an issue; `issue` (n, l)
    bool, this yes or no contradicts the probabilities; `quality` (n, l) float32 of each yes or no."""

    score: npt.NDArray[np.float32]
    flagged: npt.NDArray[np.bool_]
    issue: npt.NDArray[np.bool_]
    quality: npt.NDArray[np.float32]


def multilabel_errors(
    pred_probs: npt.NDArray[Any],
    given: npt.NDArray[np.bool_],
    *,
    method: Quality = "ratio",
    alpha: float = 0.8,
    filter_by: BinaryFilter = "prune_by_noise_rate",
) -> MultilabelFound:
    """Which labels sets have wrongly or lack: confident learning on each label, yes or no, by itself.

    `pred_probs` (n, l) out-of-sample probabilities that each label applies, `given` (n, l) bool which it was given.
    Quality of a yes or no, in [0, 1], higher = keep: `self_confidence` is its probability p_y (cleanlab's default; the
    margin is the same with two classes); `ratio` is r_y / (r_0 + r_1), where r_k = p_k / t_k and t_k is the mean p_k of
    items given k (`binary_thresholds`): it does not call every yes of a rare label doubtful. `alpha` aggregates a row
    (`exponential_average`), `filter_by` decides the issues (`binary_issues`).
    Raises InputError where the shapes differ or a number is no probability.
    Northcutt, Jiang and Chuang 2021; Thyagarajan, Snorrason, Northcutt and Mueller 2022 for the average.
    """
    pred_probs, given = as_numbers(pred_probs, "predicted probabilities"), as_numbers(given, "labels")
    _check(pred_probs, given)
    given = given.astype(bool, copy=False)
    n, width = pred_probs.shape
    quality, issue = np.empty((n, width), np.float32), np.zeros((n, width), bool)
    for label in range(width):
        p, y = np.ascontiguousarray(pred_probs[:, label]), np.ascontiguousarray(given[:, label])
        issue[:, label] = binary_issues(p, y, filter_by)
        own = np.where(y, p, 1 - p)
        if method == "ratio":
            low, high = binary_thresholds(p, y)
            yes, no = p / high, (1 - p) / low
            own = np.where(y, yes, no) / (yes + no)
        quality[:, label] = own
    averaged = exponential_average(quality, alpha)
    return MultilabelFound(averaged, np.asarray(issue.any(1)), issue, quality)


def _check(pred_probs: npt.NDArray[Any], given: npt.NDArray[Any]) -> None:
    if pred_probs.ndim != 2 or pred_probs.shape != given.shape:
        raise InputError(
            f"probabilities of shape {pred_probs.shape} and labels of shape {given.shape}: both are (items, labels)"
        )
    if given.dtype != np.bool_ and not np.isin(given, (0, 1)).all():
        raise InputError("labels are yes or no: a matrix of 0 and 1, one column per label, is meant")
    faults = validate_label_probs(pred_probs)
    at_fault = np.flatnonzero(faults != None)  # noqa: E711 - element by element
    if len(at_fault):
        raise InputError(f"rows {listed(at_fault.tolist())}: {faults[at_fault[0]]}")


def _notes(given: npt.NDArray[np.bool_], found: MultilabelFound, classes: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    for all_of_them, what in ((~given, "no item has"), (given, "every item has")):
        of = [
            name for name, whole in zip(classes, np.all(all_of_them, axis=0).tolist(), strict=True) if whole
        ]
        if of and len(given):
            notes.append(f"{what} {listed(of, 5)}: nothing can be said about that label from these items")
    if len(given) >= 100 and float(np.minimum(found.quality, 0.999).mean()) >= 0.998:
        notes.append(
            "the probabilities agree with nearly every label at nearly full confidence: they look in-sample, made by a "
            "model trained on these labels, and would then hide its errors"
        )
    return tuple(notes)
