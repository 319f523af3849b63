"""Expected ratings, verdicts in both orders, hard negatives: by hand, by properties, and on bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.alignment import expected_rating, hard_negatives, pairwise_verdict, yes_probability


def test_expected_rating_by_hand() -> None:
    mean, spread = expected_rating(np.log([[0.1, 0.3, 0.4], [0.0001, 0.0001, 0.5]]), [1, 2, 4])
    shares = np.array([0.1, 0.3, 0.4]) / 0.8
    by_hand = shares @ [1, 2, 4]
    assert mean[0] == pytest.approx(by_hand)
    assert spread[0] == pytest.approx(np.sqrt(shares @ (np.array([1, 2, 4]) - by_hand) ** 2))
    assert mean[1] == pytest.approx(4, abs=2e-3)
    assert spread[1] < 0.1


def test_what_was_not_told_has_no_share() -> None:
    mean, spread = expected_rating([[-np.inf, -2.0], [-np.inf, -np.inf]], [1, 5])
    assert (mean[0], spread[0]) == (5, 0)
    assert np.isnan(mean[1])
    assert np.isnan(spread[1])


def test_yes_and_no_give_the_soft_score_of_unime() -> None:
    mean, _ = expected_rating([-1.0, -0.5], [0, 1])
    assert float(mean) == pytest.approx(float(yes_probability(-0.5, -1.0)))


@given(st.lists(st.floats(-30, 0), min_size=3, max_size=3), st.floats(-5, 0))
def test_expected_rating_lies_between_and_does_not_mind_what_others_share(
    logs: list[float], less: float
) -> None:
    mean, spread = expected_rating(logs, [1, 2, 3])
    assert 1 <= mean <= 3
    assert 0 <= spread <= 1
    assert expected_rating([log + less for log in logs], [1, 2, 3])[0] == pytest.approx(mean)
    assert expected_rating(logs[::-1], [1, 2, 3])[0] == pytest.approx(4 - mean)


@pytest.mark.parametrize(
    ("logs", "ratings"),
    [
        ([0.1, -1], [1, 2]),
        ([np.nan, -1], [1, 2]),
        ([-1, -1], [1, 2, 3]),
        ([-1], [1]),
        ([-1, -1], [1, np.inf]),
    ],
    ids=["above 0", "nan", "other length", "one rating", "infinite"],
)
def test_expected_rating_refuses(logs: Any, ratings: Any) -> None:
    with pytest.raises(InputError):
        expected_rating(logs, ratings)


#         agree, by place, agree the other way, tie and a winner, both ties, missing
FORWARD = [0.9, 0.8, 0.1, 0.5, 0.5, np.nan]
SWAPPED = [0.2, 0.7, 1.0, 0.0, 0.5, 0.1]


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("soft", [0.85, 0.55, 0.05, 0.75, 0.5]),
        ("conservative", [1, 0.5, 0, 0.5, 0.5]),
        ("lenient", [1, 0.5, 0, 1, 0.5]),
    ],
)
def test_verdicts_by_hand(verdict: Any, expected: list[float]) -> None:
    found = pairwise_verdict(FORWARD, SWAPPED, verdict)
    np.testing.assert_allclose(found.score[:5], expected)
    assert np.isnan(found.score[5])
    assert found.consistent.tolist() == [True, False, True, False, False, False]
    np.testing.assert_allclose(found.bias[:5], [0.1, 0.5, 0.1, -0.5, 0])


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["soft", "conservative", "lenient"]))
def test_a_verdict_turns_with_the_pair(forward: float, swapped: float, verdict: Any) -> None:
    one = pairwise_verdict([forward], [swapped], verdict)
    other = pairwise_verdict([swapped], [forward], verdict)
    assert other.score[0] == pytest.approx(1 - one.score[0])
    assert one.consistent == other.consistent
    assert pairwise_verdict([forward], [forward], verdict).score[0] == pytest.approx(0.5)


@pytest.mark.parametrize(("f", "s", "v"), [([1.2], [0], "soft"), ([1], [0, 1], "soft"), ([1], [0], "hard")])
def test_verdicts_refuse(f: Any, s: Any, v: Any) -> None:
    with pytest.raises(InputError):
        pairwise_verdict(f, s, v)


def test_hard_negatives_by_hand() -> None:
    similarity = [[0.9, 0.8, np.nan, 0.7, 0.6, 0.1, 0.95]]
    soft = [
        [0.2, 0.995, 0.0, 0.3, np.nan, 0.1, 0.985]
    ]  # 1 and 6 fit as well as the positive; 4 was not judged
    chosen = hard_negatives(similarity, soft, [0.99], count=4, step=1)
    assert chosen.tolist() == [[0, 3, 5, -1]]
    assert hard_negatives(similarity, soft, [0.99], count=4, step=1, margin=0.0).tolist() == [[6, 0, 3, 5]]
    assert hard_negatives(similarity, soft, [0.99], count=4, step=2).tolist() == [[0, 5, 3, -1]]
    assert hard_negatives(similarity, soft, [0.99], count=4, step=1, top=4).tolist() == [[0, 3, -1, -1]]
    assert hard_negatives(similarity, soft, [0.99], count=4, ceiling=0.8, step=1).tolist() == [[3, 5, -1, -1]]
    assert hard_negatives(similarity, soft, [0.99], count=1, step=1).tolist() == [[0]]


def test_hard_negatives_go_round_and_round() -> None:
    similarity = -np.arange(12.0)[None]
    chosen = hard_negatives(similarity, np.zeros((1, 12)), [1.0], count=10)
    assert chosen.tolist() == [[0, 5, 10, 1, 6, 11, 2, 7, 3, 8]]


def test_a_planted_false_negative_is_never_taken() -> None:
    rng = np.random.default_rng(0)
    similarity, soft = rng.random((20, 60)), rng.random((20, 60)) * 0.5
    planted = similarity.argmax(1)
    soft[np.arange(20), planted] = 0.97
    chosen = hard_negatives(similarity, soft, np.full(20, 0.97))
    assert (chosen >= 0).all()
    assert not (chosen == planted[:, None]).any()
    assert all(len(set(row)) == 10 for row in chosen.tolist())


@pytest.mark.parametrize(
    ("s", "j", "p", "more"),
    [
        ([[0.1]], [[0.1, 0.2]], [1.0], {}),
        ([[0.1]], [[0.1]], [1.0, 1.0], {}),
        ([[0.1]], [[1.1]], [1.0], {}),
        ([[0.1]], [[0.1]], [1.0], {"count": 0}),
        ([[0.1]], [[0.1]], [1.0], {"step": 0}),
        ([[0.1]], [[0.1]], [1.0], {"margin": -1}),
    ],
)
def test_hard_negatives_refuse(s: Any, j: Any, p: Any, more: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        hard_negatives(s, j, p, **more)
