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
from curate.store.rowset import RowSet, distinct


@given(st.lists(st.integers(-5, 5), max_size=12))
def test_distinct_is_what_numpy_says(values: list[int]) -> None:
    assert distinct(np.array(values, np.int64)).tolist() == np.unique(values).tolist()


def test_marking_in_blocks_marks_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.rowset._BLOCK", 2)
    chosen = RowSet(10, np.zeros(6, bool))
    chosen.mark(np.array([15, 3, 10, 12, 99]))
    assert chosen.seqs().tolist() == [10, 12, 15]


def test_what_lies_between_parts_is_in_no_set_of_their_rows(store: PartStore) -> None:
    for i in range(3):
        add(store, captions(["x"] * 2, [f"{i}{j}" for j in range(2)]))
    first, second, third = store.snapshot().items
    chosen = RowSet(0, np.array([True, False, True, True, False, True]))
    assert chosen.inside((first, second, third)) is chosen
    assert chosen.inside((first, third)).seqs().tolist() == [0, 5]
    assert chosen.inside((second,)).seqs().tolist() == [2, 3]
    assert chosen.of(1, 4).base is chosen.flags  # no copy of what is known
    assert chosen.of(5, 8).tolist() == [True, False, False]


def test_a_set_is_named_by_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.rowset._BLOCK", 4)
    chosen = RowSet(10, np.isin(np.arange(11), [0, 3, 4, 10]))
    members = np.array([10, 13, 14, 20], np.int64)
    assert chosen.hexdigest() == blake3.blake3(members.tobytes()).hexdigest()
    assert chosen.spans(members) and not chosen.spans(members + 1) and not chosen.spans(members - 1)
