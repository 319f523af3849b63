"""Non-negative least squares against SciPy's, and the active set step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.pursuit import nonnegative_least_squares
from curate.selectors.pursuit.active import ActiveSet


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 15))
def test_as_scipy(seed: int, k: int, width: int) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="scipy is the peer")
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((k, width))
    b = rng.standard_normal(width) + rng.uniform(0, 1, k) @ a
    weight = nonnegative_least_squares(a, b)
    assert (weight >= 0).all()
    _, left = optimize.nnls(a.T, b)
    assert np.linalg.norm(weight @ a - b) == pytest.approx(left, abs=1e-6 * np.linalg.norm(b))


def test_by_hand() -> None:
    a = np.array([[1.0, 0], [0, 1], [1, 1]])
    assert nonnegative_least_squares(a, np.array([2.0, 3])) == pytest.approx([0, 1, 2])
    assert nonnegative_least_squares(a, np.array([-1.0, -2])) == pytest.approx([0, 0, 0])
    # of items that depend on each other one has all the weight
    assert nonnegative_least_squares(np.ones((3, 1)), np.array([6.0])) == pytest.approx([6, 0, 0])


def test_a_ridge_shrinks_and_shares() -> None:
    # (1 + 1) w = 6 alone; two copies: (w1 + w2) + w1 = 6, w1 = w2 = 2
    assert nonnegative_least_squares(np.ones((1, 1)), np.array([6.0]), ridge=1.0) == pytest.approx([3])
    assert nonnegative_least_squares(np.ones((2, 1)), np.array([6.0]), ridge=1.0) == pytest.approx([2, 2])


@pytest.mark.parametrize(
    ("a", "b"),
    [(np.ones((2, 3)), np.ones(2)), (np.ones(3), np.ones(3)), (np.array([[np.nan]]), np.ones(1))],
)
def test_what_cannot_be_used(a: np.ndarray, b: np.ndarray) -> None:
    with pytest.raises(InputError):
        nonnegative_least_squares(a, b)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_factor_is_that_of_the_gram_matrix_however_items_came_and_went(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((12, 8)), rng.standard_normal(8) * 2
    gram, aims = a @ a.T, a @ b
    fit, item = ActiveSet(12), np.full(13, -1)
    explained = 0.0
    for i in range(12):
        slot = fit.add(gram[i, item[fit.slots]], gram[i, i], aims[i])
        if slot < 0:
            continue
        item[slot] = i
        fit.settle()
        held = item[fit.slots]
        assert len(set(held.tolist())) == fit.size
        factor = fit._factor[: fit.size, : fit.size]
        assert np.allclose(np.tril(factor) @ np.tril(factor).T, gram[np.ix_(held, held)])
        assert (fit.weight > 0).all()
        assert np.allclose(fit.weight, np.linalg.lstsq(a[held].T, b, rcond=None)[0])
        assert np.allclose(fit.inverse(), np.linalg.inv(gram[np.ix_(held, held)]))
        assert fit.explained == pytest.approx(b @ b - np.linalg.norm(fit.weight @ a[held] - b) ** 2)
        assert fit.explained >= explained - 1e-9
        explained = fit.explained
