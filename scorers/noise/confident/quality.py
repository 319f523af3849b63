"""Confident learning's scores of how good a label is, of one model and of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.noise.confident.joint import class_thresholds

__all__ = ["Method", "Weighting", "ensemble_quality", "ensemble_weights", "label_quality"]

Method = Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
Weighting = Literal["log_loss_search", "accuracy", "uniform"]

TEMPERATURES = (1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 2e2)
_TINY = 1e-6

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]


def label_quality(
    pred_probs: Floats,
    labels: Labels,
    method: Method = "self_confidence",
    *,
    thresholds: npt.NDArray[np.float64] | None = None,
) -> Floats:
    """How well each label agrees with the probabilities, (n,) in [0, 1], higher = keep.

    `self_confidence`: p_y. `normalized_margin`: (p_y - max other p + 1) / 2. `confidence_weighted_entropy`: ln(1 + u)/u
    with u the entropy of p as a share of ln k, divided by p_y. `pred_probs` (n, k), `labels` (n,) in 0 ... k - 1.
    With `thresholds` (k,) the adjusted variant: each class's threshold is subtracted first, all shifted by the
    largest, rows scaled to 1; not for the entropy (InputError). Source: Northcutt et al. 2021; Kuan and Mueller 2022.
    """
    row = np.arange(len(labels))
    if thresholds is not None:
        if method == "confidence_weighted_entropy":
            raise InputError("confidence_weighted_entropy has no adjusted variant: use another method")
        pred_probs = pred_probs - thresholds + thresholds.max()
        pred_probs = pred_probs / pred_probs.sum(1, keepdims=True)
    own = pred_probs[row, labels]
    if method == "self_confidence":
        return own
    if method == "normalized_margin":
        others = pred_probs.copy()
        others[row, labels] = -np.inf
        return np.asarray((own - others.max(1) + 1) / 2)
    positive = np.maximum(pred_probs, np.finfo(pred_probs.dtype).tiny)
    entropy = -(pred_probs * np.log(positive)).sum(1) / np.log(pred_probs.shape[1])
    doubt = entropy / np.maximum(own, _TINY)
    return np.asarray(np.log(doubt + 1) / np.maximum(doubt, _TINY))


def ensemble_weights(
    members: Sequence[Floats], labels: Labels, weighting: Weighting = "log_loss_search"
) -> npt.NDArray[np.float64]:
    """What each of several models counts, (m,) float64, sum 1.

    `uniform`; `accuracy`: by the share of labels that it predicts; `log_loss_search`: exp(-T * log-loss on the
    labels), with the T of 1e-4 ... 200 whose average of the models has the least log-loss.
    """
    if weighting == "uniform":
        return np.full(len(members), 1 / len(members))
    if weighting == "accuracy":
        accuracy = np.array([(member.argmax(1) == labels).mean() for member in members])
        return (
            np.asarray(accuracy / accuracy.sum())
            if accuracy.sum()
            else np.full(len(members), 1 / len(members))
        )
    row = np.arange(len(labels))
    own = np.stack([np.asarray(member[row, labels], np.float64) for member in members])
    loss = -np.log(np.maximum(own, _TINY)).mean(1)
    tried = [np.exp(-temperature * (loss - loss.min())) for temperature in TEMPERATURES]
    weights = [one / one.sum() for one in tried]
    mixed = [-np.log(np.maximum(one @ own, _TINY)).mean() for one in weights]
    return np.asarray(weights[int(np.argmin(mixed))])


def ensemble_quality(
    members: Sequence[Floats],
    labels: Labels,
    method: Method = "self_confidence",
    *,
    adjusted: bool = False,
    weighting: Weighting = "log_loss_search",
) -> npt.NDArray[np.float64]:
    """`label_quality` of several models' probabilities, (n,) float64 in [0, 1], averaged with `ensemble_weights`.

    `members` arrays (n, k); `adjusted` subtracts each model's class thresholds. Raises InputError for none.
    """
    if not members:
        raise InputError("an ensemble of no models: give at least one array of probabilities")
    weights = ensemble_weights(members, labels, weighting)
    total = np.zeros(len(labels))
    for member, weight in zip(members, weights, strict=True):
        thresholds = class_thresholds(member, labels) if adjusted else None
        total += weight * label_quality(member, labels, method, thresholds=thresholds)
    return total
