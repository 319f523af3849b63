"""Label-distributionally robust losses (Zhu, Ying and Yang, ICML 2023), for torch tensors and NumPy arrays.

With d_k = f_k - f_y + c for k != y and d_y = 0: LDR-KL = lam log((1/K) sum_k exp(d_k / lam)), the largest weighted mean of
the d_k that a Kullback-Leibler penalty of strength lam lets an adversary reach. lam = 1 without margin is cross-entropy
less log K; lam -> 0 the worst class alone (Crammer and Singer); lam -> infinity the mean over classes, which symmetric
noise does not move. ALDR lets each item choose its lam: flat predictions stay near lam0, sure ones become sharper.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from curate.arrays.conversion import as_array, as_numbers
from curate.errors import InputError, require
from curate.scorers.noise.losses.checks import (
    Reduction,
    check_adaptive,
    check_labels,
    check_margin,
    check_temperature,
    reduce_losses,
)
from curate.scorers.noise.losses.values import FLOOR, aldr_kl_values, ldr_kl_values

__all__ = [
    "Preparation",
    "aldr_kl",
    "aldr_kl_multilabel",
    "aldr_lambda",
    "ldr_kl",
    "ldr_kl_multilabel",
    "prepare_logits",
]

Tensor = Any
Preparation = Literal["none", "unit-mean", "softplus-unit-mean"]


def ldr_kl(
    logits: Any, labels: Any, lam: Any = 1.0, margin: Any = 0.1, *, reduction: Reduction = "mean"
) -> Any:
    """LDR-KL, a loss for training on labels of which some are wrong; low = the logits agree with the label.

    `logits` (n, K >= 2) and `labels` (n,) integers: tensors, with exact gradients (by logit: p - e_y, where p is
    proportional to exp(d / lam)), or NumPy arrays and what becomes one, values alone. `lam` is a number in [0, inf] or one positive value per
    item (n,); `margin` a number, (K,) by given class (see `values.class_margins`), or (K, K) by given and other class.
    `reduction` mean, sum or none, as in torch. Half precision is computed in single. NaN logits give a NaN loss.
    Raises InputError for wrong shapes, labels out of range (naming rows), negative `lam`.
    """
    logits, labels = _taken(logits, labels)
    if isinstance(logits, np.ndarray):
        return reduce_losses(ldr_kl_values(logits, labels, lam, margin), reduction)
    check_labels(logits, labels)
    check_temperature(lam, (len(logits),))
    return reduce_losses(soft_maximum(differences(logits, labels, margin), lam), reduction)


def aldr_kl(
    logits: Any,
    labels: Any,
    lam: Any = None,
    margin: Any = 0.1,
    *,
    lam0: float = 10.0,
    alpha: float = 2.0,
    reduction: Reduction = "mean",
) -> Any:
    """ALDR-KL at the temperatures `lam`: LDR-KL less (alpha log K / (2 lam0)) (lam - lam0) ** 2.

    Takes what `ldr_kl` takes. `lam` (n,) is what `aldr_lambda` gave for these items, None one step from `lam0`; it is
    held fixed, so the gradient by logit is p - e_y. For training over epochs use `criteria.AldrKl`, which remembers the
    temperature of each item. `lam0` = 10, `alpha` = 2 and a margin of 0.1 are the authors' defaults.
    Raises InputError as `ldr_kl`, and for alpha <= 1 or lam0 <= 0.
    """
    logits, labels = _taken(logits, labels)
    if isinstance(logits, np.ndarray):
        values = aldr_kl_values(logits, labels, lam, margin, lam0=lam0, alpha=alpha)
        return reduce_losses(values, reduction)
    check_labels(logits, labels)
    heat = aldr_lambda(logits, None, lam0=lam0, alpha=alpha) if lam is None else lam
    check_temperature(heat, (len(logits),))
    penalty = _penalty(heat, lam0, alpha, logits.shape[1])
    return reduce_losses(soft_maximum(differences(logits, labels, margin), heat) - penalty, reduction)


def aldr_lambda(
    logits: Tensor,
    lam: Any = None,
    *,
    lam0: float = 10.0,
    alpha: float = 2.0,
    labels: Tensor | None = None,
    margin: Any = 0.1,
) -> Tensor:
    """The temperature of each item after one ALDR step, (n,) in [lam0 (1 - 1/alpha), lam0], without gradient.

    lam0 (1 - KL(p || 1/K) / (alpha log K)) with p = softmax(f / lam); `lam` is the temperature before (default `lam0`).
    High = a flat prediction: the item is ambiguous. As the authors do it, neither label nor margin enters; with
    `labels` p is the maximiser of the loss itself, and repeated steps climb its exact objective. An item whose logits
    are not finite keeps its temperature. Raises InputError for alpha <= 1 or lam0 <= 0.
    """
    torch: Any = require("torch", "train")
    check_adaptive(lam0, alpha)
    with torch.no_grad():
        raised = _single(logits)
        old = torch.as_tensor(lam0 if lam is None else lam, dtype=raised.dtype, device=raised.device)
        old = old.expand(len(raised))
        ahead = raised if labels is None else differences(raised, labels, margin)
        p = torch.softmax(ahead / old[:, None], 1)
        p = p + FLOOR if labels is None else p
        p = p / p.sum(1, keepdim=True)
        k = raised.shape[1]
        peaked = (torch.special.xlogy(p, p) + p * math.log(k)).sum(1)
        new = lam0 * (1 - peaked / (alpha * math.log(k)))
        return torch.where(torch.isfinite(new), new, old)


def prepare_logits(logits: Tensor, how: Preparation) -> Tensor:
    """Logits as the authors feed them to LDR and ALDR: scaled so that the mean of their absolute values is 1.

    `unit-mean` is f K / ||f||_1, row by row, the gradient flowing through; `softplus-unit-mean` takes softplus first
    (theirs: LDR always, ALDR on CIFAR-100 alone). Logits of 0 throughout stay 0.
    """
    torch: Any = require("torch", "train")
    if how == "none":
        return logits
    if how not in ("unit-mean", "softplus-unit-mean"):
        raise InputError(f"prepare={how!r}: one of 'none', 'unit-mean', 'softplus-unit-mean'")
    raised = torch.nn.functional.softplus(_single(logits)) if how != "unit-mean" else _single(logits)
    return raised / raised.abs().mean(1, keepdim=True).clamp_min(1e-12)


def ldr_kl_multilabel(
    logits: Tensor, targets: Tensor, lam: Any = 1.0, margin: float = 0.1, *, reduction: Reduction = "mean"
) -> Tensor:
    """LDR-KL with two classes, there and not there, for each label of each item; at lam = 1 without margin it is binary
    cross-entropy less log 2 (the form is ours).

    `logits` (n, L): above 0 = there. `targets` (n, L): 1, 0, or NaN or negative where nobody said; those cost nothing
    and are not counted in the mean. `lam` a number or a tensor that broadcasts against (n, L).
    Raises InputError for shapes that differ or targets that are none of these.
    """
    check_temperature(lam, tuple(logits.shape))
    loss, known = _two_classes(logits, targets, lam, margin)
    return _reduce_known(loss, known, reduction)


def aldr_kl_multilabel(
    logits: Tensor,
    targets: Tensor,
    lam: Any = None,
    margin: float = 0.1,
    *,
    lam0: float = 10.0,
    alpha: float = 2.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """ALDR-KL with two classes for each label of each item, at the temperatures `lam` (n, L), None one step from `lam0`.

    See `ldr_kl_multilabel` and `aldr_kl`; raises as they do.
    """
    check_adaptive(lam0, alpha)
    heat = two_class_lambda(logits, lam, lam0=lam0, alpha=alpha) if lam is None else lam
    loss, known = _two_classes(logits, targets, heat, margin)
    return _reduce_known(loss - _penalty(heat, lam0, alpha, 2), known, reduction)


def two_class_lambda(logits: Tensor, lam: Any, *, lam0: float, alpha: float) -> Tensor:
    """`aldr_lambda` for each label of each item, of the shape of the logits."""
    torch: Any = require("torch", "train")
    both = torch.stack([_single(logits).detach(), torch.zeros_like(_single(logits))], -1).reshape(-1, 2)
    old = None if lam is None else lam.reshape(-1)
    return aldr_lambda(both, old, lam0=lam0, alpha=alpha).reshape(logits.shape)


# --- What they share ----------------------------------------------------------------------------------------------


def _taken(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Both as tensors where the logits are one, else both as arrays."""
    if not hasattr(logits, "detach"):
        return as_numbers(logits, "logits"), as_array(labels, "labels")
    if hasattr(labels, "detach"):
        return logits, labels
    torch: Any = require("torch", "train")
    given = as_array(labels, "labels")
    check_labels(logits, given)
    return logits, torch.as_tensor(given.astype(np.int64), device=logits.device)


