"""Agreement of labels with their neighbours': votes by hand, planted flips, both rules, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise.neighbours.agreement import knn_agreement, soft_votes


def rings(n: int = 300, flips: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three directions in five dimensions, labels of which some are flipped, and which."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    x = np.eye(3, 5)[truth] * 4 + rng.normal(size=(n, 5)) * 0.5
    wrong = rng.choice(n, flips, replace=False)
    given = truth.copy()
    given[wrong] = (given[wrong] + 1) % 3
    return x, given, np.sort(wrong)


def test_votes_by_hand() -> None:
    labels = np.array([[0, 1, 1, 0]])
    distance = np.array([[0.0, 0.3, 0.4, 0.5]])
    # the row itself counts at 2 * 0.3 - 0.4 = 0.2: class 0 gets 0.8 + 0.5, class 1 gets 0.7 + 0.6
    np.testing.assert_allclose(soft_votes(labels, distance, 3), [[0.5**0.5, 0.5**0.5, 0]], rtol=1e-6)
    # never nearer than 0, and beyond a right angle no vote at all
    np.testing.assert_allclose(
        soft_votes(labels, np.array([[0, 0.1, 0.9, 1.5]]), 2), [[0.5**0.5] * 2], rtol=1e-6
    )
    assert not soft_votes(labels, np.full((1, 4), 1.5), 2).any()


def test_scores_by_hand() -> None:
    angle = np.deg2rad([0, 10, 20, 90, 100, 110])
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    found = knn_agreement(x, np.array([0, 0, 1, 1, 1, 1]), k=3)
    assert found.suggested.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.flatnonzero(found.flagged).tolist() == [2]
    near, far = 1 - np.cos(np.deg2rad([10, 20]))
    own = 1 - max(2 * near - far, 0)
    theirs = (1 - near) + (1 - far)
    np.testing.assert_allclose(found.score[2], own / np.hypot(own, theirs), rtol=1e-4)
    np.testing.assert_allclose(found.isolation[2], 2 / (1 + np.exp(-(near + far) / 2)) - 1, rtol=1e-4)
    assert found.score[4] == 1


def test_planted_flips_are_found() -> None:
    x, given, wrong = rings()
    found = knn_agreement(x, given)
    assert np.flatnonzero(found.flagged).tolist() == wrong.tolist()
    assert (found.suggested[wrong] == (given[wrong] + 2) % 3).all()
    assert found.score[wrong].max() < np.delete(found.score, wrong).min()
    assert found.rates is None
    assert ((found.score >= 0) & (found.score <= 1)).all()


def test_ranking_flags_as_many_as_the_estimated_rates_say() -> None:
    x, given, wrong = rings(flips=60)
    found = knn_agreement(x, given, rule="rank")
    assert found.rates is not None
    expected = sum(
        round(float(1 - np.clip(found.rates.trust[c], 0.05, 0.95)) * (given == c).sum()) for c in range(3)
    )
    assert found.flagged.sum() == expected
    assert abs(expected - 60) < 20
    assert np.isin(np.flatnonzero(found.flagged), wrong).mean() > 0.9
    # even without noise 5 % of each class are flagged: the rule's floor
    assert knn_agreement(x, np.arange(300) % 3, rule="rank").flagged.sum() == 15


def test_the_number_of_neighbours_counts() -> None:
    x, given, _ = rings()
    few, many = knn_agreement(x, given, 3), knn_agreement(x, given, 150)
    assert not np.array_equal(few.score, many.score)
    assert many.isolation.mean() > few.isolation.mean()


def test_metric_counts() -> None:
    x = np.array([[1.0, 0], [2, 0], [3, 0], [1, 0.1], [2, 0.2], [3, 0.3]])  # two rays
    by_ray = np.array([0, 0, 0, 1, 1, 1])
    assert not knn_agreement(x, by_ray, 3).flagged.any()
    assert knn_agreement(x, by_ray, 3, metric="euclidean").score.min() < 1


def test_in_a_tie_the_given_label_stands() -> None:
    x = np.ones((4, 2))
    found = knn_agreement(x, np.array([1, 0, 0, 1]), k=4)
    assert found.suggested.tolist() == [1, 0, 0, 1]
    assert not found.flagged.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 2}, "k=2"),
        ({"k": 7}, "k=7 neighbours"),
        ({"labels": np.zeros(6, int)}, "all 6 labels are the same"),
        ({"labels": np.array([0, 1, -1, 0, 1, 0])}, "below 0, as in row 2"),
        ({"labels": np.array([0, 1])}, "shape"),
        ({"labels": np.array([0, 1, 0, 1, 0, 1.0])}, "integers"),
        ({"rule": "guess"}, "rule 'guess'"),
        ({"x": np.vstack([np.zeros((1, 2)), np.ones((5, 2))])}, "1 rows of x"),
    ],
)
def test_what_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "x": np.ones((6, 2)),
        "labels": np.array([0, 1, 0, 1, 0, 1]),
        "k": 3,
    } | change
    with pytest.raises(InputError, match=message):
        knn_agreement(**arguments)  # type: ignore[arg-type]
