"""Fairness: planted differences between groups, intervals, and what dropping costs whom."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curate.annotators.consensus import drop_effect, group_errors
from curate.errors import InputError, SchemaError


def two_groups(seed: int = 0, worse: float = 0.6) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """300 items of "many", answered right 9 times in 10, 40 of "few", as often as `worse`; groups; gold."""
    rng = np.random.default_rng(seed)
    rows, gold = [], []
    for i in range(340):
        truth = int(rng.integers(3))
        chance = 0.9 if i < 300 else worse
        gold.append((i, truth))
        rows += [
            (i, w, truth if rng.random() < chance else int((truth + rng.integers(1, 3)) % 3))
            for w in range(5)
        ]
    groups = pl.DataFrame({"item": range(340), "group": ["many"] * 300 + ["few"] * 40})
    answers = pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")
    return answers, groups, pl.DataFrame(gold, ["item", "value"], orient="row")


def test_a_group_with_worse_answers_is_found() -> None:
    answers, groups, gold = two_groups(1)
    table = group_errors(answers, groups, gold=gold)
    worst, best = table.iter_rows(named=True)
    assert worst["group"] == "few" and worst["error"] == pytest.approx(0.4, abs=0.07) and worst["unequal"]
    assert (worst["items"], worst["answers"]) == (40, 200) and worst["low"] < 0.4 < worst["high"]
    assert best["error"] == pytest.approx(0.1, abs=0.03) and best["difference"] == pytest.approx(
        -worst["difference"]
    )
    blind = group_errors(answers, groups).filter(pl.col("group") == "few").row(0, named=True)
    assert blind["error"] < worst["error"]  # the consensus errs with its annotators
    assert (
        group_errors(answers, groups, method="ordinal-median")["error"].to_list()
        != group_errors(answers, groups)["error"].to_list()
    )
    wide = group_errors(answers, groups, gold=gold, confidence=0.99).row(0, named=True)
    assert wide["low"] < worst["low"]


def test_equal_groups_are_rarely_accused() -> None:
    accused = sum(
        group_errors(*two_groups(seed, 0.9)[:2], gold=two_groups(seed, 0.9)[2])["unequal"].any()
        for seed in range(20)
    )
    assert accused <= 3


def test_errors_by_hand_and_items_in_several_groups() -> None:
    answers = {
        "item": [0, 0, 1, 1, 2],
        "annotator": ["a", "b", "a", "b", "a"],
        "value": ["x", "y", "x", "x", "z"],
    }
    groups = {"item": [0, 1, 1, 2, 2, 7], "group": ["g", "g", "h", None, "h", "h"]}
    gold = {"item": [0, 1, 2], "value": ["x", "y", "z"]}
    table = {row["group"]: row for row in group_errors(answers, groups, gold=gold).iter_rows(named=True)}
    assert table["g"]["error"] == pytest.approx(3 / 4) and table["h"]["error"] == pytest.approx(2 / 3)
    assert table["g"]["difference"] == pytest.approx(3 / 4 - 0 / 1) and table["h"][
        "difference"
    ] == pytest.approx(2 / 3 - 1 / 2)
    only = group_errors(answers, {"item": [0, 1, 2], "group": ["g"] * 3}, gold=gold).row(0, named=True)
    assert only["difference"] is None and not only["unequal"]


def test_groups_that_do_not_fit() -> None:
    answers = {"item": [0], "annotator": ["a"], "value": ["x"], "control": ["q"]}
    with pytest.raises(InputError, match="no item with answers"):
        group_errors(answers, {"item": [5], "group": ["g"]})
    with pytest.raises(SchemaError, match="groups' items are String"):
        group_errors(answers, {"item": ["0"], "group": ["g"]})
    with pytest.raises(SchemaError, match="no column 'group'"):
        group_errors(answers, {"item": [0]})
    with pytest.raises(InputError, match="no answers have control"):
        group_errors(answers, {"item": [0], "group": ["g"]}, control="r")
    assert group_errors(answers, {"item": [0], "group": ["g"]}, values=["w", "x"]).height == 1


def test_what_dropping_costs_by_hand() -> None:
    groups = ["g"] * 4 + ["h"] * 6 + [None] * 2
    dropped = [True, True, False, False] + [True] + [False] * 5 + [False] * 2
    labels = ["x", "x", "x", "y"] + ["x"] * 3 + ["y"] * 3 + ["x"] * 2
    table = {row["group"]: row for row in drop_effect(groups, dropped, labels=labels).iter_rows(named=True)}
    g, h = table["g"], table["h"]
    assert (g["items"], g["dropped"], g["drop_rate"]) == (4, 2, 0.5)
    assert g["ratio"] == pytest.approx(0.5 / (1 / 8)) and h["ratio"] == pytest.approx((1 / 6) / (2 / 6))
    assert g["share_before"] == pytest.approx(4 / 12) and g["share_after"] == pytest.approx(2 / 9)
    assert g["label_shift"] == pytest.approx(0.25)  # x from 3/4 to 1/2
    assert h["label_shift"] == pytest.approx(abs(2 / 5 - 1 / 2))
    assert list(table) == ["g", "h"] and drop_effect(groups, dropped)["label_shift"].null_count() == 2


def test_a_group_that_loses_more_is_told_from_chance() -> None:
    rng = np.random.default_rng(0)
    groups = np.where(np.arange(1000) < 100, "few", "many")
    unfair = rng.random(1000) < np.where(groups == "few", 0.3, 0.1)
    table = drop_effect(groups, unfair)
    assert table["group"].to_list() == ["few", "many"] and table["unequal"].to_list()[0]
    narrow = drop_effect(groups, unfair, confidence=0.5)
    assert (narrow["low"] > table["low"]).all()
    assert not drop_effect(groups, np.arange(1000) % 10 == 0)["unequal"].any()
    alone = drop_effect(["g"] * 5, [True] * 5, labels=["x"] * 5).row(0, named=True)
    assert alone["ratio"] is None and alone["label_shift"] is None and not alone["unequal"]


def test_drops_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="2 groups, 1 flag"):
        drop_effect(["g", "h"], [True])
    with pytest.raises(InputError, match="2 groups, 2 flags"):
        drop_effect(["g", "h"], [True, False], labels=["x"])
    with pytest.raises(InputError, match="true or false"):
        drop_effect(["g"], [None])
    with pytest.raises(InputError, match="no item has a group"):
        drop_effect([None], [True])
