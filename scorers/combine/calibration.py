"""Scores put on the scale of people's ratings: weights, none of them negative, learned from some hundred ratings."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.combine.means import check_scores

__all__ = ["CALIBRATIONS", "Calibrated", "Calibration", "calibrate", "deal_groups"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Calibration = Literal["linear", "ordinal", "isotonic"]
CALIBRATIONS = ("linear", "ordinal", "isotonic")
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Tried by cross-validation, in ratings: with as many ratings as the penalty says, what columns add to their common
mean is halved."""
_FREE = 30.0
"""How much more lightly the common mean is held than what single columns add to it."""
_CLIP = 5.0
_ROUGH = 100.0
"""The penalty of the first fit, whose residuals say how far groups differ."""


class Calibrated(NamedTuple):
    """`score` (n,) float64 on the scale of the ratings, NaN where no column has a value. `weights` (c,) float64: what
    one standard deviation of each column adds to the rating (to its log-odds for "ordinal"), `context` (k,) float64
    likewise, in the model of all ratings. `penalty`: its penalty. `folds`: how many it came to."""

    score: Floats
    weights: Floats
    context: Floats
    penalty: float
    folds: int


def calibrate(
    scores: npt.NDArray[Any],
    ratings: npt.NDArray[Any],
    *,
    groups: Any = None,
    context: npt.NDArray[Any] | None = None,
    method: Calibration = "linear",
    folds: int = 5,
    seed: int = 0,
) -> Calibrated:
    """A combination of columns on the scale of people's ratings, out of fold for the items that have one.

    `scores` (n, c) in any units, each higher = better, NaN where a column says nothing (its mean then); `ratings` (n,)
    numbers, NaN where nobody rated. `groups` (n,) any values: items of one group, as all images of one prompt, are
    never on both sides of a fold, and what is peculiar to a group counts once, not once an item. `context` (n, k) numbers that are not scores, as the length of the text or which
    model made the image (0 and 1): they too may move the rating, either way.

    Linear: a ridge regression on standardised values in which no column counts against itself, and weights are drawn
    towards a common mean in which columns that say the same share one voice (each is weighed by 1 / sum of its squared
    correlations). How strongly is chosen by cross-validation within the training folds. With groups the weights
    are those of a model in which each group has a level of its own (a random intercept, by generalised least squares:
    Fuller, Battese 1973), so that the easy and the hard prompts do not pass for what columns are worth. Ordinal: proportional odds
    (McCullagh 1980) on the same terms, and the rating expected; for ratings of few levels. Isotonic: the linear score
    through the best rising staircase: on the scale of the ratings by mean, at the price of ties. A single column is
    calibrated likewise. All folds share one mean: a fold's own is low just where its held-back ratings are high, which
    would disorder items of different folds. Items in the order of their ids, for a result that does not depend on the order of rows.

    Raises InputError for fewer than 10 ratings, two groups with ratings, ratings that are all equal, or infinities.
    """
    if method not in CALIBRATIONS:
        raise InputError(f"method {method!r}: linear, ordinal or isotonic")
    scores, ratings = check_scores(scores), as_floats(ratings, "ratings")
    extra = np.empty((len(scores), 0)) if context is None else as_floats(context, "context")
    if ratings.shape != scores.shape[:1] or extra.ndim != 2 or len(extra) != len(scores):
        raise InputError(
            f"{ratings.shape} ratings, context {extra.shape}: one row of each for {counted(len(scores), 'item')}"
        )
    if np.isinf(scores).any() or np.isinf(extra).any():
        raise InputError("a column holds infinite values: make them null, or combine ranks (method learned)")
    some = ~np.isnan(scores).all(1)
    known = np.flatnonzero(~np.isnan(ratings) & some)
    y = ratings[known]
    _check(y, folds)
    own = np.unique(known if groups is None else np.asarray(groups)[known], return_inverse=True)[1]
    fold, folds = deal_groups(own, folds, seed)
    table = np.hstack([scores, extra])
    rated, split = _Rated(table[known], y, fold, own), scores.shape[1]
    predicted = np.full(len(scores), np.nan)
    for held in range(folds):
        train = fold != held
        found = _train(rated.take(train), split, method).predict(rated.table[~train])
        found += y.mean() - y[train].mean()
        predicted[known[~train]] = found if method == "linear" else np.clip(found, y.min(), y.max())
    model = _train(rated, split, method)
    others = np.flatnonzero(some & np.isnan(ratings))
    predicted[others] = model.predict(table[others])
    weights = model.weights()
    return Calibrated(predicted, weights[:split], weights[split:], model.penalty, folds)


