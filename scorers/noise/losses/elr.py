"""Early-learning regularisation (Liu et al., NeurIPS 2020): hold on to what the model believed before it memorised."""

from __future__ import annotations

from typing import Any

from curate.errors import InputError, require
from curate.scorers.noise.losses.checks import Reduction, check_labels, reduce_losses

__all__ = ["elr", "elr_target"]

Tensor = Any
CLIP = 1e-4
"""Probabilities are kept this far from 0 and 1, as the authors do."""


def elr(
    logits: Tensor,
    labels: Tensor,
    target: Tensor,
    *,
    strength: float = 3.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy plus strength x log(1 - <target, p>): it pulls p towards what the model believed early.

    `logits` (n, K), `labels` (n,) integers, `target` (n, K) from `elr_target`, without gradient. The authors take a
    strength of 3 on CIFAR-10 and 7 on CIFAR-100. Raises InputError for wrong shapes and labels out of range.
    """
    torch: Any = require("torch", "train")
    check_labels(logits, labels)
    if target.shape != logits.shape:
        raise InputError(f"targets have shape {tuple(target.shape)}, the logits {tuple(logits.shape)}")
    raised = logits.float() if logits.element_size() < 4 else logits
    p = torch.softmax(raised, 1).clamp(CLIP, 1 - CLIP)
    away = torch.log((1 - (target.detach() * p).sum(1)).clamp_min(CLIP))
    fit = torch.nn.functional.cross_entropy(raised, labels.long(), reduction="none")
    return reduce_losses(fit + strength * away, reduction)


def elr_target(target: Tensor, logits: Tensor, *, beta: float = 0.7) -> Tensor:
    """beta x target + (1 - beta) x p, the running mean of what the model believes, (n, K), without gradient.

    It starts at 0. Rows whose logits are not finite keep their target. Raises InputError unless 0 <= beta < 1.
    """
    torch: Any = require("torch", "train")
    if not 0 <= beta < 1:
        raise InputError(f"beta={beta}: from 0 (now alone) up to, not including, 1")
    with torch.no_grad():
        p = torch.softmax(logits.to(target.dtype), 1).clamp(CLIP, 1 - CLIP)
        moved = beta * target + (1 - beta) * p / p.sum(1, keepdim=True)
        return torch.where(torch.isfinite(moved), moved, target)
