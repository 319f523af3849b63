"""Confident learning's thresholds and the joint counts of given and guessed labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import check_given

__all__ = [
    "Thresholds",
    "calibrate_joint",
    "class_thresholds",
    "confident_joint",
    "count_pairs",
    "guess_labels",
]

FUZZ = 1e-6
"""How close two probabilities may be and still count as equal."""
_UNIT = 2.0**32

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]


class Thresholds:
    """Sums by class, batch by batch: the mean probability of each class over the items labelled with it.

    Sums are whole multiples of 2^-32, so that no order and no size of batches changes a bit of them.
    """

    def __init__(self, classes: int) -> None:
        self.sums = np.zeros(classes, np.int64)
        self.counts = np.zeros(classes, np.int64)

    def add(self, probs: Floats, labels: Labels) -> None:
        own = np.rint(probs[np.arange(len(labels)), labels].astype(np.float64) * _UNIT)
        self.sums += np.bincount(labels, own, len(self.sums)).astype(np.int64)
        self.counts += np.bincount(labels, minlength=len(self.counts))

    def values(self) -> npt.NDArray[np.float64]:
        """t_k (k,): at least 2e-6; 2, which nothing reaches, for a class without items."""
        mean = self.sums / _UNIT / np.maximum(self.counts, 1)
        return np.where(self.counts > 0, np.maximum(mean, 2 * FUZZ), 2.0)


def class_thresholds(pred_probs: Floats, labels: Labels) -> npt.NDArray[np.float64]:
    """t_k: the mean probability of class k over the items labelled k, (k,) float64 in [2e-6, 1], 2 for a class without
    items. `pred_probs` (n, k), `labels` (n,) in 0 ... k - 1. Source: Northcutt et al. 2021, eq. 2."""
    thresholds = Thresholds(pred_probs.shape[1])
    thresholds.add(pred_probs, labels)
    return thresholds.values()


def guess_labels(pred_probs: Floats, thresholds: npt.NDArray[np.float64]) -> Labels:
    """The class each item confidently belongs to, (n,) int64, -1 for none.

    The one class whose probability reaches its threshold (less 1e-6); of several, the most probable class of all.
    """
    sure = pred_probs >= (thresholds - FUZZ).astype(pred_probs.dtype, copy=False)
    count = sure.sum(1)
    guess = np.where(count > 1, pred_probs.argmax(1), sure.argmax(1))
    return np.where(count > 0, guess, -1).astype(np.int64)


def count_pairs(labels: Labels, guess: Labels, classes: int) -> npt.NDArray[np.int64]:
    """How often each label was given (row) to items guessed to be of each class (column), (k, k)."""
    sure = guess >= 0
    pairs = labels[sure] * classes + guess[sure]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def confident_joint(pred_probs: Floats, labels: Labels, *, calibrate: bool = True) -> npt.NDArray[np.int64]:
    """Counts of given labels (rows) and confidently guessed true ones (columns), (k, k) int64.

    `pred_probs` (n, k) out-of-sample, `labels` (n,) in 0 ... k - 1. The diagonal is at least 1. `calibrate` scales
    them to all items: see `calibrate_joint`. Source: Northcutt et al. 2021, eq. 1 and 3.
    """
    pred_probs, labels = check_given(pred_probs, labels)
    guess = guess_labels(pred_probs, class_thresholds(pred_probs, labels))
    counts = count_pairs(labels, guess, pred_probs.shape[1])
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    return calibrate_joint(counts, np.bincount(labels, minlength=len(counts))) if calibrate else counts


def calibrate_joint(
    counts: npt.NDArray[np.int64], label_counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Counts (k, k) scaled so that each row sums to the count of its label and all to the number of items, rounded to
    integers that keep the sums of rows."""
    scaled = (np.asarray(counts.T, order="C") / np.maximum(counts.sum(1), 1e-100) * label_counts).T
    # the total is summed by columns: in another order its last bit, and with it the rounding of halves, is another
    scaled = scaled / max(float(scaled.sum()), 1e-100) * label_counts.sum()
    return round_rows(scaled)


def round_rows(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Rounded so that each row keeps its (rounded) sum: where rounding gains or loses, the entries that were rounded by
    most are rounded the other way."""
    whole = values.round()
    for row in np.flatnonzero(whole.sum(1).round() != values.sum(1).round()):
        exact, ints = values[row], whole[row]
        while (short := int(exact.sum().round() - ints.sum().round())) != 0:
            step = 1 if short > 0 else -1
            order = np.argsort(exact - ints)[::-step][: min(abs(short), len(ints))]
            ints[order] += step
    return whole.astype(np.int64)
