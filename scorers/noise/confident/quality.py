"""Confident learning's scores of how good a label is, of one model and of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import as_pred_probs, check_given, each_model
from curate.arrays.labels import as_codes
from curate.errors import InputError
from curate.scorers.noise.confident.joint import class_thresholds
from curate.scorers.noise.probabilities import exact_sum

__all__ = [
    "Method",
    "ModelSums",
    "Weighting",
    "ensemble_quality",
    "ensemble_weights",
    "label_quality",
    "mix_quality",
    "sum_mixed",
    "sum_models",
    "weigh_models",
]

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
    largest, rows scaled to 1; not for the entropy (InputError). Raises InputError for shapes that do not fit and labels that
    are no whole numbers in that range. Source: Northcutt et al. 2021; Kuan and Mueller 2022.
    """
    pred_probs, labels = check_given(pred_probs, labels)
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


class ModelSums(NamedTuple):
    """Of some rows: how many, how often each of m models predicts the given label, and the `exact_sum` of minus the logarithm
    of the given label's probability by each."""

    rows: int
    right: tuple[int, ...]
    losses: tuple[int, ...]


def sum_models(members: Sequence[Floats], labels: Labels) -> ModelSums:
    """These sums of rows of several models' probabilities (n, k)."""
    right = tuple(int((member.argmax(1) == labels).sum()) for member in members)
    return ModelSums(len(labels), right, sum_mixed(members, labels, np.eye(len(members))))


def sum_mixed(members: Sequence[Floats], labels: Labels, tried: npt.NDArray[np.float64]) -> tuple[int, ...]:
    """The `exact_sum` of minus the logarithm of the given label's probability, averaged over models by each of the weights
    `tried` (t, m)."""
    row = np.arange(len(labels))
    own = [np.asarray(member[row, labels], np.float64) for member in members]
    mixed = (sum(w * one for w, one in zip(weights, own, strict=True) if w) for weights in tried.tolist())
    return tuple(exact_sum(-np.log(np.maximum(one, _TINY))) for one in mixed)


def weigh_models(
    sums: Sequence[ModelSums],
    mixed: Callable[[npt.NDArray[np.float64]], Sequence[tuple[int, ...]]],
    weighting: Weighting,
) -> npt.NDArray[np.float64]:
    """`ensemble_weights` from sums of portions of the rows; `mixed` asks all portions for `sum_mixed` of what is tried."""
    rows, right = sum(one.rows for one in sums), np.sum([one.right for one in sums], axis=0)
    alike = np.full(len(right), 1 / len(right))
    if weighting == "uniform" or not rows:
        return alike
    if weighting == "accuracy":
        return np.asarray(right / right.sum()) if right.sum() else alike
    loss = _mean([one.losses for one in sums], rows)
    tried = np.exp(-np.array(TEMPERATURES)[:, None] * (loss - loss.min()))
    tried /= tried.sum(1, keepdims=True)
    return np.asarray(tried[int(np.argmin(_mean(mixed(tried), rows)))])


def _mean(sums: Sequence[tuple[int, ...]], rows: int) -> npt.NDArray[np.float64]:
    return np.array([sum(column) / 2**32 / rows for column in zip(*sums, strict=True)])


def ensemble_weights(
    members: Sequence[Floats], labels: Labels, weighting: Weighting = "log_loss_search"
) -> npt.NDArray[np.float64]:
    """What each of several models counts, (m,) float64, sum 1.

    `uniform`; `accuracy`: by the share of labels that it predicts; `log_loss_search`: exp(-T * log-loss on the
    labels), with the T of 1e-4 ... 200 whose average of the models has the least log-loss.
    """
    sums = [sum_models(members, labels)]
    return weigh_models(sums, lambda tried: [sum_mixed(members, labels, tried)], weighting)


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
    members = [as_pred_probs(one, name) for name, one in each_model(members)]
    labels = as_codes(labels, *members[0].shape, of="rows of probabilities")
    weights = ensemble_weights(members, labels, weighting)
    thresholds = [class_thresholds(member, labels) for member in members] if adjusted else None
    return mix_quality(members, labels, method, (weights, thresholds))


def mix_quality(
    members: Sequence[Floats],
    labels: Labels,
    method: Method,
    how: tuple[npt.NDArray[np.float64], Sequence[npt.NDArray[np.float64]] | None],
) -> npt.NDArray[np.float64]:
    """`ensemble_quality` by these weights (m,), and thresholds of each model's classes if they are to be subtracted."""
    total = np.zeros(len(labels))
    for i, (member, weight) in enumerate(zip(members, how[0], strict=True)):
        total += weight * label_quality(member, labels, method, thresholds=how[1][i] if how[1] else None)
    return total
