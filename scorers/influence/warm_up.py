"""What a short warm-up on the target does to each item's loss: two forward passes, no gradients of items."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["loss_drop"]


def loss_drop(
    before: npt.NDArray[Any], after: npt.NDArray[Any], *, normalise: bool = True
) -> npt.NDArray[np.float32]:
    """How far each item's loss fell while the model was warmed up on the target, (n,) float32; higher = keep.

    `before` and `after` (n,) losses, from 0 on, of the model at the start and at the end of a short training on the target's
    validation data. With `normalise` the drop is a share of the loss before, (before - after) / before, at most 1, so that
    long or hard items are not preferred; below 0 the item got harder. A loss of 0 before cannot drop: 0. Where a loss is NaN or
    infinite the score is NaN. Raises InputError for shapes that differ or negative losses.
    Source: Yang, He and Cheng, "Let the Target Select for Itself: Data Selection via Target-Aligned Paths", 2026 (from the
    abstract: that the drop is divided by the loss before is our reading of "normalised").
    """
    first, last = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if first.shape != last.shape or first.ndim != 1:
        raise InputError(f"losses of shapes {first.shape} and {last.shape}: (n,) twice is meant")
    if (first < 0).any() or (last < 0).any():
        row = int(np.flatnonzero((first < 0) | (last < 0))[0])
        raise InputError(f"losses are negative, as in row {row}: {first[row]} before, {last[row]} after")
    finite = np.isfinite(first) & np.isfinite(last)
    drop = np.where(finite, first, 0) - np.where(finite, last, 0)
    if normalise:
        drop = np.divide(drop, first, out=np.zeros_like(drop), where=finite & (first > 0))
    return np.where(finite, drop, np.nan).astype(np.float32)
