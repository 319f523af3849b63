"""Moderate coresets: of each class the items at a middling distance from its centre."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, at_random, highest
from curate.contracts import Budget, Selection
from curate.selectors.coreset.rows import Floats, Ints, generator
from curate.selectors.coreset.sources import Source, rows_of

__all__ = ["moderate"]


def moderate(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: np.random.Generator | None = None,
    within: Constraints | None = None,
) -> Selection:
    """Choose of each group of `within` (its classes) the rows of `x` (n, d) whose distance from the group's
    coordinate-wise median is in the middle of all such distances: neither the typical nor the strange.

    With q the quantile of a distance in its group, 1 - |2 q - 1| is the `gain`, and the highest are chosen: a band
    around the median as wide as the group's share of the budget. `random` is the mean of that, here and at random.
    Equal ones go to the lower row. Time n d, memory a copy of x. Raises InputError as `Constraints.terms` does, and for
    rows that are not finite. Source: Xia et al. (ICLR 2023).
    """
    meter, rng = Meter(), generator(rng)
    source = rows_of(x)
    terms = (within or Constraints()).terms(len(source), budget)
    gain = np.empty(len(source), np.float32)
    order = np.argsort(terms.group, kind="stable")
    groups = np.split(order, np.searchsorted(terms.group[order], np.arange(1, len(terms.left))))
    for rows, own in zip(groups, source.share(_middling_of, groups), strict=True):
        gain[rows] = own
    index, other = highest(terms, gain), at_random(terms, rng)
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=gain[index],
        random={"objective": float(gain[index].mean()), "random": float(gain[other].mean())},
        **meter.read(),
    )


def _middling_of(source: Source, rows: Ints) -> Floats:
    return _middling(source.take(rows))


def _middling(x: Floats) -> Floats:
    """1 - |2 q - 1| of each row, q the quantile of its distance from the median: (n,) in [0, 1]."""
    if not len(x):
        return np.empty(0, np.float32)
    gap = x - np.median(x, axis=0).astype(np.float32)
    order = np.argsort(np.einsum("ij,ij->i", gap, gap), kind="stable")
    quantile = np.empty(len(x))
    quantile[order] = (np.arange(len(x)) + 0.5) / len(x)
    return (1 - np.abs(2 * quantile - 1)).astype(np.float32)
