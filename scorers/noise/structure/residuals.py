"""How far numbers are from what was predicted, measured by what is usual there."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.structure.outre import outre

__all__ = ["RegressionFound", "RegressionMethod", "local_deviation", "regression_errors"]

RegressionMethod = Literal["local", "residual", "outre"]
_SIGMA = 1.4826
"""A median absolute deviation times this is a standard deviation, where values are normal."""
_ENOUGH = 200
"""Items in a bin, at least."""
_BINS = 64
_PRIOR = 50
"""What all items together weigh beside those of a bin, in items."""


class RegressionFound(NamedTuple):
    """Item by item: `score` (n,) float32 in [0, 1], higher = keep; `flagged` (n,) bool; `deviation` (n,) float64, the
    distance of the label from what was to be expected there, in robust standard deviations, negative where the label
    is too low; `suggested` (n,) float64, the value to be expected."""

    score: npt.NDArray[np.float32]
    flagged: npt.NDArray[np.bool_]
    deviation: npt.NDArray[np.float64]
    suggested: npt.NDArray[np.float64]


def regression_errors(
    labels: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    *,
    method: RegressionMethod = "local",
    cut: float = 3.5,
) -> RegressionFound:
    """Which numbers are wrong, given what was predicted for them: a score, a flag and a value to replace them by.

    `labels`, `predictions` (n,) finite numbers in one unit, the predictions out of sample. Scores:
    `local` 1 / (1 + |z|), z the `local_deviation`, which does not take a prediction's bias, or a greater spread of large
    values, for errors; `residual` 1 / (1 + |label - prediction| / s), s the median of that distance: the order of
    cleanlab's `residual`, in no particular unit; `outre` cleanlab's default (`outre`), above 4,096 items interpolated.
    An item is flagged where |z| > `cut`, whatever the method.
    Raises InputError for lengths that differ, values that are not finite, a `cut` that is not positive, or labels that
    are all the same (nothing is predicted then).
    Threshold 3.5: Iglewicz and Hoaglin 1993, "How to Detect and Handle Outliers".
    """
    y, p = as_floats(labels, "labels"), as_floats(predictions, "predictions")
    _check(y, p, cut)
    z, suggested = local_deviation(y, p)
    if method == "outre":
        score = outre(y, p)
    elif method == "residual":
        away = np.abs(y - p)
        score = 1 / (1 + away / (_spread(away, centre=0.0) or 1.0))
    else:
        score = 1 / (1 + np.abs(z))
    return RegressionFound(score.astype(np.float32), np.abs(z) > cut, z, suggested)


def _check(y: npt.NDArray[np.float64], p: npt.NDArray[np.float64], cut: float) -> None:
    if y.shape != p.shape or y.ndim != 1:
        raise InputError(f"labels of shape {y.shape} and predictions of shape {p.shape}: both are (items,)")
    if not cut > 0:
        raise InputError(f"cut={cut}: a positive number of standard deviations is meant")
    bad = np.flatnonzero(~(np.isfinite(y) & np.isfinite(p)))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'row has', 'rows have')} a label or a prediction that is not finite, as row {bad[0]}"
        )
    if len(y) > 1 and (y == y[0]).all():
        raise InputError(
            f"all {counted(len(y), 'label is', 'labels are')} {y[0]}: none can be told from the others"
        )


def local_deviation(
    labels: npt.NDArray[np.float64], predictions: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(deviation, expected): how unusual each residual is among items of a like prediction, and the value expected.

    Items are sorted by prediction and cut into bins of equal numbers (at least 200 items, at most 64 bins). The median
    of the residuals of a bin and 1.4826 times their median absolute deviation (at least a tenth of that of all), drawn
    towards those of all items as if 50 of these were in the bin, and interpolated between the bins' middles, are the
    bias b and the spread s at a prediction. deviation = (label - prediction - b) / s, expected = prediction + b. All in
    O(n log n). Where all spreads are zero (a prediction that
    is exact for most) the mean absolute residual takes their place; deviations are 0 where there are no residuals.
    """
    n = len(labels)
    residual = labels - predictions
    if not n:
        return np.empty(0), np.empty(0)
    usual, overall = float(np.median(residual)), _spread(residual)
    bins = max(1, min(_BINS, n // _ENOUGH))
    order = np.argsort(predictions, kind="stable")
    middle, bias, spread = np.empty(bins), np.empty(bins), np.empty(bins)
    for i, members in enumerate(np.array_split(order, bins)):
        own = len(members) / (len(members) + _PRIOR)
        centre = float(np.median(residual[members]))
        middle[i], bias[i] = np.median(predictions[members]), own * centre + (1 - own) * usual
        spread[i] = max(_spread(residual[members], centre), 0.1 * overall) ** own * overall ** (1 - own)
    middle, first = np.unique(middle, return_index=True)
    here = np.interp(predictions, middle, bias[first])
    scale = np.interp(predictions, middle, spread[first])
    return (residual - here) / np.where(scale > 0, scale, 1.0), predictions + here


def _spread(values: npt.NDArray[np.float64], centre: float | None = None) -> float:
    """Robust standard deviation; the mean absolute deviation where most values are the same."""
    away = np.abs(values - (np.median(values) if centre is None else centre))
    middle = float(np.median(away))
    return _SIGMA * middle if middle > 0 else float(away.mean())
