"""`missing-labels`: items for which several classes are plausible, and soft labels that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.distributions import validate_pred_probs
from curate.contracts import View, detail, flag, score, vector
from curate.errors import InputError
from curate.fitting import FittedTable, answered, order_by_id, read_vectors
from curate.scorers.noise.structure.plausible import MissingFound, missing_labels
from curate.scorers.noise.structure.ragged import choose_sets, names_of, read_sets
from curate.scorers.noise.structure.sets import label_matrix, names_where, validate_label_probs

__all__ = ["MissingLabels"]


@dataclass(frozen=True)
class MissingLabels:
    """Finds classes that an item should have beside its own, and writes soft labels.

    The score is 1 - the share of the soft label that goes to the likeliest class the item lacks, higher = keep.
    `labels` is the column of labels: one, several split by `delimiter`, or a list; an empty one is allowed. Of several
    columns the first that has one counts; left alone, that is `labels`, then `label`, as far as they are there.
    `pred_probs` names the vector columns of out-of-sample probabilities, one per model, in the order `classes`
    (default: the distinct labels sorted by code point). `threshold`, `trust`, `exclusive` and `calibrated` as in
    `missing_labels`. Beside the score: `label_missing`, `missing_classes` and the vector `soft_label`, in the order of
    the classes.
    """

    labels: str | tuple[str, ...] = "label"
    pred_probs: tuple[str, ...] = ("pred_probs",)
    delimiter: str = ";"
    classes: tuple[str, ...] = ()
    threshold: float = 0.2
    trust: float = 0.5
    exclusive: bool = True
    calibrated: bool = False

    name: ClassVar[str] = "missing-labels"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.pred_probs:
            raise InputError("missing-labels: pred_probs names no column: one per model is meant")
        if not 0 < self.threshold <= 1 or not 0 <= self.trust <= 1:
            raise InputError(
                f"missing-labels: threshold={self.threshold}, trust={self.trust}: shares between 0 and 1 are meant"
            )

    def resolve(self, columns: Sequence[str], kind: str) -> MissingLabels:
        """A copy that reads `labels` where items have such a column (`choose_sets`); where they have sets alone and no
        probabilities are named, by those of `label-probs`."""
        chosen = replace(self, labels=choose_sets(self.labels, columns))
        if chosen.labels == "labels" and self.pred_probs == ("pred_probs",) and "pred_probs" not in columns:
            return replace(chosen, pred_probs=("label_probs",), exclusive=False)
        return chosen

    @property
    def needs(self) -> tuple[str, ...]:
        return (*names_of(self.labels), *self.pred_probs)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("missing_labels"),
            flag("label_missing"),
            detail("missing_classes", pa.list_(pa.string())),
            vector("soft_label"),
        )

    def fit(self, view: View) -> FittedTable:
        """Find what is missing in a view. Raises InputError where the whole input is wrong, not a few rows."""
        order = order_by_id(view)
        sets = read_sets(view, self.labels, order, self.delimiter)
        members = [read_vectors(view, column, order) for column in self.pred_probs]
        if not len(order):
            return self._table(order, np.empty(0, object), None, ())
        reasons = np.full(len(order), None, object)
        for column, member in zip(self.pred_probs, members, strict=True):
            faults = self._check(view, order, member)
            new = (reasons == None) & (faults != None)  # noqa: E711 - element by element
            reasons[new] = [f"{column}: {fault}" for fault in faults[new]]
        widths = {member.shape[1] for member in members}
        if len(widths) > 1:
            raise InputError(
                f"{', '.join(self.pred_probs)} have {sorted(widths)} columns: models of the same classes"
            )
        given, faults, classes = label_matrix(sets, self.classes, members[0].shape[1])
        reasons = np.where(reasons == None, faults, reasons)  # noqa: E711 - element by element
        usable = reasons == None  # noqa: E711 - element by element
        found = missing_labels(
            [member[usable] for member in members],
            given[usable],
            threshold=self.threshold,
            trust=self.trust,
            exclusive=self.exclusive,
            calibrated=self.calibrated,
        )
        return self._table(order, reasons, found, classes)

    def _check(
        self, view: View, order: npt.NDArray[np.int64], member: npt.NDArray[Any]
    ) -> npt.NDArray[np.object_]:
        validate = validate_pred_probs if self.exclusive else validate_label_probs
        return validate(member, lambda: view.take(order, ["id"]).column("id").to_pylist())

    def _table(
        self,
        order: npt.NDArray[np.int64],
        reasons: npt.NDArray[np.object_],
        found: MissingFound | None,
        classes: tuple[str, ...],
    ) -> FittedTable:
        why = np.full(len(order), None, object)
        why[order] = reasons
        if found is None:
            return answered(self, order[:0], {}, why, classes=classes)
        flat = pa.array(np.asarray(found.soft, np.float32).reshape(-1))
        columns = (
            found.score,
            found.missing.any(1),
            names_where(found.missing, classes, np.zeros(len(found.missing), bool)),
            pa.FixedSizeListArray.from_arrays(flat, len(classes)),
        )
        values = dict(zip((f.name for f in self.gives), columns, strict=True))
        notes: tuple[str, ...] = ()
        if len(self.pred_probs) > 1:
            told = zip(self.pred_probs, found.weights, strict=True)
            notes = (f"the models weigh {', '.join(f'{column} {weight:.2f}' for column, weight in told)}",)
        rows = order[reasons == None]  # noqa: E711 - element by element
        return answered(self, rows, values, why, notes=notes, classes=classes)
