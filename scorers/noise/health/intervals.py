"""Intervals of shares, and what many tests at once may claim: closed forms, no randomness."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import require

__all__ = ["Shares", "Z", "holm", "skewed_tail", "wilson"]

Z = 1.959963984540054
"""Half the width of a 95 % interval, in standard errors."""

Floats = npt.NDArray[np.float64]


class Shares(NamedTuple):
    """Shares in [0, 1] with their 95 % intervals: `rate`, `low`, `high`, (k,) float64 each; NaN where undefined."""

    rate: Floats
    low: Floats
    high: Floats


def wilson(rate: Any, size: Any, variance: Any = None) -> Shares:
    """95 % intervals of shares by Wilson's score, which never leave [0, 1] and have width where the share is 0 or 1.

    `rate` (k,) shares; `size` (k,) how many items each rests on. Where a share is a weighted sum, its `variance` (k,)
    says so: the interval is that of the number of items, at most `size`, that would give this variance.
    NaN where the size is 0: nothing is known. Source: Wilson 1927; effective sizes as in Korn and Graubard 1998.
    """
    p, n = np.atleast_1d(np.asarray(rate, float)), np.atleast_1d(np.asarray(size, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        if variance is not None:
            spread = np.atleast_1d(np.asarray(variance, float))
            n = np.where(spread > 0, np.minimum(n, p * (1 - p) / spread), n)
        n = np.where(n > 0, n, np.nan)
        middle = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * np.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        # rounding must not part an interval from its own share
        low, high = np.minimum(np.maximum(middle - half, 0), p), np.maximum(np.minimum(middle + half, 1), p)
    return Shares(np.where(np.isnan(n), np.nan, p), low, high)


def holm(p_values: Any) -> Floats:
    """p-values adjusted for being several: the chance that *any* true null is rejected stays at most the level.

    `p_values` (m,), NaN for tests that were not made. Source: Holm 1979.
    """
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    times = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * times), 1.0) if len(order) else []
    return adjusted


def skewed_tail(z: Any, skewness: Any) -> Floats:
    """The chance that a standardised sum of this skewness exceeds z, by the gamma distribution of those moments.

    `z`, `skewness` (m,). For skewness 0 the normal distribution. Holds far into the tail where few and rare values make
    up a sum, and the normal approximation is off by ten times or more.
    Raises MissingExtraError without the extra `noise` (scipy). Source: Pearson type III, as for permutation tests in
    Mielke and Berry 2007.
    """
    special: Any = require("scipy.special", "noise")
    z, skewness = np.asarray(z, float), np.asarray(skewness, float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shape = np.minimum(4 / skewness**2, 1e12)
        above = special.gammaincc(shape, np.maximum(shape + z * np.sqrt(shape), 0))
        below = special.gammainc(shape, np.maximum(shape - z * np.sqrt(shape), 0))
    tail = np.where(np.abs(skewness) < 1e-3, special.ndtr(-z), np.where(skewness > 0, above, below))
    return np.asarray(np.where(np.isnan(z), np.nan, tail))
