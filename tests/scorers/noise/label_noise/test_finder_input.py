"""`label_errors`: input that is wrong, or odd, and what is noted of it."""

from __future__ import annotations

import numpy as np
import pytest
from label_noise_worlds import f1, world

from curate.errors import InputError
from curate.scorers.noise import label_errors

GOOD = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.6, 0.3, 0.1]])
LABELS = np.array([0, 1, 2, 0])


def spoilt(row: int, values: list[float]) -> np.ndarray:
    probs = GOOD.copy()
    probs[row] = values
    return probs


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (
            spoilt(2, [0.5, 0.6, 0.4]),
            LABELS,
            r"1 of 4 rows .*rows 2; row 2 is .* with sum 1\.5\. .*divide each row",
        ),
        (spoilt(1, [np.nan, 0.5, 0.5]), LABELS, r"1 with NaN.*row 1 is"),
        (spoilt(3, [-3.0, 2.0, 2.0]), LABELS, r"row 3 is .-3, .*softmax"),
        (spoilt(0, [70.0, 20.0, 10.0]), LABELS, r"row 0 is .70, .*percentages"),
        (GOOD, np.array([0, 1, 3, 0]), r"1 of 4 labels lie outside 0 \.\.\. 2.*row 2: 3"),
        (GOOD, np.array([0, -1, 2, 0]), r"row 1: -1"),
        (GOOD, np.array([1, 1, 1, 1]), r"all 4 labels are 1"),
        (GOOD[:2], LABELS[:2], r"2 labelled items for 3 classes"),
        (GOOD, np.array([0, 1, 2]), r"labels have shape \(3,\): one for each of the 4 rows"),
        (GOOD, np.array([0, 1, 2.5, 0]), r"row 2 has 2.5"),
        (GOOD, np.array([0, 1, np.nan, 0]), r"row 2 has nan"),
        (GOOD, ["cat", 1, "dog", 0], r"mix names and numbers: row 0 has 'cat', row 1 1"),
        (GOOD, np.array(["cat", 1, "dog", 0], object), r"mix names and numbers"),
        (GOOD, ["cat", "dog", "eel", "cat"], r"labels are names.* give `classes`"),
        (GOOD, np.array([0, None, 2, 0], object), r"row 1 has None"),
        (GOOD[:, :1], LABELS, r"classes >= 2"),
        (GOOD[0], LABELS, r"shape \(3,\)"),
        (np.array([["a", "b"]]), np.array([0]), r"numbers are meant"),
        ([GOOD, GOOD[:3]], LABELS, r"model 1 have shape \(3, 3\)"),
        ([GOOD, spoilt(2, [0.5, 0.6, 0.4])], LABELS, r"model 1: 1 of 4 rows"),
        (np.empty((0, 4, 3)), LABELS, r"at least one array"),
        (GOOD, LABELS.astype("datetime64[s]"), r"whole numbers 0 \.\.\. 2 are meant"),
    ],
)
def test_bad_input_is_an_error_that_names_rows(probs: object, labels: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        label_errors(probs, labels)


def test_names_need_the_classes_of_the_columns() -> None:
    named = label_errors(GOOD, ["cat", "dog", "eel", "cat"], classes=["cat", "dog", "eel"])
    assert np.array_equal(named.score, label_errors(GOOD, LABELS).score)
    with pytest.raises(InputError, match="row 2: 'eel'"):
        label_errors(GOOD, ["cat", "dog", "eel", "cat"], classes=["cat", "dog", "fox"])
    with pytest.raises(InputError, match="`classes` names 2 classes"):
        label_errors(GOOD, ["cat", "dog", "eel", "cat"], classes=["cat", "dog"])


def test_integers_of_any_kind_are_labels() -> None:
    expected = label_errors(GOOD, LABELS).score
    for kind in (np.uint8, np.int32, np.float64, object):
        assert np.array_equal(label_errors(GOOD, LABELS.astype(kind)).score, expected)
    assert np.array_equal(label_errors(GOOD.tolist(), LABELS.tolist()).score, expected)


def test_no_rows_give_an_empty_result() -> None:
    found = label_errors(np.empty((0, 3)), np.empty(0, np.int64))
    assert len(found) == 0 and found.notes == () and found.noise is None and found.reason.tolist() == []


def test_rounding_beyond_one_is_no_error() -> None:
    found = label_errors(spoilt(0, [1.00001, 0.0, 0.0]), LABELS)
    assert not found.flagged[0]


def test_a_class_nobody_has_is_noted_and_never_suggested() -> None:
    probs, labels, _ = world(n=400)
    wider = np.concatenate(
        [probs * 0.4, np.full((400, 1), 0.6, np.float32)], 1
    )  # and it would win everywhere
    found = label_errors(wider, labels)
    assert found.diagnosis.absent == (4,) and any("no item" in note for note in found.notes)
    assert (found.suggested < 4).all()
    assert f1(found.flagged, label_errors(probs, labels).flagged) > 0.95


def test_probabilities_that_say_nothing_agree_with_nobody() -> None:
    found = label_errors(np.full((300, 3), 1 / 3), np.arange(300) % 3)
    assert found.diagnosis.agreement == 0
    assert any("they tell hardly anything about these labels" in note for note in found.notes)


def test_in_sample_and_uncalibrated_probabilities_are_said_to_be() -> None:
    labels = np.arange(300) % 3
    sure = np.full((300, 3), 0.001)
    sure[np.arange(300), labels] = 0.998
    found = label_errors(sure, labels)
    assert found.diagnosis.in_sample and any("in-sample" in note for note in found.notes)
    probs, labels, _ = world(n=3000, rate=0.3)
    sharp = probs.astype(float) ** 6
    found = label_errors(sharp / sharp.sum(1, keepdims=True), labels)
    assert found.diagnosis.calibration == "overconfident" and found.noise is not None
    assert any("overconfident" in note for note in found.notes)
    honest = label_errors(probs, labels)
    assert honest.diagnosis.calibration == "" and honest.notes == () and honest.noise is not None
    assert found.noise.calibrated < 0.4 * honest.noise.calibrated  # and it undoes the power
    assert (found.flagged == honest.flagged).mean() > 0.97
