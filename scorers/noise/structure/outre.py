"""OUTRE: how far a label and its residual lie from most of the others, without comparing every two items."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError, require

__all__ = ["mean_near_distance", "outre"]

_EXACT = 4096
"""Up to so many items all distances are computed."""
_SLABS = 48
"""Beyond, the items are summed up by so many cells, squared."""
_NODES = 64
"""And the mean distance is computed on a grid of about so many lines in each direction, and interpolated."""
_BLOCK = 1 << 21
"""Distances held at a time."""


def outre(
    labels: npt.NDArray[Any],
    predictions: npt.NDArray[Any],
    *,
    residual_scale: float = 5.0,
    neighbours: float = 0.5,
) -> npt.NDArray[np.float64]:
    """How typical each pair of label and residual is: (n,) in [0, 1], higher = keep.

    `labels`, `predictions` (n,) finite numbers, the predictions out of sample. Each item is the point (z(y),
    `residual_scale` * z(prediction - y)) in the plane, z = standardised; d is its mean Euclidean distance to the
    `neighbours` * n nearest points, itself among them; the score is exp(-d / median d).
    Up to 4,096 items the score is exact and equals cleanlab's default (whose time and memory grow with n squared).
    Beyond, time grows with n log n: d is computed on a grid of lines, from 2,304 cells of equal numbers of points, and
    interpolated by cubic splines (extra `noise`); on test distributions with 10,000 items the score differed by at most
    0.002, its ranks correlated at more than 0.9999.
    Raises InputError for lengths that differ, values that are not finite, or parameters out of range.
    Zhou, Mueller, Kumar, Wang and Lei 2023 ("Detecting Errors in Numerical Data via any Regression Model").
    """
    y, p = as_floats(labels, "labels"), as_floats(predictions, "predictions")
    if y.shape != p.shape or y.ndim != 1:
        raise InputError(f"labels of shape {y.shape} and predictions of shape {p.shape}: both are (items,)")
    finite = np.isfinite(y) & np.isfinite(p)
    if not finite.all():
        rows = np.flatnonzero(~finite)
        raise InputError(
            f"{counted(len(rows), 'row has', 'rows have')} a label or a prediction that is not finite, as row {rows[0]}"
        )
    if not 0 < neighbours <= 1 or not residual_scale > 0:
        raise InputError(
            f"neighbours={neighbours}, residual_scale={residual_scale}: a share in (0, 1] and a positive factor are meant"
        )
    if not len(y):
        return np.empty(0)
    points = np.stack([_standardise(y), residual_scale * _standardise(p - y)], axis=1)
    distance = mean_near_distance(points, math.ceil(neighbours * len(y)))
    middle = max(float(np.median(distance)), 100 * np.finfo(np.float64).eps)
    return np.asarray(np.exp(-distance / middle))


def _standardise(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((values - values.mean()) / (values.std() + 1e-100))


def mean_near_distance(points: npt.NDArray[np.float64], near: int) -> npt.NDArray[np.float64]:
    """Mean Euclidean distance of each point to its `near` nearest points, itself among them: (n,).

    `points` (n, 2). Exact up to 4,096 points, interpolated beyond (see `outre`).
    """
    n = len(points)
    if n <= _EXACT:
        return _measure(points, points, np.ones(n), near)
    x, y = _lines(points[:, 0]), _lines(points[:, 1])
    centres, weights = _sum_up(points)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    height = _measure(grid, centres, weights, near).reshape(len(x), len(y))
    if len(x) == 1 or len(y) == 1:
        line, along = (y, points[:, 1]) if len(x) == 1 else (x, points[:, 0])
        return np.asarray(np.interp(along, line, height.ravel()))
    interpolate: Any = require("scipy.interpolate", "noise")
    spline = interpolate.RectBivariateSpline(x, y, height, kx=min(3, len(x) - 1), ky=min(3, len(y) - 1))
    return np.asarray(np.maximum(spline.ev(points[:, 0], points[:, 1]), 0), np.float64)


def _measure(
    queries: npt.NDArray[np.float64],
    points: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    near: int,
) -> npt.NDArray[np.float64]:
    """Mean distance of each query to the nearest points whose weights sum to `near`."""
    plain = bool((weights == 1).all())
    result = np.empty(len(queries))
    step = max(1, _BLOCK // len(points))
    for start in range(0, len(queries), step):
        some = queries[start : start + step]
        distance = np.hypot(some[:, :1] - points[:, 0], some[:, 1:] - points[:, 1])
        if plain:
            distance.partition(near - 1, axis=1)
            result[start : start + step] = distance[:, :near].mean(1)
            continue
        order = np.argsort(distance, axis=1)
        sorted_weights = weights[order]
        before = np.cumsum(sorted_weights, axis=1) - sorted_weights
        counted = np.clip(near - before, 0, sorted_weights)
        total = (np.take_along_axis(distance, order, axis=1) * counted).sum(1)
        result[start : start + step] = total / near
    return result


def _sum_up(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Cells of equal numbers of points: slabs along the first axis, each cut along the second. Centres and counts."""
    n = len(points)
    slab = np.empty(n, np.int64)
    slab[np.argsort(points[:, 0], kind="stable")] = np.arange(n) * _SLABS // n
    order = np.lexsort((points[:, 1], slab))
    cell = np.arange(n) * (_SLABS * _SLABS) // n
    starts = np.flatnonzero(np.r_[True, cell[1:] > cell[:-1]])
    counts = np.diff(np.r_[starts, n]).astype(np.float64)
    return np.add.reduceat(points[order], starts) / counts[:, None], counts


def _lines(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Where to put the lines of the grid: dense where points are, in the tails, and between those and what lies far out."""
    distinct = np.unique(values)
    if len(distinct) <= _NODES:
        return distinct
    reach = math.log(len(values))
    levels = 1 / (1 + np.exp(-np.linspace(-reach, reach, 3 * _NODES // 4)))
    low, middle, high = distinct[0], np.median(values), distinct[-1]
    out = np.geomspace(0.01, 1, _NODES // 8)
    far = (middle + (high - middle) * out, middle - (middle - low) * out)
    lines = np.unique(np.concatenate([np.quantile(values, levels), *far, [low, high]]))
    apart = np.diff(lines) > 1e-9 * (
        high - low
    )  # a spline through lines that nearly coincide is ill-conditioned
    return lines[np.r_[True, apart]]
