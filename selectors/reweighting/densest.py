"""`instance-density`, a scorer, and `instance-selection`: the densest items of each class, reweighted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.choosing import Meter, capacity, draw_seed, finite_rows
from curate.contracts import Budget, Selection, View, score
from curate.errors import UnknownNameError
from curate.fitting import FittedTable, answered, columns_of, numbers, order_by_id, read_labels, read_vectors
from curate.selectors.reweighting.density import Density, density_scores, instance_selection

__all__ = ["InstanceDensity", "InstanceSelection"]


@dataclass(frozen=True)
class InstanceDensity:
    """Scores how densely an item's class is populated where the item lies: outliers of a class are low.

    `embedding` the vectors; `label` the class, null for one class of all; `method` gaussian, ppca (as many axes as hold
    `variance`), or knn (minus the distance to the `neighbours`-th nearest). Higher = denser = keep; comparable within a
    class, not between classes.
    """

    embedding: str = "pixel_embedding"
    label: str | None = "label"
    method: Density = "gaussian"
    variance: float = 0.95
    neighbours: int = 5

    name: ClassVar[str] = "instance-density"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.embedding, *((self.label,) if self.label else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("instance_density"),)

    def fit(self, view: View) -> FittedTable:
        """Score a whole view. Raises InputError for parameters out of range."""
        rows = order_by_id(view)
        x = read_vectors(view, self.embedding, rows) if len(rows) else np.zeros((0, 1))
        reasons = np.full(len(rows), None, object)
        known = finite_rows(x)
        reasons[rows[~known]] = f"no {self.embedding}"
        labels = None
        if self.label and len(rows):
            given = read_labels(view, self.label, rows)
            reasons[rows[known & np.asarray(given.is_null())]] = f"no {self.label}"
            known &= np.asarray(given.is_valid())
            labels = np.array(given.filter(pa.array(known)).to_pylist(), str)
        values: dict[str, Any] = {"instance_density": np.empty(0)}
        if known.any():
            values["instance_density"] = density_scores(
                x[known], labels, method=self.method, variance=self.variance, neighbours=self.neighbours
            )
        return answered(self, rows[known], values, reasons)


@dataclass(frozen=True)
class InstanceSelection:
    """Chooses the same share of each class, the items with the highest `by`, and weights that keep the classes' shares.

    `by`      an expression, such as the score of `instance-density`. `label` the class.
    `weights` an expression: how heavy each item's class is to be (its mean over the class); by default as before.
    Items without a value or a class are left out.
    """

    by: str = "instance_density"
    label: str = "label"
    weights: str | None = None

    name: ClassVar[str] = "instance-selection"
    version: ClassVar[int] = 1
    budgeted: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", self.label, *columns_of(self.by), *(columns_of(self.weights) if self.weights else ()))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        """Raises InputError for a budget that is none, or below the number of classes."""
        meter, seed = Meter(), draw_seed(rng)
        rows = order_by_id(view)
        if self.label not in view.columns:
            raise UnknownNameError("column", self.label, view.columns)
        values = numbers(view.compute(self.by), self.by)[rows].astype(np.float64)
        labels = read_labels(view, self.label, rows)
        known = np.isfinite(values) & np.asarray(labels.is_valid())
        heavy = None
        if self.weights:
            heavy = numbers(view.compute(self.weights), self.weights)[rows].astype(np.float64)
            known &= np.isfinite(heavy)
        count = capacity(budget, len(view), int(known.sum()), f"{self.by!r} and {self.label!r}")
        names = np.array(labels.filter(pa.array(known)).to_pylist(), str)
        shares = None if heavy is None else _class_means(heavy[known], names)
        found = instance_selection(values[known], names, count, class_weights=shares)
        by_row = np.zeros(len(view), np.float32)
        by_row[rows[known]] = found.by_row
        return dataclasses.replace(
            found, index=rows[known][found.index], by_row=by_row, seed=seed, **meter.read()
        )


def _class_means(values: npt.NDArray[np.float64], names: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    codes = np.unique(names, return_inverse=True)[1].reshape(-1)
    return np.asarray(np.bincount(codes, values) / np.bincount(codes))
