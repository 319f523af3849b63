"""Counts of given and true, and of given and predicted labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.confident.joint import confident_joint

__all__ = ["confident_counts", "predicted_counts", "scale_counts"]


def predicted_counts(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many items of each given label (row) are predicted to be of each class (column): (k, k).

    `pred_probs` (n, k), `labels` (n,) in 0 ... k - 1.
    """
    k = pred_probs.shape[1]
    return np.bincount(labels * k + pred_probs.argmax(1), minlength=k * k).reshape(k, k)


def confident_counts(
    pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The calibrated joint of confident learning (k, k), and how many items of each given label it was counted on (k,).

    `pred_probs` (n, k), `labels` (n,) in 0 ... k - 1. A class that nobody has gets a row of zeros.
    """
    counts = confident_joint(pred_probs, labels, calibrate=False)
    return scale_counts(counts, np.bincount(labels, minlength=len(counts)))


def scale_counts(
    pairs: npt.NDArray[np.int64], size: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The same from counts of given and guessed labels (k, k), and how many items have each label (k,)."""
    counts = pairs.copy()
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    total = counts.sum(1)
    # not rounded to whole items as `calibrate_joint` does: in a small class that would be most of the rate
    return counts / np.maximum(total, 1)[:, None] * size[:, None], np.where(size > 0, total, 0)
