"""Facility location against a plain greedy, brute force and by hand."""

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
from curate.selectors.coreset import facility_location
from curate.selectors.coreset.exact import all_gains, exact_greedy
from curate.selectors.coreset.similarity import Likeness

pytest.importorskip("numba")

Array = npt.NDArray[Any]


def cosines(x: Array) -> Array:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    z = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    return np.maximum(z @ z.T, 0)


def value(s: Array, rows: Any) -> float:
    rows = list(rows)
    return float(s[:, rows].max(1).sum()) if rows else 0.0


def plain_greedy(s: Array, k: int) -> list[int]:
    chosen: list[int] = []
    cover = np.zeros(len(s))
    for _ in range(k):
        gains = np.maximum(s - cover[:, None], 0).sum(0)
        gains[chosen] = -1
        chosen.append(int((gains >= gains.max() * (1 - 1e-5)).argmax()))
        cover = np.maximum(cover, s[:, chosen[-1]])
    return chosen


def clouds(n: int = 300, d: int = 8, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((12, d))[rng.integers(0, 12, n)] + 0.5 * rng.standard_normal((n, d))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["exact", "sparse"])
def test_the_same_items_as_a_plain_greedy(seed: int, method: Any) -> None:
    x = clouds(seed=seed)
    chosen = facility_location(x, 60, method=method, neighbours=300)
    assert chosen.index.tolist() == plain_greedy(cosines(x), 60)


def test_gains_are_what_each_adds_and_fall() -> None:
    x = clouds()
    chosen = facility_location(x, 40)
    s = cosines(x)
    gains = [value(s, chosen.index[: i + 1]) - value(s, chosen.index[:i]) for i in range(40)]
    np.testing.assert_allclose(chosen.gain, gains, rtol=1e-4, atol=1e-4)
    assert chosen.gain is not None and (np.diff(chosen.gain) <= 1e-4).all()
    assert chosen.random["objective"] == pytest.approx(value(s, chosen.index) / 300, rel=1e-5)
    assert chosen.random["objective"] > chosen.random["random"]
    assert chosen.weight is not None and (chosen.weight == 1).all()


def test_many_dense_steps_and_few_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds(400)
    few = facility_location(x, 80, method="exact").index
    monkeypatch.setattr("curate.selectors.coreset.exact._PAIRS", 0)  # never sparse enough: dense to the end
    assert facility_location(x, 80, method="exact").index.tolist() == few.tolist()


def test_all_gains_form_each_pair_once() -> None:
    x = clouds(1300)
    likeness = Likeness(x)
    cover = np.random.default_rng(0).random(1300).astype(np.float32)
    expected = np.maximum(cosines(x) - cover[:, None], 0).sum(0)
    np.testing.assert_allclose(all_gains(likeness, cover), expected, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.sampled_from(["cosine", "euclidean"]))
