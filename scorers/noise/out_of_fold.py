"""`out-of-fold`: predicted probabilities from models that have not seen the item they judge."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_rows
from curate.arrays.labels import as_codes, check_several
from curate.choosing import generator
from curate.contracts import View, detail, reason_name, vector
from curate.counting import counted
from curate.errors import InputError, check_installed, require
from curate.fitting import FittedTable, order_by_id, read_labels, read_vectors
from curate.scorers.noise.probabilities import encode_labels

__all__ = ["Model", "OutOfFold", "Predictions", "assign_folds", "group_codes", "out_of_fold_probabilities"]

Model = Literal["logistic-regression", "knn", "random-forest"]


@dataclass(frozen=True)
class OutOfFold:
    """Predicts each item's class by models that have not seen it, for confident-learning.

    A scikit-learn `model` is cross-validated on an `embedding`, the items dealt to `folds` by `seed`, to say the column
    `label` (by default that of the kind). Writes the vector `pred_probs`, its columns being the distinct labels sorted by code point (as strings), and
    `predicted_label`. Items of one group (column `groups`: near-duplicates, a speaker) stay in one fold, for a copy in
    the training folds would give a wrong label away. An item whose class no other fold holds is not scored, nor is one
    without a label, unless `unlabelled`: then the mean of the models of all folds tells what it would be.
    """

    embedding: str = "pixel_embedding"
    model: Model = "logistic-regression"
    folds: int = 5
    seed: int = 0
    groups: str | None = None
    label: str = "label"
    unlabelled: bool = False

    name: ClassVar[str] = "out-of-fold"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"out-of-fold: folds={self.folds}: cross-validation needs at least two")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding, *((self.groups,) if self.groups else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("pred_probs"), detail("predicted_label", pa.string()))

    def ready(self) -> None:
        """Raises MissingExtraError where scikit-learn is not installed."""
        check_installed("sklearn", "noise")

    def fit(self, view: View) -> FittedTable:
        """Predict a whole view out of fold. Raises InputError where there is nothing to learn from."""
        order = order_by_id(view)
        labels, x = read_labels(view, self.label, order), read_vectors(view, self.embedding, order)
        reasons = np.full(len(order), None, object)
        reasons[np.asarray(labels.is_null())] = f"no {self.label}"
        reasons[~np.isfinite(x).all(1)] = f"no {self.embedding}"
        usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        asked = np.flatnonzero(np.isfinite(x).all(1) & np.asarray(labels.is_null()))
        asked = asked[: len(asked) if self.unlabelled and len(usable) else 0]
        groups = group_codes(view, self.groups, order)[usable] if self.groups else None
        codes, classes = encode_labels(labels.take(pa.array(usable)), (), None)
        found, notes = _empty(len(classes)), tuple[str, ...]()
        if len(usable):
            kept = x if len(usable) == len(x) else x[usable]
            found = out_of_fold_probabilities(
                kept,
                codes,
                model=self.model,
                folds=self.folds,
                seed=self.seed,
                groups=groups,
                unlabelled=x[asked] if len(asked) else None,
            )
            other = "group" if self.groups else "item"
            for i in np.flatnonzero(~found.seen):
                reasons[usable[i]] = f"no other {other} with label {classes[codes[i]]!r} to learn it from"
            notes = _notes(found, codes)
        reasons[asked] = None
        told = np.concatenate([found.probabilities, found.unlabelled])
        return self._table(order, np.concatenate([usable, asked]), reasons, told, (classes, notes))

    def _table(
        self,
        order: npt.NDArray[np.int64],
        usable: npt.NDArray[np.int64],
        reasons: npt.NDArray[np.object_],
        told: npt.NDArray[np.float32],
        named: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> FittedTable:
        """`told` (m, k) are the probabilities of the `usable` rows, `named` the classes and the notes."""
        (classes, notes), k = named, len(named[0])
        probabilities = np.zeros((len(order), k), np.float32)
        probabilities[order[usable]] = told
        predicted = np.full(len(order), None, object)
        if k:
            predicted[order[usable]] = np.array(classes, object)[told.argmax(1)]
        why = np.full(len(order), None, object)
        why[order] = reasons
        null = pa.array(why != None)  # noqa: E711 - element by element
        flat = pa.array(probabilities.reshape(-1), pa.float32())
        columns = [
            pa.FixedSizeListArray.from_arrays(flat, k, mask=null)
            if k
            else pa.nulls(len(order), self.gives[0].type),
            pa.array(predicted, pa.string(), mask=np.asarray(null)),
            pa.array(why, pa.string()),
        ]
        table = pa.table(columns, ["pred_probs", "predicted_label", reason_name(self.name)])
        return FittedTable(self.name, self.version, self.gives, table, notes, classes)


class Predictions(NamedTuple):
    """`probabilities` (n, k) float32, rows sum to 1; `fold` (n,) int64; `seen` (n,) bool: false where the item's own
    class was in no training fold, so that its probability is 0 for want of a chance; `unlabelled` (u, k) float32 the mean
    of all models for items without a label; `warnings` by the model."""

    probabilities: npt.NDArray[np.float32]
    fold: npt.NDArray[np.int64]
    seen: npt.NDArray[np.bool_]
    unlabelled: npt.NDArray[np.float32]
    warnings: tuple[str, ...] = ()


def out_of_fold_probabilities(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    *,
    model: Model = "logistic-regression",
    folds: int = 5,
    seed: int = 0,
    groups: npt.NDArray[np.int64] | None = None,
    unlabelled: npt.NDArray[Any] | None = None,
) -> Predictions:
    """Probabilities by models that have not seen the item: stratified cross-validation, features standardised.

    `x` (n, d) finite numbers, `labels` (n,) in 0 ... k - 1, `groups` (n,) integers or None. `unlabelled` (u, d), the
    features of items without a label, get the mean of what the models of all folds say. Deterministic given the
    seed and the order of rows. Models: L2-regularised logistic regression (C = 0.1: label noise wants a stiff one), 20
    nearest neighbours, a forest of 200 trees. All on one thread: sums in another order give other digits, and many small
    products on threads that wait for each other are slower than on one.
    Raises InputError for shapes that do not fit, features that are not finite, labels that are no whole numbers from 0 on,
    a single class, or fewer items (groups) than folds; MissingExtraError without `noise`.
    """
    x, labels = _checked(x, labels)
    k = int(labels.max()) + 1
    check_several(labels)
    fold = assign_folds(labels, folds, seed, groups)
    others = np.empty((0, x.shape[1]), x.dtype) if unlabelled is None else _finite(unlabelled, x.shape[1])
    probabilities, mean_of_all = np.zeros((len(labels), k), np.float32), np.zeros((len(others), k))
    seen = np.zeros(len(labels), bool)
    told: set[str] = set()
    threads: Any = require("threadpoolctl", "noise")
    for part in range(folds):
        held, train = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        known = np.unique(labels[train])
        seen[held] = np.isin(labels[held], known)
        if len(known) < 2:  # one class in training: no model, and nobody is told anything
            seen[held] = False
            probabilities[held] = 1 / k
            mean_of_all += 1 / (k * folds)
            continue
        mean, scale = x[train].mean(0), x[train].std(0)
        scale[scale <= 1e-6 * np.abs(mean)] = 1  # constant, but for rounding
        with warnings.catch_warnings(record=True) as caught, threads.threadpool_limits(1):
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message=".*(IProgress|ipywidgets).*")  # not about the data
            fitted = _estimator(model, seed, len(train)).fit((x[train] - mean) / scale, labels[train])
            predicted = fitted.predict_proba((np.concatenate([x[held], others]) - mean) / scale)
        told |= {str(w.message).strip().partition("\n")[0] for w in caught}
        predicted /= predicted.sum(1, keepdims=True)
        probabilities[np.ix_(held, known)] = predicted[: len(held)]
        mean_of_all[:, known] += predicted[len(held) :] / folds
    return Predictions(probabilities, fold, seen, mean_of_all.astype(np.float32), tuple(sorted(told)))


def _checked(x: Any, labels: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Features and labels as arrays."""
    features = _finite(x)
    given = as_codes(labels, len(features), of="items")
    if not features.size:
        raise InputError(f"features have shape {features.shape}: there is nothing to learn from")
    return features, given


