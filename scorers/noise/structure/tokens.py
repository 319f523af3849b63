"""Qualities of tokens gathered into one for their sequence: which labels of a sequence are doubtful, and how doubtful."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array
from curate.arrays.distributions import as_pred_probs, check_distributions
from curate.arrays.labels import as_codes, check_several
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.confident.filters import Filter
from curate.scorers.noise.confident.issues import confident_learning

__all__ = ["Aggregate", "TokenMethod", "TokensFound", "gather_quality", "token_errors", "token_quality"]

Aggregate = Literal["min", "softmin"]
TokenMethod = Literal["ratio", "self_confidence", "normalized_margin"]
_LOWEST = 2e-6


class TokensFound(NamedTuple):
    """Sequence by sequence: `score` (n,) float32 in [0, 1], NaN for one without tokens; `flagged` (n,) bool. Token by
    token: `token_score` (t,) float32, `issue` (t,) bool, `suggested` (t,) int64, the most probable class."""

    score: npt.NDArray[np.float32]
    flagged: npt.NDArray[np.bool_]
    token_score: npt.NDArray[np.float32]
    issue: npt.NDArray[np.bool_]
    suggested: npt.NDArray[np.int64]


def token_errors(
    pred_probs: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    *,
    method: TokenMethod = "ratio",
    aggregate: Aggregate = "min",
    temperature: float = 0.05,
    filter_by: Filter = "prune_by_noise_rate",
) -> TokensFound:
    """Which labels of tokens the probabilities contradict, and how good the labels of each sequence are.

    All tokens are laid end to end: `pred_probs` (t, k) out-of-sample rows that sum to 1, `labels` (t,) in 0 ... k - 1;
    `lengths` (n,) tokens of each sequence, their sum is t. Score: higher = keep. A sequence is as good as its worst
    token (`aggregate="min"`) or as a mean in which bad tokens weigh more (`softmin`, `temperature`; see
    `gather_quality`). `method`: see `token_quality`. `filter_by` is that of `confident_learning`, applied to all tokens as one data set.
    Raises InputError where lengths differ, labels are out of range, a row is no distribution or all labels are the
    same.
    Wang and Mueller 2022 for the minimum; Northcutt, Jiang and Chuang 2021 for the issues.
    """
    pred_probs, labels = (
        as_pred_probs(pred_probs, "probabilities of tokens"),
        as_array(labels, "labels of tokens"),
    )
    lengths = np.asarray(as_array(lengths, "lengths"), np.int64)
    labels = _check(pred_probs, labels, lengths)
    if not len(labels):
        none = np.zeros(len(lengths), bool)
        score = np.full(len(lengths), np.nan, np.float32)
        return TokensFound(score, none, score[:0], none[:0], np.empty(0, np.int64))
    quality = token_quality(pred_probs, labels, method)
    issue = confident_learning(pred_probs, labels, filter_by=filter_by).issue
    owner = np.repeat(np.arange(len(lengths)), lengths)
    flagged = np.bincount(owner[issue], minlength=len(lengths)) > 0
    score = gather_quality(quality, lengths, aggregate, temperature)
    return TokensFound(score, flagged, quality, issue, pred_probs.argmax(1).astype(np.int64))


def _check(
    pred_probs: npt.NDArray[Any], labels: npt.NDArray[Any], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The labels as numbers of classes."""
    if len(pred_probs) != len(labels) or int(lengths.sum()) != len(labels) or (lengths < 0).any():
        raise InputError(
            f"{counted(len(labels), 'label')}, probabilities of {counted(len(pred_probs), 'token')} and lengths that "
            f"sum to {int(lengths.sum())}: the three belong to the same tokens"
        )
    check_distributions(pred_probs, "probabilities of tokens")
    codes = as_codes(labels, len(pred_probs), pred_probs.shape[1], what="labels of tokens", of="tokens")
    check_several(codes, "labels of tokens")
    return codes


def token_quality(
    pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.int64], method: TokenMethod = "ratio"
) -> npt.NDArray[np.float32]:
    """Quality of each token's label: (t,) float32 in [0, 1], higher = keep.

    `self_confidence` is p_y, `normalized_margin` (p_y - max of the others + 1) / 2, both as in cleanlab. `ratio` is
    r_y / (r_y + max of the other r), r_k = p_k / t_k, t_k the mean p_k of tokens labelled k: a rare class, whose
    probabilities are never high, is measured by its own standard.
    """
    rows = np.arange(len(labels))
    if method == "ratio":
        k = pred_probs.shape[1]
        count = np.bincount(labels, minlength=k)
        own = np.bincount(labels, weights=pred_probs[rows, labels], minlength=k)
        threshold = np.where(count > 0, np.maximum(own / np.maximum(count, 1), _LOWEST), 2.0)
        relative = pred_probs / threshold.astype(pred_probs.dtype)
    else:
        relative = pred_probs
    given = relative[rows, labels]
    if method == "self_confidence":
        return np.asarray(given, np.float32)
    others = relative.copy()
    others[rows, labels] = -np.inf
    best = others.max(1)
    quality = given / (given + best) if method == "ratio" else (given - best + 1) / 2
    return np.asarray(quality, np.float32)


def gather_quality(
    quality: npt.NDArray[Any],
    lengths: npt.NDArray[np.int64],
    aggregate: Aggregate = "min",
    temperature: float = 0.05,
) -> npt.NDArray[np.float32]:
    """One quality per sequence from those of its tokens: (n,) float32, NaN for a sequence without tokens.

    `quality` (t,) laid end to end, `lengths` (n,). `min` is the lowest. `softmin` is sum_i w_i q_i with w = softmax of
    (1 - q) / `temperature`: towards 0 the minimum, towards infinity the mean. Raises InputError for a temperature
    that is not positive.
    """
    if not temperature > 0:
        raise InputError(f"temperature={temperature}: a positive number is meant")
    result = np.full(len(lengths), np.nan, np.float32)
    filled = lengths > 0
    if not filled.any():
        return result
    starts = (np.cumsum(lengths) - lengths)[filled]
    lowest = np.minimum.reduceat(quality, starts)
    if aggregate == "min":
        result[filled] = lowest
        return result
    weight = np.exp((np.repeat(lowest, lengths[filled]).astype(np.float64) - quality) / temperature)
    result[filled] = np.add.reduceat(weight * quality, starts) / np.add.reduceat(weight, starts)
    return result
