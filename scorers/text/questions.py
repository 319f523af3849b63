"""Multiple-choice questions whose key is wrong or which cannot be answered, from what several models answered."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = ["QuestionVerdicts", "discrimination", "faulty_questions"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
ENOUGH = 2
"""Fewer models than these say nothing about a question."""
_ROUNDS = 100
_PRIOR = 5.0  # questions' worth of the overall rate of wrong keys that each group starts from
_BLOCK = 1 << 15
_DISCOUNTS = 5
_SAFE = 0.999  # no model is believed to be always right


class QuestionVerdicts(NamedTuple):
    """Question by question, NaN (False, -1) where fewer than two models answered:
    `score` (q,) float64, log-odds that the key is right, **higher = keep**; `flagged` (q,) bool, score < 0;
    `suggested` (q,) int64, the most probable option other than the key; `against` (q,) float64, the share of models that
    chose something else than the key; `entropy` (q,) float64 in nats, of the options chosen: high where models disagree
    with each other; `discrimination` (q,) float64, see `discrimination`, NaN too where all models are equally right.
    `accuracy` (m,) float64, estimated for each model; `wrong_keys` (groups,) float64, the estimated share of wrong keys;
    `independence` in (0, 1]: by how much the models' votes were discounted because they err together."""

    score: Floats
    flagged: npt.NDArray[np.bool_]
    suggested: Codes
    against: Floats
    entropy: Floats
    discrimination: Floats
    accuracy: Floats
    wrong_keys: Floats
    independence: float


def faulty_questions(
    answers: npt.NDArray[Any],
    key: Codes,
    *,
    options: int | None = None,
    groups: Codes | None = None,
) -> QuestionVerdicts:
    """How probable it is that each question's key is right, given the answers of several models, without any truth.

    `answers` (q, m) integers, the option that each model chose, 0 ... K - 1, negative = none; or (q, m, K) floats, each
    model's probabilities, rows of NaN = none. `key` (q,) in 0 ... K - 1. `options` K, by default the highest number
    seen + 1. `groups` (q,) in 0 ... G - 1, subjects or sources, which differ in how many of their keys are wrong.

    The key is one more answerer beside the models: model j is right with probability a_j on every question, the key with
    1 - e_g in group g, errors fall evenly on the other options, and the right option T_i is unknown:
    p(T_i = t | answers) ~ p(key_i | t) prod_j p(answer_ij | t)^w. EM finds a, e and p(T) (Dawid and Skene 1979, one
    parameter per answerer); e_g is shrunk to the overall rate as if by 5 more questions. Models err together, so their
    votes are discounted by the design effect w = 1 / (1 + (m - 1) r), r the mean correlation of their being right over
    the questions whose key is believed (Kish 1965). That discount is ours, not Dawid and Skene's.
    Raises InputError for shapes that do not fit, a key outside the options, fewer than two models, and keys with which
    the models agree less often than by chance: such a key is shifted, not faulty.
    """
    votes, voted = _as_votes(answers, key, options)
    groups = np.zeros(len(key), np.int64) if groups is None else np.asarray(groups)
    if groups.shape != key.shape or (groups < 0).any():
        raise InputError(
            f"groups of shape {groups.shape} for {counted(len(key), 'question')}: a number >= 0 for each"
        )
    usable = voted.sum(1) >= ENOUGH
    right = np.take_along_axis(votes, key[:, None, None], 2)[:, :, 0]
    _check_key(right[usable], voted[usable], votes.shape[2])
    found, independence = _fit_discounted(
        votes[usable], voted[usable], key[usable], groups[usable], right[usable]
    )
    score, suggested = np.full(len(key), np.nan), np.full(len(key), -1)
    score[usable], suggested[usable] = _judge(found.logits, key[usable])
    signals = (_disagreement(right, voted), _entropy(votes, voted), discrimination(right, voted))
    against, entropy, separates = (np.where(usable, signal, np.nan) for signal in signals)
    wrong = np.zeros(int(groups.max(initial=-1)) + 1)
    wrong[: len(found.wrong_keys)] = found.wrong_keys
    return QuestionVerdicts(
        score, score < 0, suggested, against, entropy, separates, found.accuracy, wrong, independence
    )


def _disagreement(right: npt.NDArray[Any], voted: npt.NDArray[np.bool_]) -> Floats:
    """The share of the models that answered which chose something else than the key."""
    share: Floats = 1 - right.sum(1, dtype=np.float64) / np.maximum(voted.sum(1), 1)
    return share


