"""`random`: uniform, a function of ids and seed, nested."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.selectors.threshold.uniform import Random, random_keys, random_rows
from curate.testing import ArrayView, check_selector

M = 2**64


def by_hand(text: str, seed: int) -> int:
    """The definition, one byte at a time, in Python's own integers."""

    def mix(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) % M
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % M
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % M
        return x ^ (x >> 31)

    data, prime = text.encode(), 0x100000001B3
    hashed = sum((byte + 1) * pow(prime, i + 1, M) for i, byte in enumerate(data)) + len(data) * prime
    return mix((hashed + mix(seed % M)) % M)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8), st.integers(0, M - 1))
def test_keys_are_those_of_the_definition(ids: list[str], seed: int) -> None:
    assert random_keys(pa.array(ids, pa.string()), seed).tolist() == [by_hand(i, seed) for i in ids]


def test_keys_of_a_slice_and_of_chunks() -> None:
    ids = pa.array(["x", "a", "b", "c"])
    assert random_keys(ids[1:], 7).tolist() == [by_hand(i, 7) for i in "abc"]
    assert random_keys(pa.chunked_array([ids[:2], ids[2:]]), 7).tolist() == random_keys(ids, 7).tolist()
    assert random_keys(pa.array([], pa.string()), 7).tolist() == []
    long = ["x" * 5_000_000, "y"]  # longer than a piece
    assert random_keys(pa.array(long), 1)[1] == by_hand("y", 1)


def test_every_item_is_drawn_equally_often() -> None:
    ids = pa.array([f"item-{i}" for i in range(20)])
    times = np.bincount(np.concatenate([random_rows(ids, 5, seed) for seed in range(4000)]), minlength=20)
    chi2 = ((times - 1000) ** 2 / 1000).sum()
    assert chi2 < 43.8  # 19 degrees of freedom, p = 0.001


def test_firsts_are_uniform_too() -> None:
    ids = pa.array([str(i) for i in range(10)])
    firsts = np.bincount([random_rows(ids, 1, seed)[0] for seed in range(5000)], minlength=10)
    assert ((firsts - 500) ** 2 / 500).sum() < 27.9  # 9 degrees of freedom, p = 0.001


def test_a_larger_budget_contains_the_smaller_and_new_items_only_push() -> None:
    ids = [f"item-{i}" for i in range(100)]
    small, large = (random_rows(pa.array(ids), k, 3).tolist() for k in (10, 30))
    assert large[:10] == small
    grown = random_rows(pa.array([*ids, "new-1", "new-2"]), 30, 3).tolist()
    old = [i for i in grown if i < 100]
    assert old == large[: len(old)] and len(old) >= 28


def test_conformance_and_the_recorded_seed_repeats_the_draw() -> None:
    view = ArrayView({"id": [f"i{i}" for i in range(50)]})
    chosen = check_selector(Random(), view, 7)
    assert chosen.seed is not None
    assert random_rows(view.to_arrow(["id"]).column(0), 7, chosen.seed).tolist() == chosen.index.tolist()
    other = Random().select(view, 7, np.random.default_rng(1))
    assert other.index.tolist() != chosen.index.tolist()
    assert chosen.weight is None and chosen.gain is None
    assert chosen.reason == "drawn at random, 7 of 50"


@pytest.mark.parametrize(("budget", "count"), [(0.1, 5), ("10%", 5), (1.0, 50), (1, 1)])
def test_budgets(budget: float | str, count: int) -> None:
    view = ArrayView({"id": [f"i{i}" for i in range(50)]})
    assert len(Random().select(view, budget, np.random.default_rng(0))) == count
