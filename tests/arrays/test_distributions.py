"""Rows that are no distributions: found whatever they stand among, named, shown, and said what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.arrays.distributions import (
    CELLS,
    check_distributions,
    check_given,
    each_model,
    faults_of,
    validate_pred_probs,
)
from curate.errors import InputError

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
        validate_pred_probs(probs, lambda: [f"item-{i}" for i in range(20)])
    assert "20 of 20 rows are no distribution over the 4 classes" in str(caught.value)
    assert "item-0, item-1" in str(caught.value)


def test_missing_rows_do_not_count_as_wrong() -> None:
    probs = fine(10)
    probs[:9] = np.nan
    assert validate_pred_probs(probs)[9] is None


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 3, 4)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        validate_pred_probs(np.full(shape, 0.5))


def test_what_is_given_is_checked() -> None:
    probs = [[0.9, 0.1], [0.2, 0.8]]
    got, labels = check_given(probs, [0, 1])
    assert got.shape == (2, 2) and labels.dtype == np.int64
    for wrong in (["a", "b"], [0.0, 1.5], [0, 1, 1], [0, 2], [-1, 1], [[0], [1]]):
        with pytest.raises(InputError, match="labels"):
            check_given(probs, wrong)
    with pytest.raises(InputError, match=r"shape \(2,\)"):
        check_given([0.9, 0.1], [0, 1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([np.nan, 1.0], r"1 of 3 rows .*\(1 with NaN\): rows 1; row 1 is \[nan, 1\].* leave these rows out"),
        ([np.nan, np.nan], r"1 without a number"),
        ([-3.0, 5.0], r"1 outside \[0, 1\].* is \[-3, 5\] with sum 2\. They look like logits .*softmax"),
        ([30.0, 70.0], r"percentages: divide by 100"),
        ([0.9, 0.9], r"1 that do not sum to 1.*divide each row by its sum, or leave"),
        ([7.0, 9.0], r"scores or counts"),
        ([np.inf, 0.0], r"1 outside"),
    ],
)
def test_an_error_names_rows_shows_one_and_says_what_to_do(row: list[float], message: str) -> None:
    probs = np.array([[0.5, 0.5], row, [0.5, 0.5]])
    with pytest.raises(InputError, match=message):
        check_distributions(probs)
    if not np.isfinite(row).all():
        check_distributions(probs, missing=True)


def test_some_rows_are_named_and_the_others_counted() -> None:
    with pytest.raises(InputError, match=r"the guess: 7 of 7 rows .*: rows 0, 1, 2, 3, 4 \.\.\.; row 0 is"):
        check_distributions(np.ones((7, 3)), "the guess")
    with pytest.raises(InputError, match=r": items a, b; item a is \[1, 1\]"):
        check_distributions(np.ones((2, 2)), ids=lambda: ["a", "b"])


def test_what_rounding_does_is_forgiven_and_no_more() -> None:
    rows = np.array([[1.0009, 0], [-0.0009, 1], [0.5, 0.5099], [1.002, 0], [-0.002, 1], [0.5, 0.5101]])
    for dtype in (np.float32, np.float64):
        assert faults_of(rows.astype(dtype)).tolist() == [0, 0, 0, 3, 3, 4]


def test_a_row_says_the_same_whatever_it_stands_among() -> None:
    k = 64
    probs = np.random.default_rng(1).dirichlet(np.full(k, 0.1), 3 * CELLS // k + 7).astype(np.float32)
    edge = np.linspace(0.9899, 0.9901, 101)[:, None].astype(np.float32)
    probs[-101:] = probs[-101:] / probs[-101:].sum(1, keepdims=True) * edge
    codes = faults_of(probs)
    assert set(codes[:-101].tolist()) == {0} and set(codes[-101:].tolist()) == {0, 4}
    assert np.array_equal(codes[-101:], np.concatenate([faults_of(row[None]) for row in probs[-101:]]))
    assert np.array_equal(faults_of(np.asfortranarray(probs)), codes)


def test_models_come_as_one_as_several_and_as_a_block() -> None:
    one = np.full((4, 2), 0.5)
    assert [name for name, _ in each_model(one)] == ["predicted probabilities"]
    for several in ([one, one], (one, one), np.stack([one, one])):
        assert [name[-7:] for name, _ in each_model(several)] == ["model 0", "model 1"]
    with pytest.raises(InputError, match=r"model 1 have shape \(3, 2\), those of model 0 \(4, 2\)"):
        each_model([one, one[:3]])
    with pytest.raises(InputError, match="at least one"):
        each_model([])
