"""Learned combinations: planted weights, no leak, few answers, and what nothing can be learned from."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="extra noise not installed")

from sklearn.linear_model import LogisticRegression

from curate.errors import InputError
from curate.scorers.combine import average_precision, learn, rank_mean, roc_area, spearman
from curate.scorers.combine.learning import _fit


def planted(n: int = 2000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A strong, a weak, a useless and a column turned round; whether each item is good."""
    rng = np.random.default_rng(seed)
    good = rng.random(n) < 0.7
    noise = rng.normal(size=(n, 4))
    return np.column_stack(
        [2 * good + noise[:, 0], 0.5 * good + noise[:, 1], noise[:, 2], -1.5 * good + noise[:, 3]]
    ), good


def some(good: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    truth = np.full(len(good), np.nan)
    drawn = np.random.default_rng(seed).choice(len(good), count, replace=False)
    truth[drawn] = good[drawn]
    return truth


def test_weights_follow_what_columns_are_worth() -> None:
    scores, good = planted()
    truth = some(good, 400)
    found = learn(scores, truth)
    strong, weak, useless, turned = found.weights
    assert strong > weak > abs(useless) and turned < -0.3
    rest = np.isnan(truth)
    learned = roc_area(good[rest], found.score[rest])
    assert learned > roc_area(good[rest], rank_mean(scores)[rest]) + 0.1
    assert learned > roc_area(good[rest], scores[rest, 0]) + 0.03
    # what an item with an answer gets is as good, and no better: it comes from the other folds
    assert roc_area(good[~rest], found.score[~rest]) == pytest.approx(learned, abs=0.03)
    assert abs(found.score.mean() - good.mean()) < 0.05  # a chance, not a rank


def test_no_answer_leaks_into_its_own_score() -> None:
    areas = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        scores, truth = rng.normal(size=(60, 12)), (rng.random(60) < 0.5).astype(float)
        areas.append(roc_area(truth, learn(scores, truth, seed=seed).score))
    assert np.mean(areas) < 0.55  # a model that had seen them would reach 0.8


def test_an_answer_does_not_move_its_own_score() -> None:
    scores, good = planted(200)
    numbers = good + np.random.default_rng(0).normal(size=200)
    item = int(numbers.argmax())  # the highest stays the highest: the folds do not change
    higher = numbers.copy()
    higher[item] += 100
    before, after = learn(scores, numbers).score, learn(scores, higher).score
    assert after[item] == pytest.approx(before[item], rel=1e-9)
    assert np.abs(after - before).max() > 0.1  # but it moves others


def test_few_answers_give_about_the_mean_of_all_columns() -> None:
    rng = np.random.default_rng(1)
    good = rng.random(3000) < 0.6
    scores = good[:, None] * 0.8 + rng.normal(size=(3000, 6))
    gained, plain = [], roc_area(good, rank_mean(scores))
    for seed in range(5):
        truth = some(good, 30, seed)
        gained.append(roc_area(good[np.isnan(truth)], learn(scores, truth).score[np.isnan(truth)]) - plain)
    assert np.mean(gained) > -0.02


def test_numbers_are_answers_too() -> None:
    scores, good = planted()
    rng = np.random.default_rng(0)
    quality = 100 * scores[:, 0] - 30 * scores[:, 2] + rng.normal(size=2000)
    truth = np.where(rng.random(2000) < 0.2, quality, np.nan)
    found = learn(scores, truth)
    rest = np.isnan(truth)
    assert spearman(quality[rest], found.score[rest]) > 0.97
    assert found.weights[0] > 0 > found.weights[2]
    assert found.score[rest].mean() == pytest.approx(quality.mean(), abs=15)
    scaled = learn(scores, truth * 1e-3 + 5)
    np.testing.assert_allclose(scaled.score, found.score * 1e-3 + 5, rtol=1e-6)


def test_the_logistic_fit_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 3))
    y = (rng.random(300) < 1 / (1 + np.exp(-z @ [1, -1, 0.5]))).astype(float)
    x = np.column_stack([np.ones(300), np.zeros(300), z])  # the free mean switched off
    theirs = LogisticRegression(C=1 / 5.0, tol=1e-10, max_iter=1000).fit(z, y)
    ours = _fit(x, y, 5.0, True)
    np.testing.assert_allclose(ours[2:], theirs.coef_[0], atol=1e-5)
    assert ours[0] == pytest.approx(theirs.intercept_[0], abs=1e-5)


def test_answers_that_a_column_tells_apart_do_not_run_away() -> None:
    truth = np.repeat([0.0, 1.0], 20)
    found = learn(np.column_stack([truth, np.random.default_rng(0).normal(size=40)]), truth)
    assert np.isfinite(found.score).all() and average_precision(truth, found.score) == 1


def test_sure_items_do_not_tie() -> None:
    rng = np.random.default_rng(0)
    good = rng.random(20000) < 0.5
    scores = 6 * good[:, None] + rng.normal(size=(20000, 4))
    found = learn(scores, some(good, 500)).score.astype(np.float32)
    assert 0.5 < found.max() < 1 and found.min() > 0
    assert len(np.unique(found)) > 18000


def test_missing_values_tell_something_where_they_do() -> None:
    rng = np.random.default_rng(0)
    good = rng.random(1000) < 0.5
    column = rng.normal(size=1000)
    column[~good & (rng.random(1000) < 0.6)] = np.nan  # mostly the bad ones are missing
    scores = np.column_stack([column, rng.normal(size=1000)])
    truth = some(good, 300)
    rest = np.isnan(truth)
    assert roc_area(good[rest], learn(scores, truth).score[rest]) > 0.7
    scores[:5] = np.nan
    found = learn(scores, truth).score
    assert np.isnan(found[:5]).all() and np.isfinite(found[5:]).all()


def test_columns_without_values_or_differences_weigh_nothing() -> None:
    scores, good = planted(500)
    dead = np.column_stack([scores[:, :2], np.full(500, 3.0), np.full(500, np.nan)])
    found = learn(dead, some(good, 200))
    assert found.weights[3] == 0
    assert roc_area(good, found.score) > 0.85


def test_seed_and_folds_are_parameters() -> None:
    scores, good = planted(300)
    truth = some(good, 100)
    rest = np.isnan(truth)
    a, b = learn(scores, truth, seed=0), learn(scores, truth, seed=1)
    assert not np.allclose(a.score[~rest], b.score[~rest])
    assert learn(scores, truth, seed=0).score.tobytes() == a.score.tobytes()
    assert learn(scores, truth, folds=3).folds == 3 and a.folds == 5
    rare = np.full(300, np.nan)
    rare[:40], rare[40:46] = 1, 0
    assert learn(scores, rare).folds == 3  # two of the rarer kind for each fold


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (np.r_[np.ones(9), np.full(41, np.nan)], "9 items have both"),
        (np.ones(50), "all 50 answers are 1"),
        (np.r_[np.zeros(3), np.ones(47)], "3 of 50 answers are of the rarer kind"),
        (np.r_[np.inf, np.arange(49)], "infinite"),
        (np.ones(3), "answers for 50 items"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(truth: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        learn(np.random.default_rng(0).normal(size=(50, 2)), truth)


def test_one_fold_is_no_cross_validation() -> None:
    with pytest.raises(InputError, match="folds=1"):
        learn(np.random.default_rng(0).normal(size=(50, 2)), np.arange(50) % 2, folds=1)
