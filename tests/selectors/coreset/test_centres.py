"""k-center against the plain loop, and against the best radius."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing import Constraints
from curate.errors import InputError
from curate.selectors.coreset import k_center

pytest.importorskip("numba")


def radius(x: npt.NDArray[Any], rows: Any) -> float:
    return float(np.linalg.norm(x[:, None] - x[list(rows)], axis=2).min(1).max())


def plain(x: npt.NDArray[Any], k: int) -> list[int]:
    x = x.astype(np.float32)
    rows = [int(np.linalg.norm(x - x.mean(0), axis=1).argmin())]
    squared = np.full(len(x), np.inf)
    while len(rows) < k:
        squared = np.minimum(squared, ((x - x[rows[-1]]) ** 2).sum(1))
        rows.append(int(squared.argmax()))
    return rows


@pytest.mark.parametrize(("n", "d"), [(50, 2), (3000, 8), (9000, 5)])
def test_the_same_items_as_the_plain_loop(n: int, d: int) -> None:
    x = np.random.default_rng(n).standard_t(4, (n, d))
    assert k_center(x, 40).index.tolist() == plain(x, 40)


def test_by_hand() -> None:
    x = np.array([[0.0], [1], [4], [9], [10]])  # mean 4.8
    chosen = k_center(x, 3)
    assert chosen.index.tolist() == [2, 4, 0]
    np.testing.assert_allclose(chosen.gain, [6, 6, 4])
    assert chosen.random["objective"] == pytest.approx(1)
    assert chosen.weight is not None and chosen.weight.tolist() == [1, 1, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_at_most_twice_the_best_radius(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x, k = rng.standard_normal((n, 2)), int(rng.integers(1, n + 1))
    chosen = k_center(x, k)
    best = min(radius(x, rows) for rows in combinations(range(n), k))
    assert radius(x, chosen.index) <= 2 * best + 1e-5
    assert chosen.random["objective"] == pytest.approx(radius(x, chosen.index), abs=1e-5)
    assert chosen.gain is not None and (np.diff(chosen.gain) <= 1e-6).all()
    order = rng.permutation(n)
    if n > 2:  # two are as near to their mean as each other
        assert order[k_center(x[order], k).index].tolist() == chosen.index.tolist()


def test_copies_come_last_and_at_no_distance() -> None:
    x = np.repeat(np.random.default_rng(0).standard_normal((10, 4)) * 100, 3, axis=0)
    chosen = k_center(x, 30)
    assert len(set((chosen.index[:10] // 3).tolist())) == 10
    assert chosen.gain is not None and (chosen.gain[10:] == 0).all()
    assert (chosen.index[:10] % 3 == 0).all()


def test_mandatory_rows_are_the_start_and_forbidden_ones_only_need_cover() -> None:
    x = np.array([[0.0], [1], [4], [9], [10]])
    chosen = k_center(x, 3, within=Constraints(np.array([1]), np.array([4])))
    assert chosen.index.tolist() == [1, 3, 2]
    np.testing.assert_allclose(chosen.gain, [9, 8, 3])
    part = k_center(x, 2)
    assert k_center(x, 4, within=Constraints(part.index)).index.tolist() == k_center(x, 4).index.tolist()


def test_vectors_chosen_elsewhere_count() -> None:
    x = np.array([[0.0], [1], [4], [9], [10]])
    chosen = k_center(x, 2, start=np.array([[10.5]]))
    assert chosen.index.tolist() == [0, 2]
    np.testing.assert_allclose(chosen.gain, [10.5, 4])


def test_costs_and_groups() -> None:
    x = np.array([[0.0], [1], [4], [9], [10]])
    dear = k_center(x, 3, within=Constraints(cost=np.array([1.0, 1, 1, 1, 3])))
    assert dear.index.tolist() == [2, 3, 0]  # 5 / 1 before 6 / 3
    group = np.array([0, 0, 1, 1, 1])
    equal = k_center(x, 2, within=Constraints(group=group, balance="equal"))
    assert equal.index.tolist() == [2, 0]


def test_identical_single_and_bad_rows() -> None:
    same = k_center(np.ones((4, 2)), 3)
    assert same.index.tolist() == [0, 1, 2] and same.gain is not None and same.gain.tolist() == [0, 0, 0]
    assert k_center(np.ones((1, 2)), 1).gain.tolist() == [0]  # type: ignore[union-attr]
    for bad in (np.ones((2, 2)) * np.inf, np.ones(3)):
        with pytest.raises(InputError):
            k_center(bad, 1)
    for budget in (0, 5):
        with pytest.raises(InputError):
            k_center(np.ones((4, 2)), budget)
