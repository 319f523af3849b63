"""Whom to ask again: gains computed by enumeration, budgets, costs, and that it beats chance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.annotators.consensus import aggregate, ask_again
from curate.annotators.consensus.asking import gain_of_asking
from curate.errors import InputError

SPLIT = pl.DataFrame(
    [(i, w, v) for i in range(20) for w, v in (("a", i % 2), ("b", i % 2), ("c", i % 2))]
    + [(20, "a", 0), (20, "b", 1), (21, "a", 0), (21, "b", 0), (21, "c", 1)],
    ["item", "annotator", "value"],
    orient="row",
)
"""Twenty clear items, one split evenly, one two to one."""


def test_gains_by_enumeration() -> None:
    accuracy = 0.75
    for p in (0.5, 0.6, 0.8, 0.97):
        gains, sure = gain_of_asking(np.array([[p, 1 - p]]), accuracy, 4)
        for m in range(1, 5):
            right = 0.0
            for votes in product((0, 1), repeat=m):
                joint = [
                    prior * np.prod([accuracy if v == true else 1 - accuracy for v in votes])
                    for true, prior in enumerate((p, 1 - p))
                ]
                right += max(joint)
            assert sure[0, m - 1] == pytest.approx(right), (p, m)
            assert gains[0, m - 1] == pytest.approx(right - p)


def test_an_answer_that_cannot_turn_the_result_gains_nothing() -> None:
    gains, _ = gain_of_asking(np.array([[0.95, 0.05]]), 0.8, 3)
    assert gains[0, 0] == 0 and gains[0, 2] > 0  # one against cannot turn it, three can


def test_third_values_do_not_help() -> None:
    two, _ = gain_of_asking(np.array([[0.5, 0.5]]), 0.8, 2)
    three, sure = gain_of_asking(np.array([[0.4, 0.4, 0.2]]), 0.8, 2)
    assert three[0, 0] < two[0, 0] and (sure <= 0.8 + 1e-12).all()
    nothing, sure = gain_of_asking(np.ones((1, 1)), 0.8, 2)
    assert nothing.tolist() == [[0, 0]] and sure.tolist() == [[1, 1]]


def test_the_doubtful_come_first_and_the_clear_not_at_all() -> None:
    asked = ask_again(SPLIT)
    assert asked["item"].to_list()[0] == 20 and set(asked["item"]) <= {20, 21}
    assert asked["answers"].to_list()[0] == 2 and asked["gain"].to_list()[0] > 0.2
    assert (asked["probability"] < 0.95).all()
    assert ask_again(SPLIT, target=0.45).height == 0


def test_more_answers_for_a_higher_target_and_worse_annotators() -> None:
    low, high = (
        ask_again(SPLIT, target=t, accuracy=0.8, limit=9).row(0, named=True)["more"] for t in (0.75, 0.95)
    )
    assert low == 1 and high > low
    better = ask_again(SPLIT, target=0.95, accuracy=0.95, limit=9).row(0, named=True)["more"]
    assert better < high
    short = ask_again(SPLIT, target=0.99, accuracy=0.6, limit=2).row(0, named=True)
    assert short["more"] == 2 and not short["reachable"]


def test_costs_and_budgets() -> None:
    dear = ask_again(SPLIT, cost={**dict.fromkeys(range(22), 1.0), 20: 100.0}, accuracy=0.8)
    assert dear["item"].to_list()[-1] == 20 and dear["cost"].to_list()[-1] >= 100
    free = ask_again(SPLIT, accuracy=0.8)
    first = free["cost"].to_list()[0]
    assert ask_again(SPLIT, accuracy=0.8, budget=first)["item"].to_list() == free["item"].to_list()[:1]
    assert ask_again(SPLIT, budget=0).height == 0
    for bad, message in (
        ({"cost": {99: 1.0}}, "no cost for"),
        ({"cost": 0.0}, "positive number"),
        ({"target": 1.0}, "target=1.0"),
        ({"limit": 0}, "limit=0"),
        ({"accuracy": 0.5}, "above 0.5"),
    ):
        with pytest.raises(InputError, match=message):
            ask_again(SPLIT, **bad)  # type: ignore[arg-type]


def test_items_nobody_answered_are_asked() -> None:
    frame = pl.concat(
        [SPLIT, pl.DataFrame({"item": [99], "annotator": ["a"], "value": [None]}, SPLIT.schema)]
    )
    row = ask_again(frame).filter(pl.col("item") == 99).row(0, named=True)
    assert row["answers"] == 0 and row["value"] is None and row["probability"] is None and row["more"] >= 1
    named = frame.with_columns(control=pl.lit("q"))
    assert ask_again(named, control="q", values=[0, 1, 2], method="majority").height > 0


def test_it_beats_asking_at_random(crowd_of: Callable[..., Any]) -> None:
    ours = random = 0.0
    for seed in range(4):
        crowd = crowd_of([0.9, 0.8, 0.8, 0.7, 0.7, 0.6, 0.6, 0.6], items=200, each=8, seed=seed)
        order = np.random.default_rng(seed).permutation(crowd.answers.height)
        shuffled = crowd.answers[order].with_columns(turn=pl.int_range(pl.len()).over("item"))
        start = shuffled.filter(pl.col("turn") < 2)
        plan = ask_again(start, budget=150).select("item", "more")
        rng = np.random.default_rng(seed)
        every = rng.permutation(np.repeat(crowd.truth["item"].to_numpy(), 6))[: int(plan["more"].sum())]
        chance = pl.DataFrame({"item": every}).group_by("item").agg(pl.len().alias("more"))
        for name, more in (("ours", plan), ("random", chance)):
            joined = shuffled.join(more, "item", "left").with_columns(pl.col("more").fill_null(0))
            settled = aggregate(joined.filter(pl.col("turn") < 2 + pl.col("more")))
            if name == "ours":
                ours += crowd.accuracy(settled) / 4
            else:
                random += crowd.accuracy(settled) / 4
    assert ours > random + 0.01