def test_at_least_1_minus_1_over_e_of_the_best(seed: int, n: int, similarity: Any) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    k = int(rng.integers(1, n + 1))
    likeness = Likeness(x, similarity)
    s = np.maximum(likeness.block(slice(None), slice(None)).astype(np.float64), 0)
    chosen = facility_location(x, k, similarity=similarity, method="exact")
    best = max(value(s, rows) for rows in combinations(range(n), k))
    assert value(s, chosen.index) >= (1 - 1 / np.e) * best - 1e-6
    assert len(chosen) == k


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_another_order_of_rows_gives_the_same_items(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 5))
    order = rng.permutation(n)
    k = max(1, n // 3)
    one, other = facility_location(x, k), facility_location(x[order], k)
    # Items that cover nothing but themselves or each other are worth the same, and then the row decides: so not the items but
    # what each adds is compared, and what that is by plain counting.
    np.testing.assert_allclose(one.gain, other.gain, rtol=1e-4, atol=1e-4)
    s, there = cosines(x), order[other.index]
    for t in range(1, k + 1):
        assert value(s, there[:t]) == pytest.approx(value(s, one.index[:t]), rel=1e-4)


def test_by_hand() -> None:
    # two directions, three and two items: first the larger, then the other, then what is left at no gain
    x = np.array([[0, 1], [1, 0], [0, 2], [3, 0], [0, 1.0]])
    chosen = facility_location(x, 5)
    assert chosen.index.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(chosen.gain, [3, 2, 0, 0, 0], atol=1e-6)
    assert chosen.random == {"objective": pytest.approx(1), "random": pytest.approx(1)}
    assert facility_location(x, 2, reweight=True).weight == pytest.approx([1.2, 0.8])


def test_euclidean_by_hand() -> None:
    x = np.array([[0.0], [1.0], [2.0], [10.0]])  # mean 3.25, so c is 13.5
    chosen = facility_location(x, 2, similarity="euclidean", method="exact")
    assert chosen.index.tolist() == [1, 3]
    np.testing.assert_allclose(chosen.gain, [13.5 * 4 - 11, 9], rtol=1e-5)


def test_costs_mandatory_forbidden_and_groups() -> None:
    x = np.array([[0, 1], [1, 0], [0, 2], [3, 0], [0, 1.0]])
    dear = facility_location(x, 2, within=Constraints(cost=np.array([2.0, 1, 1, 2, 2])))
    assert dear.index.tolist() == [2, 1]
    must = facility_location(x, 2, within=Constraints(mandatory=np.array([4])))
    assert must.index.tolist() == [4, 1]
    np.testing.assert_allclose(must.gain, [3, 2], atol=1e-6)
    assert facility_location(x, 1, within=Constraints(forbidden=np.array([0, 2, 4]))).index.tolist() == [1]
    group = np.array([0, 1, 1, 1, 1])
    halves = facility_location(x, 2, within=Constraints(group=group, balance="equal"))
    assert halves.index.tolist() == [0, 1]
    for method in ("sparse", "stochastic", "exact"):
        held = facility_location(
            clouds(), 20, method=method, within=Constraints(np.array([7, 3]), np.arange(100, 200))
        )
        assert held.index[:2].tolist() == [7, 3] and len(held) == 20
        assert not ((held.index >= 100) & (held.index < 200)).any()


def test_an_earlier_selection_is_continued() -> None:
    x = clouds()
    whole = facility_location(x, 30)
    part = facility_location(x, 12)
    more = facility_location(x, 30, within=Constraints(part.index))
    assert more.index.tolist() == whole.index.tolist()
    np.testing.assert_allclose(more.gain, whole.gain, rtol=1e-4, atol=1e-4)


def test_stochastic_looks_at_few_and_is_nearly_as_good() -> None:
    x = clouds(600)
    s = cosines(x)
    full = value(s, facility_location(x, 30).index)
    rng = np.random.default_rng(1)
    drawn = facility_location(x, 30, method="stochastic", rng=rng).index
    assert 0.97 * full < value(s, drawn) < full
    loose = facility_location(x, 30, method="stochastic", epsilon=0.9, rng=np.random.default_rng(1)).index
    assert value(s, loose) < value(s, drawn)
    with pytest.raises(InputError, match=r"epsilon 1\.5"):
        facility_location(x, 30, method="stochastic", epsilon=1.5)


def test_neighbours_in_clusters_come_close_to_all_pairs() -> None:
    x = clouds(6000, 16)
    likeness = Likeness(x)
    exact = exact_greedy(likeness, Constraints().terms(6000, 300))[0]
    near = facility_location(x, 300, method="sparse").index
    covers = [float(likeness.coverage(rows)[0].sum()) for rows in (exact, near)]
    assert covers[1] >= 0.999 * covers[0]


@pytest.mark.parametrize("method", ["exact", "sparse", "stochastic"])
def test_identical_zero_and_single_rows(method: Any) -> None:
    same = facility_location(np.ones((6, 3)), 3, method=method)
    assert len(set(same.index.tolist())) == 3
    np.testing.assert_allclose(same.gain, [6, 0, 0], atol=1e-5)
    assert facility_location(np.zeros((4, 2)), 2, method=method).gain.tolist() == [0, 0]  # type: ignore[union-attr]
    assert facility_location(np.ones((1, 3)), 1, method=method).index.tolist() == [0]


@pytest.mark.parametrize(
    ("x", "budget", "options", "match"),
    [
        (np.ones((3, 2)), 0, {}, "budget 0"),
        (np.ones((3, 2)), 4, {}, "budget 4"),
        (np.ones((0, 2)), 1, {}, "0 items are there"),
        (np.ones(3), 1, {}, r"shape \(3,\)"),
        (np.ones((3, 0)), 1, {}, "no dimensions"),
        (np.array([[1, 2], [np.nan, 1]]), 1, {}, "1 row of x is not finite or too long, as 1"),
        (np.ones((3, 2)), 1, {"method": "best"}, "method 'best'"),
        (np.ones((3, 2)), 1, {"similarity": "dot"}, "similarity 'dot'"),
        (np.ones((3, 2)), 1, {"neighbours": 0}, "neighbours 0"),
    ],
)
def test_what_cannot_be_answered_is_an_error(x: Array, budget: int, options: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        facility_location(x, budget, **options)
