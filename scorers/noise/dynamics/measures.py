"""Training dynamics from the logits of every epoch: cartography, forgetting, area under the margin, ELR targets.

One pass over the epochs in order; memory is one epoch's block and a few numbers per item, not all epochs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_numbers
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.losses.checks import check_labels

__all__ = ["Dynamics", "SetMargins", "Trajectory", "training_dynamics"]

Floats = npt.NDArray[np.float64]
CLIP = 1e-4
"""ELR keeps probabilities this far from 0 and 1."""
_BLOCK = 1 << 22
"""Numbers of one epoch looked at together."""


class Dynamics(NamedTuple):
    """Row by row, over the epochs in which the item had finite logits (`epochs`, (n,) int64; 0: all else is NaN).

    With p the softmax and y the given label; (n,) float64, high = the label is believed, unless said otherwise:
    `confidence`   mean of p_y (Swayamdipta et al. 2020)
    `variability`  standard deviation of p_y: high = the model changes its mind
    `correctness`  share of epochs in which y was the most probable class, alone
    `closeness`    confidence x (1 - confidence): high = near the boundary
    `forgetting`   int64, times that a right prediction was followed by a wrong one (Toneva et al. 2019): high = doubtful
    `learnt`       bool, right at least once; `forgetting` of an item never learnt is 0 and means nothing
    `margin`       mean of z_y - max_{k != y} z_k, the area under the margin (Pleiss et al. 2020), in units of logits
    `target`       the ELR target (Liu et al. 2020) at the given label, in [0, 1]
    `suggested`    int64, the class of the largest ELR target (the lower of two that tie)
    `ambiguity`    entropy of the ELR target / log K, in [0, 1]: high = ambiguous
    """

    confidence: Floats
    variability: Floats
    correctness: Floats
    closeness: Floats
    forgetting: npt.NDArray[np.int64]
    learnt: npt.NDArray[np.bool_]
    margin: Floats
    target: Floats
    suggested: npt.NDArray[np.int64]
    ambiguity: Floats
    epochs: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.int64]) -> Dynamics:
        """The measures of these rows, in the order asked for."""
        return self._replace(**{name: getattr(self, name)[rows] for name in self._fields})


def training_dynamics(
    logits: npt.NDArray[Any] | Iterable[npt.NDArray[Any]],
    labels: npt.NDArray[np.int64],
    *,
    beta: float = 0.7,
) -> Dynamics:
    """All measures of `Dynamics` from the logits of every epoch.

    `logits` (epochs, n, K) or anything that yields (n, K) epoch by epoch, such as a `LogitLog`; a row with NaN in an
    epoch was not seen in it. `labels` (n,) in 0 ... K - 1. `beta` in [0, 1) is how slowly ELR's target moves: 0.7 on
    CIFAR-10 in the paper, 0.9 under asymmetric noise.
    Raises InputError for no epoch, epochs of different shape, labels out of range, or logits finite nowhere.
    """
    trajectory: Trajectory | None = None
    for epoch in logits:
        epoch = as_numbers(epoch, "logits")
        if trajectory is None:
            trajectory = Trajectory(labels, epoch.shape[1] if epoch.ndim == 2 else 0, beta=beta)
        trajectory.add(epoch)
    if trajectory is None:
        raise InputError("the log has no epoch: log the logits of at least one")
    return trajectory.result()


class Trajectory:
    """Takes the logits of one epoch after another (`add`) and gives the `Dynamics` so far (`result`)."""

    def __init__(self, labels: npt.NDArray[np.int64], classes: int, *, beta: float = 0.7) -> None:
        if not 0 <= beta < 1:
            raise InputError(f"beta={beta}: from 0 (now alone) up to, not including, 1")
        self.labels, self.classes, self.beta = as_array(labels, "labels"), classes, beta
        n = len(self.labels)
        self._seen = np.zeros(n, np.int64)
        self._mean, self._squares, self._margin = np.zeros((3, n))
        self._right, self._forgotten = np.zeros((2, n), np.int64)
        self._was_right = np.zeros(n, bool)
        self._target = np.zeros((n, classes), np.float32)
        self._epochs = 0

    def add(self, logits: npt.NDArray[Any]) -> None:
        """One more epoch, (n, K). Raises InputError if its shape is not that of the others."""
        expected = (len(self.labels), self.classes)
        if logits.shape != expected:
            raise InputError(
                f"epoch {self._epochs} has logits of shape {logits.shape}, {expected} is meant: every epoch holds "
                "every item, in the same order, NaN where it was not seen"
            )
        if not self._epochs:
            check_labels(logits, self.labels)
        rows = max(1, _BLOCK // max(1, self.classes))
        for low in range(0, len(logits), rows):
            self._add_block(slice(low, low + rows), np.asarray(logits[low : low + rows], np.float32))
        self._epochs += 1

    def _add_block(self, at: slice, logits: npt.NDArray[np.float32]) -> None:
        finite = np.asarray(np.isfinite(logits).all(1))
        if not finite.all():
            logits = np.where(finite[:, None], logits, 0)
        row, label = np.arange(len(logits)), self.labels[at]
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        given = logits[row, label].astype(np.float64)
        others = logits.copy()
        others[row, label] = -np.inf
        margin = given - others.max(1)
        self._count(at, finite, p[row, label].astype(np.float64), margin)
        np.clip(p, CLIP, 1 - CLIP, out=p)
        p /= p.sum(1, keepdims=True)
        weight = np.where(finite, np.float32(1 - self.beta), np.float32(0))[:, None]
        target = self._target[at]
        target += weight * (p - target)

    def _count(self, at: slice, finite: npt.NDArray[np.bool_], p: Floats, margin: Floats) -> None:
        seen, mean = self._seen[at], self._mean[at]
        seen += finite
        step = np.where(finite, p - mean, 0)
        mean += step / np.maximum(seen, 1)
        self._squares[at] += step * np.where(finite, p - mean, 0)
        self._margin[at] += np.where(finite, margin, 0)
        right, was = margin > 0, self._was_right[at]
        self._right[at] += right & finite
        self._forgotten[at] += was & ~right & finite
        was[finite] = right[finite]

    def result(self) -> Dynamics:
        """The measures over the epochs so far. Raises InputError if no item had finite logits."""
        if len(self.labels) and not self._seen.any():
            raise InputError(
                f"no item has finite logits in any of {counted(self._epochs, 'epoch')}: the training diverged, or "
                "nothing was recorded"
            )
        unseen = self._seen == 0
        times = np.where(unseen, 1, self._seen)
        confidence = np.where(unseen, np.nan, self._mean)
        mass = self._target.sum(1, dtype=np.float64)  # 1 - beta ** epochs: the target starts at 0
        target = self._target / np.where(unseen, 1, mass)[:, None]
        entropy = -(target * np.log(np.maximum(target, 1e-12))).sum(1) / math.log(max(self.classes, 2))

        def known(values: npt.NDArray[Any]) -> Floats:
            return np.where(unseen, np.nan, values)

        return Dynamics(
            confidence,
            known(np.sqrt(self._squares / times)),
            known(self._right / times),
            confidence * (1 - confidence),
            self._forgotten.copy(),
            self._right > 0,
            known(self._margin / times),
            known(target[np.arange(len(target)), self.labels]),
            target.argmax(1).astype(np.int64),
            known(entropy),
            self._seen.copy(),
        )


class SetMargins:
    """Takes the logits of one epoch after another (`add`), (n, L), of which above 0 means that an item has the label; `given` (n, L)
    says which it was given. `margin` (n,) is the mean over epochs of the least that speaks for any yes or no of an item."""

    def __init__(self, given: npt.NDArray[np.bool_]) -> None:
        self._sign = np.where(given, np.float32(1), np.float32(-1))
        self._total, self._epochs = np.zeros(len(given)), 0

    def add(self, logits: npt.NDArray[Any]) -> None:
        """One more epoch."""
        self._total += (self._sign * logits).min(1)
        self._epochs += 1

    @property
    def margin(self) -> Floats:
        return self._total / max(1, self._epochs)
