"""Copying: what independent people would say alike, by enumeration; how often the honest are accused, copies found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.annotators.consensus import annotator_table, copying_pairs, read_answers
from curate.annotators.consensus.answers import Answers
from curate.annotators.consensus.independence import HABIT, Independent, fit_independent

SEEDS = 40


def frame_of(values: npt.NDArray[np.int64], there: npt.NDArray[np.bool_]) -> pl.DataFrame:
    item, who = np.nonzero(there)
    return pl.DataFrame({"item": item, "annotator": [f"w{i}" for i in who], "value": values[item, who]})


def crowd(
    accuracy: list[float],
    seed: int,
    *,
    k: int = 10,
    items: int = 200,
    hard: float = 0.0,
    decoy: float = 0.0,
    copies: tuple[tuple[int, int], ...] = (),
) -> pl.DataFrame:
    """Each answers an item with chance 0.8; who errs says any other value alike. A share `hard` of the items is right
    with chance 0.3 at most, and errors there are one and the same value with chance `decoy`. `copies` (copier, of
    whom): with chance 0.9 his answer, even where he does not hand in one himself."""
    rng = np.random.default_rng(seed)
    shape = (items, len(accuracy))
    truth = rng.integers(0, k, (items, 1))
    wrong = (truth + rng.integers(1, k, shape)) % k
    puzzles = rng.random((items, 1)) < hard
    tempting = (truth + rng.integers(1, k, (items, 1))) % k
    wrong = np.where(puzzles & (rng.random(shape) < decoy), tempting, wrong)
    chance = np.where(puzzles, np.minimum(accuracy, 0.3), np.array(accuracy))
    said = np.where(rng.random(shape) < chance, truth, wrong)
    own = said.copy()
    for who, whom in copies:
        said[:, who] = np.where(rng.random(items) < 0.9, own[:, whom], own[:, who])
    return frame_of(said, rng.random(shape) < 0.8)


def digits(seed: int) -> pl.DataFrame:
    """ada, ben, kim and eve: of them .98, .95, .9, .5 know a digit, the others say any."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, (200, 1))
    said = np.where(rng.random((200, 4)) < [0.98, 0.95, 0.9, 0.5], truth, rng.integers(0, 10, (200, 4)))
    return frame_of(said, rng.random((200, 4)) < 0.8)


def listed(answers: pl.DataFrame) -> set[tuple[str, str]]:
    return set(copying_pairs(answers).select("first", "second").rows())


# --- What independent people would say ------------------------------------------------------------------------------


def enumerate_chance(model: Independent, one: int, other: int) -> tuple[bool, float]:
    """The same as `judge`, value by value and answer by answer."""
    read, k = model.read, model.k
    rows = [r for r in range(*read.start[read.item[one] : read.item[one] + 2]) if r not in (one, other)]
    rows = [r for r in rows if model.counted[r]]
    right = model.right[read.annotator]

    def says(row: int, true: int, value: int) -> float:
        return float(right[row] if value == true else (1 - right[row]) / (k - 1))

    told = np.array([np.prod([says(r, t, read.value[r]) for r in rows]) / k for t in range(k)])
    urn, drawn = np.full(k, HABIT / k), 1.0
    for r in rows:
        drawn *= urn[read.value[r]] / urn.sum()
        urn[read.value[r]] += 1
    gains = {
        v: sum(np.log(says(r, v, v) / says(r, v + 1, v)) for r in rows if read.value[r] == v)
        for v in range(k)
    }
    voted = [v for v in range(k) if any(read.value[r] == v for r in rows)]
    best = max(voted, key=lambda v: (round(gains[v], 9), -v))
    puzzled = model.puzzling * drawn / (model.puzzling * drawn + (1 - model.puzzling) * told.sum())
    alike = np.array(
        [
            (1 - puzzled) * sum(told[t] / told.sum() * says(one, t, v) * says(other, t, v) for t in range(k))
            + puzzled * urn[v] * (urn[v] + 1) / (urn.sum() * (urn.sum() + 1))
            for v in range(k)
        ]
    )
    odd = not (read.value[one] == read.value[other] == best)
    return odd, float((alike.sum() - alike[best]) / (1 - alike[best]))


