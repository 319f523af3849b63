"""Losses that remember something of each item, as torch modules: `AldrKl` its temperature, `Elr` its early belief.

Their memory is a buffer: it moves with `.to(device)` and lies in `state_dict()`, so a checkpoint that holds the criterion
resumes exactly. The classes are built when first asked for, so that importing this module does not import torch.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.noise.losses.checks import Reduction, check_labels, reduce_losses
from curate.scorers.noise.losses.elr import elr, elr_target
from curate.scorers.noise.losses.ldr import (
    Preparation,
    aldr_kl,
    aldr_kl_multilabel,
    aldr_lambda,
    prepare_logits,
    two_class_lambda,
)

__all__ = ["AldrKl", "Elr"]

Tensor = Any

if TYPE_CHECKING:
    AldrKl: Any
    Elr: Any


@cache
def _aldr_class() -> Any:
    torch: Any = require("torch", "train")

    class AldrKl(torch.nn.Module):  # type: ignore[misc]
        """ALDR-KL over epochs: `criterion(logits, labels, index)`, where `index` (b,) are the rows of the items in 0 ... items - 1.

        Each call in training mode first gives its items their new temperature, then the loss at it; in `eval()` the
        temperatures stay. `lam` is the memory, (items,) or, with `labels` > 0 (multi-label: targets (b, labels) of 1, 0 or
        NaN), (items, labels). `prepare` scales the logits first, see `ldr.prepare_logits`.
        Raises InputError for an index out of range, and as `ldr.aldr_kl` does.
        """

        def __init__(
            self,
            items: int,
            *,
            lam0: float = 10.0,
            alpha: float = 2.0,
            margin: Any = 0.1,
            prepare: Preparation = "none",
            labels: int = 0,
            reduction: Reduction = "mean",
        ) -> None:
            super().__init__()
            if alpha <= 1 or lam0 <= 0:
                raise InputError(f"alpha={alpha}, lam0={lam0}: alpha > 1 and lam0 > 0 are meant")
            self.lam0, self.alpha, self.margin = lam0, alpha, margin
            self.prepare, self.labels, self.reduction = prepare, labels, reduction
            shape = (items, labels) if labels else (items,)
            self.register_buffer("lam", torch.full(shape, float(lam0)))

        def forward(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
            rows = _checked_rows(index, self.lam, len(logits))
            ready = prepare_logits(logits, self.prepare)
            lam = self.lam[rows]
            adaptive = {"lam0": self.lam0, "alpha": self.alpha}
            if self.training:
                step = two_class_lambda if self.labels else aldr_lambda
                lam = step(ready, lam, **adaptive).to(self.lam.dtype)
                self.lam[rows] = lam
            loss = aldr_kl_multilabel if self.labels else aldr_kl
            return loss(ready, labels, lam, self.margin, reduction=self.reduction, **adaptive)

    return _at_home(AldrKl)


@cache
def _elr_class() -> Any:
    torch: Any = require("torch", "train")

    class Elr(torch.nn.Module):  # type: ignore[misc]
        """ELR over epochs: `criterion(logits, labels, index)`, where `index` (b,) are the rows of the items in 0 ... items - 1.

        Each call in training mode first moves the targets of its items, then gives the loss; in `eval()` they stay.
        `target` is the memory, (items, classes) float32. After training its argmax suggests a label, and 1 less its
        entry at the given label is a score of noise. Raises InputError for an index out of range, and as `elr.elr` does.
        """

        def __init__(
            self,
            items: int,
            classes: int,
            *,
            beta: float = 0.7,
            strength: float = 3.0,
            reduction: Reduction = "mean",
        ) -> None:
            super().__init__()
            self.beta, self.strength, self.reduction = beta, strength, reduction
            self.register_buffer("target", torch.zeros(items, classes))

        def forward(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
            check_labels(logits, labels)
            rows = _checked_rows(index, self.target, len(logits))
            target = self.target[rows]
            if self.training:
                target = elr_target(target, logits, beta=self.beta)
                self.target[rows] = target
            losses = elr(logits, labels, target, strength=self.strength, reduction="none")
            return reduce_losses(losses, self.reduction)

    return _at_home(Elr)


def _checked_rows(index: Tensor, memory: Tensor, batch: int) -> Tensor:
    """The index as row numbers on the memory's device. Raises InputError for one that is not a row of it."""
    items = len(memory)
    if tuple(index.shape) != (batch,):
        raise InputError(f"index has shape {tuple(index.shape)}, the batch has {counted(batch, 'item')}")
    if batch and not (int(index.min()) >= 0 and int(index.max()) < items):
        raise InputError(
            f"index from {int(index.min())} to {int(index.max())}: the criterion was made for "
            f"{counted(items, 'item')}, rows 0 to {items - 1}"
        )
    return index.long().to(memory.device)


def _at_home(cls: Any) -> Any:
    """So that pickle finds the class where `__getattr__` gives it."""
    cls.__module__, cls.__qualname__ = __name__, cls.__name__
    return cls


def __getattr__(name: str) -> Any:
    makers = {"AldrKl": _aldr_class, "Elr": _elr_class}
    if name not in makers:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return makers[name]()
