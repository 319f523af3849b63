"""Shared members of many pairs of sets: by hand, and against Python's sets however the work is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.scorers.duplicates import overlap
from curate.scorers.duplicates.overlap import make_sets, shared_members


def test_by_hand() -> None:
    sets = make_sets(np.array([0, 4, 4, 7]), np.array([9, 2**63, 9, 5, 5, 7, 9], np.uint64))
    assert sets.sizes.tolist() == [3, 0, 3]
    assert sets.width == 4
    i, j = np.array([2, 0, 1, 0, 1]), np.array([0, 0, 2, 1, 1])
    assert shared_members(sets, i, j).tolist() == [2, 3, 0, 0, 0]


def test_of_nothing() -> None:
    nothing = make_sets(np.array([0, 0]), np.empty(0, np.uint64))
    assert nothing.sizes.tolist() == [0]
    assert shared_members(nothing, np.array([0]), np.array([0])).tolist() == [0]
    assert shared_members(nothing, np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 20), max_size=12), min_size=1, max_size=8),
    st.integers(0, 40),
    st.integers(0, 2**32 - 1),
    st.integers(1, 60),
    st.integers(1, 30),
)
def test_agrees_with_sets_however_it_is_cut(
    members: list[list[int]], pairs: int, seed: int, table: int, at_once: int
) -> None:
    i, j = np.random.default_rng(seed).integers(0, len(members), (2, pairs))
    offsets = np.cumsum([0, *map(len, members)])
    sets = make_sets(offsets, np.array([m for some in members for m in some], np.uint64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_TABLE", table)
        patch.setattr(overlap, "_MEMBERS", at_once)
        got = shared_members(sets, i, j)
    assert got.tolist() == [len(set(members[a]) & set(members[b])) for a, b in zip(i, j, strict=True)]
