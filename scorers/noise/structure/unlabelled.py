"""`positive-unlabelled`: items without a positive label that are positive all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.arrays.labels import listed
from curate.contracts import View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError, check_installed
from curate.fitting import FittedTable, answered, order_by_id, read_labels, read_vectors
from curate.scorers.noise.out_of_fold import Model, out_of_fold_probabilities
from curate.scorers.noise.structure.mixture import Estimate, UnlabelledFound, positive_unlabelled
from curate.scorers.noise.structure.ragged import is_list, read_strings
from curate.scorers.noise.structure.regression import read_numbers

__all__ = ["PositiveUnlabelled"]


@dataclass(frozen=True)
class PositiveUnlabelled:
    """Scores how far to trust that an item is negative, where only the label `positive` can be relied on.

    The score is 1 - the probability that the item is positive, higher = keep as a negative; a known positive has 1.
    `labels` is the column of labels, one or a list for each item: `positive` marks the known positives, or is among
    their labels; every other value, and none, is unlabelled. Left alone it is `label`, or `labels` where items have sets.
    `probabilities` names a column of out-of-sample P(labelled) numbers; left None, a `model` (as in `out-of-fold`)
    tells labelled from unlabelled by the vector column `embedding`, in `folds` dealt by `seed`. `estimate` (best-bin or
    elkan-noto) and `cut` as in `positive_unlabelled`. Beside the score: `hidden_positive`, `positive_probability`.
    Notes of the fitted scorer give the estimated share of positives.
    """

    positive: str = "positive"
    labels: str = "label"
    probabilities: str | None = None
    embedding: str = "pixel_embedding"
    model: Model = "logistic-regression"
    folds: int = 5
    seed: int = 0
    estimate: Estimate = "best-bin"
    cut: float = 0.5

    name: ClassVar[str] = "positive-unlabelled"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"positive-unlabelled: folds={self.folds}: cross-validation needs at least two")
        if not 0 < self.cut < 1:
            raise InputError(f"positive-unlabelled: cut={self.cut}: a probability between 0 and 1 is meant")

    def resolve(self, columns: Sequence[str], kind: str) -> PositiveUnlabelled:
        """A copy that reads `labels` where items have sets of labels alone."""
        alone = self.labels == "label" and "labels" in columns and "label" not in columns
        return replace(self, labels="labels") if alone else self

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.labels, self.probabilities or self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("positive_unlabelled"),
            flag("hidden_positive"),
            detail("positive_probability", pa.float32()),
        )

    def ready(self) -> None:
        """Raises MissingExtraError where scikit-learn, or what it brings, is not installed."""
        check_installed("scipy" if self.probabilities else "sklearn", "noise")

    def fit(self, view: View) -> FittedTable:
        """Find the hidden positives of a view. Raises InputError where no item, or each, is labelled positive."""
        order = order_by_id(view)
        labelled, labels = self._labelled(view, order)
        reasons = np.full(len(order), None, object)
        if self.probabilities:
            g, reasons = read_numbers(view, self.probabilities, order, "probability")
            outside = np.isfinite(g) & ~((g >= 0) & (g <= 1))
            reasons[outside] = "probability outside [0, 1]"
        else:
            x = read_vectors(view, self.embedding, order)
            reasons[~np.isfinite(x).all(1)] = f"no {self.embedding}"
        usable = reasons == None  # noqa: E711 - element by element
        found = None
        if usable.any():
            known = labelled[usable]
            if known.all() or not known.any():
                raise InputError(self._nothing_to_tell(known, labels))
            if not self.probabilities:
                g = np.zeros(len(order))
                g[usable] = out_of_fold_probabilities(
                    x[usable], known.astype(np.int64), model=self.model, folds=self.folds, seed=self.seed
                ).probabilities[:, 1]
            found = positive_unlabelled(np.clip(g[usable], 0, 1), known, estimate=self.estimate, cut=self.cut)
        return self._table(order, reasons, found)

    def _labelled(self, view: View, order: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.bool_], pa.Array]:
        """Which items are known to be positive, and all labels that there are."""
        if not is_list(view.to_arrow([self.labels]).schema.field(self.labels).type):
            labels = read_labels(view, self.labels, order)
            return np.array([value == self.positive for value in labels.to_pylist()], bool), labels
        sets = read_strings(view, self.labels, order, "")
        hits = pc.equal(sets.values, self.positive).fill_null(False).to_numpy(zero_copy_only=False)
        labelled = np.zeros(len(order), bool)
        labelled[sets.owner[hits]] = True
        return labelled, sets.values

    def _nothing_to_tell(self, known: npt.NDArray[np.bool_], labels: pa.Array) -> str:
        if known.all():
            return f"all {counted(len(known), 'item is', 'items are')} labelled {self.positive!r}: unlabelled ones are needed too"
        values = sorted(labels.drop_null().unique().to_pylist())
        exist = listed(values) or "none"
        return f"no item is labelled positive={self.positive!r}; the labels are {exist}"

    def _table(
        self, order: npt.NDArray[np.int64], reasons: npt.NDArray[np.object_], found: UnlabelledFound | None
    ) -> FittedTable:
        why = np.full(len(order), None, object)
        why[order] = reasons
        if found is None:
            return answered(self, order[:0], {}, why)
        note = (
            f"an estimated {found.share:.1%} of the unlabelled items are positive, {found.prior:.1%} of all; "
            f"{found.frequency:.1%} of the positives are labelled. Where the classes overlap this is too high; all of "
            "it assumes that the labelled positives are like the others"
        )
        values = dict(zip((f.name for f in self.gives), found[:3], strict=True))
        rows = order[reasons == None]  # noqa: E711 - element by element
        return answered(self, rows, values, why, notes=(note,))
