"""Combinations that need no answers: the mean of ranks, and the mean of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.errors import InputError

__all__ = ["check_scores", "mean_score", "rank_mean", "to_ranks"]

Floats = npt.NDArray[np.float64]


def check_scores(scores: npt.NDArray[Any]) -> Floats:
    """Scores as (n, c) float64. Raises InputError for another shape or no column."""
    array = as_floats(scores, "scores")
    if array.ndim != 2 or not array.shape[1]:
        raise InputError(f"scores of shape {array.shape}: (items, columns), with at least one column")
    return array


def to_ranks(scores: npt.NDArray[Any]) -> Floats:
    """Each column as ranks in (0, 1): (r - 1/2) / m among its m values, equal values sharing the mean; NaN stays NaN.

    `scores` (n, c). A constant column is 1/2 throughout.
    """
    import polars as pl

    scores = check_scores(scores)
    ranks = np.full(scores.shape, np.nan)
    for column in range(scores.shape[1]):
        held = np.flatnonzero(~np.isnan(scores[:, column]))
        if len(held):
            rank = pl.Series(scores[held, column]).rank("average").to_numpy()
            ranks[held, column] = (rank - 0.5) / len(held)
    return ranks


def rank_mean(scores: npt.NDArray[Any]) -> Floats:
    """The mean of an item's ranks over the columns: (n,) in (0, 1), higher = keep.

    `scores` (n, c) in any units, higher = keep, NaN where a column says nothing: it then counts as the middle rank,
    which moves the item neither way. NaN where no column says anything. Depends on which other items there are.
    """
    ranks = to_ranks(scores)
    return _mean(ranks, np.full(ranks.shape[1], 0.5))


def mean_score(scores: npt.NDArray[Any]) -> Floats:
    """The mean of an item's values over the columns: (n,), higher = keep. For scores on one scale, as [0, 1].

    `scores` (n, c) as for `rank_mean`; a missing value counts as the mean of its column. Raises InputError for infinite
    values, of which there is no mean.
    """
    scores = check_scores(scores)
    infinite = np.flatnonzero(np.isinf(scores).any(0))
    if len(infinite):
        raise InputError(
            f"column {infinite[0]} holds infinite values, of which there is no mean: combine ranks"
        )
    known = ~np.isnan(scores)
    middle = np.nansum(scores, 0) / np.maximum(known.sum(0), 1)
    return _mean(scores[:, known.any(0)], middle[known.any(0)])


def _mean(values: Floats, middle: Floats) -> Floats:
    known = ~np.isnan(values)
    total = np.where(known, values, middle).sum(1) / max(values.shape[1], 1)
    return np.where(known.any(1), total, np.nan)
