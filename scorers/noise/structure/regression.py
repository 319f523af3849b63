"""`regression-errors`: numbers that are wrong, given what is predicted for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.errors import InputError, SchemaError, check_installed
from curate.fitting import FittedTable, answered, order_by_id, read_vectors
from curate.scorers.noise.structure.predictions import Regressor, out_of_fold_predictions
from curate.scorers.noise.structure.ragged import read_column
from curate.scorers.noise.structure.residuals import RegressionFound, RegressionMethod, regression_errors

__all__ = ["RegressionErrors", "read_numbers"]


@dataclass(frozen=True)
class RegressionErrors:
    """Scores numbers by their distance from what a model that has not seen them predicts.

    The score in [0, 1] is the quality of the number, higher = keep. `labels` is the column of numbers (or of strings
    that read as such). `predictions` names a column of out-of-sample predictions; left None, a `model` (ridge, knn,
    random-forest) is cross-validated on the vector column `embedding` in `folds` dealt by `seed`. `method` and `cut` as
    in `regression_errors`. Beside the score: `value_issue`, `value_deviation` (in robust standard deviations, negative:
    too low) and `suggested_value`, for every item that is scored.
    """

    labels: str = "label"
    predictions: str | None = None
    embedding: str = "pixel_embedding"
    model: Regressor = "ridge"
    folds: int = 5
    seed: int = 0
    method: RegressionMethod = "local"
    cut: float = 3.5

    name: ClassVar[str] = "regression-errors"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"regression-errors: folds={self.folds}: cross-validation needs at least two")
        if not self.cut > 0:
            raise InputError(f"regression-errors: cut={self.cut}: a positive number is meant")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.labels, self.predictions or self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("regression_errors"),
            flag("value_issue"),
            detail("value_deviation", pa.float64()),
            detail("suggested_value", pa.float64()),
        )

    def ready(self) -> None:
        """Raises MissingExtraError where what trains the model is not installed."""
        if not self.predictions:
            check_installed("threadpoolctl" if self.model == "ridge" else "sklearn", "noise")

    def fit(self, view: View) -> FittedTable:
        """Find the wrong numbers of a view. Raises InputError where the whole input is wrong, not a few rows."""
        order = order_by_id(view)
        labels, reasons = read_numbers(view, self.labels, order, "label")
        notes: tuple[str, ...] = ()
        if self.predictions:
            predicted, faults = read_numbers(view, self.predictions, order, "prediction")
        else:
            x = read_vectors(view, self.embedding, order)
            faults = np.full(len(order), None, object)
            faults[~np.isfinite(x).all(1)] = f"no {self.embedding}"
        reasons = np.where(reasons == None, faults, reasons)  # noqa: E711 - element by element
        usable = reasons == None  # noqa: E711 - element by element
        found = None
        if usable.any():
            if not self.predictions:
                predicted = np.full(len(order), np.nan)
                predicted[usable] = out_of_fold_predictions(
                    x[usable], labels[usable], model=self.model, folds=self.folds, seed=self.seed
                )
            found = regression_errors(labels[usable], predicted[usable], method=self.method, cut=self.cut)
            notes = _notes(labels[usable], predicted[usable])
        return self._table(order, reasons, found, notes)

    def _table(
        self,
        order: npt.NDArray[np.int64],
        reasons: npt.NDArray[np.object_],
        found: RegressionFound | None,
        notes: tuple[str, ...],
    ) -> FittedTable:
        why = np.full(len(order), None, object)
        why[order] = reasons
        rows = order[reasons == None] if found is not None else order[:0]  # noqa: E711 - element by element
        values = dict(zip((f.name for f in self.gives), found or (), strict=False))
        return answered(self, rows, values, why, notes=notes)


def read_numbers(
    view: View, column: str, rows: npt.NDArray[np.int64], what: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    """A column of these rows as numbers (n,), NaN where there is none, and why there is none (None where there is).

    Strings are read as numbers. Raises SchemaError for a column of anything else.
    """
    import polars as pl

    array = read_column(view, column, rows)
    if pa.types.is_nested(array.type):
        raise SchemaError(f"column {column!r} holds {array.type}: numbers are meant")
    series = pl.Series(column, array)
    text = series.dtype == pl.String
    parsed = (series.str.strip_chars() if text else series).cast(pl.Float64, strict=False)
    values = parsed.fill_null(np.nan).to_numpy().astype(np.float64)
    reasons = np.full(len(values), None, object)
    for row in np.flatnonzero(~np.isfinite(values)):
        given = series[int(row)]
        reasons[row] = f"no {what}" if given is None else f"{what} {given!r} is no finite number"
    return values, reasons


def _notes(labels: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """What makes the predictions doubtful evidence: no better than the median, or too good to be out of sample."""
    if len(labels) < 20:
        return ()
    usual = float(np.abs(labels - np.median(labels)).mean())
    error = float(np.abs(labels - predicted).mean())
    if error > 0.95 * usual:
        return (
            f"the predictions are off by {error:.3g} on average, the median of all labels by {usual:.3g}: they say little "
            "about these labels, and will say little about errors",
        )
    if error < 0.01 * usual:
        return (
            f"the predictions are off by {error:.3g} on average, {error / usual:.1%} of what the median of all labels is: "
            "they look in-sample, made by a model trained on these labels, and would then hide its errors",
        )
    return ()