def _entropy(votes: npt.NDArray[np.float32], voted: npt.NDArray[np.bool_]) -> Floats:
    """In nats, of the shares of the options."""
    shares = votes.sum(1, dtype=np.float64) / np.maximum(voted.sum(1), 1)[:, None]
    entropy: Floats = -(shares * np.log(np.maximum(shares, 1e-12))).sum(1)
    return entropy


def discrimination(right: npt.NDArray[Any], answered: npt.NDArray[np.bool_]) -> Floats:
    """Whether the better models are those that are right on a question: the corrected point-biserial correlation.

    `right` (q, m) in [0, 1], `answered` (q, m) bool. Correlates, over the models that answered, being right here with the
    model's mean on all other questions. Returns (q,) float64 in [-1, 1]: high = the question tells good from bad models,
    **negative = the better models miss it**, a sign of a wrong key; NaN where they are all equally right. With few models
    it is noisy. Source: Lord and Novick (1968), "Statistical Theories of Mental Test Scores".
    """
    here = np.where(answered, right, 0.0)
    count = answered.sum(0) - answered
    ability = (here.sum(0) - here) / np.maximum(count, 1)
    known = answered & (count > 0)
    n = np.maximum(known.sum(1, keepdims=True), 1)
    x = np.where(known, here - np.where(known, here, 0).sum(1, keepdims=True) / n, 0)
    y = np.where(known, ability - np.where(known, ability, 0).sum(1, keepdims=True) / n, 0)
    spread = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return np.where(spread > 1e-12, (x * y).sum(1) / np.where(spread > 1e-12, spread, 1), np.nan)


# --- Checking -------------------------------------------------------------------------------------------------------


