"""Faulty questions from several models' answers: by hand, planted wrong keys, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.text import faulty_questions, questions
from curate.scorers.text.questions import _Fit, _fit, _judge, discrimination


def planted(
    n: int = 600, models: int = 8, wrong: int = 30, seed: int = 0, accuracy: float = 0.75
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Answers of models that err independently, a key of which `wrong` are wrong, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    right = rng.random((n, models)) < np.linspace(accuracy - 0.15, accuracy + 0.15, models)
    answers = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, 4, (n, models))) % 4)
    key = truth.copy()
    key[:wrong] = (key[:wrong] + rng.integers(1, 4, wrong)) % 4
    return answers, key, truth


def test_one_round_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "_ROUNDS", 1)
    votes = np.eye(3, dtype=np.float32)[np.array([[0, 0, 1], [2, 2, 2]])]
    start = _Fit(np.empty(0), np.empty(0), np.array([0.9, 0.8, 0.6]), np.array([0.1]))
    found = _fit(votes, np.ones((2, 3), bool), np.array([1, 2]), np.zeros(2, np.int64), 0.5, start)
    likelihood = np.array(
        [0.9 * 0.8 * 0.2, 0.05 * 0.1 * 0.6, 0.05 * 0.1 * 0.2]
    )  # a model errs evenly on two options
    joint = likelihood**0.5 * np.array([0.05, 0.9, 0.05])
    np.testing.assert_allclose(found.truth[0], joint / joint.sum())
    np.testing.assert_allclose(np.exp(found.logits[0]), joint)
    doubt = 1 - found.truth[[0, 1], [1, 2]]
    assert found.wrong_keys[0] == pytest.approx((doubt.sum() + 5 * doubt.mean()) / 7)
    hits = found.truth[0, [0, 0, 1]] + found.truth[1, 2]
    np.testing.assert_allclose(found.accuracy, (hits + 0.8) / 3)
    score, suggested = _judge(found.logits, np.array([1, 2]))
    assert score[0] == pytest.approx(np.log(joint[1] / (joint[0] + joint[2])))
    assert suggested[0] == 0


def test_planted_wrong_keys_are_found_and_set_right() -> None:
    answers, key, truth = planted()
    found = faulty_questions(answers, key)
    assert found.flagged[:30].mean() > 0.9
    assert found.flagged[30:].mean() < 0.01
    assert (found.suggested[:30] == truth[:30]).mean() > 0.95
    assert found.wrong_keys[0] == pytest.approx(0.05, abs=0.02)
    np.testing.assert_allclose(found.accuracy, np.linspace(0.6, 0.9, 8), atol=0.06)
    assert found.independence > 0.7  # they do err independently


def test_models_that_copy_each_other_count_less() -> None:
    answers, key, truth = planted()
    copied = np.repeat(answers[:, :1], 8, axis=1)
    found = faulty_questions(copied, key)
    assert found.independence == pytest.approx(1 / 8, abs=0.02)
    assert np.abs(found.score).max() < np.abs(faulty_questions(answers, key).score).max()


def test_groups_differ_in_their_wrong_keys() -> None:
    answers, key, truth = planted(800, wrong=80)
    groups = np.repeat([0, 2], 400)  # all wrong keys lie in group 0; group 1 has no question
    found = faulty_questions(answers, key, groups=groups)
    assert found.wrong_keys[0] == pytest.approx(0.2, abs=0.03) and found.wrong_keys[2] < 0.02
    alone = faulty_questions(answers, key)
    assert found.score[:80].mean() < alone.score[:80].mean()


def test_signals_by_hand() -> None:
    answers = np.array([[0, 0, 1, 2], [0, 0, 0, 0], [1, -1, -1, 1], [0, -1, -1, -1]])
    found = faulty_questions(answers, np.array([0, 0, 0, 0]), options=4)
    np.testing.assert_allclose(found.against, [0.5, 0, 1, np.nan])
    np.testing.assert_allclose(found.entropy, [1.5 * np.log(2), 0, 0, np.nan], atol=1e-9)
    assert found.suggested[2] == 1 and found.suggested[3] == -1
    assert np.isnan(found.score[3]) and not found.flagged[3] and np.isnan(found.discrimination[3])
    assert found.score[1] > found.score[0] > found.score[2]


def test_discrimination_by_hand() -> None:
    right = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1.0]])
    answered = np.ones((4, 3), bool)
    got = discrimination(right, answered)
    for i in range(3):
        others = np.delete(right, i, 0).mean(0)
        expected = np.corrcoef(right[i], others)[0, 1]
        assert got[i] == pytest.approx(expected)
    assert np.isnan(got[3])  # all are right: nothing to correlate
    answered[0, 2] = False
    others = [right[1:, 0].mean(), right[1:, 1].mean()]
    assert discrimination(right, answered)[0] == pytest.approx(np.corrcoef(right[0, :2], others)[0, 1])


def test_probabilities_of_options_are_soft_votes() -> None:
    answers, key, _ = planted(200)
    hard = faulty_questions(answers, key, options=4)
    soft = np.eye(4)[answers]
    np.testing.assert_allclose(faulty_questions(soft, key).score, hard.score, rtol=1e-6)
    soft[0, 0] = np.nan
    answers[0, 0] = -1
    np.testing.assert_allclose(
        faulty_questions(soft, key).score, faulty_questions(answers, key, options=4).score, rtol=1e-6
    )
    unsure = np.eye(4)[answers % 4]
    unsure[1] = 0.5 * unsure[1] + 0.5 * np.eye(4)[key[1]]  # the models half believe the key
    assert faulty_questions(unsure, key).score[1] > hard.score[1] + 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 5))
def test_neither_order_nor_names_of_options_matter(seed: int, models: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n = 15
    answers = rng.integers(-1, k, (n, models))
    key = rng.integers(0, k, n)
    found = faulty_questions(answers, key, options=k)
    assert ((found.score < 0) == found.flagged).all()
    assert np.isnan(found.score).tolist() == ((answers >= 0).sum(1) < 2).tolist()
    order, named = rng.permutation(n), np.append(rng.permutation(k), -1)
    moved = faulty_questions(named[answers][order], named[key][order], options=k)
    np.testing.assert_allclose(moved.score, found.score[order], rtol=1e-4, atol=1e-4)
    swapped = faulty_questions(answers[:, ::-1], key, options=k)
    np.testing.assert_allclose(swapped.score, found.score, rtol=1e-4, atol=1e-4)


def test_more_options_make_a_vote_against_the_key_weightier() -> None:
    answers, key, _ = planted(300)
    few, many = (faulty_questions(answers, key, options=k) for k in (4, 12))
    assert many.score[:30].mean() < few.score[:30].mean()


def test_what_does_not_fit_is_refused() -> None:
    answers, key, _ = planted(40)
    with pytest.raises(InputError, match=r"answers of shape \(40, 1\) for 40 keys.*at least 2 models"):
        faulty_questions(answers[:, :1], key)
    with pytest.raises(InputError, match="for 39 keys"):
        faulty_questions(answers, key[:39])
    with pytest.raises(
        InputError, match="1 key is none of the 4 options, counted from 0: the first is 4 in question 3"
    ):
        faulty_questions(answers, np.where(np.arange(40) == 3, 4, key), options=4)
    with pytest.raises(InputError, match="question 0, model 0: option 7 of 4"):
        faulty_questions(np.full_like(answers, 7), key, options=4)
    with pytest.raises(InputError, match="answers are float64: whole numbers"):
        faulty_questions(answers.astype(float), key)
    with pytest.raises(InputError, match="question 0, model 0: probabilities sum to 2"):
        faulty_questions(np.eye(4)[answers] * 2, key)
    for odd in (1, 5):
        with pytest.raises(InputError, match=f"options={odd}"):
            faulty_questions(np.eye(4)[answers], key, options=odd)
    with pytest.raises(InputError, match="options=1 for answers of 1"):
        faulty_questions(answers * 0, key * 0, options=1)
    with pytest.raises(InputError, match="key float64"):
        faulty_questions(answers, key.astype(float))
    with pytest.raises(InputError, match=r"groups of shape \(3,\) for 40"):
        faulty_questions(answers, key, groups=np.zeros(3, np.int64))
    with pytest.raises(InputError, match="Are the keys counted from 1"):
        faulty_questions(answers, (key + 1) % 4)


def test_nothing_and_next_to_nothing() -> None:
    empty = faulty_questions(np.empty((0, 3), np.int64), np.empty(0, np.int64))
    assert len(empty.score) == 0
    none = faulty_questions(np.full((3, 2), -1), np.zeros(3, np.int64))
    assert np.isnan(none.score).all()
    one = faulty_questions(np.array([[1, 1, 1]]), np.array([0]))
    assert one.suggested.tolist() == [1]
