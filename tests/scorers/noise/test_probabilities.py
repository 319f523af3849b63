"""Probabilities and labels that are not what they should be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.noise.probabilities import (
    calibration_notes,
    check_distributions,
    check_given,
    encode_labels,
    validate_pred_probs,
)

RNG = np.random.default_rng(0)


def fine(n: int = 10, k: int = 3) -> np.ndarray:
    return RNG.dirichlet(np.ones(k), n).astype(np.float32)


def test_each_fault_has_its_reason_and_the_other_rows_none() -> None:
    probs = fine(10)
    probs[1] = np.nan
    probs[3, 0] = np.nan
    probs[5] = [1.5, -0.5, 0.0]
    probs[7] = [0.2, 0.2, 0.2]
    probs[9] = [np.inf, 0, 0]
    reasons = validate_pred_probs(probs).tolist()
    assert reasons[1] == "no predicted probabilities"
    assert reasons[3] == "NaN among the predicted probabilities"
    assert reasons[5] == reasons[9] == "predicted probabilities outside [0, 1]"
    assert reasons[7] == "predicted probabilities do not sum to 1"
    assert [reasons[i] for i in (0, 2, 4, 6, 8)] == [None] * 5


@given(st.integers(1, 20), st.integers(2, 200), st.sampled_from([np.float16, np.float32, np.float64]))
def test_distributions_of_any_precision_pass(n: int, k: int, dtype: type) -> None:
    probs = np.random.default_rng(n * k).dirichlet(np.ones(k), n).astype(dtype)
    assert (validate_pred_probs(probs) == None).all()  # noqa: E711


@pytest.mark.parametrize(
    ("probs", "guess"),
    [
        (RNG.normal(size=(20, 4)) * 5, "logits"),
        (np.log(fine(20, 4)), "log-probabilities"),
        (fine(20, 4) * 100, "percentages"),
        (RNG.uniform(0.5, 1, (20, 4)), "independent probabilities"),
        (RNG.integers(2, 9, (20, 4)).astype(float), "scores or counts"),
    ],
)
def test_a_whole_array_of_something_else_is_an_error_that_guesses_what(probs: np.ndarray, guess: str) -> None:
    with pytest.raises(InputError, match=guess) as caught:
        validate_pred_probs(probs, [f"item-{i}" for i in range(20)])
    assert "of 20 rows are no probabilities" in str(caught.value) and "item-0" in str(caught.value)


def test_missing_rows_do_not_count_as_wrong() -> None:
    probs = fine(10)
    probs[:9] = np.nan
    assert validate_pred_probs(probs)[9] is None


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 3, 4)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        validate_pred_probs(np.full(shape, 0.5))


def test_labels_become_positions() -> None:
    codes, classes = encode_labels(pa.array(["b", None, "a", "10", "9", "b"]), (), 4)
    assert classes == ("10", "9", "a", "b")  # code points: as strings, not as numbers
    assert codes.tolist() == [3, -1, 2, 0, 1, 3]
    codes, classes = encode_labels(pa.array(["b", "a", "zebra"]), ("b", "a", "unused"), 3)
    assert classes == ("b", "a", "unused") and codes.tolist() == [0, 1, -2]


@pytest.mark.parametrize(
    ("labels", "classes", "columns", "message"),
    [
        (["a", "b", "c"], (), 4, "4 columns, the labels have 3 classes: a, b, c.*classes:"),
        (["a", "b"], ("a", "b", "c"), 2, "2 columns, `classes` names 3 classes: a, b, c"),
        (["a", "b"], ("a", "b", "a"), 3, "named twice"),
        (["a", "a"], ("a", "b"), 2, "all 2 labels are 'a'"),
        (["a", "b"], ("a", "b", "c"), 3, "2 labelled items for 3 classes"),
        (["x", "y", "a"], ("a", "b"), 2, "2 of 3 labels are none of the classes: x, y; the classes are a, b"),
    ],
)
def test_labels_that_cannot_be(
    labels: list[str], classes: tuple[str, ...], columns: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        encode_labels(pa.array(labels), classes, columns)


def test_no_labels_at_all_are_all_null() -> None:
    assert encode_labels(pa.nulls(3, pa.string()), (), 2)[0].tolist() == [-1, -1, -1]


def sharp(labels: np.ndarray, right: float, confidence: float) -> np.ndarray:
    """Two classes; a share `right` of the rows agrees with its label; every row is `confidence` sure."""
    agree = np.arange(len(labels)) < right * len(labels)
    top = np.where(agree, labels, 1 - labels)
    probs = np.full((len(labels), 2), 1 - confidence)
    probs[np.arange(len(labels)), top] = confidence
    return probs


def test_notes_tell_in_sample_overconfident_and_underconfident() -> None:
    labels = np.arange(200) % 2
    assert calibration_notes(sharp(labels, 0.9, 0.9), labels) == ()
    (note,) = calibration_notes(sharp(labels, 1.0, 0.999), labels)
    assert "in-sample" in note and "100.0%" in note
    (note,) = calibration_notes(sharp(labels, 0.7, 0.95), labels)
    assert "overconfident" in note and "0.95" in note and "0.70" in note
    (note,) = calibration_notes(sharp(labels, 0.95, 0.6), labels)
    assert "underconfident" in note
    assert calibration_notes(sharp(labels[:50], 1.0, 0.999), labels[:50]) == ()


def test_notes_tell_classes_without_items() -> None:
    assert calibration_notes(fine(10, 3), np.arange(10) % 2) == (
        "1 classes have a column of probabilities and no item",
    )


def test_predictions_that_tell_nothing_are_said_to() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    probs = np.full((400, 4), 0.1)
    probs[np.arange(400), labels] = 0.7
    assert not any("hardly anything" in note for note in calibration_notes(probs, labels))
    shifted = calibration_notes(
        np.roll(probs, 1, axis=1), labels
    )  # columns in another order than the classes
    assert any("agree with 0.0% of the labels" in note and "order of the classes" in note for note in shifted)
    assert not any("hardly anything" in note for note in calibration_notes(probs[:50], (labels[:50] + 1) % 4))


def test_what_is_given_is_checked() -> None:
    probs = [[0.9, 0.1], [0.2, 0.8]]
    got, labels = check_given(probs, [0, 1])
    assert got.shape == (2, 2) and labels.dtype == np.int64
    for wrong in (["a", "b"], [0.0, 1.0], [0, 1, 1], [0, 2], [-1, 1], [[0], [1]]):
        with pytest.raises(InputError, match="labels"):
            check_given(probs, wrong)
    with pytest.raises(InputError, match=r"shape \(2,\)"):
        check_given([0.9, 0.1], [0, 1])
    with pytest.raises(InputError, match="1 rows are no probabilities, as row 11: NaN among"):
        check_distributions(np.array([[0.5, 0.5], [np.nan, 1.0]]), 10)