def couples(read: Answers) -> list[tuple[int, int]]:
    return [
        (i, j)
        for i in range(len(read))
        for j in range(i + 1, len(read))
        if read.item[i] == read.item[j] and read.per_item[read.item[i]] > 2
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(3, 6), st.booleans())
def test_what_independent_people_say_is_what_enumeration_says(
    seed: int, k: int, people: int, repeat: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, k, (12, people)) * (rng.random((12, people)) < 0.5)
    read = read_answers(frame_of(values, rng.random((12, people)) < 0.9), values=range(k))
    counted = np.ones(len(read))
    if repeat:  # of equal answers to an item by the first two only the first counts
        group = np.maximum(read.annotator, 1)
        _, first = np.unique((read.item * people + group) * k + read.value, return_index=True)
        counted = np.isin(np.arange(len(read)), first).astype(np.float64)
    model = fit_independent(read, counted)
    pairs = [(i, j) for i, j in couples(read) if model.asked[read.item[i]] > counted[i] + counted[j]]
    if not pairs:
        return
    one, other = np.array(pairs).T
    odd, chance = model.judge(one, other)
    for place, (i, j) in enumerate(pairs):
        expected_odd, expected = enumerate_chance(model, i, j)
        assert odd[place] == expected_odd
        assert chance[place] == pytest.approx(expected if expected_odd else 1.0, abs=1e-9)


def test_accuracies_and_puzzles_are_found() -> None:
    plain = fit_independent(read_answers(crowd([0.97, 0.97, 0.9, 0.8, 0.6], 0, items=1000)))
    assert plain.right.tolist() == pytest.approx([0.97, 0.97, 0.9, 0.8, 0.6], abs=0.05)
    puzzled = fit_independent(read_answers(crowd([0.97] * 5, 0, items=1000, hard=0.2, decoy=0.5)))
    assert plain.puzzling < 0.03 and 0.1 < puzzled.puzzling < 0.3
    # two experts among many bad annotators are seen as what they are, not as two of a crowd of equals
    bad = fit_independent(read_answers(crowd([0.98, 0.98, *[0.55] * 6], 15, k=2)))
    assert bad.right[:2].min() > 0.9 > 0.7 > bad.right[2:].max()


# --- The honest -----------------------------------------------------------------------------------------------------

HONEST: dict[str, dict[str, Any]] = {
    "three": {"accuracy": [0.95, 0.9, 0.5]},
    "two values": {"accuracy": [0.98, 0.9, 0.8, 0.7, 0.6], "k": 2},
    "four, two values": {"accuracy": [0.9, 0.9, 0.6, 0.5], "k": 2},
    "two experts among bad": {"accuracy": [0.98, 0.98, *[0.4] * 6]},
    "two experts among guessers": {"accuracy": [0.98, 0.98, *[0.55] * 6], "k": 2},
    "hard items": {"accuracy": [0.97, 0.97, 0.95, 0.9, 0.6], "hard": 0.1},
    "hard items, one error": {"accuracy": [*[0.97] * 4, 0.9, 0.8, 0.7, 0.6], "hard": 0.2, "decoy": 0.9},
    "hard items, two values": {"accuracy": [0.97, 0.97, 0.95, 0.9, 0.6], "hard": 0.15, "k": 2},
    "four, hard items": {"accuracy": [0.97, 0.97, 0.95, 0.9], "hard": 0.1, "decoy": 0.9},
}


def test_honest_digits_are_not_accused() -> None:
    # an item with three answers, the third of them wrong, is two against everybody else: skill explains it
    assert sum(bool(listed(digits(seed))) for seed in range(2 * SEEDS)) <= 2
    assert "the same as" not in " ".join(annotator_table(digits(0))["suspicious"].drop_nulls())


@pytest.mark.parametrize("name", HONEST)
def test_honest_crowds_are_not_accused(name: str) -> None:
    assert sum(bool(listed(crowd(seed=seed, **HONEST[name]))) for seed in range(SEEDS)) <= 1


