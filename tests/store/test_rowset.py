"""Sets of rows."""

from __future__ import annotations

import blake3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_examples import (
    add,
    captions,
)

from curate.store import PartStore
from curate.store.parts import Part
from curate.store.rowset import RowSet, distinct


@given(st.lists(st.integers(-5, 5), max_size=12))
def test_distinct_is_what_numpy_says(values: list[int]) -> None:
    assert distinct(np.array(values, np.int64)).tolist() == np.unique(values).tolist()


def test_marking_in_blocks_marks_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.spool._BLOCK", 2)
    chosen = RowSet.of_flags(10, np.zeros(6, bool))
    chosen.mark(np.array([15, 3, 10, 12, 99]))
    assert chosen.seqs().tolist() == [10, 12, 15]


@given(
    st.integers(0, 20),
    st.lists(st.booleans(), max_size=40),
    st.lists(st.booleans(), max_size=40),
    st.integers(0, 70),
    st.integers(0, 30),
)
def test_bits_are_as_flags(start: int, flags: list[bool], others: list[bool], low: int, size: int) -> None:
    members = {start + i for i, flag in enumerate(flags) if flag}
    found = RowSet.of_flags(start, np.array(flags, bool))
    assert found.seqs().tolist() == sorted(members) and len(found) == len(members)
    assert found.of(low, low + size).tolist() == [seq in members for seq in range(low, low + size)]
    assert found.count(low, low + size) == len(members & set(range(low, low + size)))
    part = Part("p", "items", "", size, 0, "", b"", seq_lo=low)
    assert found.touches(part) == bool(members & set(range(low, low + size)))
    assert found.among([part] if size else []).seqs().tolist() == sorted(
        members & set(range(low, low + size))
    )
    assert RowSet.spanning([part], full=True).seqs().tolist() == list(range(low, low + size))
    theirs = {low + i for i, flag in enumerate(others) if flag}
    other = RowSet.of_flags(low, np.array(others, bool))
    assert (found & other).seqs().tolist() == sorted(members & theirs)
    found.mark(np.array(sorted(theirs, reverse=True), np.int64))
    taken = members | {seq for seq in theirs if start <= seq < start + len(flags)}
    assert found.seqs().tolist() == sorted(taken)
    found.mark(np.array([*members, *members], np.int64), value=False)
    assert found.seqs().tolist() == sorted(taken - members)


def test_what_lies_between_parts_is_in_no_set_of_their_rows(store: PartStore) -> None:
    for i in range(3):
        add(store, captions(["x"] * 2, [f"{i}{j}" for j in range(2)]))
    first, second, third = store.snapshot().items
    chosen = RowSet.of_flags(0, np.array([True, False, True, True, False, True]))
    assert chosen.inside((first, second, third)) is chosen
    assert chosen.inside((first, third)).seqs().tolist() == [0, 5]
    assert chosen.inside((second,)).seqs().tolist() == [2, 3]
    assert chosen.of(1, 4).tolist() == [False, True, True]
    assert chosen.of(5, 8).tolist() == [True, False, False]


def test_a_set_is_named_by_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.rowset._BLOCK", 4)
    chosen = RowSet.of_flags(10, np.isin(np.arange(11), [0, 3, 4, 10]))
    members = np.array([10, 13, 14, 20], np.int64)
    assert chosen.hexdigest() == blake3.blake3(members.tobytes()).hexdigest()
    assert chosen.spans(members) and not chosen.spans(members + 1) and not chosen.spans(members - 1)
