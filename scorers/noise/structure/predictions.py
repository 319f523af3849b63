"""Predicted numbers from models that have not seen the item they judge."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_rows
from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.noise.out_of_fold import assign_folds

__all__ = ["Regressor", "out_of_fold_predictions"]

Regressor = Literal["ridge", "knn", "random-forest"]
_STRATA = 10
_ROUNDS = 3


def out_of_fold_predictions(
    x: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    *,
    model: Regressor = "ridge",
    folds: int = 5,
    seed: int = 0,
    groups: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.float64]:
    """Numbers predicted by models that have not seen the item: (n,), in the unit of the targets.

    `x` (n, d) and `targets` (n,) finite numbers, `groups` (n,) integers that stay in one fold, or None. The folds hold
    each tenth of the targets alike; deterministic given the seed and the order of rows. Features are standardised
    within the training folds. Models, all made to mind wrong targets little: `ridge` (penalty n / 100; targets further
    than three robust standard deviations from the fit are pulled in to there and it is fitted again, three times),
    `knn` (median of the 20 nearest, extra `noise`), `random-forest` (200 trees, extra `noise`).
    Raises InputError for fewer items (groups) than folds, or targets that are all the same.
    """
    x, y = as_rows(x), as_floats(targets, "targets")
    if len(x) != len(y):
        raise InputError(
            f"{counted(len(x), 'item')} and {counted(len(y), 'target')}: one target per item is meant"
        )
    if not len(y) or (y == y[0]).all():
        raise InputError(
            f"all {counted(len(y), 'target is', 'targets are')} {y[0] if len(y) else 'absent'}: there is nothing to "
            "predict"
        )
    rank = np.empty(len(y), np.int64)
    rank[np.argsort(y, kind="stable")] = np.arange(len(y)) * _STRATA // len(y)
    fold = assign_folds(rank, folds, seed, groups)
    predicted = np.empty(len(y))
    threads: Any = require("threadpoolctl", "noise")
    for part in range(folds):
        held, train = np.flatnonzero(fold == part), np.flatnonzero(fold != part)
        mean, scale = x[train].mean(0, dtype=np.float64), x[train].std(0, dtype=np.float64)
        scale[scale <= 1e-6 * np.abs(mean)] = 1  # constant, but for rounding
        known, asked = (x[train] - mean) / scale, (x[held] - mean) / scale
        with threads.threadpool_limits(1):  # sums in another order give other digits
            predicted[held] = _predict(model, known, y[train], asked, seed)
    return predicted


def _predict(
    model: Regressor,
    x: npt.NDArray[np.float64],
    y: npt.NDArray[np.float64],
    asked: npt.NDArray[np.float64],
    seed: int,
) -> npt.NDArray[np.float64]:
    if model == "ridge":
        return _ridge(x, y, asked)
    if model == "knn":
        neighbors: Any = require("sklearn.neighbors", "noise")
        near = neighbors.NearestNeighbors(n_neighbors=min(20, len(x))).fit(x)
        return np.asarray(np.median(y[near.kneighbors(asked, return_distance=False)], axis=1))
    ensemble: Any = require("sklearn.ensemble", "noise")
    forest = ensemble.RandomForestRegressor(n_estimators=200, random_state=seed)
    return np.asarray(forest.fit(x, y).predict(asked))


def _ridge(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], asked: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    n, width = x.shape
    inverse = np.linalg.inv(x.T @ x + 0.01 * n * np.eye(width))
    near = y
    for _ in range(_ROUNDS + 1):
        centre = near.mean()
        weights = inverse @ (x.T @ (near - centre))
        fitted = x @ weights + centre
        residual = y - fitted
        spread = 1.4826 * np.median(np.abs(residual - np.median(residual)))
        if not spread > 0:
            break
        near = fitted + np.clip(residual, -3 * spread, 3 * spread)
    return np.asarray(asked @ weights + centre)
