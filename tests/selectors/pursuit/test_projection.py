"""Greedy information projection against its rule written out, and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing import Constraints
from curate.errors import InputError
from curate.selectors.pursuit import information_projection

Array = np.ndarray[Any, Any]


def spanned(x: Array, rows: list[int], queries: Array) -> float:
    """The sum of |P q|^2 over queries."""
    if not rows:
        return 0.0
    basis, values, _ = np.linalg.svd(x[rows].T, full_matrices=False)
    return float(((queries @ basis[:, values > 1e-9 * values[0]]) ** 2).sum())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_the_greatest_rise_each_time(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    x, queries = rng.standard_normal((15, 6)), rng.standard_normal((m, 6))
    quality = rng.uniform(0.5, 1, 15)
    count = min(4, m)
    chosen = information_projection(x, queries, count, quality=quality)
    rows: list[int] = []
    for gain in chosen.gain.tolist():
        rises = np.array([spanned(x, [*rows, i], queries) - spanned(x, rows, queries) for i in range(15)])
        best = int((rises * quality).argmax())
        assert chosen.index[len(rows)] == best
        assert gain == pytest.approx(rises[best] / (queries**2).sum(), abs=1e-6)
        rows.append(best)
    assert chosen.random["objective"] == pytest.approx(chosen.gain.sum(), abs=1e-5)


def test_by_hand() -> None:
    x = np.array([[1.0, 0, 0], [5, 0.5, 0], [0, 1, 0], [0, 0, 1]])
    queries = np.array([[3.0, 0, 0], [0, 2, 0], [0, 0, 1]])
    chosen = information_projection(x, queries, 3)
    # of (5, 0.5, 0): (225 + 1) / 25.25 = 8.95 < 9 of the first; it would bring 4 as the third does: then ties go first
    assert chosen.index.tolist() == [0, 1, 3]
    assert chosen.gain == pytest.approx([9 / 14, 4 / 14, 1 / 14])
    assert chosen.random["objective"] == pytest.approx(1)
    # spanned: the same again among the rest; then rows that span nothing
    everything = information_projection(np.vstack([x, np.zeros(3)]), queries, 5)
    assert everything.index.tolist() == [0, 1, 3, 2, 4]
    assert everything.gain[3:] == pytest.approx([4 / 14, 0])


def test_the_pool_itself_and_constraints() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 10)) * np.linspace(3, 0.1, 10)
    chosen = information_projection(x, None, 5)
    assert chosen.random["objective"] > chosen.random["random"]
    assert chosen.random["objective"] > 0.8 * ((np.linalg.svd(x)[1] ** 2)[:5].sum() / (x**2).sum())
    held = information_projection(
        x, None, 5, within=Constraints(mandatory=np.array([7]), forbidden=chosen.index[:2])
    )
    assert held.index[0] == 7 and not set(held.index) & set(chosen.index[:2]) and len(held) == 5
    shared = information_projection(x, None, 6, within=Constraints(group=np.arange(200) % 3))
    assert np.bincount(shared.index % 3).tolist() == [2, 2, 2]
    dear = np.where(np.arange(200) == chosen.index[0], 50.0, 1.0)
    assert chosen.index[0] not in information_projection(x, None, 60, within=Constraints(cost=dear)).index[:3]


@pytest.mark.parametrize(
    ("x", "queries", "told"),
    [
        (np.ones((3, 2)), np.ones((1, 3)), "3 dimensions"),
        (np.ones((3, 2)), np.zeros((1, 2)), "all zero"),
        (np.full((3, 2), np.nan), np.ones((1, 2)), "not finite"),
        (np.ones(3), np.ones((1, 2)), "shape"),
    ],
)
def test_what_cannot_be_used(x: Array, queries: Array, told: str) -> None:
    with pytest.raises(InputError, match=told):
        information_projection(x, queries, 1)
    with pytest.raises(InputError, match="quality"):
        information_projection(np.ones((2, 2)), None, 1, quality=np.array([-1.0, 1]))
