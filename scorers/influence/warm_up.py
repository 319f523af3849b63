"""What a short warm-up on the target does to each item's loss: two forward passes, no gradients of items."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.influence.parameters import select_parameters

__all__ = ["loss_drop", "warm_up_losses"]


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
    first, last = as_floats(before, "before"), as_floats(after, "after")
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


def warm_up_losses(
    model: Any,
    batch: Callable[[npt.NDArray[np.int64]], Any],
    *,
    rows: int,
    target: Sequence[int],
    loss: Callable[[Any, Any], Any],
    steps: int = 20,
    learning_rate: float = 1e-2,
    batch_size: int = 16,
    parameters: Sequence[str] = (),
    seed: int = 0,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Each item's loss before and after a copy of a torch model was trained on the target for a few steps of Adam.

    `batch(rows)` gives the items of these rows (m,); `loss(model, batch)` of one item, or of several as their mean, is a
    scalar; `target` the rows to warm up on. `parameters` are patterns of those trained, none: all that are. Both (rows,) float64, in
    evaluation mode. The model stays as it is, and so does torch's random state. Raises InputError for no target.
    """
    torch: Any = require("torch", "train")
    chosen = np.asarray(target, np.int64)
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= rows:
        raise InputError(
            f"{counted(len(chosen), 'target row')} of {rows}: at least one of them is needed, from 0 to {rows - 1}"
        )
    warmed = copy.deepcopy(model).eval()
    before = _losses(warmed, batch, rows, loss)
    trained = list(select_parameters(warmed, parameters).values())
    optimiser = torch.optim.Adam(trained, lr=learning_rate)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        few = np.sort(rng.choice(chosen, min(batch_size, len(chosen)), replace=False))
        optimiser.zero_grad()
        loss(warmed, batch(few)).mean().backward()
        optimiser.step()
    return before, _losses(warmed, batch, rows, loss)


def _losses(model: Any, batch: Any, rows: int, loss: Any) -> npt.NDArray[np.float64]:
    torch: Any = require("torch", "train")
    with torch.no_grad():
        return np.array([float(loss(model, batch(np.array([row])))) for row in range(rows)])
