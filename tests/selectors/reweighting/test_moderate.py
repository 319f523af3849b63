"""The moderate coreset by hand, and weights handed on to neighbours against all distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.reweighting import middle_rows, spread_weights


def test_the_middle_by_hand() -> None:
    x = np.array([[0.0], [1.0], [2.0], [4.0], [8.0], [16.0], [0.0], [5.0]])
    codes = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    # class 0: median 3, distances 3 2 1 1 5 13, by rank rows 2 3 1 0 4 5; the middle third: rows 1, 0
    assert middle_rows(x, codes, 1 / 3).tolist() == [0, 1, 6]
    assert middle_rows(x, codes, 1.0).tolist() == list(range(8))
    assert middle_rows(x, codes, 1e-9).tolist() == [1, 6]  # one of each class at least


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 4), st.floats(0.01, 1), st.integers(0, 2**31))
def test_every_class_gives_its_share(n: int, classes: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(size=(n, 3)), rng.integers(0, classes, n)
    rows = middle_rows(x, codes, share)
    assert len(np.unique(rows)) == len(rows)
    for code in np.unique(codes):
        size = (codes == code).sum()
        assert (codes[rows] == code).sum() == max(1, round(size * share))
        own = np.flatnonzero(codes == code)
        far = np.linalg.norm(x[own] - np.median(x[own], 0), axis=1)
        inside = np.isin(own, rows)
        between = (far[~inside] > far[inside].min()) & (far[~inside] < far[inside].max())
        assert not between.any()  # ranks are consecutive


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6))
def test_weights_are_the_mean_of_the_nearest_of_the_class(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    x, codes = rng.normal(size=(50, 4)) + 100, np.arange(50) % 3
    core = np.sort(np.concatenate([[0, 1, 2], 3 + rng.permutation(47)[:12]]))
    weights = rng.random(len(core))
    found = spread_weights(x, codes, core, weights, neighbours=k)
    for i in range(50):
        own = np.flatnonzero(codes[core] == codes[i])
        order = own[np.argsort(np.linalg.norm(x[core[own]] - x[i], axis=1))]
        assert found[i] == pytest.approx(weights[order[:k]].mean())


def test_what_cannot_be() -> None:
    x, codes = np.zeros((4, 2)), np.array([0, 0, 1, 1])
    for share in (0.0, 1.5):
        with pytest.raises(InputError, match="share="):
            middle_rows(x, codes, share)
    with pytest.raises(InputError, match="class 1 has 2 rows and none of them in the core"):
        spread_weights(x, codes, np.array([0]), np.ones(1))
    with pytest.raises(InputError, match="neighbours=0"):
        spread_weights(x, codes, np.array([0, 2]), np.ones(2), neighbours=0)
