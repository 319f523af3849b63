"""Confident learning with two classes, for many yes-or-no labels at once, without a matrix of classes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["BinaryFilter", "binary_issues", "binary_thresholds", "exponential_average"]

BinaryFilter = Literal["prune_by_noise_rate", "confident_learning", "predicted_neq_given"]
_LOWEST = 2e-6
_SLACK = 1e-6
_NOBODY = 2.0
"""The threshold of a side that no item is on: nothing reaches it."""
_BLOCK = 1 << 22
"""Numbers sorted at a time."""


def binary_thresholds(p: npt.NDArray[Any], given: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """How sure the model is on average where the label is absent and where it is present: (t_0, t_1).

    `p` (n,) probabilities of the label, `given` (n,) whether items have it. t_0 is the mean of 1 - p over items
    without, t_1 that of p over items with it, at least 2e-6; 2, which nothing reaches, for a side without items.
    """
    count = int(given.sum())
    total, present = float(p.sum(dtype=np.float64)), float(p[given].sum(dtype=np.float64))
    absent = len(p) - count
    low = max((absent - (total - present)) / absent, _LOWEST) if absent else _NOBODY
    return low, max(present / count, _LOWEST) if count else _NOBODY


def binary_issues(
    p: npt.NDArray[Any], given: npt.NDArray[np.bool_], filter_by: BinaryFilter = "prune_by_noise_rate"
) -> npt.NDArray[np.bool_]:
    """Items whose yes or no contradicts the probabilities: (n,) bool.

    `p` (n,) probabilities of yes in [0, 1], out of sample; `given` (n,) the labels. An item counts as confidently yes
    if p >= t_1 and confidently no if 1 - p >= t_0 (`binary_thresholds`), as the likelier if both. Of these counts,
    scaled to the labels, `prune_by_noise_rate` flags as many items of each side as are confidently on the other,
    those least likely first (with two classes, pruning by class flags the same); `confident_learning` flags the
    counted items themselves; `predicted_neq_given` those likelier on the other side. An item that is as likely as not
    on its own side is never flagged. Items that tie are taken in their order.
    Northcutt, Jiang and Chuang 2021 for K = 2; equals cleanlab 2.9.
    """
    own = np.where(given, p, 1 - p)
    doubtful = own + _SLACK < np.where(given, 1 - p, p)
    if filter_by == "predicted_neq_given":
        return np.asarray(doubtful, np.bool_)
    low, high = binary_thresholds(p, given)
    yes, no = p >= high - _SLACK, 1 - p >= low - _SLACK
    guess = np.where(yes & no, p > 0.5, yes)
    counted = yes | no
    crossed = counted & (guess != given)
    if filter_by == "confident_learning":
        return np.asarray(crossed & doubtful, np.bool_)
    flagged = np.zeros(len(p), bool)
    for side, count in enumerate(_counts(given, counted, crossed)):
        members = np.flatnonzero(given == bool(side))
        flagged[members[_lowest(own[members], count)]] = True
    return flagged & doubtful


def _counts(
    given: npt.NDArray[np.bool_], counted: npt.NDArray[np.bool_], crossed: npt.NDArray[np.bool_]
) -> tuple[int, int]:
    """How many items of each side to flag: the share of it that was counted on the other, at most all but one.

    Computed in the order of cleanlab, for whose shares of exactly one half the last digit decides.
    """
    members = np.array([len(given) - int(given.sum()), int(given.sum())])
    off = np.array([int((crossed & ~given).sum()), int((crossed & given).sum())])
    kept = np.maximum(np.array([int((counted & ~given).sum()), int((counted & given).sum())]) - off, 1)
    joint = np.array([[kept[0], off[1]], [off[0], kept[1]]])  # by guess, then by what was given
    share = joint / (kept + off) * members
    share = share / max(float(share.sum()), 1e-100) * len(given)
    flags = []
    for side in (0, 1):
        exact = share[:, side]
        whole = exact.round()
        short = float(exact.sum().round() - whole.sum())
        if short:  # both were rounded up, or both down
            order = np.argsort(exact - whole)
            whole[order[-1] if short > 0 else order[0]] += short
        flags.append(max(0, min(int(whole[1 - side]), int(members[side]) - 1)))
    return flags[0], flags[1]


def _lowest(values: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Positions of the `count` lowest values, the earlier of those that tie."""
    if count <= 0:
        return np.empty(0, np.int64)
    edge = np.partition(values, count - 1)[count - 1]
    below = np.flatnonzero(values < edge)
    return np.concatenate([below, np.flatnonzero(values == edge)[: count - len(below)]])


def exponential_average(quality: npt.NDArray[Any], alpha: float = 0.8) -> npt.NDArray[np.float32]:
    """One number for a row of qualities, mostly its lowest: (n,) float32.

    `quality` (n, l) numbers. The row is sorted from high to low, and m <- alpha * q + (1 - alpha) * m from the first
    on: the lowest weighs alpha, the next alpha (1 - alpha), and so on. alpha = 1 is the minimum, 0 the maximum.
    Raises InputError for alpha outside [0, 1] or rows without numbers.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha={alpha}: the weight of the lowest quality lies in [0, 1]")
    n, width = quality.shape
    if not width:
        raise InputError("there are no labels to average over")
    result = np.empty(n, np.float32)
    step = max(1, _BLOCK // width)
    for start in range(0, n, step):
        rows = np.sort(quality[start : start + step], axis=1)
        mean = rows[:, -1].astype(np.float64)
        for column in range(width - 2, -1, -1):
            mean = alpha * rows[:, column] + (1 - alpha) * mean
        result[start : start + step] = mean
    return result
