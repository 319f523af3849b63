"""The greedy choice: by hand, against a plain loop, and unchanged by the limit on memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.scorers.duplicates.leaders import Leaders, Pairs, Rows, choose_leaders, restore_copies


class Matrix:
    """Neighbours written out as a matrix of similarities, 0 = not within the threshold."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = np.maximum(matrix, matrix.T)

    def __len__(self) -> int:
        return len(self.matrix)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        a, b = np.nonzero(self.matrix[np.ix_(left, left if right is None else right)])
        i, j = left[a], (left if right is None else right)[b]
        if right is None:
            i, j = i[a < b], j[a < b]
        yield i, j, self.matrix[i, j].astype(np.float32)


def chain(n: int) -> np.ndarray:
    matrix = np.zeros((n, n))
    matrix[np.arange(n - 1), np.arange(1, n)] = 0.5
    return matrix


def by_loop(matrix: np.ndarray) -> tuple[list[int], list[float]]:
    near = np.maximum(matrix, matrix.T)
    kept: list[int] = []
    for i in range(len(near)):
        if not any(near[i, k] > 0 for k in kept):
            kept.append(i)
    leader, similarity = list(range(len(near))), [float("nan")] * len(near)
    for i in set(range(len(near))) - set(kept):
        leader[i] = max(kept, key=lambda k: (near[i, k], -k))
        similarity[i] = near[i, leader[i]]
    return leader, similarity


def test_a_chain_keeps_every_other_item() -> None:
    found = choose_leaders(Matrix(chain(5)))
    assert found.kept.tolist() == [True, False, True, False, True]
    assert found.leader.tolist() == [0, 0, 2, 2, 4]


def test_a_chain_longer_than_the_rounds_is_decided_one_by_one() -> None:
    found = choose_leaders(Matrix(chain(401)))
    assert found.kept.tolist() == [i % 2 == 0 for i in range(401)]


def test_the_leader_is_the_nearest_kept_item_even_if_it_comes_later() -> None:
    matrix = np.zeros((3, 3))
    matrix[0, 1], matrix[1, 2] = 0.6, 0.9
    found = choose_leaders(Matrix(matrix))
    assert found.leader.tolist() == [0, 2, 2]
    assert np.allclose(found.similarity, [np.nan, 0.9, np.nan], equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 14), st.integers(0, 2**32 - 1), st.floats(0, 0.9), st.integers(0, 30))
def test_agrees_with_a_loop_whatever_the_limit(n: int, seed: int, sparse: float, limit: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = np.triu(np.round(rng.random((n, n)), 1) * (rng.random((n, n)) > sparse), 1)
    leader, similarity = by_loop(matrix)
    for bound in (10**6, limit):
        found = choose_leaders(Matrix(matrix), bound)
        assert found.leader.tolist() == leader
        assert np.allclose(found.similarity, np.array(similarity, np.float32), equal_nan=True)


def test_halves_are_taken_beyond_the_limit_and_many_items() -> None:
    rng = np.random.default_rng(0)
    matrix = np.triu(rng.random((3000, 3000)) > 0.99, 1).astype(float)
    whole, halves = choose_leaders(Matrix(matrix)), choose_leaders(Matrix(matrix), limit=500)
    assert np.array_equal(whole.leader, halves.leader)
    assert 0 < whole.kept.sum() < 3000


def test_copies_follow_the_first_or_its_leader() -> None:
    chosen = Leaders(np.array([0, 0, 2]), np.array([np.nan, 0.8, np.nan], np.float32))  # of rows 0, 1, 4
    found = restore_copies(np.array([0, 1, 0, 1, 4, 4]), chosen)
    assert found.leader.tolist() == [0, 0, 0, 0, 4, 4]
    expected = np.array([np.nan, 0.8, 1, 0.8, np.nan, 1], np.float32)
    assert np.array_equal(found.similarity, expected, equal_nan=True)