def differences(logits: Tensor, labels: Tensor, margin: Any) -> Tensor:
    """d_k = f_k - f_y + margin, 0 at the given label: (n, K) in single precision or better."""
    torch: Any = require("torch", "train")
    raised, rows = _single(logits), labels.long()[:, None]
    margins = torch.as_tensor(margin, dtype=raised.dtype, device=raised.device)
    check_margin(tuple(margins.shape), raised.shape[1])
    if margins.ndim:
        margins = margins[labels.long()]
        margins = margins[:, None] if margins.ndim == 1 else margins
    added = margins.expand(raised.shape).scatter(1, rows, 0.0)
    return raised - raised.gather(1, rows) + added


def soft_maximum(delta: Tensor, lam: Any) -> Tensor:
    """lam log mean exp(delta / lam) over the last axis, exact from lam = 0 (maximum) to infinity (mean)."""
    torch: Any = require("torch", "train")
    if isinstance(lam, (int, float)):
        if lam == 0:
            return delta.amax(-1)
        if math.isinf(lam):
            return delta.mean(-1)
    heat = torch.as_tensor(lam, dtype=delta.dtype, device=delta.device)
    heat = heat.expand(delta.shape[:-1])
    top = delta.detach().amax(-1)
    below = (delta - top[..., None]) / heat[..., None]
    # Where all are close together, log of a sum near K loses the digits that lam then magnifies: log1p does not.
    close = below.detach().amin(-1) > -1
    near = torch.log1p(torch.expm1(torch.where(close[..., None], below, 0.0)).mean(-1))
    far = torch.logsumexp(below, -1) - math.log(delta.shape[-1])
    return top + heat * torch.where(close, near, far)


