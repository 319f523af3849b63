"""LDR and ALDR in NumPy: values without gradients, for logged logits and as the yardstick of the torch functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.errors import InputError
from curate.scorers.noise.losses.checks import check_adaptive, check_labels, check_margin, check_temperature

__all__ = ["aldr_kl_values", "aldr_lambda_values", "class_margins", "ldr_kl_values"]

Floats = npt.NDArray[np.float64]
FLOOR = 1e-5
"""What ALDR adds to every probability before it measures how peaked they are."""


def ldr_kl_values(
    logits: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    lam: float | npt.NDArray[Any] = 1.0,
    margin: float | npt.NDArray[Any] = 0.1,
) -> Floats:
    """LDR-KL of each item, (n,) float64; high = the logits contradict the label. See `ldr.ldr_kl` for the meaning.

    `logits` (n, K), `labels` (n,) integers, `lam` a number or (n,), `margin` a number, (K,) or (K, K).
    Raises InputError for wrong shapes, labels out of range, a `lam` that is negative.
    """
    check_labels(logits, labels)
    check_temperature(lam, (len(logits),))
    wide = as_floats(logits, "logits")
    rows = np.arange(len(labels))
    margins = as_floats(margin, "margin")
    check_margin(margins.shape, wide.shape[1])
    added = (
        margins if margins.ndim == 0 else margins[labels] if margins.ndim == 2 else margins[labels][:, None]
    )
    delta = wide - wide[rows, labels][:, None] + added
    delta[rows, labels] = 0
    if isinstance(lam, (int, float)) and lam == 0:
        return np.asarray(delta.max(1))
    if isinstance(lam, (int, float)) and math.isinf(lam):
        return np.asarray(delta.mean(1))
    heat = np.broadcast_to(as_floats(lam, "lam"), labels.shape)
    top = delta.max(1)
    # log1p of the mean of expm1: exact where lam is large, and log of a mean of exp would lose all digits
    return np.asarray(top + heat * np.log1p(np.expm1((delta - top[:, None]) / heat[:, None]).mean(1)))


def aldr_lambda_values(
    logits: npt.NDArray[Any],
    lam: float | npt.NDArray[Any] | None = None,
    *,
    lam0: float = 10.0,
    alpha: float = 2.0,
) -> Floats:
    """The temperature of each item after one ALDR step, (n,) float64 in [lam0 (1 - 1/alpha), lam0].

    High = the prediction is flat: the item is ambiguous. `lam` is the temperature before (default `lam0`).
    It knows nothing of the label. An item whose logits are not finite keeps its temperature. Raises InputError for alpha <= 1 or lam0 <= 0.
    """
    check_adaptive(lam0, alpha)
    heat = np.broadcast_to(np.asarray(lam0 if lam is None else lam, np.float64), (len(logits),))
    scaled = as_floats(logits, "logits") / heat[:, None]
    with np.errstate(invalid="ignore"):  # infinity less itself
        p = np.exp(scaled - scaled.max(1, keepdims=True))
    p = p / p.sum(1, keepdims=True) + FLOOR
    p /= p.sum(1, keepdims=True)
    k = logits.shape[1]
    peaked = (p * np.log(p * k)).sum(1)
    new = lam0 * (1 - peaked / (alpha * math.log(k)))
    return np.where(np.isfinite(new), new, heat)


def aldr_kl_values(
    logits: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    lam: float | npt.NDArray[Any] | None = None,
    margin: float | npt.NDArray[Any] = 0.1,
    *,
    lam0: float = 10.0,
    alpha: float = 2.0,
) -> Floats:
    """ALDR-KL of each item at the temperatures `lam` (default: one step from `lam0`), (n,) float64; high = doubtful.

    See `ldr.aldr_kl`. Raises InputError as `ldr_kl_values` and `aldr_lambda_values` do.
    """
    check_labels(logits, labels)
    stepped = aldr_lambda_values(logits, None, lam0=lam0, alpha=alpha)
    if lam is not None:
        check_temperature(lam, stepped.shape)
    heat = stepped if lam is None else np.broadcast_to(as_floats(lam, "lam"), stepped.shape)
    penalty = alpha * math.log(logits.shape[1]) / (2 * lam0) * (heat - lam0) ** 2
    return ldr_kl_values(logits, labels, heat, margin) - penalty


def class_margins(counts: npt.NDArray[Any], largest: float = 0.5, power: float = 0.25) -> Floats:
    """Margins for a long tail, (K,) float64: proportional to n_y ** -power, the rarest class gets `largest`.

    `counts` (K,) items of each class; a class without items counts as one. The power 1/4 is LDAM's (Cao et al. 2019);
    to use it as LDR's margin is our suggestion. Give it as `margin`. Raises InputError for negative counts.
    """
    held = as_floats(counts, "counts")
    if held.ndim != 1 or not len(held) or (held < 0).any():
        raise InputError(f"counts of classes {counts!r}: one number >= 0 for each class is meant")
    raw = np.maximum(held, 1) ** -power
    return np.asarray(largest * raw / raw.max())
