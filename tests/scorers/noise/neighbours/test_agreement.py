"""Agreement of labels with their neighbours': votes by hand, planted flips, both rules, what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import InputError
from curate.scorers.noise.neighbours.agreement import KnnAgreement, knn_agreement, soft_votes
from curate.testing import ArrayView, score_all


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
        ({"labels": np.zeros(6, int)}, "all 6 labels are 0"),
        ({"labels": np.array([0, 1, -1, 0, 1, 0])}, r"0 ... K - 1 \(row 2: -1\)"),
        ({"labels": np.array([0, 1])}, "shape"),
        ({"labels": np.array([0, 1, 0, 1, 0, 0.5])}, "row 5 has 0.5"),
        ({"rule": "guess"}, "rule 'guess'"),
        ({"x": np.vstack([np.zeros((1, 2)), np.ones((5, 2))])}, "1 row of x"),
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


# --- The scorer -----------------------------------------------------------------------------------------------------


def view_of(x: np.ndarray, given: np.ndarray) -> ArrayView:
    labels = [None if g < 0 else f"c{g}" for g in given]
    table = {"id": [f"{i:04d}" for i in range(len(x))], "label": labels}
    return ArrayView(table, {"pixel_embedding": x.astype(np.float32)})


def test_the_scorer_flags_and_suggests() -> None:
    x, given, wrong = rings()
    scored = score_all(KnnAgreement(), view_of(x, given))
    assert np.flatnonzero(scored["knn_label_issue"].to_numpy()).tolist() == wrong.tolist()
    assert scored["knn_suggested_label"].null_count == 300 - len(wrong)
    assert scored["knn_suggested_label"][int(wrong[0])].as_py() == f"c{(given[wrong[0]] + 2) % 3}"
    assert scored["knn_isolation"].null_count == 0


def test_every_parameter_of_the_scorer_counts() -> None:
    x, given, _ = rings()
    view = ArrayView(view_of(x, given).to_arrow(["id", "label"]), {"pixel_embedding": x, "other": x[:, :2]})
    plain = score_all(KnnAgreement(), view)
    for change in ({"embedding": "other"}, {"k": 5}, {"metric": "euclidean"}):
        other = score_all(KnnAgreement(**change), view)  # type: ignore[arg-type]
        assert not other["knn_agreement"].equals(plain["knn_agreement"]), change
    assert not score_all(KnnAgreement(rule="rank"), view)["knn_label_issue"].equals(plain["knn_label_issue"])
    with pytest.raises(InputError, match="k=2"):
        KnnAgreement(k=2)


def test_the_estimated_rates_are_noted() -> None:
    x, given, _ = rings(flips=60)
    assert KnnAgreement().fit(view_of(x, given)).notes == ()
    (note,) = KnnAgreement(rule="rank").fit(view_of(x, given)).notes
    assert "of the labels are wrong" in note


def test_rows_that_cannot_be_scored_say_why_and_change_nothing_else() -> None:
    x, given, _ = rings()
    x[4], x[9, 0], x[13], given[20] = np.nan, np.inf, 0, -1
    scored = score_all(KnnAgreement(), view_of(x, given))
    reasons = scored["knn_agreement_reason"]
    assert [reasons[i].as_py() for i in (4, 9, 13, 20)] == [
        "no pixel_embedding",
        "pixel_embedding is zero or not finite",
        "pixel_embedding is zero or not finite",
        "no label",
    ]
    assert reasons.null_count == 296
    rest = np.setdiff1d(np.arange(300), [4, 9, 13, 20])
    alone = score_all(KnnAgreement(), view_of(x[rest], given[rest]))
    assert alone["knn_agreement"].to_pylist() == scored["knn_agreement"].take(pa.array(rest)).to_pylist()


def test_too_few_items_and_one_label_are_errors() -> None:
    x, given, _ = rings()
    with pytest.raises(InputError, match="k=10 neighbours: 6 rows are there"):
        KnnAgreement().fit(view_of(x[:6], given[:6]))
    with pytest.raises(InputError, match="'c1'"):
        KnnAgreement().fit(view_of(x, np.ones(300, int)))
