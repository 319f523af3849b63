"""Joining rows by equal keys, and what hangs together over pairs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.scorers.duplicates.buckets import connect, expand, first_equal


def test_expand_writes_ranges_out_in_pieces() -> None:
    start, stop = np.array([3, 0, 5, 2]), np.array([5, 0, 4, 5])
    for budget in (1, 2, 100):
        pieces = list(expand(start, stop, budget))
        left, right = (np.concatenate(side).tolist() for side in zip(*pieces, strict=True))
        assert left == [0, 0, 3, 3, 3]
        assert right == [3, 4, 2, 3, 4]
        assert len(pieces) == (2 if budget < 100 else 1)


def test_first_equal_compares_whole_rows() -> None:
    columns = np.array([[1, 2], [2, 1], [1, 2], [1, 1], [2, 1]], np.uint64)
    assert first_equal(columns).tolist() == [0, 1, 0, 3, 1]


def test_connect_by_hand() -> None:
    i, j = np.array([7, 2, 5, 9]), np.array([5, 9, 3, 2])
    assert connect(i, j).tolist() == [3, 2, 3, 2]
    assert connect(i[:0], j[:0]).tolist() == []


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 40), st.integers(0, 2**32 - 1))
def test_connect_agrees_with_spreading_the_least_along_every_pair(n: int, pairs: int, seed: int) -> None:
    i, j = np.random.default_rng(seed).integers(0, n, (2, pairs))
    least = list(range(n))
    for _ in range(n):
        for a, b in zip(i, j, strict=True):
            least[a] = least[b] = min(least[a], least[b])
    assert connect(i, j).tolist() == [least[a] for a in i]


def test_connect_follows_a_long_chain() -> None:
    names = np.random.default_rng(0).permutation(5000)
    assert connect(names[:-1], names[1:]).tolist() == [0] * 4999
