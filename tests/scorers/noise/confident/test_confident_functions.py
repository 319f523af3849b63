"""Confident learning by hand, by batches, and what is refused: no peer needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.noise import (
    confident_joint,
    confident_learning,
    confident_learning_batches,
    ensemble_quality,
    label_quality,
)
from curate.scorers.noise.confident import Filter, Options, calibrate_joint, class_thresholds
from curate.scorers.noise.confident.filters import agrees, lowest, prune_counts
from curate.scorers.noise.confident.joint import guess_labels, round_rows

PROBS = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.05, 0.95]])
LABELS = np.array([0, 0, 1, 1, 0])


def batches_of(probs: np.ndarray, labels: np.ndarray, size: int) -> object:
    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(labels), size):
            yield probs[start : start + size], labels[start : start + size]

    return batches


def test_thresholds_guesses_and_joint_by_hand() -> None:
    thresholds = class_thresholds(PROBS, LABELS)
    np.testing.assert_allclose(thresholds, [(0.9 + 0.8 + 0.05) / 3, (0.9 + 0.7) / 2], atol=1e-9)
    # row 3 (0.3, 0.7) reaches neither 0.583 nor 0.8
    assert guess_labels(PROBS, thresholds).tolist() == [0, 0, 1, -1, 1]
    assert confident_joint(PROBS, LABELS, calibrate=False).tolist() == [[2, 1], [0, 1]]
    assert confident_joint(PROBS, LABELS).tolist() == [[2, 1], [0, 2]]


def test_an_item_above_several_thresholds_goes_to_its_most_probable_class() -> None:
    probs = np.array([[0.45, 0.4, 0.15], [0.2, 0.2, 0.6]])
    assert guess_labels(probs, np.array([0.3, 0.2, 2.0])).tolist() == [0, 1]


def test_a_class_without_items_has_a_threshold_that_nothing_reaches() -> None:
    assert class_thresholds(PROBS, np.zeros(5, np.int64))[1] == 2
    assert class_thresholds(np.array([[0.0, 1.0]]), np.array([0]))[0] == 2e-6


def test_rounding_keeps_the_sums_of_rows() -> None:
    values = np.array([[1.5, 2.5, 1.0], [0.4, 0.4, 0.2], [3.0, 0.0, 0.0]])
    rounded = round_rows(values)
    assert rounded.sum(1).tolist() == [5, 1, 3]
    assert np.abs(rounded - values).max() <= 1
    assert calibrate_joint(np.array([[3, 1], [0, 5]]), np.array([8, 2])).tolist() == [[6, 2], [0, 2]]


def test_of_each_label_one_counts_as_right() -> None:
    counts = prune_counts(np.array([[0, 4], [0, 3]]))
    assert counts.tolist() == [[1, 0], [3, 3]]


def test_labels_within_a_millionth_of_the_best_are_let_be() -> None:
    probs = np.array([[0.5, 0.5], [0.49, 0.51], [0.4999999, 0.5000001]])
    assert agrees(probs, np.zeros(3, np.int64)).tolist() == [True, False, True]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=30),
    st.lists(st.integers(-1, 12), min_size=3, max_size=3),
)
def test_of_each_group_the_lowest_and_of_equals_those_with_the_lowest_keys(
    items: list[tuple[int, int]], wanted: list[int]
) -> None:
    groups, values = np.array(items).T
    keys = np.random.default_rng(0).permutation(len(items))
    found = lowest(groups, values.astype(float), np.array(wanted), lambda rows: keys[rows])
    for group, count in enumerate(wanted):
        rows = np.flatnonzero(groups == group)
        expected = rows[np.lexsort((keys[rows], values[rows]))][: max(count, 0)]
        assert np.flatnonzero(found & (groups == group)).tolist() == sorted(expected.tolist())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 50), st.sampled_from(get_args(Filter)))
def test_batches_of_any_size_give_the_bits_of_the_whole(
    seed: int, k: int, size: int, filter_by: Filter
) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(k), 80).round(1)  # many ties
    probs = (probs / probs.sum(1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, k, 80)
    whole = confident_learning(probs, labels, filter_by=filter_by)
    parts = confident_learning_batches(batches_of(probs, labels, size), Options(filter_by))  # type: ignore[arg-type]
    assert np.array_equal(parts.issue, whole.issue) and np.array_equal(parts.joint, whole.joint)
    assert np.array_equal(parts.quality, whole.quality) and np.array_equal(parts.predicted, whole.predicted)


@pytest.mark.parametrize("cells", [8, 1 << 24])
def test_the_array_is_read_in_batches(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.scorers.noise.confident.issues.CELLS", cells)
    assert confident_learning(PROBS, LABELS).issue.tolist() == [False] * 4 + [True]


def test_scores_by_hand() -> None:
    probs, labels = np.array([[0.7, 0.2, 0.1]]), np.array([1])
    assert label_quality(probs, labels)[0] == pytest.approx(0.2)
    assert label_quality(probs, labels, "normalized_margin")[0] == pytest.approx((0.2 - 0.7 + 1) / 2)
    entropy = -(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)) / np.log(3)
    u = entropy / 0.2
    assert label_quality(probs, labels, "confidence_weighted_entropy")[0] == pytest.approx(np.log(1 + u) / u)
    thresholds = np.array([0.5, 0.3, 0.4])  # shifted by 0.5: (0.7, 0.4, 0.2), scaled by 1.3
    assert label_quality(probs, labels, thresholds=thresholds)[0] == pytest.approx(0.4 / 1.3)


def test_no_rows_and_odd_batches() -> None:
    nothing = confident_learning(np.empty((0, 3)), np.empty(0, np.int64))
    assert len(nothing.issue) == 0 and nothing.joint.shape == (0, 0)
    with pytest.raises(InputError, match="classes before"):
        confident_learning_batches(lambda: iter([(PROBS, LABELS), (np.ones((1, 3)) / 3, np.array([0]))]))
    with pytest.raises(InputError, match=r"1 of 5 labels lie outside 0 \.\.\. 1 \(row 2: 2\)"):
        confident_learning(PROBS, np.array([0, 1, 2, 0, 1]))
    once = iter([(PROBS, LABELS)])
    with pytest.raises(InputError, match="second pass over the batches has 0 rows, the first 5"):
        confident_learning_batches(lambda: once)
    with pytest.raises(InputError, match="no adjusted variant"):
        label_quality(PROBS, LABELS, "confidence_weighted_entropy", thresholds=np.ones(2))
    with pytest.raises(InputError, match="no predicted probabilities: give at least one"):
        ensemble_quality([], LABELS)


def test_lists_count_and_what_is_no_distribution_is_named() -> None:
    found = confident_learning(PROBS.tolist(), LABELS.tolist())
    assert found.issue.tolist() == [False] * 4 + [True]
    assert label_quality(PROBS.tolist(), LABELS.tolist()).tolist() == [0.9, 0.8, 0.9, 0.7, 0.05]
    logits = np.where(np.arange(5)[:, None] == 3, [2.0, -1.0], PROBS)
    with pytest.raises(InputError, match=r"1 of 5 rows are no distribution .*1 outside.* row 3 is"):
        confident_learning(logits, LABELS)
    for labels in (["a", "b", "a", "b", "a"], LABELS + 0.5, LABELS[:-1], LABELS[:, None]):
        with pytest.raises(InputError, match="labels"):
            confident_learning(PROBS, labels)
        with pytest.raises(InputError, match="labels"):
            label_quality(PROBS, labels)
