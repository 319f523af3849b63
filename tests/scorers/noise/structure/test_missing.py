"""`missing-labels`: calibration, soft labels by hand, and the votes of people on CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.noise.structure.missing import MissingLabels
from curate.scorers.noise.structure.plausible import calibrate, missing_labels, weigh_models
from curate.testing import ArrayView, check_scorer, score_all

NAMES = ["cat", "dog", "eel"]


def drawn(n: int = 4000, steepness: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distributions over three classes, the same made too sure (or unsure), and labels drawn from the former."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    told = np.exp(logits * steepness) / np.exp(logits * steepness).sum(1, keepdims=True)
    label = (rng.random((n, 1)) > np.cumsum(true, 1)).sum(1)
    return true, told, np.eye(3, dtype=bool)[np.minimum(label, 2)]


@pytest.mark.parametrize("steepness", [0.4, 1.0, 3.0])
def test_calibration_undoes_what_makes_a_model_too_sure(steepness: float) -> None:
    true, told, given = drawn(steepness=steepness)
    np.testing.assert_allclose(calibrate(told, given), true, atol=0.05)
    assert np.array_equal(calibrate(told, given).argmax(1), told.argmax(1))


def test_calibration_of_labels_that_stand_by_themselves() -> None:
    rng = np.random.default_rng(0)
    logit = rng.normal(-1, 2, (4000, 3))
    given = rng.random((4000, 3)) < 1 / (1 + np.exp(-logit))
    told = 1 / (1 + np.exp(-(3 * logit + 1)))
    np.testing.assert_allclose(calibrate(told, given, exclusive=False), 1 / (1 + np.exp(-logit)), atol=0.05)


def test_soft_labels_by_hand() -> None:
    probs = np.array([[0.98, 0.01, 0.01], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    given = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    found = missing_labels(probs, given, calibrated=True, threshold=0.25)
    expected = [[0.99, 0.005, 0.005], [0.75, 0.2, 0.05], [0.35, 0.4, 0.25], [0.6, 0.3, 0.1]]
    np.testing.assert_allclose(found.soft, expected, rtol=1e-5)
    np.testing.assert_allclose(found.score, [0.995, 0.8, 0.75, 0.4], rtol=1e-5)
    assert found.missing.astype(int).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 1, 0]]
    assert found.flagged.tolist() == [False, False, True, True]


def test_trust_threshold_and_models() -> None:
    _, told, given = drawn(500)
    alone = missing_labels(told, given, trust=1.0)
    assert np.array_equal(alone.soft, given.astype(np.float32)) and not alone.flagged.any()
    model = missing_labels(told, given, trust=0.0)
    np.testing.assert_allclose(model.soft, model.plausible)
    counts = [int(missing_labels(told, given, threshold=t).flagged.sum()) for t in (0.05, 0.2, 0.4)]
    assert counts[0] > counts[1] > counts[2] > 0


@pytest.mark.parametrize("exclusive", [True, False])
def test_models_weigh_what_they_know(exclusive: bool) -> None:
    _, told, given = drawn(2000)
    useless = np.roll(told, 1, axis=0)
    weights = weigh_models([useless, told], given, exclusive=exclusive)
    assert weights.sum() == pytest.approx(1) and weights[1] > 0.9
    np.testing.assert_allclose(weigh_models([told, told], given, exclusive=exclusive), 0.5)
    found = missing_labels([useless, told], given, exclusive=exclusive, calibrated=True)
    np.testing.assert_allclose(found.weights, weights)
    mean = weights[0] * useless + weights[1] * told
    np.testing.assert_allclose(found.plausible, mean, rtol=1e-5)
    # two that each see half of it weigh the same
    half = np.random.default_rng(0).random((2000, 1)) < 0.5
    one, two = np.where(half, told, 1 / 3), np.where(half, 1 / 3, told)
    assert 0.4 < weigh_models([one, two], given, exclusive=exclusive)[0] < 0.6
    nothing = np.zeros_like(given)
    np.testing.assert_allclose(weigh_models([useless, told], nothing), 0.5)


def test_labels_that_stand_by_themselves_are_no_shares() -> None:
    probs = np.array([[0.9, 0.8, 0.1], [0.2, 0.1, 0.9]])
    given = np.array([[1, 0, 0], [0, 0, 0]], bool)
    found = missing_labels(probs, given, exclusive=False, calibrated=True, threshold=0.4)
    np.testing.assert_allclose(found.soft, [[0.95, 0.4, 0.05], [0.1, 0.05, 0.45]], rtol=1e-5)
    assert found.missing.astype(int).tolist() == [[0, 1, 0], [0, 0, 1]]


@settings(max_examples=40, deadline=None)
@for_any(st.integers(0, 10_000), st.booleans())
def test_soft_labels_are_distributions_whatever_is_given(seed: int, exclusive: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    probs = rng.dirichlet([0.1] * 4, n)  # zeros and ones among them
    given = rng.random((n, 4)) < 0.4
    found = missing_labels(probs, given, exclusive=exclusive)
    assert np.isfinite(found.soft).all() and found.soft.min() >= 0 and found.soft.max() <= 1 + 1e-6
    if exclusive:
        np.testing.assert_allclose(found.soft.sum(1), 1, rtol=1e-5)
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert not (found.missing & given).any()


@pytest.mark.data
def test_people_agree_more_with_soft_labels_than_with_hard_ones(data_dir: Path) -> None:
    errors = data_dir / "label_errors"
    probs = np.load(errors / "cross_validated_predicted_probabilities" / "cifar10_test_set_pyx.npy")
    labels = np.load(errors / "original_test_labels" / "cifar10_test_set_original_labels.npy").astype(int)
    votes = np.load(data_dir / "cifar10h" / "data" / "cifar10h-counts.npy")
    votes = votes / votes.sum(1, keepdims=True)
    given = np.eye(10, dtype=bool)[labels]
    found = missing_labels(probs, given)

    def entropy(q: np.ndarray) -> float:
        q = np.maximum(q, 1e-4)
        return float(-(votes * np.log(q / q.sum(1, keepdims=True))).sum(1).mean())

    assert entropy(found.soft) < 0.31
    assert entropy(given.astype(float)) > 0.43 and entropy(probs) > 0.48
    second = np.where(given, 0, votes) >= 0.2
    chance = second[~given].mean()
    assert second[found.missing].mean() > 20 * chance
    order = np.argsort(found.score)
    assert second.any(1)[order[:393]].mean() > 4 * second.any(1).mean()


def table_of(given: np.ndarray) -> dict[str, Any]:
    sets = [";".join(NAMES[j] for j in np.flatnonzero(row)) for row in given]
    return {"id": [f"{i:04d}" for i in range(len(given))], "label": pa.array(sets, pa.string())}


def test_conformance_and_the_vector_of_shares() -> None:
    _, told, given = drawn(200)
    told[0], told[1] = [0.98, 0.01, 0.01], [0.5, 0.49, 0.01]
    given[:2] = [True, False, False]
    view = ArrayView(table_of(given), {"pred_probs": told})
    check_scorer(MissingLabels(), view, planted=("0000", "0001"))
    scored = score_all(MissingLabels(), view)
    assert scored["missing_classes"][1].as_py() == ["dog"]
    assert scored.schema.field("soft_label").type == pa.list_(pa.float32(), 3)
    found = missing_labels(told, given)
    got = scored["soft_label"].combine_chunks().flatten().to_numpy().reshape(-1, 3)
    np.testing.assert_allclose(got, found.soft, atol=1e-6)
    assert scored["label_missing"].to_numpy().tolist() == found.flagged.tolist()


def test_parameters_of_the_scorer_are_used() -> None:
    _, told, given = drawn(300, steepness=2.0)
    other = np.roll(told, 1, axis=0)
    view = ArrayView(table_of(given), {"pred_probs": told, "more": other})
    base = score_all(MissingLabels(), view)["missing_labels"]
    changes: list[dict[str, Any]] = [
        {"pred_probs": ("pred_probs", "more")},
        {"trust": 0.2},
        {"exclusive": False},
        {"calibrated": True},
    ]
    for change in changes:
        assert not score_all(MissingLabels(**change), view)["missing_labels"].equals(base), change
    notes = MissingLabels(pred_probs=("pred_probs", "more")).fit(view).notes
    assert "pred_probs 0.9" in notes[0] or "pred_probs 1.0" in notes[0]
    few, many = (score_all(MissingLabels(threshold=t), view)["label_missing"] for t in (0.4, 0.1))
    assert few.to_numpy().sum() < many.to_numpy().sum()
    turned = ArrayView(table_of(given), {"p": told[:, [2, 0, 1]]})
    scorer = MissingLabels(pred_probs=("p",), classes=("eel", "cat", "dog"))
    np.testing.assert_allclose(score_all(scorer, turned)["missing_labels"], base, rtol=1e-4)
    comma = {**table_of(given), "label": [s.replace(";", ",") for s in table_of(given)["label"].to_pylist()]}
    assert score_all(MissingLabels(delimiter=","), ArrayView(comma, {"pred_probs": told}))[
        "missing_labels"
    ].equals(base)


def test_rows_that_cannot_be_scored_say_why() -> None:
    _, told, given = drawn(60)
    table = table_of(given)
    sets = table["label"].to_pylist()
    sets[1], sets[2], sets[3] = None, "yak", ""
    told = told.copy()
    told[5], told[7] = np.nan, [0.2, 0.2, 0.2]
    view = ArrayView({**table, "label": sets}, {"pred_probs": told})
    scored = score_all(MissingLabels(classes=tuple(NAMES)), view)
    assert scored["missing_labels_reason"].take(pa.array([1, 2, 3, 5, 7])).to_pylist() == [
        "no set of labels",
        "label 'yak' is none of the 3 classes",
        None,
        "pred_probs: no predicted probabilities",
        "pred_probs: predicted probabilities do not sum to 1",
    ]
    assert scored["soft_label"].null_count == 4


def test_what_is_wrong_as_a_whole_is_an_error() -> None:
    _, told, given = drawn(60)
    with pytest.raises(InputError, match="no column"):
        MissingLabels(pred_probs=())
    with pytest.raises(InputError, match="threshold=0"):
        MissingLabels(threshold=0)
    with pytest.raises(InputError, match="trust=2"):
        missing_labels(told, given, trust=2)
    with pytest.raises(InputError, match="items 0000"):
        MissingLabels().fit(ArrayView(table_of(given), {"pred_probs": np.log(told)}))
    two = {"pred_probs": told, "more": told[:, :2] / told[:, :2].sum(1, keepdims=True)}
    with pytest.raises(InputError, match="models of the same classes"):
        MissingLabels(pred_probs=("pred_probs", "more")).fit(ArrayView(table_of(given), two))
    with pytest.raises(InputError, match="model 1 have shape"):
        missing_labels([told, told[:-1]], given)
    with pytest.raises(InputError, match="at least one array"):
        missing_labels([], given)
    with pytest.raises(InputError, match=r"1 with NaN.: rows 4"):
        spoilt = told.copy()
        spoilt[4, 1] = np.nan
        missing_labels(spoilt, given)
    with pytest.raises(InputError, match="matrix of 0 and 1"):
        missing_labels(told, given.astype(int) + 1)