def deal_groups(groups: Any, folds: int, seed: int) -> tuple[Ints, int]:
    """The fold of each item, whole groups together, groups dealt in an order drawn by `seed`; and how many folds.

    Raises InputError where there are fewer than two groups.
    """
    code = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(code.max()) + 1 if len(code) else 0
    if count < 2:
        raise InputError(f"items with an answer are of {count} group: cross-validation by group takes two")
    folds = min(folds, count)
    return np.random.default_rng(seed).permutation(np.arange(count) % folds)[code].astype(np.int64), folds


def _check(y: Floats, folds: int) -> None:
    if len(y) < 10:
        raise InputError(
            f"{counted(len(y), 'item has', 'items have')} both a rating and a score: it takes at least 10 to learn "
            "from, better some hundred"
        )
    if not np.isfinite(y).all():
        raise InputError("a rating is infinite: give numbers, or null")
    if np.ptp(y) == 0:
        raise InputError(
            f"all {counted(len(y), 'rating is', 'ratings are')} {y[0]:g}: nothing can be learned from them"
        )
    if folds < 2:
        raise InputError(f"folds={folds}: cross-validation needs at least two")


class _Rated(NamedTuple):
    """Columns and context (n, c), rating, fold and group of each rated item."""

    table: Floats
    y: Floats
    fold: Ints
    group: Ints

    def take(self, rows: npt.NDArray[np.bool_]) -> _Rated:
        return _Rated(self.table[rows], self.y[rows], self.fold[rows], self.group[rows])


class _Model:
    """Standardised columns, their common mean, and what each adds; then a staircase or odds, where asked for."""

    def __init__(self, table: Floats, split: int) -> None:
        self.split, self.penalty = split, float("nan")
        known = ~np.isnan(table)
        count = np.maximum(known.sum(0), 1)
        self._middle = np.where(known, table, 0).sum(0) / count
        width = np.sqrt(np.where(known, (table - self._middle) ** 2, 0).sum(0) / count)
        self._width = np.where(width > 0, width, np.inf)  # a constant column says nothing
        z = self._standard(table)[:, :split]
        norm = np.sqrt((z * z).sum(0))
        alike = (z.T @ z) / np.maximum(np.outer(norm, norm), 1e-12)
        share = np.where(norm > 0, 1 / np.maximum((alike**2).sum(1), 1e-12), 0.0)
        self._share = share / max(float(share.sum()), 1e-12)
        self.coefficients = np.zeros(1 + split + 2 * (table.shape[1] - split))
        self.start = 0.0
        self.levels = self.cuts = self.stairs = np.empty(0)

    def _standard(self, table: Floats) -> Floats:
        z = np.nan_to_num((table - self._middle) / self._width)
        return np.asarray(np.clip(z, -_CLIP, _CLIP), np.float64)

    def features(self, table: Floats) -> Floats:
        """The common mean, each column, and context both ways round, so that no coefficient need be negative."""
        z = self._standard(table)
        own, context = z[:, : self.split], z[:, self.split :]
        return np.hstack([_FREE * (own @ self._share)[:, None], own, context, -context])

    def weights(self) -> Floats:
        """What one standard deviation of each column adds."""
        mean, own, context = np.split(self.coefficients, [1, 1 + self.split])
        half = len(context) // 2
        return np.concatenate([_FREE * mean * self._share + own, context[:half] - context[half:]])

    def predict(self, table: Floats) -> Floats:
        linear = np.asarray(self.start + self.features(table) @ self.coefficients, np.float64)
        if len(self.cuts):
            above = _sigmoid(linear[:, None] - self.cuts)
            return np.asarray(self.levels[0] + above @ np.diff(self.levels), np.float64)
        if len(self.stairs):
            return np.asarray(np.interp(linear, self.levels, self.stairs), np.float64)
        return np.asarray(linear, np.float64)


def _train(rated: _Rated, split: int, method: str) -> _Model:
    model = _fit_linear(rated.table, rated.y, split, _choose_penalty(rated, split), group=rated.group)
    if method == "ordinal":
        _fit_ordinal(model, rated.table, rated.y)
    if method == "isotonic":
        model.levels, model.stairs = _staircase(model.predict(rated.table), rated.y)
    return model


def _choose_penalty(rated: _Rated, split: int) -> float:
    """Of equal ones the strongest; the folds are those of the outer cross-validation."""
    losses = np.zeros(len(PENALTIES))
    for held in np.unique(rated.fold):
        train = rated.fold != held
        if not train.any() or train.all():
            continue
        some, rest = rated.take(train), rated.take(~train)
        model = _Model(some.table, split)
        sums, features = _Sums(model.features(some.table), some.y, some.group), model.features(rest.table)
        for i, penalty in enumerate(PENALTIES):
            coefficients, start = sums.solve(penalty)
            losses[i] += float(((rest.y - start - features @ coefficients) ** 2).sum())
    return PENALTIES[len(PENALTIES) - 1 - int(losses[::-1].argmin())]


