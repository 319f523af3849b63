"""Are items alike that came together? Permutation tests over an order and over sources, on neighbours and on means.

Under the null, which position or source an item has says nothing about what it is: shuffling positions over the items
then changes nothing, and how often a shuffle looks as extreme as the data is the p-value, exact for any data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = ["OrderDrift", "Shift", "mean_shift", "order_drift", "source_drift"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class OrderDrift(NamedTuple):
    """`ratio`: how far apart neighbours lie in the order, as a fraction of what shuffled orders give; 1 = no drift.
    `z`: by how many standard deviations of shuffles it is below their mean. `p`: of "no drift", at least 1 / (1 + m)."""

    ratio: float
    z: float
    p: float


class Shift(NamedTuple):
    """Per group, (g,) each: `size`, items; `value`, what was measured; `chance`, its mean over shuffles; `limit`, what
    95 % of shuffles stay under in *all* groups at once; `p`, adjusted for the number of groups (maximum over groups,
    Westfall and Young 1993), NaN for a group with too few items."""

    size: Rows
    value: Floats
    chance: Floats
    limit: Floats
    p: Floats


def order_drift(
    neighbours: npt.NDArray[Any], position: npt.NDArray[Any], *, permutations: int = 499, seed: int = 0
) -> OrderDrift:
    """Whether nearest neighbours lie closer together in an order than chance would have them.

    `neighbours` (n, k) int64, rows of each item's nearest neighbours; `position` (n,) numbers, the place in the order
    (equal places are allowed). The statistic is the mean absolute difference of position over all pairs of neighbours:
    it falls where the data drift, come in blocks, or repeat what was seen shortly before.
    Raises InputError where shapes do not fit or there are fewer than three items.
    cleanlab's `non_iid` compares the distribution of the same differences by a Kolmogorov-Smirnov statistic.
    """
    _check(neighbours, position)
    rng = np.random.default_rng(seed)
    place = np.asarray(position, float)

    def spread(at: Floats) -> float:
        return float(np.abs(at[:, None] - at[neighbours]).mean())

    seen = spread(place)
    shuffled = np.array([spread(rng.permutation(place)) for _ in range(permutations)])
    mean, deviation = float(shuffled.mean()), float(shuffled.std())
    if not deviation > 1e-12 * max(mean, 1e-300):  # one position for all: no order to speak of
        return OrderDrift(1.0, 0.0, 1.0)
    p = (1 + int((shuffled <= seen).sum())) / (1 + permutations)
    return OrderDrift(seen / mean, (mean - seen) / deviation, p)


def source_drift(
    neighbours: npt.NDArray[Any],
    sources: Rows,
    *,
    alpha: float = 0.05,
    permutations: int = 499,
    smallest: int = 5,
    seed: int = 0,
) -> Shift:
    """Which sources' items have more neighbours of their own source than chance would give them.

    `neighbours` (n, k) int64, `sources` (n,) int64 from 0, each item's source. `value` is the share of the neighbours of
    a source's items that are of that source; a source of fewer than `smallest` items is not tested.
    A source apart leaves the others more to themselves than chance would. So it is one source at a time: the one that
    stands out most is told, if its p is below `alpha`, then taken away, and the others are compared among themselves;
    of two that are left and differ, both are told. Value, chance, limit and p are those at that turn; p never falls.
    Raises InputError where shapes do not fit, a source is negative, or there are fewer than three items.
    Source: Schilling 1986, Henze 1988 (nearest-neighbour two-sample test); the step-down is ours.
    """
    _check(neighbours, sources)
    count, k = _groups(sources), neighbours.shape[1]
    size = np.bincount(sources, minlength=count)
    start, end = np.repeat(np.arange(len(sources)), k), neighbours.ravel()
    told = Shift(size, *(np.full(count, np.nan) for _ in range(4)))
    left, least = size > 0, 0.0
    while True:
        held = left[sources]
        here = held[start] & held[end]
        edges = start[here], end[here]
        step = _own_share(edges, np.where(held, sources, -1), count, (permutations, smallest, seed))
        p = np.where(np.isnan(step.p), np.nan, np.fmax(step.p, least))
        for all_steps, this in zip(told[1:], (*step[1:4], p), strict=True):
            all_steps[left] = this[left]
        open_ = np.flatnonzero(left & ~np.isnan(p))
        if not len(open_) or np.min(p[open_]) >= alpha:
            return told
        excess = (step.value - step.chance) / np.maximum(step.limit - step.chance, 1e-300)
        first = open_[np.lexsort((-excess[open_], p[open_]))[0]]
        least = float(p[first])
        if len(open_) <= 2:
            told.p[open_] = least  # of two, each differs from the other
            return told
        left[first] = False


def _own_share(edges: tuple[Rows, Rows], codes: Rows, count: int, plan: tuple[int, int, int]) -> Shift:
    """The share of edges from each group that end in it, over shuffles of the codes that are not negative."""
    held = np.flatnonzero(codes >= 0)
    place = np.full(len(codes), -1)
    place[held] = np.arange(len(held))
    start, end, codes = place[edges[0]], place[edges[1]], codes[held]
    size = np.bincount(codes, minlength=count)

    def share(shuffled: Rows) -> Floats:
        source = shuffled[start]
        own = np.bincount(source, source == shuffled[end], minlength=count)
        return own / np.maximum(np.bincount(source, minlength=count), 1)

    return _by_maximum(share, codes, size, plan)


def mean_shift(
    vectors: npt.NDArray[Any], groups: Rows, *, permutations: int = 499, smallest: int = 5, seed: int = 0
) -> Shift:
    """Whether the mean vector of a group lies further from the mean of all than chance would put it.

    `vectors` (n, d) finite numbers (an embedding; one-hot labels, for the shares of classes); `groups` (n,) int64 from
    0 (stretches of an order, or sources). `value` is the squared distance of the means as a multiple of what a random
    group of this size has on average: about 1 without a shift, growing with the group where there is one.
    Raises InputError where shapes do not fit, a group is negative, or there are fewer than three items.
    """
    x = np.asarray(vectors, np.float32)
    _check(x, groups)
    count, n = _groups(groups), len(x)
    size = np.bincount(groups, minlength=count)
    x = x - x.mean(0, dtype=np.float64).astype(np.float32)
    spread = float((x**2).sum(dtype=np.float64)) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = spread / size * (n - size) / (n - 1)
    expected = np.where(np.isfinite(expected) & (expected > 0), expected, np.inf)
    order = np.argsort(groups, kind="stable")
    filled = np.flatnonzero(size)
    starts = np.searchsorted(groups[order], filled)

    def distance(codes: Rows) -> Floats:
        """`codes` are the groups shuffled; x is summed in the order of a shuffle that gives the same sizes."""
        rows = order if codes is groups else np.argsort(codes, kind="stable")
        sums = np.zeros((count, x.shape[1]))
        sums[filled] = np.add.reduceat(x[rows], starts, axis=0, dtype=np.float64)
        return np.asarray((sums**2).sum(1) / np.maximum(size, 1) ** 2 / expected)

    return _by_maximum(distance, groups, size, (permutations, smallest, seed))


def _by_maximum(measure: Any, codes: Rows, size: Rows, plan: tuple[int, int, int]) -> Shift:
    """What `measure` says of the groups, beside shuffles of the codes, the p-values adjusted by the maximum."""
    permutations, smallest, seed = plan
    rng = np.random.default_rng(seed)
    seen = measure(codes)
    shuffled = np.array([measure(rng.permutation(codes)) for _ in range(permutations)])
    mean, deviation = shuffled.mean(0), shuffled.std(0)
    tested = (size >= smallest) & (size < len(codes)) & (deviation > 1e-12)
    p, limit = np.full(len(size), np.nan), np.full(len(size), np.nan)
    if tested.any():
        scale = np.where(tested, deviation, 1.0)
        top = ((shuffled - mean) / scale)[:, tested].max(1)
        z = (seen - mean) / scale
        p[tested] = (1 + (top[:, None] >= z[tested] - 1e-12).sum(0)) / (1 + permutations)
        limit[tested] = (mean + np.quantile(top, 0.95) * scale)[tested]
    return Shift(size, seen, mean, limit, p)


def _groups(codes: Rows) -> int:
    if codes.min(initial=0) < 0:
        raise InputError("a negative group: leave items without one out")
    return int(codes.max(initial=-1)) + 1


def _check(rows: npt.NDArray[Any], each: npt.NDArray[Any]) -> None:
    if rows.ndim != 2 or each.shape != rows.shape[:1]:
        raise InputError(f"{rows.shape} rows and {each.shape} positions or groups: (n, k) and (n,) are meant")
    if len(rows) < 3:
        raise InputError(f"{counted(len(rows), 'item')}: drift needs at least three")
    if not np.isfinite(each).all() or not np.isfinite(rows).all():
        raise InputError("NaN among vectors, positions or groups: leave such items out")
