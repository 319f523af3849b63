"""Graph cut, moderate, coverage by difficulty, the hardest, D2, prototypes, SemDeDup and queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing import Constraints
from curate.errors import InputError
from curate.selectors.coreset import ccs, d2, graph_cut, hardest, moderate, prototypes, query, semdedup


def rows_of(seed: int = 0, n: int = 200, d: int = 6) -> Any:
    return np.random.default_rng(seed).standard_normal((n, d))


# --- Graph cut ------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]))
def test_graph_cut_is_the_plain_greedy(seed: int, redundancy: float) -> None:
    x = rows_of(seed, 25, 4)
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    s, k = (1 + z @ z.T) / 2, 8
    lam, rows = redundancy * 25 / (2 * k), []

    def value(chosen: list[int]) -> float:
        return float(s[:, chosen].sum() - lam * s[np.ix_(chosen, chosen)].sum())

    for _ in range(k):
        rest = [i for i in range(25) if i not in rows]
        rows.append(max(rest, key=lambda i: value([*rows, i])))
    chosen = graph_cut(x, k, redundancy=redundancy)
    assert chosen.index.tolist() == rows
    assert chosen.random["objective"] == pytest.approx(value(rows) / (25 * k), abs=1e-5)
    gains = [value(rows[: i + 1]) - value(rows[:i]) for i in range(k)]
    np.testing.assert_allclose(chosen.gain, gains, rtol=1e-4, atol=1e-4)
    assert (np.diff(chosen.gain) <= 1e-4).all()  # type: ignore[arg-type]


def test_graph_cut_takes_copies_only_without_redundancy() -> None:
    x = np.array([[1, 0.1]] * 5 + [[1, 0]] * 2 + [[0, 1.0]])
    assert graph_cut(x, 2, redundancy=0).index.tolist() == [0, 1]
    assert graph_cut(x, 2, redundancy=3).index.tolist() == [0, 7]
    assert graph_cut(x, 2, redundancy=0, within=Constraints(np.array([7]))).index.tolist() == [7, 0]
    with pytest.raises(InputError, match="redundancy -1"):
        graph_cut(x, 2, redundancy=-1)


# --- Moderate -------------------------------------------------------------------------------------------------------


def test_moderate_takes_the_middle_of_each_class() -> None:
    x = np.concatenate([np.arange(10.0), 100 + np.arange(4.0)])[:, None]  # distances from 4.5 and 101.5
    group = np.repeat([0, 1], [10, 4])
    chosen = moderate(x, 7, within=Constraints(group=group))
    # of 0.5 0.5 1.5 1.5 2.5 2.5 3.5 3.5 4.5 4.5 the middle five: 1.5, 2.5, 2.5, 3.5 and one more
    first = chosen.index[group[chosen.index] == 0]
    assert {2, 7} <= set(first.tolist()) and not {0, 9, 4} & set(first.tolist())
    assert np.bincount(group[chosen.index]).tolist() == [5, 2]
    assert chosen.random["objective"] > chosen.random["random"]


# --- By difficulty --------------------------------------------------------------------------------------------------


def test_ccs_drops_the_hardest_and_covers_the_others() -> None:
    score = np.concatenate([np.full(10, -9.0), np.linspace(0, 1, 90) ** 3])  # most are low
    chosen = ccs(score, 20, drop=0.1, bins=10)
    assert not (chosen.index < 10).any()
    counts = np.histogram(score[chosen.index], 10, (0, 1))[0]
    assert counts.tolist() == [2] * 10
    assert chosen.random["objective"] == 1 > chosen.random["random"]
    assert len(ccs(score, 95, drop=0.1)) == 95  # less is dropped where the budget needs more
    assert ccs(score, 20, rng=np.random.default_rng(1)).index.tolist() != chosen.index.tolist()


def test_ccs_under_constraints() -> None:
    score = np.linspace(0, 1, 100)
    chosen = ccs(score, 12, within=Constraints(np.array([0]), np.arange(50, 60)), bins=5)
    assert chosen.index[0] == 0 and not ((chosen.index >= 50) & (chosen.index < 60)).any()
    assert len(chosen) == 12
    cost = np.full(100, 2.5)
    assert len(ccs(score, 25, within=Constraints(cost=cost), bins=2)) == 10
    with pytest.raises(InputError, match="bins of difficulty"):
        ccs(score, 5, within=Constraints(group=np.zeros(100, int)))
    with pytest.raises(InputError, match="drop 1"):
        ccs(score, 5, drop=1)
    assert len(ccs(np.ones(8), 3)) == 3


def test_the_hardest_and_the_never_learned() -> None:
    score = np.array([1, np.inf, 3, 2, np.inf, 0])
    chosen = hardest(score, 4)
    assert chosen.index.tolist() == [1, 4, 2, 3]
    assert chosen.gain is not None and chosen.gain.tolist() == [3, 3, 3, 2]
    assert chosen.random["objective"] == pytest.approx(11 / 4)
    assert hardest(score, 2, easiest=True).index.tolist() == [5, 0]
    assert hardest(score, 4, within=Constraints(cost=np.array([1.0, 9, 1, 1, 1, 1]))).index.tolist() == [
        4,
        2,
        3,
        0,
    ]
    with pytest.raises(InputError, match="1 score is nan"):
        hardest(np.array([1, np.nan]), 1)


# --- D2 -------------------------------------------------------------------------------------------------------------


def plain_d2(x: Any, score: Any, k: int, count: int, forward: float, reverse: float) -> list[int]:
    far = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(far, np.inf)
    near = np.argsort(far, axis=1)[:, :count]
    both = np.zeros_like(far, bool)
    both[np.repeat(np.arange(len(x)), count), near.ravel()] = True
    both |= both.T
    far /= np.median(far.min(1))
    s = score + (both * np.exp(-forward * far)) @ score
    rows: list[int] = []
    for _ in range(k):
        rows.append(int(s.argmax()))
        s = s - both[rows[-1]] * np.exp(-reverse * far[rows[-1]]) * s[rows[-1]]
        s[rows] = -np.inf
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_d2_is_the_plain_rule(seed: int) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(seed)
    x, score = rng.standard_normal((80, 3)), rng.random(80)
    chosen = d2(x, score, 20, neighbours=5, forward=0.7, reverse=0.4)
    assert chosen.index.tolist() == plain_d2(x, score, 20, 5, 0.7, 0.4)
    assert chosen.gain is not None and (np.diff(chosen.gain) <= 1e-6).all()
    assert chosen.random["objective"] > chosen.random["random"]
    must = d2(x, score, 20, neighbours=5, within=Constraints(np.array([3]), chosen.index[:2]))
    assert must.index[0] == 3 and not np.isin(chosen.index[:2], must.index).any()
    assert d2(x, score, 5, together="product").index.tolist() != d2(x, score, 5, forward=0).index.tolist()
    for wrong in ({"score": -score}, {"neighbours": 0}, {"reverse": -1}, {"forward": np.nan}):
        with pytest.raises(InputError):
            d2(x, budget=5, **({"score": score} | wrong))
    assert len(d2(np.ones((4, 2)), np.ones(4), 4)) == 4
    assert len(d2(np.ones((1, 2)), np.ones(1), 1)) == 1


# --- Clusters -------------------------------------------------------------------------------------------------------


def test_prototypes_are_one_of_each_cluster() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), [40, 30, 20, 10, 10, 10])
    x = 30 * rng.standard_normal((6, 4))[group] + rng.standard_normal((120, 4))
    chosen = prototypes(x, 6, reweight=True, clusters=6)
    assert sorted(group[chosen.index].tolist()) == [0, 1, 2, 3, 4, 5]
    assert chosen.weight is not None and chosen.weight.mean() == pytest.approx(1)
    near, far = (prototypes(x, 30, keep=keep, clusters=6) for keep in ("near", "far"))  # type: ignore[arg-type]
    assert not set(near.index.tolist()) & set(far.index.tolist())
    assert near.random["objective"] > near.random["random"]
    assert far.random["objective"] > far.random["random"]
    must = prototypes(x, 6, clusters=6, within=Constraints(np.array([0]), np.array([1])))
    assert must.index[0] == 0 and len(must) == 6
    with pytest.raises(InputError, match="keep 'best'"):
        prototypes(x, 3, keep="best")  # type: ignore[arg-type]


@pytest.mark.parametrize("clusters", [None, 3])
@pytest.mark.parametrize("keep", ["hard", "easy"])
def test_copies_leave_first(clusters: int | None, keep: Any) -> None:
    once = rows_of(0, 40, 16)
    x = np.repeat(once, 3, axis=0) + 1e-3 * rows_of(1, 120, 16)
    chosen = semdedup(x, 40, clusters=clusters, keep=keep)
    assert len(np.unique(chosen.index // 3)) >= 39
    assert chosen.random["objective"] > chosen.random["random"]
    first = semdedup(x, 40, clusters=clusters, keep=keep, within=Constraints(np.array([7])))
    assert first.index[0] == 7 and not {6, 8} & set(first.index.tolist())


def test_semdedup_gains_are_one_minus_the_highest_cosine_before() -> None:
    x = rows_of(3, 2500, 4)
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    chosen = semdedup(x, 2500, clusters=1)
    middle = z.mean(0)
    order = np.argsort(-np.linalg.norm(z - middle, axis=1), kind="stable")
    cosine = z[order] @ z[order].T
    cosine[np.triu_indices(2500)] = -1
    gain = dict(zip(order.tolist(), 1 - cosine.max(1), strict=True))
    np.testing.assert_allclose([gain[i] for i in chosen.index], chosen.gain, atol=2e-3)


# --- Queries --------------------------------------------------------------------------------------------------------


def test_queries_are_uncertain_apart_and_not_strange() -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    middles = np.eye(8)[:3]
    x = np.concatenate([middles[0] + 0.05 * rng.standard_normal((50, 8)),  # certain
                        middles[1] + 0.05 * rng.standard_normal((50, 8)),  # uncertain
                        middles[2] + 0.05 * rng.standard_normal((50, 8)),  # uncertain, but labelled near by
                        np.eye(8)[7:] * 9])  # most uncertain, and strange  # fmt: skip
    uncertainty = np.concatenate([np.full(50, 0.01), np.full(50, 0.5), np.full(50, 0.5), [0.9]])
    chosen = query(x, uncertainty, 2, known=np.array([100, 101]), neighbours=151)
    assert 50 <= chosen.index[0] < 100
    assert chosen.gain is not None and chosen.gain[0] > 20 * chosen.gain[1]
    assert chosen.random["objective"] > chosen.random["random"]
    assert not np.isin([100, 101], query(x, uncertainty, 149, known=np.array([100, 101])).index).any()
    must = query(x, uncertainty, 3, within=Constraints(np.array([0])), neighbours=151)
    assert must.index[0] == 0 and len(must) == 3
    with pytest.raises(InputError, match="both mandatory and forbidden"):
        query(x, uncertainty, 3, known=np.array([0]), within=Constraints(np.array([0])))
    with pytest.raises(InputError, match="uncertainty"):
        query(x, -uncertainty, 3)