class _Sums:
    """What least squares needs of its rows, so that each penalty costs a small problem only.

    With groups, from the values less a share of their group's mean, the rows' errors made independent by that.
    """

    def __init__(self, features: Floats, y: Floats, group: Ints | None = None) -> None:
        self.centre, self.mean = features.mean(0), float(y.mean())
        apart, wanted = features - self.centre, y - self.mean
        self.gram, self.right = apart.T @ apart, apart.T @ wanted
        if group is None:
            return
        code, size = np.unique(group, return_inverse=True, return_counts=True)[1:]
        left = wanted - apart @ self.solve(_ROUGH)[0]
        share = _common_share(left, code, size)[code]
        if share.any():
            wanted = wanted - share * _group_means(wanted[:, None], code, size)[code, 0]
            apart = apart - share[:, None] * _group_means(apart, code, size)[code]
            self.gram, self.right = apart.T @ apart, apart.T @ wanted

    def solve(self, penalty: float) -> tuple[Floats, float]:
        """Coefficients, none negative, and the intercept."""
        optimize: Any = require("scipy.optimize", "noise")
        p = len(self.right)
        factor = np.linalg.cholesky(self.gram + penalty * np.eye(p))  # n rows as p
        found = optimize.nnls(factor.T, np.linalg.solve(factor, self.right), maxiter=100 * p)[0]
        return np.asarray(found, np.float64), self.mean - float(self.centre @ found)


def _group_means(values: Floats, code: Ints, size: Ints) -> Floats:
    """(g, c): the means of the groups."""
    sums = [np.bincount(code, column, minlength=len(size)) for column in values.T]
    return np.asarray(np.column_stack(sums) / size[:, None], np.float64)


def _common_share(left: Floats, code: Ints, size: Ints) -> Floats:
    """Of each group (g,) the share of its mean to take off, from the variances of what is left within and between groups
    (analysis of variance): 0 where groups do not differ or hold one item each, towards 1 the more they do."""
    n, groups = len(left), len(size)
    if groups == n or groups < 2:
        return np.zeros(groups)
    mean = np.bincount(code, left) / size
    within = float(((left - mean[code]) ** 2).sum()) / (n - groups)
    spread = float((size * (mean - left.mean()) ** 2).sum()) / (groups - 1)
    between = max(0.0, (spread - within) * (groups - 1) / (n - float((size**2).sum()) / n))
    if between == 0:
        return np.zeros(groups)
    return np.asarray(1 - np.sqrt(within / (within + size * between)), np.float64)


def _fit_linear(table: Floats, y: Floats, split: int, penalty: float, *, group: Ints | None = None) -> _Model:
    model = _Model(table, split)
    model.coefficients, model.start = _Sums(model.features(table), y, group).solve(penalty)
    model.penalty = penalty
    return model


def _fit_ordinal(model: _Model, table: Floats, y: Floats) -> None:
    """Proportional odds: log-odds of a rating above each cut = linear score - cut. Cuts as a first and steps upwards."""
    optimize: Any = require("scipy.optimize", "noise")
    levels, code = np.unique(y, return_inverse=True)
    features = model.features(table)
    p, k = features.shape[1], len(levels)
    share = (np.cumsum(np.bincount(code))[:-1] + 0.5) / (len(y) + 1)
    odds = np.log(share / (1 - share))
    start = np.concatenate([np.maximum(model.coefficients, 0), [odds[0]], np.maximum(np.diff(odds), 1e-3)])
    bounds = [(0, None)] * p + [(None, None)] + [(1e-4, None)] * (k - 2)
    ridge = model.penalty / 3  # the logistic has a variance of pi^2 / 3 where the normal has 1

    def loss(b: Floats) -> tuple[float, Floats]:
        cuts = np.concatenate([[-np.inf], np.cumsum(b[p:]), [np.inf]])
        linear = features @ b[:p]
        high, low = _sigmoid(cuts[code + 1] - linear), _sigmoid(cuts[code] - linear)
        chance = np.maximum(high - low, 1e-12)
        up, down = high * (1 - high) / chance, low * (1 - low) / chance
        slope = np.zeros(k + 1)
        np.add.at(slope, code + 1, -up)
        np.add.at(slope, code, down)
        by_cut = np.cumsum(slope[1:k][::-1])[::-1]  # each step moves all cuts after it
        gradient = np.concatenate([features.T @ (up - down) + ridge * b[:p], by_cut])
        return float(-np.log(chance).sum() + ridge / 2 * (b[:p] @ b[:p])), gradient

    done = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    model.coefficients, model.start = np.asarray(done.x[:p], np.float64), 0.0
    model.levels, model.cuts = levels, np.cumsum(done.x[p:])


def _staircase(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Isotonic regression of y on x: the places, and the heights there, equal places pooled."""
    optimize: Any = require("scipy.optimize", "noise")
    places, code, count = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(code, y) / count
    fitted = optimize.isotonic_regression(means, weights=count.astype(float))
    return places, np.asarray(fitted.x, np.float64)


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))), np.float64)
