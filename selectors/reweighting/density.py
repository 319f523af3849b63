"""Instance selection: how densely an item's class is populated where the item lies, and weights for what is kept."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing import as_matrix
from curate.contracts import Budget, resolve_budget
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.reweighting.weighted import Weighted, as_codes, weigh

__all__ = ["Density", "density_scores", "instance_selection"]

Density = Literal["gaussian", "ppca", "knn"]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_CELLS = 1 << 23


def density_scores(
    x: Any,
    labels: Any = None,
    *,
    method: Density = "gaussian",
    variance: float = 0.95,
    neighbours: int = 5,
    ridge: float = 1e-5,
) -> npt.NDArray[np.float64]:
    """How typical each item is of its class in a feature space, (n,) float64; higher = denser = keep.

    `x` (n, d) finite features, `labels` (n,), None for one class. "gaussian": the log-likelihood under one Gaussian with
    full covariance and `ridge` on its diagonal; "ppca": under probabilistic PCA with as many axes as hold `variance` of the
    class's variance and one noise for the rest; "knn": minus the distance to the `neighbours`-th nearest item of the class.
    Where a class has not four times as many items as features, the covariance of either Gaussian is shrunk towards a
    multiple of the identity (Ledoit and Wolf 2004): an outlier would else make a direction of its own and fit well. Scores
    of classes of one item are 0.

    Scores are comparable within a class, not between classes. Cost n d^2 + C d^3, for "knn" n n_c d. Source: "Instance
    Selection for GANs" (DeVries et al., NeurIPS 2020, arXiv 2007.15255). Raises InputError for parameters out of range or
    features not finite.
    """
    if method not in ("gaussian", "ppca", "knn"):
        raise InputError(f"method={method!r}: gaussian, ppca or knn")
    if not 0 < variance <= 1 or neighbours < 1 or not ridge > 0:
        raise InputError(
            f"variance={variance}, neighbours={neighbours}, ridge={ridge}: in (0, 1], at least 1, above 0 are meant"
        )
    features = as_matrix(x)
    codes = as_codes(labels)[0] if labels is not None else np.zeros(len(features), np.int64)
    if len(codes) != len(features):
        raise InputError(f"{counted(len(codes), 'label')} for {counted(len(features), 'row')} of features")
    found = np.zeros(len(features))
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(codes))[:-1]):
        if len(rows) > 1:
            own = features[rows].astype(np.float64)
            own -= own.mean(0)
            if method == "gaussian":
                found[rows] = _gaussian(own, ridge)
            elif method == "ppca":
                found[rows] = _ppca(own, variance, ridge)
            else:
                found[rows] = _knn(own, neighbours)
    return found


def _gaussian(centred: Floats, ridge: float) -> Floats:
    n, d = centred.shape
    covariance = centred.T @ centred / n
    if n < 4 * d:
        covariance = _shrunk(centred, covariance)
    covariance[np.diag_indices(d)] += (
        ridge * max(1.0, float(np.trace(covariance)) / d) if n < 4 * d else ridge
    )
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, centred.T)
    return np.asarray(
        -0.5 * (np.square(white).sum(0) + 2 * np.log(np.diag(factor)).sum() + d * np.log(2 * np.pi))
    )


def _shrunk(centred: Floats, covariance: Floats) -> Floats:
    """The covariance of Ledoit and Wolf: between the sample's and the identity times its mean variance."""
    n, d = centred.shape
    level = float(np.trace(covariance)) / d
    spread = float(np.square(covariance).sum()) - d * level**2
    scatter = float((np.square(centred).sum(1) ** 2).sum()) / n**2 - float(np.square(covariance).sum()) / n
    share = 1.0 if spread <= 0 else min(1.0, max(0.0, scatter / spread))
    shrunk = (1 - share) * covariance
    shrunk[np.diag_indices(d)] += share * level
    return np.asarray(shrunk)


