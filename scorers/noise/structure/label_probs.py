"""`label-probs`: the probability of each label of an item by itself, from models that have not seen the item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_numbers, as_rows
from curate.arrays.labels import listed
from curate.contracts import View, detail, vector
from curate.counting import counted
from curate.errors import InputError, check_installed
from curate.fitting import FittedTable, answered, order_by_id, read_vectors
from curate.scorers.noise.out_of_fold import Model, group_codes, out_of_fold_probabilities
from curate.scorers.noise.structure.ragged import choose_sets, names_of, read_sets
from curate.scorers.noise.structure.sets import label_matrix, names_where

__all__ = ["LabelPredictions", "LabelProbs", "label_probabilities"]

UNKNOWN = 0.5
"""What is said of a label where no other item could teach it."""


@dataclass(frozen=True)
class LabelProbs:
    """Predicts every label of every item, yes or no, by models that have not seen the item, for multilabel-errors.

    `labels` is a column of lists, or of strings split by `delimiter`; of several columns the first that has a set counts;
    left alone, that is `labels`, then `label`, as far as they are there. A scikit-learn `model` is cross-validated on an `embedding` for each label by
    itself, the items dealt to `folds` by `seed`; items of one group (column `groups`) stay in one fold. Writes the vector
    `label_probs`, one column per label in the order `classes` (default: the distinct labels sorted by code point), and
    `predicted_labels`, those more likely than not.
    """

    labels: str | tuple[str, ...] = "label"
    embedding: str = "pixel_embedding"
    delimiter: str = ";"
    classes: tuple[str, ...] = ()
    model: Model = "logistic-regression"
    folds: int = 5
    seed: int = 0
    groups: str | None = None

    name: ClassVar[str] = "label-probs"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"label-probs: folds={self.folds}: cross-validation needs at least two")

    def resolve(self, columns: Sequence[str], kind: str) -> LabelProbs:
        """A copy that reads `labels` where items have such a column (`choose_sets`)."""
        return replace(self, labels=choose_sets(self.labels, columns))

    @property
    def needs(self) -> tuple[str, ...]:
        return (*names_of(self.labels), self.embedding, *((self.groups,) if self.groups else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("label_probs"), detail("predicted_labels", pa.list_(pa.string())))

    def ready(self) -> None:
        """Raises MissingExtraError where scikit-learn is not installed."""
        check_installed("sklearn", "noise")

    def fit(self, view: View) -> FittedTable:
        """Predict a whole view out of fold. Raises InputError where there is nothing to learn from."""
        order = order_by_id(view)
        x = read_vectors(view, self.embedding, order)
        sets = read_sets(view, self.labels, order, self.delimiter)
        given, reasons, classes = label_matrix(sets, self.classes, None)
        if len(order) and not classes:
            raise InputError("label-probs: no item has a label: there is nothing to learn")
        reasons[~np.isfinite(x).all(1)] = f"no {self.embedding}"
        why = np.full(len(order), None, object)
        why[order] = reasons
        usable = reasons == None  # noqa: E711 - element by element
        if not usable.any():
            return answered(self, order[:0], {}, why, classes=classes)
        found = label_probabilities(
            x[usable],
            given[usable],
            model=self.model,
            folds=self.folds,
            seed=self.seed,
            groups=group_codes(view, self.groups, order)[usable] if self.groups else None,
        )
        flat = pa.array(found.probabilities.reshape(-1), pa.float32())
        values = {
            "label_probs": pa.FixedSizeListArray.from_arrays(flat, len(classes)),
            "predicted_labels": names_where(
                found.probabilities > UNKNOWN, classes, np.zeros(int(usable.sum()), bool)
            ),
        }
        notes = _notes(found, given[usable], classes)
        return answered(self, order[usable], values, why, notes=notes, classes=classes)


class LabelPredictions(NamedTuple):
    """`probabilities` (n, l) float32, each by itself; `seen` (n, l) bool: false where no other fold has that item's answer, so
    that the probability is one half; `warnings` by the models."""

    probabilities: npt.NDArray[np.float32]
    seen: npt.NDArray[np.bool_]
    warnings: tuple[str, ...] = ()


def label_probabilities(
    x: npt.NDArray[Any],
    given: npt.NDArray[Any],
    *,
    model: Model = "logistic-regression",
    folds: int = 5,
    seed: int = 0,
    groups: npt.NDArray[np.int64] | None = None,
) -> LabelPredictions:
    """Probabilities of labels, each yes or no by itself, by models that have not seen the item.

    `x` (n, d) finite numbers, `given` (n, l) yes or no, `groups` (n,) integers or None. For each label
    `out_of_fold_probabilities` with two classes. Where all others say the same, that is said; where an item's own answer
    is in no other fold (a label that one item has), one half.
    Raises InputError for shapes that do not fit, features that are not finite, or fewer items (groups) than folds;
    MissingExtraError without `noise`.
    """
    x, given = as_rows(x, "features"), as_numbers(given, "labels")
    if given.ndim != 2 or len(given) != len(x) or not np.isin(given, (0, 1)).all():
        raise InputError(
            f"labels of shape {given.shape} for {counted(len(x), 'item')}: a matrix of 0 and 1, one row per item, is meant"
        )
    probabilities, seen = given.astype(np.float32), np.ones(given.shape, bool)
    told: set[str] = set()
    for label in range(given.shape[1]):
        yes = given[:, label].astype(np.int64)
        if yes.min(initial=1) == yes.max(initial=0):
            continue
        found = out_of_fold_probabilities(x, yes, model=model, folds=folds, seed=seed, groups=groups)
        probabilities[:, label] = found.probabilities[:, 1]
        for fold in range(folds):
            held, others = found.fold == fold, yes[found.fold != fold]
            if others.min(initial=1) == others.max(initial=0):  # no model: the others say the same
                seen[held, label] = yes[held] == others[0]
                probabilities[held, label] = np.where(seen[held, label], others[0], UNKNOWN)
        told |= set(found.warnings)
    return LabelPredictions(probabilities, seen, tuple(sorted(told)))


def _notes(
    found: LabelPredictions, given: npt.NDArray[np.bool_], classes: tuple[str, ...]
) -> tuple[str, ...]:
    notes = list(found.warnings)
    untaught = [
        name for name, some in zip(classes, np.all(found.seen, axis=0).tolist(), strict=True) if not some
    ]
    if untaught:
        notes.append(
            f"{listed(untaught, 5)}: of an item whose answer no other fold has one half is said, for nothing could be learnt of it"
        )
    often = given.mean(0)
    right = float(((found.probabilities > UNKNOWN) == given).mean())
    least = float(np.maximum(often, 1 - often).mean())
    if right < least + 0.1 * (1 - least):
        notes.append(
            f"the models agree with {right:.1%} of all yes and no out of fold, always the commoner answer with {least:.1%}: "
            "this embedding says little about these labels, and its probabilities will say little about errors"
        )
    return tuple(notes)
