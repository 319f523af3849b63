"""Herding against the rule as written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing import Constraints
from curate.errors import InputError
from curate.selectors.coreset import herding


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30))
def test_the_least_distance_of_the_next_mean(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4)) + 3
    k = int(rng.integers(1, n + 1))
    chosen = herding(x, k)
    mean, rows = x.mean(0), []
    for t in range(k):
        far = np.linalg.norm((t + 1) * mean - x[rows].sum(0) - x, axis=1)
        far[rows] = np.inf
        rows.append(int(far.argmin()))
    assert chosen.index.tolist() == rows
    error = float(np.linalg.norm(x[rows].mean(0) - mean))
    assert chosen.random["objective"] == pytest.approx(error, abs=1e-5)
    assert chosen.gain is not None
    spread = float(np.sqrt(((x - mean) ** 2).sum(1).mean()))
    assert spread - chosen.gain.sum() == pytest.approx(error, abs=1e-4)
    order = rng.permutation(n)
    assert order[herding(x[order], k).index].tolist() == rows


def test_by_hand() -> None:
    x = np.array([[0.0], [1], [5], [6], [8]])  # mean 4
    chosen = herding(x, 3)
    assert chosen.index.tolist() == [2, 1, 3]  # sums 5, 6, 12: 3 * 4
    np.testing.assert_allclose(chosen.gain, [np.sqrt(46 / 5) - 1, 0, 1], rtol=1e-5)
    assert chosen.random["objective"] == pytest.approx(0, abs=1e-6)


def test_nearer_than_random() -> None:
    x = np.random.default_rng(0).standard_normal((2000, 16))
    chosen = herding(x, 50)
    assert chosen.random["objective"] < 0.1 * chosen.random["random"]


def test_constraints_hold() -> None:
    x = np.array([[0.0], [1], [5], [6], [8]])
    assert herding(x, 2, within=Constraints(np.array([4]), np.array([0]))).index.tolist() == [4, 1]
    assert herding(x, 2, within=Constraints(cost=np.array([9.0, 9, 2, 1, 9]))).index.tolist() == [3]
    group = np.array([0, 0, 1, 1, 1])
    # the means of the two are 0.5 and 19 / 3: each is matched by itself
    assert herding(x, 2, within=Constraints(group=group, balance="equal")).index.tolist() == [0, 3]


def test_identical_rows_and_bad_budgets() -> None:
    assert herding(np.ones((4, 2)), 3).index.tolist() == [0, 1, 2]
    for budget in (0, 5):
        with pytest.raises(InputError):
            herding(np.ones((4, 2)), budget)
