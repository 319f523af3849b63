"""Confident learning by our own code against cleanlab 2.9: joint, flags, scores, ensembles, bit for bit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cleanlab", reason="extra noise not installed")

from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_ensemble_scores, get_label_quality_scores

from curate.scorers.noise import (
    confident_joint,
    confident_learning,
    ensemble_quality,
    label_quality,
)
from curate.scorers.noise.confident import Filter, Method, class_thresholds
from curate.scorers.noise.confident.quality import ensemble_weights

warnings.filterwarnings("ignore", message=".*(IProgress|ipywidgets|May not flag).*")


def draw(seed: int, n: int, k: int, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of every sharpness, labels that follow them loosely; some classes are rare or absent."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(k, rng.choice([0.1, 0.5, 2.0])), n)
    labels = np.where(rng.random(n) < 0.6, probs.argmax(1), rng.integers(0, max(2, k - 1), n))
    labels[:2] = [0, 1]
    return probs.astype(dtype), labels.astype(np.int64)


def real(data_dir: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    folder = data_dir / "label_errors"
    probs = np.load(folder / "cross_validated_predicted_probabilities" / f"{name}_test_set_pyx.npy")
    labels = np.load(folder / "original_test_labels" / f"{name}_test_set_original_labels.npy")
    return np.clip(probs, 0, 1), labels.astype(np.int64)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("filter_by", get_args(Filter))
def test_flags_on_random_data(seed: int, filter_by: Filter) -> None:
    k = (2, 3, 5, 10, 17, 40)[seed]
    probs, labels = draw(seed, 600, k, np.float32 if seed % 2 else np.float64)
    expected = find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
    assert np.array_equal(confident_learning(probs, labels, filter_by=filter_by).issue, expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(30, 200))
def test_joint_and_default_flags_on_any_data(seed: int, k: int, n: int) -> None:
    probs, labels = draw(seed, n, k)
    for calibrate in (False, True):
        expected = compute_confident_joint(labels, probs, calibrate=calibrate)
        assert np.array_equal(confident_joint(probs, labels, calibrate=calibrate), expected)
    np.testing.assert_allclose(
        class_thresholds(probs, labels), get_confident_thresholds(labels, probs), atol=1e-9
    )
    issue = confident_learning(probs, labels).issue
    assert np.array_equal(issue, find_label_issues(labels, probs, n_jobs=1))


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "cifar10", "imdb"])
@pytest.mark.parametrize("filter_by", get_args(Filter))
def test_flags_on_real_test_sets(data_dir: Path, name: str, filter_by: Filter) -> None:
    probs, labels = real(data_dir, name)
    expected = find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
    assert np.array_equal(confident_learning(probs, labels, filter_by=filter_by).issue, expected)
    assert expected.any()


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("method", get_args(Method))
def test_scores(method: Method, adjusted: bool) -> None:
    if adjusted and method == "confidence_weighted_entropy":
        return  # neither has it: see test_confident_functions
    for seed in range(3):
        probs, labels = draw(seed, 400, 4 + seed)
        expected = get_label_quality_scores(labels, probs, method=method, adjust_pred_probs=adjusted)
        thresholds = class_thresholds(probs, labels) if adjusted else None
        np.testing.assert_allclose(
            label_quality(probs, labels, method, thresholds=thresholds), expected, atol=1e-8
        )
        found = confident_learning(probs, labels, method=method, adjusted=adjusted)
        np.testing.assert_allclose(found.quality, expected, atol=1e-8)


@pytest.mark.parametrize("weighting", ["log_loss_search", "accuracy", "uniform"])
@pytest.mark.parametrize(("method", "adjusted"), [("self_confidence", False), ("normalized_margin", True)])
def test_ensembles(weighting: str, method: Method, adjusted: bool) -> None:
    probs, labels = draw(0, 500, 5)
    rng = np.random.default_rng(9)
    members = [probs, rng.permutation(probs), (probs + 1 / 5) / 2]
    expected = get_label_quality_ensemble_scores(
        labels,
        members,
        method=method,
        adjust_pred_probs=adjusted,
        weight_ensemble_members_by=weighting,
        verbose=False,
    )
    got = ensemble_quality(members, labels, method, adjusted=adjusted, weighting=weighting)  # type: ignore[arg-type]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    weights = ensemble_weights(members, labels, weighting)  # type: ignore[arg-type]
    assert weights.sum() == pytest.approx(1)
    assert weighting == "uniform" or weights[1] < weights[0]


def test_half_the_items_of_a_class_tie_and_the_first_are_taken() -> None:
    probs = np.array([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20 + [[0.3, 0.7]] * 10 + [[0.1, 0.9]] * 2)
    labels = np.r_[np.zeros(20, int), np.ones(20, int), np.zeros(12, int)]
    found = confident_learning(probs, labels)
    expected = find_label_issues(labels, probs, n_jobs=1)
    assert found.issue.sum() == expected.sum() == found.joint[0, 1]
    assert np.flatnonzero(found.issue).tolist() == [
        40,
        50,
        51,
    ]  # the two strongest, then the first of the ten that tie


def test_batches_are_drawn_from(tmp_path: Path) -> None:
    probs, labels = draw(3, 1000, 6)
    np.save(tmp_path / "p.npy", probs)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")

    def one_by_one() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, 1000, 100):
            yield mapped[start : start + 100], labels[start : start + 100]

    from curate.scorers.noise import confident_learning_batches

    issue = confident_learning_batches(one_by_one).issue
    assert np.array_equal(issue, find_label_issues(labels, probs, n_jobs=1))
