"""How a combination grows with the number of ratings, and whether more of them would pay."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.combine.leave_one_out import LEARNING, Method, Part, combine
from curate.scorers.combine.means import check_scores
from curate.scorers.combine.metrics import spearman

__all__ = ["Growth", "learning_curve"]

Floats = npt.NDArray[np.float64]
_SHARES = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


class Growth(NamedTuple):
    """`ratings` (s,) how many it learned from; `mean`, `low`, `high` (s,) the rank correlation with held-back ratings,
    its mean and the middle 95 % of the splits. `at` the most that was learned from; `doubled`: what twice as many would
    add to the correlation, by the curve, with a 95 % interval of the mean over splits."""

    ratings: npt.NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    at: int
    doubled: Part


def learning_curve(
    scores: npt.NDArray[Any],
    ratings: npt.NDArray[Any],
    method: Method = "linear",
    *,
    groups: Any = None,
    context: npt.NDArray[Any] | None = None,
    repeats: int = 20,
    seed: int = 0,
) -> Growth:
    """Learn from ever more of the ratings, and test on a quarter that is always held back.

    Arguments as for `contributions`; `repeats` splits, whole groups on one side, drawn with `seed`. What doubling adds
    is read off SRCC = a - b / ratings, fitted to the three largest sizes, b not below 0: an extrapolation, which is to
    say a guess with an interval of the splits alone.
    Raises InputError where a tenth of what is learned from would be fewer than 10 ratings, or 8 groups are lacking.
    """
    if method not in LEARNING:
        raise InputError(f"method {method!r} learns nothing: one of {', '.join(LEARNING)}")
    if repeats < 5:
        raise InputError(f"repeats={repeats}: at least 5")
    scores, ratings = check_scores(scores), as_floats(ratings, "ratings")
    known = np.flatnonzero(~np.isnan(ratings) & ~np.isnan(scores).all(1))
    code = np.unique(known if groups is None else np.asarray(groups)[known], return_inverse=True)[1]
    count = int(code.max()) + 1 if len(code) else 0
    if count < 8 or len(known) < 60:
        raise InputError(
            f"{counted(len(known), 'rating')} of {counted(count, 'group')}: a curve takes at least 60 of 8 groups"
        )
    rng = np.random.default_rng(seed)
    sizes = np.zeros((repeats, len(_SHARES)))
    found = np.full((repeats, len(_SHARES)), np.nan)
    extra = None if context is None else as_floats(context, "context")[known]
    for repeat in range(repeats):
        place = rng.permutation(count)[code]  # a group's turn
        test = place >= count - max(2, count // 4)
        most = count - max(2, count // 4)
        for i, share in enumerate(_SHARES):
            train = place < max(4, round(share * most))
            sizes[repeat, i] = train.sum()
            if train.sum() < 10 or np.ptp(ratings[known][train]) == 0:
                continue
            truth = np.where(train, ratings[known], np.nan)
            options: dict[str, Any] = {"groups": code, "context": extra, "folds": 3, "seed": seed}
            try:
                predicted = combine(scores[known], method, truth, **options)
            except InputError:
                continue  # too few of a kind at this size
            found[repeat, i] = spearman(ratings[known][test], predicted[test])
    return _summary(sizes, found, rng)


def _summary(sizes: Floats, found: Floats, rng: np.random.Generator) -> Growth:
    usable: npt.NDArray[np.bool_] = np.asarray(~np.isnan(found).all(0), np.bool_)
    if not usable[-1]:
        raise InputError("nothing could be learned from these ratings in any split: too few of a kind")
    sizes, found = sizes[:, usable], found[:, usable]
    low, high = np.nanquantile(found, [0.025, 0.975], axis=0)
    ratings = np.round(sizes.mean(0)).astype(np.int64)
    draws = rng.integers(0, len(found), (400, len(found)))
    gains = [_gain(sizes.mean(0), np.nanmean(found[rows], 0)) for rows in draws]
    value = _gain(sizes.mean(0), np.nanmean(found, 0))
    doubled = Part(value, *(float(q) for q in np.nanquantile(gains, [0.025, 0.975])))
    return Growth(ratings, np.nanmean(found, 0), low, high, int(ratings[-1]), doubled)


def _gain(sizes: Floats, means: Floats) -> float:
    """b / (2 m): what a - b / m gains from m to 2 m."""
    tail = slice(-3, None)
    if len(sizes) < 2:
        return float("nan")
    x, y = -1 / sizes[tail], means[tail]
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return max(slope, 0.0) / (2 * float(sizes[-1]))
