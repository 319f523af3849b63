"""Weights of scores learned from trusted answers, so that no item is scored by a model that has seen its answer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.combine.calibration import deal_groups
from curate.scorers.combine.means import check_scores, to_ranks

__all__ = ["Learned", "is_yes_or_no", "learn"]

Floats = npt.NDArray[np.float64]
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Tried by cross-validation; the highest is the mean of all columns for all practical purposes."""
_STEPS = 50
_KNEE = 4.0


class Learned(NamedTuple):
    """`score` (n,) float64: the chance of a yes, or the answer expected; NaN where no column has a value. `weights`
    (c,) float64: what one unit of each column's log-odds of rank adds to the log-odds of a yes, or to the answer, in
    the model of all answers. `penalty`: how strongly that model's weights are held together. `folds`: how many it came
    to."""

    score: Floats
    weights: Floats
    penalty: float
    folds: int


def is_yes_or_no(truth: npt.NDArray[Any]) -> bool:
    """Whether the answers there are, NaN aside, are all 0 or 1."""
    known = as_floats(truth, "truth")
    known = known[~np.isnan(known)]
    return bool(np.isin(known, (0.0, 1.0)).all())


def learn(
    scores: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    *,
    groups: Any = None,
    folds: int = 5,
    seed: int = 0,
) -> Learned:
    """A combination of columns that predicts trusted answers, out of fold for the items that have one.

    `scores` (n, c) in any units, NaN where a column says nothing; `truth` (n,) numbers, higher = keep, NaN where nobody
    answered: 0 and 1 (logistic regression), or any numbers (ridge regression). Items in the order of their ids, for a
    result that does not depend on the order of rows.

    Columns enter as the log-odds of their ranks, so that units do not matter; a missing value is the middle rank, and a
    column that is missing for some tells so by an indicator. Weights are drawn towards one common weight, so that few
    answers give about the rank-mean and many find their own; how strongly is chosen by cross-validation among
    `PENALTIES`, anew for each fold. Items with an answer are dealt to `folds`, each kind of answer evenly, by `seed`, and
    scored by the models of the other folds; all others by the model of all answers. Log-odds beyond 4 (a chance of 0.982)
    grow by their logarithm only: some hundred answers bear out no more, and no two items tie for want of digits.

    `groups` (n,) any values: items of one group, as all images of one prompt, are dealt to one fold together.

    Raises InputError for fewer than 10 answers, fewer than two of a kind for each fold, or answers that are all equal.
    """
    scores, truth = check_scores(scores), as_floats(truth, "truth")
    if truth.shape != scores.shape[:1]:
        raise InputError(
            f"{truth.shape} answers for {counted(len(scores), 'item')}: one each, NaN where unknown"
        )
    features, owner = _features(scores)
    some = ~np.isnan(scores).all(1)
    known = np.flatnonzero(~np.isnan(truth) & some)
    yes_or_no = is_yes_or_no(truth)
    folds = _check(truth[known], folds, yes_or_no)
    x, y = features[known], truth[known]
    if groups is None:
        fold = _deal(y, folds, yes_or_no, np.random.default_rng(seed))
    else:
        fold, folds = deal_groups(np.asarray(groups)[known], folds, seed)
        _check_folds(y, fold, folds)
    predicted = np.full(len(scores), np.nan)
    for held in range(folds):
        train = fold != held
        model, _ = _train(x[train], y[train], fold[train], yes_or_no)
        predicted[known[~train]] = _answer(x[~train] @ model, yes_or_no)
    model, penalty = _train(x, y, fold, yes_or_no)
    others = np.flatnonzero(some & np.isnan(truth))
    predicted[others] = _answer(features[others] @ model, yes_or_no)
    weights = model[1] / scores.shape[1] + model[2 : 2 + scores.shape[1]]
    return Learned(predicted, weights * owner, penalty, folds)


def _features(scores: Floats) -> tuple[Floats, Floats]:
    """1, the mean of the columns, each column, and an indicator for each column that is missing for some; and which
    columns have any value (1.0) at all."""
    ranks = to_ranks(scores)
    missing = np.isnan(ranks)
    ranks = np.where(missing, 0.5, ranks)
    odds = np.log(ranks / (1 - ranks))
    part = missing.any(0) & ~missing.all(0)
    columns = [np.ones((len(scores), 1)), odds.mean(1, keepdims=True), odds, missing[:, part].astype(float)]
    return np.hstack(columns), (~missing.all(0)).astype(float)


