"""What each column brings to a combination: how it does alone, and how the others do without it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.combine.calibration import CALIBRATIONS, Calibration, calibrate
from curate.scorers.combine.learning import is_yes_or_no, learn
from curate.scorers.combine.means import check_scores, mean_score, rank_mean, to_ranks
from curate.scorers.combine.metrics import METRICS, resampled, spearman

__all__ = ["Contributions", "Method", "Part", "combine", "contributions", "correlations"]

Method = Literal["rank-mean", "mean", "learned", "linear", "ordinal", "isotonic"]
METHODS = ("rank-mean", "mean", "learned", *CALIBRATIONS)
LEARNING = ("learned", *CALIBRATIONS)
"""Methods that need answers."""
Floats = npt.NDArray[np.float64]
_BLOCK = 1 << 22


def combine(
    scores: npt.NDArray[Any],
    method: Method,
    truth: Any = None,
    *,
    groups: Any = None,
    context: npt.NDArray[Any] | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Floats:
    """Columns (n, c) made one score (n,) by a method of this family.

    `truth` (n,) and `groups` (n,) are read by those that learn: "learned" (`learn`), "linear", "ordinal" and "isotonic"
    (`calibrate`); `context` (n, k) by the last three. Raises InputError for a method that is none, or without answers.
    """
    if method == "rank-mean":
        return rank_mean(scores)
    if method == "mean":
        return mean_score(scores)
    if method not in LEARNING:
        raise InputError(f"method {method!r}: one of {', '.join(METHODS)}")
    if truth is None:
        raise InputError(f"{method} needs answers: name the column that holds them as `truth`")
    if method == "learned":
        return learn(scores, truth, groups=groups, folds=folds, seed=seed).score
    calibration: Calibration = method
    options: dict[str, Any] = {"groups": groups, "context": context, "folds": folds, "seed": seed}
    return calibrate(scores, truth, method=calibration, **options).score


class Part(NamedTuple):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Contributions(NamedTuple):
    """`metric`: which. `items`: how many had an answer and a score. `random`: what a random score would reach.
    `combined`: what the combination reaches; `alone`: each column by itself; `without`: the others, combined without it
    (None for a single column); `gain`: combined minus without, on the same resamplings; `over_best`: combined minus the
    best single column, likewise. `best`: which that is."""

    metric: str
    items: int
    random: float
    combined: Part
    alone: tuple[Part, ...]
    without: tuple[Part | None, ...]
    gain: tuple[Part | None, ...]
    over_best: Part
    best: int


def contributions(
    scores: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    method: Method = "rank-mean",
    *,
    metric: str = "",
    groups: Any = None,
    context: npt.NDArray[Any] | None = None,
    folds: int = 5,
    repeats: int = 400,
    seed: int = 0,
) -> Contributions:
    """What each column brings, measured on the items with an answer.

    `scores` (n, c), `truth` (n,), NaN where unknown, as for `learn`. `metric`: "AP" of finding the items answered 0 or
    "AUROC" where answers are 0 and 1 (the first by default), "SRCC" for numbers. Intervals are percentiles of `repeats`
    resamplings of items with answers, by `seed`, the same for all, so that differences are paired; what was learned is
    not learned again for each. With `groups` (n,) whole groups are resampled, and dealt to the folds of what is learned.
    `context` as for `calibrate`: it stays when a column goes. A missing value of a single column counts as its middle rank.
    Raises InputError where there are fewer than two answers, all are equal, or the metric does not suit them.
    """
    scores, truth = check_scores(scores), as_floats(truth, "truth")
    metric = metric or ("AP" if is_yes_or_no(truth) else "SRCC")
    _check(metric, truth)
    every = list(range(scores.shape[1]))

    def combined(columns: list[int]) -> Floats:
        if np.isnan(scores[:, columns]).all():
            return np.full(len(scores), 0.5)  # nothing is left: no better than chance
        options: dict[str, Any] = {"groups": groups, "context": context, "folds": folds, "seed": seed}
        return combine(scores[:, columns], method, truth, **options)

    whole = combined(every)
    rows = np.flatnonzero(~np.isnan(truth) & ~np.isnan(scores).all(1))
    if len(rows) < 2 or (truth[rows] == truth[rows][0]).all():
        raise InputError(
            f"{counted(len(rows), 'item has', 'items have')} an answer and a score, and not two kinds of answers: "
            "nothing to measure"
        )
    tables = [whole, *to_ranks(scores).T]
    tables += [combined([j for j in every if j != i]) for i in every] if len(every) > 1 else []
    filled = [_fill(table[rows]) for table in tables]
    code = None if groups is None else np.unique(np.asarray(groups)[rows], return_inverse=True)[1]
    values = _measure(metric, truth[rows], filled, (repeats, np.random.default_rng(seed), code))
    alone, others = values[1 : 1 + len(every)], values[1 + len(every) :]
    best = int(np.nan_to_num(alone[:, 0], nan=-np.inf).argmax())
    chance = {"AP": float((truth[rows] == 0).mean()), "AUROC": 0.5, "SRCC": 0.0}[metric]
    return Contributions(
        metric,
        len(rows),
        chance,
        _part(values[0]),
        tuple(_part(one) for one in alone),
        tuple(_part(one) for one in others) or (None,),
        tuple(_part(values[0] - one) for one in others) or (None,),
        _part(values[0] - alone[best]),
        best,
    )


def correlations(scores: npt.NDArray[Any]) -> Floats:
    """Rank correlations of the columns, (c, c), over the items for which both have a value; NaN where one is constant.

    `scores` (n, c), NaN where a column says nothing.
    """
    scores = check_scores(scores)
    c = scores.shape[1]
    found = np.full((c, c), np.nan)
    for i in range(c):
        for j in range(i + 1):
            both = ~np.isnan(scores[:, [i, j]]).any(1)
            if both.any():
                found[i, j] = found[j, i] = spearman(scores[both, i], scores[both, j])
    return found


def _check(metric: str, truth: Floats) -> None:
    if metric not in METRICS:
        raise InputError(f"metric {metric!r}: one of {', '.join(METRICS)}")
    if metric != "SRCC" and not is_yes_or_no(truth):
        raise InputError(f"{metric} is for answers of 0 and 1; these are other numbers: SRCC is meant")


def _fill(score: Floats) -> Floats:
    """Items without a score in the middle of the others: nothing is known of them."""
    known = ~np.isnan(score)
    return np.where(known, score, np.median(score[known]) if known.any() else 0.5)


def _measure(
    metric: str, truth: Floats, tables: list[Floats], plan: tuple[int, np.random.Generator, Any]
) -> Floats:
    """The metric of each table: as it is, then for each resampling, (tables, 1 + repeats)."""
    repeats, rng, code = plan
    n = len(truth)
    drawn = n if code is None else int(code.max()) + 1
    found = [np.array([resampled(metric, truth, table, np.ones((1, n)))[0] for table in tables])]
    block = max(1, _BLOCK // n)
    for low in range(0, repeats, block):
        times = rng.multinomial(drawn, np.full(drawn, 1 / drawn), size=min(block, repeats - low)).astype(
            float
        )
        times = times if code is None else times[:, code]
        found += list(np.array([resampled(metric, truth, table, times) for table in tables]).T)
    return np.array(found).T


def _part(values: Floats) -> Part:
    """The number and the 2.5 and 97.5 percentiles of its resamplings, which hold it."""
    value = float(values[0])
    drawn = values[1:][~np.isnan(values[1:])]
    if not len(drawn) or np.isnan(value):
        return Part(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Part(value, min(float(low), value), max(float(high), value))