def _two_classes(logits: Tensor, targets: Tensor, lam: Any, margin: float) -> tuple[Tensor, Tensor]:
    torch: Any = require("torch", "train")
    if logits.shape != targets.shape:
        raise InputError(f"targets have shape {tuple(targets.shape)}, the logits {tuple(logits.shape)}")
    known = targets >= 0  # false for NaN too
    if bool((known & (targets != 0) & (targets != 1)).any()):
        raise InputError("targets of labels are 1, 0, or NaN or negative where nobody said")
    raised = _single(logits)
    delta = margin - torch.where(targets == 1, raised, -raised)
    heat = lam if isinstance(lam, (int, float)) else torch.as_tensor(lam).expand(raised.shape)
    loss = soft_maximum(torch.stack([delta, torch.zeros_like(delta)], -1), heat)
    return torch.where(known, loss, torch.zeros_like(loss)), known


def _reduce_known(losses: Tensor, known: Tensor, reduction: Reduction) -> Tensor:
    kept = losses * known
    if reduction == "mean":
        return kept.sum() / known.sum().clamp_min(1)
    return reduce_losses(kept, reduction)


def _penalty(lam: Any, lam0: float, alpha: float, classes: int) -> Any:
    return alpha * math.log(classes) / (2 * lam0) * (lam - lam0) ** 2


def _single(logits: Tensor) -> Tensor:
    """Half precision raised to single: a temperature of 10 would eat its digits."""
    return logits.float() if logits.element_size() < 4 else logits
