"""Registered selectors that give all items weights, or with a budget draw some in proportion."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.choosing import Meter, draw_seed, finite_rows
from curate.contracts import Budget, Selection, View, resolve_budget
from curate.counting import counted
from curate.errors import InputError, UnknownNameError, check_installed
from curate.fitting import columns_of, numbers, order_by_id, read_labels, read_vectors, true_rows
from curate.selectors.reweighting.corewise import Spread, cw_erm
from curate.selectors.reweighting.dro import class_dro
from curate.selectors.reweighting.groups import Fairness, group_weights
from curate.selectors.reweighting.importance import Ratio, importance_resample, log_density_ratio
from curate.selectors.reweighting.meta import MetaTraining
from curate.selectors.reweighting.ngrams import hashed_ngrams, ngram_log_ratio
from curate.selectors.reweighting.weighted import Draw, Weighted, as_codes, weigh

__all__ = ["ClassDroWeights", "CwErm", "GroupWeights", "ImportanceResampling"]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class _Reading:
    """Items of a view in the order of ids, those that lack something left out as it is read."""

    def __init__(self, view: View, budget: Budget | None, rng: np.random.Generator) -> None:
        self.view, self.budget = view, budget
        self.meter, self.seed = Meter(), draw_seed(rng)
        self.rows = order_by_id(view)
        if budget is not None:
            resolve_budget(budget, len(view))

    @property
    def draw(self) -> Draw:
        """With the run's seed; a share of the budget is one of all items of the view."""
        budget = self.budget
        if budget is not None and not isinstance(budget, int):
            budget = min(resolve_budget(budget, len(self.view)), len(self.rows))
        return Draw(budget, np.random.default_rng([self.seed, 1]))

    def keep(self, known: Bools, what: str) -> None:
        """Go on with these rows. Raises InputError where none is left."""
        if not known.any():
            raise InputError(
                f"none of {counted(len(self.view), 'item')} has {what}: there is nothing to weigh"
            )
        self.rows = self.rows[known]

    def vectors(self, column: str, rows: Ints | None = None) -> npt.NDArray[Any]:
        """Vectors of the rows."""
        return read_vectors(self.view, column, self.rows if rows is None else rows)

    def labels(self, column: str) -> pa.Array:
        """Labels of the rows as strings."""
        if column not in self.view.columns:
            raise UnknownNameError("column", column, self.view.columns)
        return read_labels(self.view, column, self.rows)

    def number(self, expression: str) -> npt.NDArray[np.float64]:
        """Values of an expression, NaN where it has none."""
        return numbers(self.view.compute(expression), expression)[self.rows].astype(np.float64)

    def holds(self, expression: str) -> Bools:
        """For which rows an expression is true."""
        return true_rows(self.view, expression)[self.rows]

    def answer(self, found: Weighted) -> Weighted:
        """The weights as rows of the view; `by_row` is then by row of the view, 0 for those left out."""
        by_row = np.zeros(len(self.view), np.float32)
        by_row[self.rows] = found.by_row
        index = self.rows[found.index]
        return dataclasses.replace(found, index=index, by_row=by_row, seed=self.seed, **self.meter.read())


def _texts(values: pa.Array) -> npt.NDArray[Any]:
    return np.array(values.to_pylist(), str)


@dataclass(frozen=True)
class CwErm:
    """Weighs all items by what a network learnt about a small coreset: wrong labels get little.

    `label`, `embedding`  what is learnt from. `coreset` the share of each class that lies in its middle.
    `spread`    how a weight comes to the other items: "neighbours", the mean of the `neighbours` nearest of the
                coreset in the same class, or "network", by their own loss under the coreset's network.
    `even`      each class keeps its share of the weight.
    `trusted`   an expression: items whose label is known to be right measure the weighting.
    `hidden`, `epochs`, `warm_up`, `learning_rate`, `meta_learning_rate`: of `MetaTraining`. Needs the extra `train`.
    """

    label: str = "label"
    embedding: str = "pixel_embedding"
    coreset: float = 0.05
    spread: Spread = "neighbours"
    neighbours: int = 5
    even: bool = True
    trusted: str | None = None
    hidden: int = 0
    epochs: int = 20
    warm_up: int = 10
    learning_rate: float = 0.03
    meta_learning_rate: float = 0.01

    name: ClassVar[str] = "cw-erm"
    version: ClassVar[int] = 4

    def __post_init__(self) -> None:
        self._training(0)

    def _training(self, seed: int) -> MetaTraining:
        told = ("hidden", "epochs", "warm_up", "learning_rate", "meta_learning_rate")
        return MetaTraining(seed=seed, **{name: getattr(self, name) for name in told})

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.label, self.embedding, *(columns_of(self.trusted) if self.trusted else ()))

    def estimate(self, n: int, d: int, budget: int) -> dict[str, float]:
        """Seconds and bytes that weighing will take: some 3 ms a step, of which a small coreset has 16 a round, and a
        product of each class with its part of the coreset."""
        core = n * self.coreset
        steps = max(16.0, core / 100) * (self.epochs + self.warm_up / 4)
        return {"seconds": 1.0 + 3e-3 * steps + 2 * n * core * d / 2e11, "bytes": 12.0 * n * d + 4e8}

    def ready(self) -> None:
        """Raises MissingExtraError where torch is not installed."""
        check_installed("torch", "train")

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError where items have one class, or a coreset is too small to be split."""
        read = _Reading(view, budget, rng)
        known = finite_rows(read.vectors(self.embedding)) & np.asarray(read.labels(self.label).is_valid())
        read.keep(known, f"{self.embedding!r} and {self.label!r}")
        found = cw_erm(
            read.vectors(self.embedding),
            _texts(read.labels(self.label)),
            self.coreset,
            spread=self.spread,
            neighbours=self.neighbours,
            even=self.even,
            trusted=read.holds(self.trusted) if self.trusted else None,
            training=self._training(read.seed % 2**31),
            draw=read.draw,
        )
        return read.answer(dataclasses.replace(found, core=read.rows[found.core]))


@dataclass(frozen=True)
class ClassDroWeights:
    """Weighs classes by how far a model lags behind a reference on them.

    `loss`, `reference`  expressions: the losses of the two models on each item (on the same noise, for diffusion).
    `by`                 the column whose values are the classes.
    `eta`, `smoothing`   of the exponentiated gradient; `steps` how often it is taken with these losses.
    """

    loss: str
    reference: str
    by: str = "label"
    eta: float = 1.0
    smoothing: float = 1e-3
    steps: int = 10

    name: ClassVar[str] = "class-dro"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"class-dro: steps={self.steps}: at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.by, *columns_of(self.loss), *columns_of(self.reference))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError for one class, or where no item has both losses."""
        read = _Reading(view, budget, rng)
        ours, theirs = read.number(self.loss), read.number(self.reference)
        known = np.isfinite(ours) & np.isfinite(theirs) & np.asarray(read.labels(self.by).is_valid())
        read.keep(known, f"{self.loss!r}, {self.reference!r} and {self.by!r}")
        codes, names = as_codes(_texts(read.labels(self.by)), "classes")
        if len(names) < 2:
            raise InputError(
                f"class-dro: all {counted(len(codes), 'item is', 'items are')} of class {names[0]!r}"
            )
        batch = (ours[known], theirs[known], codes)
        weights = class_dro([batch] * self.steps, len(names), eta=self.eta, smoothing=self.smoothing).weight
        return read.answer(
            weigh(weights[codes], f"class-wise DRO over {counted(len(names), 'class', 'classes')}", read.draw)
        )