def _as_votes(
    answers: npt.NDArray[Any], key: Codes, options: int | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Answers as probabilities (q, m, K), zero where there is none, and where there is one (q, m)."""
    if key.ndim != 1 or key.dtype.kind not in "iu":
        raise InputError(f"key {key.dtype} of shape {key.shape}: a whole number for each question")
    if answers.ndim not in (2, 3) or len(answers) != len(key) or answers.shape[1] < ENOUGH:
        raise InputError(
            f"answers of shape {answers.shape} for {counted(len(key), 'key')}: (questions, models) or (questions, "
            f"models, options) with at least {ENOUGH} models"
        )
    votes, voted = _soft_votes(answers) if answers.ndim == 3 else _hard_votes(answers, key, options)
    k = votes.shape[2]
    if k < 2 or options not in (None, k):
        raise InputError(
            f"options={options} for answers of {counted(k, 'option')}: at least two, and as many as there are"
        )
    outside = np.flatnonzero((key < 0) | (key >= k))
    if len(outside):
        raise InputError(
            f"{counted(len(outside), 'key is', 'keys are')} none of the {counted(k, 'option')}, counted from 0: the "
            f"first is {key[outside[0]]} in question {outside[0]}"
        )
    return votes, voted


def _soft_votes(answers: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    voted = ~np.isnan(answers).any(2)
    votes = np.where(voted[:, :, None], answers, 0).astype(np.float32)
    sums = votes.sum(2)
    odd = (voted & (np.abs(sums - 1) > 0.01)) | (votes < 0).any(2)
    if odd.any():
        i, j = np.argwhere(odd)[0]
        raise InputError(f"question {i}, model {j}: probabilities sum to {sums[i, j]:.3g} or are negative")
    return votes, voted


def _hard_votes(
    answers: npt.NDArray[Any], key: Codes, options: int | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    if answers.dtype.kind not in "iu":
        raise InputError(f"answers are {answers.dtype}: whole numbers, the option chosen, negative = none")
    k = options or max(2, int(max(answers.max(initial=-1), key.max(initial=-1))) + 1)
    beyond = np.argwhere(answers >= k)
    if len(beyond):
        i, j = beyond[0]
        raise InputError(f"question {i}, model {j}: option {answers[i, j]} of {k}, counted from 0")
    return (answers[:, :, None] == np.arange(k)).astype(np.float32), answers >= 0


def _check_key(right: npt.NDArray[Any], voted: npt.NDArray[np.bool_], k: int) -> None:
    """With 20 questions or more, models that are right less often than by chance answer another key."""
    if len(right) >= 20 and right.sum() / voted.sum() < 1 / k:
        raise InputError(
            f"the models agree with {right.sum() / voted.sum():.1%} of the keys, by chance it were {1 / k:.1%}: keys and "
            "answers do not belong together. Are the keys counted from 1, or the rows in another order?"
        )


# --- Fitting --------------------------------------------------------------------------------------------------------


class _Fit(NamedTuple):
    """`logits` and `truth` (q, K): log p(T, answers) and p(T | answers); the rest as in `QuestionVerdicts`."""

    logits: Floats
    truth: Floats
    accuracy: Floats
    wrong_keys: Floats


def _fit(
    votes: npt.NDArray[np.float32],
    voted: npt.NDArray[np.bool_],
    key: Codes,
    groups: Codes,
    weight: float,
    start: _Fit | None = None,
) -> _Fit:
    """EM for `faulty_questions`, from accuracies of 0.8 and 5 % of wrong keys, or from where another fit ended. Sums in
    float64, some rows at a time."""
    n, m, k = votes.shape
    flat, size, is_key = votes.reshape(n, m * k), np.bincount(groups), key[:, None] == np.arange(k)
    accuracy, wrong = np.full(m, max(0.8, 1 / k)), np.full(len(size), 0.05)
    if start is not None:
        accuracy, wrong = start.accuracy, start.wrong_keys
    count, logits, truth = voted.sum(0), np.zeros((n, k)), np.zeros((n, k))
    for _ in range(_ROUNDS):
        miss = np.log((1 - accuracy) / (k - 1))
        kernel = weight * np.kron((np.log(accuracy) - miss)[:, None], np.eye(k))
        hits = np.zeros((m * k, k))
        for low in range(0, n, _BLOCK):
            rows = slice(low, low + _BLOCK)
            piece, rate = flat[rows].astype(np.float64), wrong[groups[rows]][:, None]
            logits[rows] = piece @ kernel + weight * (voted[rows] @ miss)[:, None]
            logits[rows] += np.where(is_key[rows], np.log1p(-rate), np.log(rate / (k - 1)))
            truth[rows] = np.exp(logits[rows] - logits[rows].max(1, keepdims=True))
            truth[rows] /= truth[rows].sum(1, keepdims=True)
            hits += piece.T @ truth[rows]
        doubt = 1 - truth[np.arange(n), key]
        before, wrong = wrong, np.bincount(groups, doubt, len(size)) + _PRIOR * (doubt.mean() if n else 0.05)
        wrong = np.clip(wrong / (size + _PRIOR), 1e-6, 1 - 1 / k)
        right = np.einsum("mkk->m", hits.reshape(m, k, k))
        accuracy = np.clip((right + 0.8) / (count + 1), 1 / k, _SAFE)
        if np.abs(wrong - before).max(initial=0) < 1e-6:
            break
    return _Fit(logits, truth, accuracy, wrong)


def _fit_discounted(
    votes: npt.NDArray[np.float32],
    voted: npt.NDArray[np.bool_],
    key: Codes,
    groups: Codes,
    right: npt.NDArray[Any],
) -> tuple[_Fit, float]:
    """The fit with the models' votes discounted, and the discount. It starts from all keys being right, under which
    models of one family err together, and is measured again by what keys are then believed."""
    belief, independence = np.ones(len(key)), 1.0
    found: _Fit | None = None
    for _ in range(_DISCOUNTS):
        together = _correlation(right, voted, belief)
        independence = 1 / (1 + (votes.shape[1] - 1) * together)
        found = _fit(votes, voted, key, groups, independence, found)
        belief = found.truth[np.arange(len(key)), key]
    assert found is not None
    return found, independence


def _correlation(right: npt.NDArray[Any], voted: npt.NDArray[np.bool_], weights: Floats) -> float:
    """The mean correlation, in [0, 1], of being right between two models; questions count by their weights."""
    here, w = voted.astype(np.float64), weights[:, None]
    mean = (w * here * right).sum(0) / np.maximum((w * here).sum(0), 1e-12)
    centred = np.where(voted, right - mean, 0)
    covariance = (w * centred).T @ centred / np.maximum((w * here).T @ here, 1e-12)
    deviation = np.sqrt(np.diag(covariance))
    varies = deviation > 1e-9
    m = int(varies.sum())
    if m < ENOUGH:
        return 0.0
    r = covariance[np.ix_(varies, varies)] / np.outer(deviation[varies], deviation[varies])
    return float(np.clip((r.sum() - m) / (m * (m - 1)), 0, 1))


def _judge(logits: Floats, key: Codes) -> tuple[Floats, Codes]:
    """Log-odds of the key, and the best of the other options."""
    rows = np.arange(len(key))
    own = logits[rows, key]
    others = logits.copy()
    others[rows, key] = -np.inf
    best = others.argmax(1)
    top = others[rows, best]
    return own - top - np.log(np.exp(others - top[:, None]).sum(1)), best
