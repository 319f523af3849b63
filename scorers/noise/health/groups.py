"""Groups of items that are worse than the rest, counted so that many groups do not make a false alarm."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.noise.health.intervals import Z, holm, skewed_tail, wilson

__all__ = ["GroupComparison", "compare_groups"]

Floats = npt.NDArray[np.float64]


class GroupComparison(NamedTuple):
    """Per group, (g,) each. `size`: items with a value. `mean`, `low`, `high`: of the value, with its 95 % interval.
    `rest`: the mean of all items outside the group. `p`: of "as good as the rest", adjusted for the number of groups
    (Holm); NaN where a group was not tested. `worse`: significantly, and by enough."""

    size: npt.NDArray[np.int64]
    mean: Floats
    low: Floats
    high: Floats
    rest: Floats
    p: Floats
    worse: npt.NDArray[np.bool_]


def compare_groups(
    values: npt.NDArray[Any],
    groups: npt.NDArray[np.int64],
    *,
    alpha: float = 0.05,
    least: float = 0.0,
    smallest: int = 10,
) -> GroupComparison:
    """Which groups have lower values than the rest of the items.

    `values` (n,) finite numbers, higher = better, NaN left out; `groups` (n,) int64 from 0, negative for none (such items
    count among the rest). A group of fewer than `smallest` items is described and not tested.
    The mean of each group is compared with those of random groups of its size, drawn from all items, one-sided: exactly
    (hypergeometric) where values are of two kinds, else by the first three moments of such means, which are known
    (`skewed_tail`): a few wrong labels among many right ones make scores far from normal. p-values are adjusted by Holm: whatever the number of groups, the chance of any false
    alarm is at most `alpha`. A group is `worse` if in addition its mean lies at least `least` below that of the rest.
    Intervals: Wilson for shares, else normal on the group's own standard error (infinite for one item).
    Raises InputError where lengths differ or a value is infinite; MissingExtraError without the extra `noise` (scipy).
    """
    values, groups = np.asarray(values, float), np.asarray(groups, np.int64)
    if values.shape != groups.shape or values.ndim != 1:
        raise InputError(f"values of shape {values.shape} and groups of shape {groups.shape}: (n,) both")
    if np.isinf(values).any():
        raise InputError(
            f"{counted(np.isinf(values).sum(), 'value is', 'values are')} infinite, and have no mean: bound them first"
        )
    count = int(groups.max(initial=-1)) + 1
    known = ~np.isnan(values)
    values, groups = values[known], groups[known]
    held = groups >= 0
    size = np.bincount(groups[held], minlength=count)
    total = np.bincount(groups[held], values[held], minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / size
        rest = (values.sum() - total) / (len(values) - size)
    kinds = np.unique(values)
    if set(kinds.tolist()) <= {0.0, 1.0}:
        interval = wilson(mean, size)
        low, high = interval.low, interval.high
    else:
        low, high = _normal(values[held], groups[held], mean, size)
    p = np.full(count, np.nan)
    if len(kinds) == 2:
        p = _exact(
            size, np.bincount(groups[held], values[held] == kinds[0], minlength=count), values == kinds[0]
        )
    elif len(kinds) > 2:
        p = _by_moments(values, mean, size)
    p[(size < smallest) | (size == len(values))] = np.nan
    p = holm(p)
    with np.errstate(invalid="ignore"):
        worse = (p < alpha) & (rest - mean >= least) & (rest > mean)
    return GroupComparison(size, mean, low, high, rest, p, worse)


def _normal(
    values: Floats, groups: npt.NDArray[np.int64], mean: Floats, size: npt.NDArray[np.int64]
) -> tuple[Floats, Floats]:
    squares = np.bincount(groups, (values - mean[groups]) ** 2, minlength=len(size))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where(size > 1, Z * np.sqrt(squares / np.maximum(size - 1, 1) / size), np.inf)
    return mean - half, mean + half


def _exact(size: npt.NDArray[np.int64], bad: npt.NDArray[Any], is_bad: npt.NDArray[np.bool_]) -> Floats:
    """Chance that so many of the bad items fall into a group of this size if they fall at random."""
    stats: Any = require("scipy.stats", "noise")
    return np.asarray(stats.hypergeom.sf(bad - 1, len(is_bad), int(is_bad.sum()), size), float)


def _by_moments(values: Floats, mean: Floats, size: npt.NDArray[np.int64]) -> Floats:
    """Chance that a random group of this size, drawn without replacement, has as low a mean."""
    n = len(values)
    bad = values.mean() - values
    spread = float(bad.std())
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (values.mean() - mean) / (spread * np.sqrt((n - size) / (size * (n - 1))))
        drawn = (n - 2 * size) * np.sqrt(n - 1) / ((n - 2) * np.sqrt(size * (n - size)))
        skewness = float((bad**3).mean()) / spread**3 * drawn
    usable = np.isfinite(z) & np.isfinite(skewness)
    p = np.full(len(size), np.nan)
    p[usable] = skewed_tail(z[usable], skewness[usable])
    return p