@dataclass(frozen=True)
class ImportanceResampling:
    """Weighs the items of a pool by how much likelier they are in a target, or draws some by that.

    `target`     an expression that is true for the target's items; all others are the pool.
    `features`   a column of text, compared by hashed n-grams up to `n` in `buckets`, or of vectors, compared by `ratio`.
    `per_ngram`  divide a text's log ratio by its number of n-grams: long texts do not go to extremes.
    `temperature`, `cap`  flatten the weights: see `importance_resample`.
    """

    target: str
    features: str = "text"
    n: int = 2
    buckets: int = 10_000
    per_ngram: bool = False
    ratio: Ratio = "logistic"
    temperature: float = 1.0
    cap: float | None = None

    name: ClassVar[str] = "importance-resampling"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.features, *columns_of(self.target))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError where either side is empty."""
        read = _Reading(view, budget, rng)
        theirs = read.holds(self.target)
        if self.features not in view.columns:
            raise UnknownNameError("column", self.features, view.columns)
        kind = view.take(read.rows[:1], [self.features]).schema.field(self.features).type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            known = np.asarray(read.labels(self.features).is_valid())
        else:
            known = finite_rows(read.vectors(self.features))
        aim = read.rows[theirs & known]
        if not len(aim):
            raise InputError(f"{self.target!r} holds for no item with {self.features!r}: there is no target")
        read.keep(~theirs & known, f"{self.features!r} and is not the target's")
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            sides = [read_labels(view, self.features, rows) for rows in (read.rows, aim)]
            pool, target = (hashed_ngrams(side, n=self.n, buckets=self.buckets) for side in sides)
            logs = ngram_log_ratio(pool, target)
            logs = (
                logs / np.maximum(np.bincount(pool.text, minlength=pool.texts), 1) if self.per_ngram else logs
            )
        else:
            seeded = np.random.default_rng([read.seed, 2])
            ours, aimed = read.vectors(self.features), read.vectors(self.features, aim)
            folds = min(5, len(ours), len(aimed))
            logs = log_density_ratio(ours, aimed, method=self.ratio, folds=folds, rng=seeded)
        draw = read.draw
        return read.answer(
            importance_resample(logs, draw.budget, temperature=self.temperature, cap=self.cap, rng=draw.rng)
        )


@dataclass(frozen=True)
class GroupWeights:
    """Weighs items so that no group counts more, or is labelled otherwise, for its size alone.

    `group`  the column whose values are the groups. `label` the classes, where the aim is about them.
    `aim`    equal: every group (with `label`: in every class) has the same total; independent: class and group become
             independent and keep their shares; equal-within-class: classes keep theirs, groups within each are equal.
    `cap`    no weight above so many times the mean.
    """

    group: str
    label: str | None = None
    aim: Literal["independent", "equal", "equal-within-class"] = "equal"
    cap: float | None = None

    name: ClassVar[str] = "group-weights"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.group, *((self.label,) if self.label else ()))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError for one group, or an aim that needs labels."""
        read = _Reading(view, budget, rng)
        known = np.asarray(read.labels(self.group).is_valid())
        if self.label:
            known &= np.asarray(read.labels(self.label).is_valid())
        read.keep(known, repr(self.group) + (f" and {self.label!r}" if self.label else ""))
        labels = _texts(read.labels(self.label)) if self.label else None
        aim: Fairness = self.aim
        found = group_weights(_texts(read.labels(self.group)), labels, aim=aim, cap=self.cap, draw=read.draw)
        return read.answer(found)
