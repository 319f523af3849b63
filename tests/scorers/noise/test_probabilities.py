"""What probabilities say about themselves, and labels as classes of columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import InputError
from curate.scorers.noise.probabilities import (
    calibration_notes,
    encode_labels,
)

RNG = np.random.default_rng(0)


def fine(n: int = 10, k: int = 3) -> np.ndarray:
    return RNG.dirichlet(np.ones(k), n).astype(np.float32)


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
        "1 class has a column of probabilities and no item",
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
