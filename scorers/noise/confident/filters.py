"""Which labels confident learning flags: counts to prune from the joint, and the items that fill them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.confident.joint import FUZZ, round_rows

__all__ = ["Filter", "agrees", "lowest", "prune_counts"]

Filter = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
]

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def prune_counts(joint: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many items of each given label (column) to prune as being of each other class (row), (k, k).

    The calibrated joint, transposed. Of each label at least one item counts as right (on the diagonal); what that adds
    is taken from the label's other counts in equal parts.
    """
    counts = joint.T.astype(np.float64)
    diagonal = np.maximum(counts.diagonal(), 1)
    added = diagonal - counts.diagonal()
    others = np.maximum(np.count_nonzero(counts, axis=0) - 1.0, 1.0)
    counts = np.maximum(counts - added / others, 0)
    np.fill_diagonal(counts, diagonal)
    return round_rows(np.trunc(counts))


def agrees(pred_probs: Floats, labels: Labels) -> Flags:
    """Items whose most probable class is the given label, or exceeds it by less than 1e-6: never flagged, (n,) bool."""
    row = np.arange(len(labels))
    own = pred_probs[row, labels] + pred_probs.dtype.type(FUZZ)
    others = pred_probs.copy()
    others[row, labels] = -1
    best = others.argmax(1)
    top = others[row, best]
    return np.asarray((own > top) | ((own == top) & (labels < best)))


def lowest(
    groups: npt.NDArray[Any], values: Floats, wanted: Labels, keys: Callable[[Labels], Labels]
) -> Flags:
    """Of each group the `wanted` lowest values, of equal ones those with the lowest keys: (n,) bool.

    `groups` (n,) in 0 ... g - 1, `wanted` (g,), `keys` of rows, asked for only where it takes some of equal values.
    """
    chosen, tied = np.zeros(len(values), bool), []
    size = np.bincount(groups, minlength=len(wanted))
    order = np.argsort(groups, kind="stable") if len(wanted) > 1 else np.arange(len(values))
    ends = np.cumsum(size)
    for group in np.flatnonzero((size > 0) & (wanted > 0)).tolist():
        rows, count = order[ends[group] - size[group] : ends[group]], int(wanted[group])
        if count >= len(rows):
            chosen[rows] = True
            continue
        mine = values[rows]
        edge = np.partition(mine, count - 1)[count - 1]
        chosen[rows[mine < edge]] = True
        equal, left = rows[mine == edge], count - int((mine < edge).sum())
        if left == len(equal):
            chosen[equal] = True
        else:
            tied.append((equal, left))
    if tied:
        key = keys(np.concatenate([equal for equal, _ in tied]))
        for equal, left in tied:
            first = np.argsort(key[: len(equal)], kind="stable")[:left]
            chosen[equal[first]] = True
            key = key[len(equal) :]
    return chosen
