"""Min-K%, Min-K%++ and their baselines by hand, beside a loop, and what they refuse."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers import text
from curate.scorers.text import mean_log_prob, min_k, min_k_plus_plus, zlib_ratio
from curate.scorers.text import tokens as tokens_module


def offsets_of(*lengths: int) -> np.ndarray:
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def test_min_k_by_hand() -> None:
    log_probs = np.array([-1, -5, -2, -4, -3, -0.5, -9, -8])
    offsets = offsets_of(5, 0, 1, 2)
    got = min_k(log_probs, offsets, k=0.4)
    np.testing.assert_allclose(got[[0, 2, 3]], [-4.5, -0.5, -9])  # two of five, one of one, one of two
    assert np.isnan(got[1])
    np.testing.assert_allclose(min_k(log_probs, offsets, k=1.0)[[0, 3]], [-3, -8.5])
    np.testing.assert_allclose(min_k(log_probs, offsets, k=0.59)[0], -4.5)  # int(2.95) = 2


def test_min_k_plus_plus_by_hand() -> None:
    # a vocabulary of two: p = 0.8, 0.2, and the token is the second
    p = np.array([0.8, 0.2])
    mean = (p * np.log(p)).sum()
    deviation = np.sqrt((p * np.log(p) ** 2).sum() - mean**2)
    assert deviation == pytest.approx(np.sqrt(0.8 * 0.2) * np.log(4))
    got = min_k_plus_plus(np.log(p[[1, 0]]), np.full(2, mean), np.full(2, deviation), offsets_of(1, 1))
    np.testing.assert_allclose(got, [-2.0, 0.5])  # (log 0.2 - mu) / sigma = -0.8 log 4 / (0.4 log 4)


def test_a_deviation_of_zero_is_no_division_by_zero() -> None:
    sure = np.array([0.0, -1e-6])  # all on one token; but for rounding
    got = min_k_plus_plus(sure, np.zeros(2), np.zeros(2), offsets_of(1, 1))
    np.testing.assert_allclose(got, [0, -0.01])


def test_mean_log_prob_and_zlib_by_hand() -> None:
    offsets = offsets_of(0, 2, 0, 1, 0)
    got = mean_log_prob(np.array([-1.0, -3.0, -4.0]), offsets)
    np.testing.assert_allclose(got, [np.nan, -2, np.nan, -4, np.nan])
    assert np.isnan(mean_log_prob(np.empty(0), offsets_of(0, 0))).all()
    repeated, varied = "ab" * 50, "".join(chr(33 + (i * 37) % 90) for i in range(100))
    got = zlib_ratio(np.array([-2.0, -2.0]), [repeated, varied])
    assert got[0] == -2 / len(zlib.compress(repeated.encode()))
    assert got[0] < got[1] < 0  # what repeats itself is less of a surprise, and so less of a proof


@given(
    lists=st.lists(st.lists(st.floats(-20, 0, width=32), max_size=30), max_size=12),
    k=st.floats(0.01, 1.0),
    cells=st.sampled_from([1, 40, 1 << 22]),
)
def test_the_same_as_text_by_text_in_blocks_of_any_size(
    lists: list[list[float]], k: float, cells: int
) -> None:
    flat = np.array([x for one in lists for x in one], np.float32)
    was, tokens_module._CELLS = tokens_module._CELLS, cells
    try:
        got = min_k(flat, offsets_of(*map(len, lists)), k=k)
    finally:
        tokens_module._CELLS = was
    for value, one in zip(got, lists, strict=True):
        lowest = sorted(one)[: max(int(k * len(one)), 1)]
        assert np.isnan(value) if not one else value == pytest.approx(np.mean(lowest), abs=1e-5)


@given(st.lists(st.floats(-20, 0), min_size=1, max_size=30))
def test_more_tokens_never_lower_the_mean_of_the_lowest(one: list[float]) -> None:
    values = [min_k(np.array(one), offsets_of(len(one)), k=k)[0] for k in (0.1, 0.5, 1.0)]
    assert (np.diff(values) >= -1e-9).all()
    assert values[-1] == pytest.approx(mean_log_prob(np.array(one), offsets_of(len(one)))[0])


def test_nan_spoils_its_own_text_alone() -> None:
    got = min_k(np.array([-1, np.nan, -2, -3.0]), offsets_of(2, 2), k=0.5)
    assert np.isnan(got[0]) and got[1] == -3


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"k=0: the share"):
        min_k(np.zeros(2), offsets_of(2), k=0)
    with pytest.raises(InputError, match=r"k=1.5"):
        min_k(np.zeros(2), offsets_of(2), k=1.5)
    with pytest.raises(InputError, match="begin with 0 and end with the count of tokens, 3"):
        min_k(np.zeros(3), offsets_of(2))
    with pytest.raises(InputError, match="fall after text 1: 3, then 2"):
        mean_log_prob(np.zeros(2), np.array([0, 3, 2]))
    with pytest.raises(InputError, match="2 log-probabilities, 1 means"):
        min_k_plus_plus(np.zeros(2), np.zeros(1), np.ones(2), offsets_of(2))
    with pytest.raises(InputError, match="deviation -1"):
        min_k_plus_plus(np.zeros(2), np.zeros(2), np.array([1, -1.0]), offsets_of(2))
    with pytest.raises(InputError, match="1 mean log-probabilities for 2 texts"):
        zlib_ratio(np.zeros(1), ["a", "b"])


def test_public_names_are_there_and_no_others() -> None:
    for name in text.__all__:
        assert callable(getattr(text, name))
    with pytest.raises(AttributeError, match="no attribute 'max_k'"):
        text.max_k  # noqa: B018
    assert dir(text) == sorted(text.__all__)