def _check(answers: Floats, folds: int, yes_or_no: bool) -> int:
    if len(answers) < 10:
        raise InputError(
            f"{counted(len(answers), 'item has', 'items have')} both an answer and a score: it takes at least 10 to "
            "learn from, better some hundred. rank-mean needs none"
        )
    if (answers == answers[0]).all():
        raise InputError(
            f"all {counted(len(answers), 'answer is', 'answers are')} {answers[0]:g}: nothing can be learned from them"
        )
    if not np.isfinite(answers).all():
        raise InputError("an answer is infinite: give numbers, or null")
    if folds < 2:
        raise InputError(f"folds={folds}: cross-validation needs at least two")
    if yes_or_no:
        rarest = int(min((answers == 0).sum(), (answers == 1).sum()))
        if rarest < 4:
            raise InputError(
                f"{rarest} of {counted(len(answers), 'answer')} are of the rarer kind: it takes at least 4 to learn "
                "from them"
            )
        folds = min(folds, rarest // 2)
    return min(folds, len(answers) // 2)


def _check_folds(y: Floats, fold: npt.NDArray[np.int64], folds: int) -> None:
    for held in range(folds):
        train = y[fold != held]
        if (train == train[0]).all():
            raise InputError(
                f"without fold {held} of {folds} all answers are {train[0]:g}: groups hold one kind of answer each; use "
                "another seed, fewer folds or smaller groups"
            )


def _deal(y: Floats, folds: int, yes_or_no: bool, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Folds in which each kind of answer, or each stretch of answers, is spread evenly."""
    shuffled = rng.permutation(len(y))
    by_answer = shuffled[np.argsort(y[shuffled], kind="stable")]
    fold = np.empty(len(y), np.int64)
    if yes_or_no:
        fold[by_answer] = np.arange(len(y)) % folds
        return fold
    for low in range(0, len(y), folds):  # of each stretch of equal answers, one to each fold, in any order
        stretch = by_answer[low : low + folds]
        fold[stretch] = rng.permutation(folds)[: len(stretch)]
    return fold


def _train(x: Floats, y: Floats, fold: npt.NDArray[np.int64], yes_or_no: bool) -> tuple[Floats, float]:
    """A model of these answers, its penalty chosen by the folds among them."""
    folds = np.unique(fold)
    losses = np.zeros(len(PENALTIES))
    for held in folds:
        train = fold != held
        if len(folds) < 2 or (y[train] == y[train][0]).all():
            continue
        for i, penalty in enumerate(PENALTIES):
            predicted = _predict(x[~train], _fit(x[train], y[train], penalty, yes_or_no), yes_or_no)
            losses[i] += _loss(y[~train], predicted, yes_or_no)
    penalty = PENALTIES[len(PENALTIES) - 1 - int(losses[::-1].argmin())]  # of equal ones the strongest
    return _fit(x, y, penalty, yes_or_no), penalty


def _loss(y: Floats, predicted: Floats, yes_or_no: bool) -> float:
    if not yes_or_no:
        return float(((y - predicted) ** 2).sum())
    p = np.clip(predicted, 1e-12, 1 - 1e-12)
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum())


def _fit(x: Floats, y: Floats, penalty: float, yes_or_no: bool) -> Floats:
    """Coefficients; the mean of the columns is free, what each column adds to it is penalised."""
    ridge = np.full(x.shape[1], penalty)
    ridge[:2] = 0, 1e-2
    if not yes_or_no:
        return np.asarray(np.linalg.solve(x.T @ x + np.diag(ridge), x.T @ y), np.float64)
    share = y.mean()
    w = np.zeros(x.shape[1])
    w[0] = np.log(share / (1 - share))
    best = _objective(x, y, w, ridge)
    for _ in range(_STEPS):
        p = _sigmoid(x @ w)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge + 1e-9)
        step = np.linalg.solve(hessian, x.T @ (y - p) - ridge * w)
        while True:  # Newton's step, halved until it helps
            value = _objective(x, y, w + step, ridge)
            if value <= best or np.abs(step).max() < 1e-8:
                break
            step = step / 2
        w, gained, best = w + step, best - value, value
        if gained < 1e-8:
            break
    return w


def _objective(x: Floats, y: Floats, w: Floats, ridge: Floats) -> float:
    z = x @ w
    return float((np.logaddexp(0, z) - y * z).sum() + (ridge * w * w).sum() / 2)


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


def _predict(x: Floats, w: Floats, yes_or_no: bool) -> Floats:
    z = x @ w
    return _sigmoid(z) if yes_or_no else z


def _answer(z: Floats, yes_or_no: bool) -> Floats:
    """What is told: a chance from tempered log-odds, or the number itself."""
    if not yes_or_no:
        return z
    beyond = np.maximum(np.abs(z) - _KNEE, 0)
    return _sigmoid(np.where(beyond > 0, np.sign(z) * (_KNEE + np.log1p(beyond)), z))
