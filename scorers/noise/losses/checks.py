"""What a loss refuses before it computes: shapes, types and labels that are none of the classes."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from curate.arrays.conversion import as_numbers
from curate.arrays.labels import as_codes
from curate.errors import InputError

__all__ = [
    "Reduction",
    "check_adaptive",
    "check_labels",
    "check_margin",
    "check_temperature",
    "reduce_losses",
]

Reduction = Literal["mean", "sum", "none"]


def check_labels(logits: Any, labels: Any) -> None:
    """Raises InputError unless `logits` is (n, K >= 2) and `labels` (n,) integers in 0 ... K - 1.

    Takes arrays and tensors. NaN among the logits is let through: it goes into the loss as in any other loss.
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(f"logits have shape {tuple(logits.shape)}: (items, classes >= 2) is meant")
    n, k = logits.shape
    whole = "int" in str(labels.dtype)
    if tuple(labels.shape) != (n,) or (
        whole and n and not (int(labels.min()) >= 0 and int(labels.max()) < k)
    ):
        as_codes(labels, n, k, of="items")  # says what is wrong; till then tensors stay where they are
    if not whole:
        raise InputError(f"labels are {labels.dtype}: whole numbers 0 ... {k - 1} are meant")


def check_temperature(lam: Any, shape: tuple[int, ...]) -> None:
    """Raises InputError for a number that is negative or NaN, and for what is no number unless it holds numbers above 0 that
    broadcast to `shape`."""
    if isinstance(lam, (int, float)):
        if math.isnan(lam) or lam < 0:
            raise InputError(f"lam={lam}: from 0 (the worst class alone) to infinity (all classes alike)")
        return
    given = lam if hasattr(lam, "detach") else as_numbers(lam, "lam")
    if not _fits(tuple(given.shape), shape):
        raise InputError(f"lam has shape {tuple(given.shape)}: a number, or one for each of {shape} is meant")
    if not bool((given > 0).all()):
        raise InputError(
            "lam: one value per item must be positive; 0 and infinity are taken as plain numbers"
        )


def check_adaptive(lam0: float, alpha: float) -> None:
    """Raises InputError for what ALDR's temperatures cannot be made of."""
    if not (alpha > 1 and 0 < lam0 < math.inf):
        raise InputError(f"alpha={alpha}, lam0={lam0}: alpha > 1 and a finite lam0 > 0 are meant")


def _fits(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(given, shape) == shape
    except ValueError:
        return False


def check_margin(shape: tuple[int, ...], classes: int) -> None:
    """Raises InputError unless a margin that is no number is (K,) or (K, K)."""
    if shape not in ((), (classes,), (classes, classes)):
        raise InputError(
            f"margin has shape {shape}: a number, ({classes},) by given class, or ({classes}, {classes}) by given "
            "and other class is meant"
        )


def reduce_losses(losses: Any, reduction: Reduction) -> Any:
    """Mean, sum, or the losses as they are. Raises InputError for another word."""
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise InputError(f"reduction={reduction!r}: one of 'mean', 'sum', 'none'")
    return losses.mean() if reduction == "mean" else losses.sum()
