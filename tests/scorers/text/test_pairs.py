"""Pairs that contradict one another or themselves, by hand and against a search of all pairs; what is longer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.text import contradictions
from curate.scorers.text.pairs import FaultyPairs
from curate.testing import ArrayView, check_scorer, score_all

PAIRS: dict[str, list[Any]] = {
    "id": ["e", "d", "c", "b", "a", "f", "g"],
    "prompt": ["How high?", "how  high? ", "How wide?", "How high?", "How high?", None, "How high?"],
    "chosen": ["300 m.", "Quite.", "Quite.", "Quite.", "So so.", "300 m.", "300 m."],
    "rejected": ["Quite.", "300 M.", "300 m.", "300 m.", "so  so.", None, " "],
}


def test_pairs_by_hand() -> None:
    scored = score_all(FaultyPairs(), ArrayView(PAIRS))
    twice, round_ = "the same answer twice", "another pair prefers the other answer"
    assert scored["faulty_pair_because"].to_pylist() == [round_, round_, None, round_, twice, None, None]
    assert scored["faulty_pair_against"].to_pylist() == ["b", "e", None, "e", None, None, None]
    assert scored["faulty_pair"].to_pylist() == [True, True, False, True, True, None, None]
    assert scored["faulty_pairs"].to_pylist() == [0, 0, 1, 0, 0, None, None]
    assert scored["faulty_pairs_reason"].to_pylist() == [None] * 5 + ["no rejected"] * 2
    assert scored["faulty_pair_length"].to_pylist()[:2] == [
        0.5,
        0.5,
    ]  # 300 m. and Quite. are six characters each


def test_it_keeps_the_promises() -> None:
    check_scorer(FaultyPairs(), ArrayView(PAIRS), planted=("c", "a"))
    none = ArrayView({name: column[5:6] for name, column in PAIRS.items()})
    assert score_all(FaultyPairs(), none)["faulty_pairs"].to_pylist() == [None]


def test_without_prompts_answers_are_compared() -> None:
    bare = {name: column for name, column in PAIRS.items() if name != "prompt"}
    assert FaultyPairs().resolve(["id", "chosen", "rejected"], "preference").needs == ("chosen", "rejected")
    assert FaultyPairs().resolve(list(PAIRS), "preference").needs == ("prompt", "chosen", "rejected")
    scored = score_all(FaultyPairs(prompt=""), ArrayView(bare))
    assert scored["faulty_pair_against"].to_pylist()[:4] == [
        "b",
        "e",
        "e",
        "e",
    ]  # about another prompt, but who can tell


def test_notes_count_faults_and_say_how_far_length_tells() -> None:
    view = ArrayView(
        {"id": list("abcd"), "chosen": ["long"] * 3 + ["x"], "rejected": ["s", "t", "u", "long"]}
    )
    notes = FaultyPairs(prompt="").fit(view).notes
    assert len(notes) == 1 and "longer one in 75.0% of 4 pairs" in notes[0]
    assert "30.1% to 95.4%" in notes[0] and notes[0].endswith("would tell it in 75.0%")  # Wilson, 3 of 4
    assert FaultyPairs().fit(ArrayView(PAIRS)).notes[0] == (
        "1 pair has the same answer twice and 3 pairs are contradicted by another"
    )


CODES = st.integers(0, 2)


@given(st.lists(st.tuples(CODES, CODES, CODES), max_size=12))
def test_against_a_search_of_all(pairs: list[tuple[int, int, int]]) -> None:
    found = contradictions(*np.array(pairs, np.int64).reshape(-1, 3).T)
    for (p, c, r), at in zip(pairs, found, strict=True):
        there = [j for j, pair in enumerate(pairs) if pair == (p, r, c) and c != r]
        assert at == (there[0] if there else -1)


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(InputError, match=r"shapes \(1,\), \(2,\), \(1,\)"):
        contradictions(np.zeros(1), np.zeros(2), np.zeros(1))
