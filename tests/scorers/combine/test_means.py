"""Means of ranks and of values: by hand, missing values, properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curate.errors import InputError
from curate.scorers.combine import mean_score, rank_mean
from curate.scorers.combine.means import to_ranks

NAN = np.nan


def test_ranks_by_hand() -> None:
    scores = np.array([[10, 1, NAN], [30, 1, NAN], [20, 3, NAN], [NAN, 2, NAN]])
    # column 0: ranks 1 3 2 of 3; column 1: 1.5 1.5 4 3 of 4
    expected = np.array(
        [[0.5 / 3, 0.25, NAN], [2.5 / 3, 0.25, NAN], [1.5 / 3, 3.5 / 4, NAN], [NAN, 2.5 / 4, NAN]]
    )
    np.testing.assert_allclose(to_ranks(scores), expected)
    np.testing.assert_allclose(
        rank_mean(scores),
        [
            (0.5 / 3 + 0.25 + 0.5) / 3,
            (2.5 / 3 + 0.25 + 0.5) / 3,
            (0.5 + 0.875 + 0.5) / 3,
            (0.5 + 0.625 + 0.5) / 3,
        ],
    )


def test_means_by_hand() -> None:
    scores = np.array([[1.0, 0.5], [0.0, NAN], [NAN, NAN], [0.5, 0.1]])
    # means of the columns 0.5 and 0.3
    np.testing.assert_allclose(mean_score(scores), [0.75, 0.15, NAN, 0.3])
    np.testing.assert_allclose(mean_score(np.array([[1.0, NAN], [0.0, NAN]])), [1, 0])  # a column of nothing


def test_a_constant_column_moves_nobody() -> None:
    scores = np.column_stack([np.arange(5.0), np.full(5, 7.0)])
    assert np.argsort(rank_mean(scores)).tolist() == list(range(5))
    np.testing.assert_allclose(to_ranks(scores)[:, 1], 0.5)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="column 1 holds infinite"):
        mean_score(np.array([[1.0, np.inf]]))
    for bad in (np.zeros(3), np.zeros((3, 0))):
        for ask in (rank_mean, mean_score):
            with pytest.raises(InputError, match="shape"):
                ask(bad)
    assert rank_mean(np.array([[np.inf, 1.0], [0.0, 2.0]])).tolist() == [0.5, 0.5]
    assert len(rank_mean(np.empty((0, 2)))) == len(mean_score(np.empty((0, 2)))) == 0


@given(
    hnp.arrays(np.float64, (12, 3), elements=st.sampled_from([0.0, 1.0, 2.0, 5.0, NAN])),
    st.permutations(range(12)),
)
def test_rank_mean_knows_neither_units_nor_order(scores: np.ndarray, order: list[int]) -> None:
    found = rank_mean(scores)
    np.testing.assert_allclose(rank_mean(np.exp(scores)), found)
    np.testing.assert_allclose(rank_mean(scores[order]), found[order])
    known = ~np.isnan(found)
    assert (known == ~np.isnan(scores).all(1)).all()
    assert ((found[known] > 0) & (found[known] < 1)).all()