def _finite(x: Any, width: int | None = None) -> npt.NDArray[Any]:
    """Features (n, d) as an array. Raises InputError where they are not finite, or not `width` to an item."""
    features = as_rows(x, "features")
    if width is not None and features.shape[1] != width:
        raise InputError(
            f"features of items without a label have {counted(features.shape[1], 'column')}, the others {width}"
        )
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise InputError(
            f"features of {counted(len(bad), 'item')} are not finite, as row {bad[0]}: leave them out"
        )
    return features


def assign_folds(
    labels: npt.NDArray[np.int64], folds: int, seed: int, groups: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.int64]:
    """A fold in 0 ... folds - 1 for each item, (n,) int64: classes spread evenly, a group never split.

    Items (or groups, taken for their most frequent class) are shuffled, sorted by class and dealt out in turn, so a
    class of m <= folds items has at most one in each fold. Raises InputError for fewer items (groups) than folds.
    """
    unit = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(unit.max()) + 1
    if count < folds:
        told = counted(count, "item" if groups is None else "group")
        raise InputError(f"{told} for {counted(folds, 'fold')}: ask for fewer folds")
    pairs, times = np.unique(unit * (labels.max() + 1) + labels, return_counts=True)
    order = np.lexsort((-times, pairs // (labels.max() + 1)))  # by unit, its most frequent class first
    units, firsts = np.unique(pairs[order] // (labels.max() + 1), return_index=True)
    class_of_unit = np.empty(count, np.int64)
    class_of_unit[units] = pairs[order][firsts] % (labels.max() + 1)
    shuffled = generator(seed, "seed").permutation(count)
    dealt = shuffled[np.argsort(class_of_unit[shuffled], kind="stable")]
    fold = np.empty(count, np.int64)
    fold[dealt] = np.arange(count) % folds
    return fold[unit]


def _estimator(model: Model, seed: int, n: int) -> Any:
    if model == "logistic-regression":
        linear: Any = require("sklearn.linear_model", "noise")
        return linear.LogisticRegression(C=0.1, max_iter=1000, tol=1e-3)
    if model == "knn":
        neighbors: Any = require("sklearn.neighbors", "noise")
        return neighbors.KNeighborsClassifier(n_neighbors=min(20, n))
    ensemble: Any = require("sklearn.ensemble", "noise")
    return ensemble.RandomForestClassifier(n_estimators=200, random_state=seed)


def group_codes(view: View, column: str, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A number per group; an item without one is a group by itself."""
    import polars as pl

    codes = (
        pl.Series("group", view.to_arrow([column]).column(0)).rank("dense").to_numpy().astype(float)[order]
    )
    alone = np.isnan(codes)
    codes[alone] = len(codes) + 1 + np.arange(alone.sum())
    return codes.astype(np.int64)


def _empty(k: int) -> Predictions:
    nothing = np.empty((0, k), np.float32)
    return Predictions(nothing, np.empty(0, np.int64), np.empty(0, bool), nothing)


def _notes(found: Predictions, codes: npt.NDArray[np.int64]) -> tuple[str, ...]:
    right = float((found.probabilities.argmax(1) == codes)[found.seen].mean()) if found.seen.any() else 0.0
    commonest = float(np.bincount(codes).max() / len(codes))
    notes = list(found.warnings)
    if right < commonest + 0.05:
        notes.append(
            f"the model agrees with {right:.1%} of the labels out of fold, the commonest label is {commonest:.1%} of "
            "them: this embedding says little about these labels, and its probabilities will say little about errors"
        )
    return tuple(notes)
