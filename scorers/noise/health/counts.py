"""Counts of given and true, and of given and predicted labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["confident_counts", "predicted_counts"]


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
    k = pred_probs.shape[1]
    size = np.bincount(labels, minlength=k)
    own = np.bincount(labels, pred_probs[np.arange(len(labels)), labels], minlength=k)
    threshold = np.where(size > 0, np.maximum(own / np.maximum(size, 1), 2e-6), 2.0)
    sure = pred_probs >= threshold - 1e-6
    several = sure.sum(1)
    guess = np.where(several == 1, sure.argmax(1), pred_probs.argmax(1))
    held = several > 0
    counts = np.bincount(labels[held] * k + guess[held], minlength=k * k).reshape(k, k)
    np.fill_diagonal(counts, np.maximum(np.diagonal(counts), 1))
    total = counts.sum(1)
    return counts / np.maximum(total, 1)[:, None] * size[:, None], np.where(size > 0, total, 0)