def test_items_of_every_difficulty_accuse_hardly_anybody() -> None:
    accused = 0
    for seed in range(
        SEEDS
    ):  # neither "can be told" nor "puzzles everybody": the model is wrong, but not by much
        rng = np.random.default_rng(seed)
        truth, hardness = rng.integers(0, 10, (300, 1)), rng.normal(0, 2, (300, 1))
        right = rng.random((300, 6)) < 1 / (1 + np.exp(hardness - rng.normal(3, 1, 6)))
        said = np.where(right, truth, (truth + rng.integers(1, 10, (300, 1))) % 10)
        said = np.where(right | (rng.random((300, 6)) < 0.5), said, rng.integers(0, 10, (300, 6)))
        accused += bool(listed(frame_of(said, rng.random((300, 6)) < 0.8)))
    assert accused <= 4


# --- Copies ---------------------------------------------------------------------------------------------------------

SIX = [0.8, 0.9, 0.9, 0.8, 0.7]


@pytest.mark.parametrize(("k", "items"), [(2, 600), (10, 200)])
@pytest.mark.parametrize("accuracy", [0.7, 0.8])
def test_who_copies_is_found_and_nobody_else(k: int, items: int, accuracy: float) -> None:
    # where there are two values the wrong coincide by chance too: it takes more items
    options: dict[str, Any] = {"k": k, "items": items, "copies": ((1, 0),)}
    found = [listed(crowd([accuracy, *SIX], seed, **options)) for seed in range(SEEDS // 2)]
    assert sum(("w0", "w1") in pairs for pairs in found) >= 0.8 * len(found)
    assert sum(len(pairs - {("w0", "w1")}) for pairs in found) <= 1


def test_among_five_the_copies_do_not_make_the_honest_look_odd() -> None:
    found = [listed(crowd([0.7, 0.8, 0.95, 0.9, 0.8], seed, copies=((1, 0),))) for seed in range(SEEDS // 2)]
    assert sum(pairs == {("w0", "w1")} for pairs in found) >= 0.9 * len(found)


def test_a_good_one_is_found_to_be_copied_where_there_are_many_items() -> None:
    many = [listed(crowd([0.95, *SIX], seed, items=1000, copies=((1, 0),))) for seed in range(10)]
    assert sum(pairs == {("w0", "w1")} for pairs in many) >= 8


@pytest.mark.parametrize("hidden", [True, False])
def test_two_who_copy_a_third(hidden: bool) -> None:
    found = []
    for seed in range(SEEDS // 2):
        answers = crowd([0.8, 0.8, 0.8, 0.9, 0.9, 0.9, 0.8], seed, items=300, copies=((1, 0), (2, 0)))
        if hidden:
            answers = answers.filter(pl.col("annotator") != "w0")
        found.append(listed(answers))
    suspects = [{who for pair in pairs for who in pair} for pairs in found]
    assert sum({"w1", "w2"} <= who for who in suspects) >= 0.8 * len(found)
    assert sum(bool(who - {"w0", "w1", "w2"}) for who in suspects) <= 2


def test_two_camps_of_two_are_both_named_for_nobody_can_tell() -> None:
    camps = [listed(crowd([0.7, 0.8, 0.95, 0.95], seed, copies=((1, 0),))) for seed in range(SEEDS // 2)]
    assert sum(bool(pairs) for pairs in camps) >= 0.9 * len(camps)
    assert all(pairs <= {("w0", "w1"), ("w2", "w3")} for pairs in camps)


def test_nothing_shows_among_three() -> None:
    assert not any(listed(crowd([0.7, 0.8, 0.9], seed, copies=((1, 0),))) for seed in range(10))


def test_the_order_of_rows_does_not_matter() -> None:
    answers = crowd([0.7, *SIX], 0, copies=((1, 0),))
    assert copying_pairs(answers.sample(fraction=1, shuffle=True, seed=1)).equals(copying_pairs(answers))
