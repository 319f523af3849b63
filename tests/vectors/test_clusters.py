"""Rounds of k-means from sums that others took: by hand, and the same whatever the portions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.vectors.clusters import Sums, learn_centres, nearest, runs, summed
from curate.vectors.sums import to_units, unit_for


def portions(x: np.ndarray, cuts: list[int], unit: float, centres: np.ndarray) -> Iterator[Sums]:
    for part in np.split(x, cuts):
        yield summed(part, nearest(part, centres, 8), unit)


def test_a_round_by_hand() -> None:
    x = np.array([[0, 0], [0, 2], [10, 0], [10, 4], [10, 5]], np.float32)
    begin = np.array([[1, 1], [9, 1], [-90, 0]], np.float32)
    ask = partial(portions, x, [2], unit_for(5, 10.0))
    once = learn_centres(begin, ask, 1)
    assert once.tolist() == [[0, 1], [10, 3], [-90, 0]]  # nothing is near to the last: it stays
    assert learn_centres(begin, ask, 9).tobytes() == once.tobytes()
    assert begin.tolist() == [[1, 1], [9, 1], [-90, 0]]


def test_directions_by_hand() -> None:
    x = np.array([[1, 0], [0.6, 0.8], [-1, 0], [0, -1], [0, 1]], np.float32)

    def ask(centres: np.ndarray) -> Iterator[Sums]:
        yield summed(x, np.array([0, 0, 1, 1, 2]), 2.0**-50)
        yield summed(np.array([[0, -1]], np.float32), np.array([2]), 2.0**-50)

    begin = np.eye(3, 2, dtype=np.float32)
    found = learn_centres(begin, ask, 1, spherical=True)
    assert np.allclose(
        found, [[2 / 5**0.5, 1 / 5**0.5], [-(0.5**0.5), -(0.5**0.5)], [0, 0]]
    )  # 1 and -1: no direction


def test_of_equally_near_centres_the_first() -> None:
    x = np.array([[1, 0], [5, 0]], np.float32)
    assert nearest(x, np.array([[0, 0], [2, 0], [6, 0]], np.float32), 1).tolist() == [0, 2]


@given(st.integers(1, 40), st.lists(st.integers(0, 40), max_size=6), st.integers(0, 5), st.integers(-60, 60))
def test_sums_are_the_same_to_the_bit_whatever_the_portions(
    n: int, cuts: list[int], seed: int, power: int
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, 3)) * 10.0 ** rng.integers(-9, 1, (n, 1)) * 2.0**power).astype(np.float32)
    begin = x[rng.integers(0, n, 4)]
    unit = unit_for(n, float(np.abs(x).max()))
    whole = learn_centres(begin, partial(portions, x, [], unit), 3)
    order = rng.permutation(n)
    assert (
        learn_centres(begin, partial(portions, x[order], sorted(cuts), unit), 3).tobytes() == whole.tobytes()
    )
    of = nearest(x, begin, 8)
    mean = np.stack([x[of == k].mean(0, dtype=float) if (of == k).any() else begin[k] for k in range(4)])
    once = learn_centres(begin, partial(portions, x, [], unit), 1)
    assert np.allclose(once, mean, rtol=1e-6, atol=1e-12 * np.abs(x).max())


def test_whole_units_add_up_exactly_in_any_order() -> None:
    x = np.random.default_rng(0).standard_normal(10_000) * 10.0 ** np.arange(-5, 5).repeat(1000)
    parts = to_units(x, unit_for(len(x), float(np.abs(x).max())))
    assert parts.sum() == parts[::-1].sum() == sum(parts.tolist())
    assert parts.sum() == pytest.approx(x.sum(), rel=1e-9)
    assert unit_for(3, 0.0) == unit_for(0, 0.0) == 1.0


def test_runs_are_whole_blocks_and_longer_than_what_is_said_of_them() -> None:
    assert runs(20, 1, 8) == [slice(0, 8), slice(8, 16), slice(16, 20)]
    assert runs(20, 3, 8) == [slice(0, 16), slice(16, 20)]
    assert runs(0, 3, 8) == []