def _ppca(centred: Floats, variance: float, ridge: float) -> Floats:
    n, d = centred.shape
    covariance = centred.T @ centred / n
    values, axes = np.linalg.eigh(_shrunk(centred, covariance) if n < 4 * d else covariance)
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1]
    total = values.sum()
    kept = int(np.searchsorted(np.cumsum(values), variance * total * (1 - 1e-12)) + 1) if total > 0 else 1
    kept = min(kept, d)
    noise = max(float(values[kept:].mean()) if kept < d else 0.0, ridge)
    on = centred @ axes[:, :kept]
    scale = np.maximum(values[:kept], noise)
    rest = np.maximum(np.square(centred).sum(1) - np.square(on).sum(1), 0)
    fit = (np.square(on) / scale).sum(1) + rest / noise
    logs = np.log(scale).sum() + (d - kept) * np.log(noise) + d * np.log(2 * np.pi)
    return np.asarray(-0.5 * (fit + logs))


def _knn(centred: Floats, neighbours: int) -> Floats:
    """Minus the distance to the k-th nearest other item, or to the farthest where the class has fewer."""
    n = len(centred)
    k = min(neighbours, n - 1)
    squares = np.square(centred).sum(1)
    step, out = max(1, _CELLS // n), np.empty(n)
    for low in range(0, n, step):
        part = centred[low : low + step]
        far = squares[low : low + step, None] - 2 * part @ centred.T + squares
        far[np.arange(len(part)), np.arange(low, low + len(part))] = -1  # itself: the first of all
        out[low : low + step] = np.partition(far, k, axis=1)[:, k]
    return np.asarray(-np.sqrt(np.maximum(out, 0)))


def instance_selection(
    scores: Any, labels: Any = None, budget: Budget = 0.5, *, class_weights: Any = None
) -> Weighted:
    """Of each class the densest items, and weights that give the classes the shares they are to have.

    `scores` (n,) as of `density_scores`, `labels` (n,). The `budget` is a count, a share or "50%": of each class the
    same share is kept, at least one. `class_weights` (C,) in the sorted order of labels, as of `class_dro(...).weight`:
    how heavy each class is to be; None gives each class the weight it had before, rounding and small classes undone.
    Rank: by weight, then densest first. `gain` is the score. Raises InputError for a budget that is none, fewer
    places than classes, or scores not finite.
    """
    values = as_floats(scores, "scores")
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InputError(f"scores of shape {values.shape}: (n,) finite numbers are meant")
    codes, names = as_codes(labels) if labels is not None else (np.zeros(len(values), np.int64), ["all"])
    if len(codes) != len(values):
        raise InputError(f"{counted(len(codes), 'label')} for {counted(len(values), 'score')}")
    sizes = np.bincount(codes)
    count = resolve_budget(budget, len(values))
    if count < len(names):
        raise InputError(
            f"budget {count}: each of {counted(len(names), 'class', 'classes')} keeps one item, so {len(names)} at "
            "least"
        )
    quota = _quotas(sizes, count)
    order = np.lexsort((-values, codes))
    place = np.arange(len(values)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = order[place < quota[codes[order]]]
    heavy = np.ones(len(names)) if class_weights is None else as_floats(class_weights, "class_weights")
    if heavy.shape != (len(names),):
        raise InputError(
            f"class_weights of shape {heavy.shape}: one for each of {counted(len(names), 'class', 'classes')}"
        )
    weights = np.zeros(len(values))
    weights[kept] = (heavy * sizes / quota)[codes[kept]]
    found = weigh(weights, f"the densest {count} of {counted(len(values), 'item')}, class by class")
    rank = np.lexsort((found.index, -values[found.index], -found.by_row[found.index]))
    return _ranked(found, rank, values, len(values) / len(kept))


def _quotas(sizes: Ints, count: int) -> Ints:
    """The same share of each class by largest remainders, at least one of each."""
    exact = sizes * (count / sizes.sum())
    quota = np.maximum(1, np.floor(exact)).astype(np.int64)
    while quota.sum() > count:
        over = np.where(quota > 1, quota - exact, -np.inf)
        quota[int(over.argmax())] -= 1
    last = np.argsort(-(exact - quota), kind="stable")
    last = last[quota[last] < sizes[last]]
    quota[last[: count - int(quota.sum())]] += 1
    return np.asarray(quota)


def _ranked(found: Weighted, rank: Ints, values: Floats, scale: float) -> Weighted:
    """In another order, weights with mean 1 over what is kept."""
    index = found.index[rank]
    assert found.weight is not None
    return dataclasses.replace(
        found,
        index=index,
        weight=(found.weight[rank] / scale).astype(np.float32),
        gain=values[index].astype(np.float32),
        by_row=(found.by_row / scale).astype(np.float32),
    )
