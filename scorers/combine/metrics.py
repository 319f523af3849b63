"""How well a score finds bad items or follows answers, for many resamplings at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.errors import InputError

__all__ = ["METRICS", "average_precision", "measure", "resampled", "roc_area", "spearman"]

Floats = npt.NDArray[np.float64]
METRICS = ("AP", "AUROC", "SRCC")


def average_precision(good: npt.NDArray[Any], score: npt.NDArray[Any]) -> float:
    """How well the lowest scores find the bad items: mean precision over the bad ones, ties as one step.

    `good` (n,) 0 or 1, `score` (n,) higher = good. 1 if all bad come first; at random about the share of bad items.
    NaN without a bad item.
    """
    return measure("AP", good, score)


def roc_area(good: npt.NDArray[Any], score: npt.NDArray[Any]) -> float:
    """The chance that a good item scores higher than a bad one, ties counting half; 0.5 at random. NaN with one kind."""
    return measure("AUROC", good, score)


def spearman(truth: npt.NDArray[Any], score: npt.NDArray[Any]) -> float:
    """Rank correlation of `score` (n,) with `truth` (n,), -1 to 1, 0 at random. NaN where one of them is constant."""
    return measure("SRCC", truth, score)


def measure(metric: str, truth: npt.NDArray[Any], score: npt.NDArray[Any]) -> float:
    """One of `METRICS`. Raises InputError for NaN, another metric, or lengths that differ."""
    return float(resampled(metric, truth, score, np.ones((1, len(truth))))[0])


def resampled(metric: str, truth: npt.NDArray[Any], score: npt.NDArray[Any], times: Floats) -> Floats:
    """One of `METRICS` for many resamplings: (r,).

    `truth`, `score` (n,) without NaN; `times` (r, n): how often each item is in each resampling. Sorting is done once.
    """
    truth, score = as_floats(truth, "truth"), as_floats(score, "score")
    if truth.shape != score.shape or truth.ndim != 1 or np.isnan(truth).any() or np.isnan(score).any():
        raise InputError(f"answers {truth.shape} and scores {score.shape}: (n,) both, without NaN")
    if metric not in METRICS:
        raise InputError(f"metric {metric!r}: one of {', '.join(METRICS)}")
    if not len(truth):
        return np.full(len(times), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "SRCC":
            return _correlation(_mid_ranks(truth, times), _mid_ranks(score, times), times)
        order = np.argsort(score, kind="stable")
        ends = np.flatnonzero(np.diff(score[order], append=np.inf))
        bad = times[:, order] * (truth[order] == 0)
        found = np.cumsum(bad, 1)[:, ends]
        seen = np.cumsum(times[:, order], 1)[:, ends]
        step = np.diff(found, axis=1, prepend=0)
        total, others = found[:, -1], seen[:, -1] - found[:, -1]
        if metric == "AP":
            precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
            return np.asarray((step * precision).sum(1) / total)
        missed = np.diff(seen - found, axis=1, prepend=0)
        return np.asarray((missed * (found - step / 2)).sum(1) / (total * others))


def _mid_ranks(values: Floats, times: Floats) -> Floats:
    """Ranks in each resampling, equal values sharing the mean: (r, n)."""
    _, code = np.unique(values, return_inverse=True)
    size = np.zeros((len(times), int(code.max()) + 1))
    for row, weight in zip(size, times, strict=True):
        row += np.bincount(code, weight, minlength=len(row))
    return (np.cumsum(size, 1) - size / 2)[:, code]


def _correlation(a: Floats, b: Floats, times: Floats) -> Floats:
    total = times.sum(1, keepdims=True)
    a = a - (a * times).sum(1, keepdims=True) / total
    b = b - (b * times).sum(1, keepdims=True) / total
    below = np.sqrt((times * a * a).sum(1) * (times * b * b).sum(1))
    return np.asarray(np.where(below > 0, (times * a * b).sum(1) / below, np.nan))
