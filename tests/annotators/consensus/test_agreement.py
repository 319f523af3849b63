"""Agreement: textbook values, worked by hand, and intervals that hold what they should."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from curate.annotators.consensus import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from curate.errors import InputError, UnknownNameError

KRIPPENDORFF = {
    "A": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    "B": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    "C": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    "D": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
}
"""Example C of Krippendorff (2011): four observers, twelve units, missing values."""

FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""The example of ten subjects, fourteen raters and five categories: kappa 0.210."""


def by_annotator(columns: dict[str, list[Any]]) -> pl.DataFrame:
    rows = [(i, who, value) for who, values in columns.items() for i, value in enumerate(values)]
    return pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")


def by_counts(counts: list[list[int]]) -> pl.DataFrame:
    rows = [(i, np.repeat(np.arange(len(c)), c).tolist()) for i, c in enumerate(counts)]
    return pl.DataFrame(
        [(i, f"r{j}", v) for i, values in rows for j, v in enumerate(values)],
        ["item", "annotator", "value"],
        orient="row",
    )


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_krippendorffs_own_example(level: Any, alpha: float) -> None:
    assert krippendorff_alpha(by_annotator(KRIPPENDORFF), level) == pytest.approx(alpha, abs=5e-4)


def test_fleiss_own_example() -> None:
    assert fleiss_kappa(by_counts(FLEISS)) == pytest.approx(0.210, abs=5e-4)


def test_cohen_by_hand() -> None:
    # 50 items: both yes 20, both no 15, only a yes 5, only b yes 10: p = .7, chance = .5 * .6 + .5 * .4 = .5
    a = ["yes"] * 25 + ["no"] * 25
    b = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(by_annotator({"a": a, "b": b})) == pytest.approx(0.4)


def test_weighted_cohen_by_hand() -> None:
    # a, b in 1..3; cells (1,1) 2, (1,3) 1, (2,2) 1, (3,2) 1; row sums 3 1 1, column sums 2 2 1
    frame = by_annotator({"a": [1, 1, 1, 2, 3], "b": [1, 1, 3, 2, 2]})
    # linear: observed 2 + 1 = 3 over 5; expected (3*(0*2 + 1*2 + 2*1) + 1*(2 + 0 + 1) + 1*(4 + 2 + 0)) / 5 = 21 / 5
    assert cohen_kappa(frame, weights="linear") == pytest.approx(1 - 3 / 4.2)
    # quadratic: observed 4 + 1 = 5; expected (3*(2 + 4) + (2 + 1) + (8 + 2)) / 5 = 31 / 5
    assert cohen_kappa(frame, weights="quadratic") == pytest.approx(1 - 5 / 6.2)
    assert cohen_kappa(frame) == pytest.approx(1 - 2 / (5 - (6 + 2 + 1) / 5))


def test_of_three_annotators_two_are_named() -> None:
    frame = by_annotator({"a": [1, 2, 1, 2], "b": [1, 2, 2, 1], "c": [1, 2, 1, None]})
    assert cohen_kappa(frame, annotators=("a", "c")) == pytest.approx(1)
    with pytest.raises(InputError, match=r"there are 3: name two of them by annotators=.* of 'a', 'b', 'c'"):
        cohen_kappa(frame)
    with pytest.raises(UnknownNameError, match="'d'"):
        cohen_kappa(frame, annotators=("a", "d"))
    apart = by_annotator({"a": [1, None], "b": [None, 1]})
    with pytest.raises(InputError, match="share no item"):
        cohen_kappa(apart)


def test_alpha_is_what_the_coincidences_say() -> None:
    """Against the matrix of coincidences, summed up pair by pair."""
    rng = np.random.default_rng(0)
    rows = [(i, w, int(rng.integers(0, 4))) for i in range(30) for w in range(5) if rng.random() < 0.6]
    frame = pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")
    o = np.zeros((4, 4))
    for i in range(30):
        values = [v for item, _, v in rows if item == i]
        for x, v in enumerate(values):
            for y, u in enumerate(values):
                if x != y:
                    o[v, u] += 1 / (len(values) - 1)
    n = o.sum(1)
    middle = np.cumsum(n) - n / 2
    distances = {
        "nominal": 1 - np.eye(4),
        "interval": np.subtract.outer(np.arange(4), np.arange(4)) ** 2,
        "ordinal": np.subtract.outer(middle, middle) ** 2,
    }
    for level, distance in distances.items():
        expected = 1 - (n.sum() - 1) * (o * distance).sum() / (np.outer(n, n) * distance).sum()
        assert krippendorff_alpha(frame, level) == pytest.approx(expected), level  # type: ignore[arg-type]


def test_perfect_random_and_contrary() -> None:
    assert krippendorff_alpha(by_annotator({"a": [1, 2, 3], "b": [1, 2, 3]})) == pytest.approx(1)
    contrary = by_annotator({"a": [1, 2] * 10, "b": [2, 1] * 10})
    assert krippendorff_alpha(contrary) < -0.9
    rng = np.random.default_rng(0)
    random = by_annotator({w: rng.integers(0, 3, 2000).tolist() for w in "abc"})
    assert abs(krippendorff_alpha(random)) < 0.03


def test_one_value_throughout_is_undefined_and_says_so() -> None:
    same = by_annotator({"a": ["x"] * 5, "b": ["x"] * 5})
    for coefficient in ("krippendorff", "fleiss", "cohen"):
        found = agreement(same, coefficient=coefficient)  # type: ignore[arg-type]
        assert math.isnan(found.value) and "all answers are the same" in found.note


def test_the_interval_is_seeded_and_holds_the_value() -> None:
    frame = by_annotator(KRIPPENDORFF)
    found = agreement(frame)
    assert found.low < found.value < found.high and found.items == 11 and found.annotators == 4
    assert found == agreement(frame) and found != agreement(frame, seed=1)
    narrow = agreement(frame, confidence=0.5)
    assert found.low < narrow.low < narrow.high < found.high
    assert agreement(frame, resamples=20).low != found.low
    assert float(found) == found.value == krippendorff_alpha(frame)
    assert agreement(frame, "ordinal", values=[1, 2, 3, 4, 5]).value == pytest.approx(0.815, abs=5e-4)


def test_intervals_cover_the_truth_as_often_as_they_say(crowd_of: Callable[..., Any]) -> None:
    truth = krippendorff_alpha(crowd_of([0.8] * 5, items=20000, seed=99).answers)
    hits = 0
    for seed in range(60):
        found = agreement(crowd_of([0.8] * 5, items=80, seed=seed).answers, resamples=200)
        hits += found.low <= truth <= found.high
    assert 50 <= hits <= 60


def test_other_coefficients_and_what_they_refuse() -> None:
    frame = by_counts(FLEISS)
    assert agreement(frame, coefficient="fleiss", resamples=50).value == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(InputError, match="Fleiss's kappa is nominal"):
        agreement(frame, "interval", coefficient="fleiss")
    pair = by_annotator({"a": [1, 1, 1, 2, 3], "b": [1, 1, 3, 2, 2]})
    for level, weights in (("nominal", "none"), ("ordinal", "linear"), ("interval", "quadratic")):
        found = agreement(pair, level, coefficient="cohen", annotators=("a", "b"), resamples=50)  # type: ignore[arg-type]
        assert found.value == cohen_kappa(pair, weights=weights)  # type: ignore[arg-type]
    words = by_annotator({"a": ["low", "high"], "b": ["low", "low"]})
    with pytest.raises(InputError, match="say the order by `values`"):
        agreement(words, "ordinal")
    assert agreement(words, "ordinal", values=["low", "high"], resamples=10).level == "ordinal"
    with pytest.raises(InputError, match="not numbers"):
        agreement(words, "interval")
    with pytest.raises(InputError, match="from 0 up"):
        agreement(by_annotator({"a": [-1, 1], "b": [1, 1]}), "ratio")
    with pytest.raises(InputError, match="no item of 2 has two answers"):
        agreement(by_annotator({"a": [1, 2]}))
    with pytest.raises(UnknownNameError, match="level"):
        krippendorff_alpha(pair, "cardinal")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="coefficient"):
        agreement(pair, coefficient="scott")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="weights"):
        cohen_kappa(pair, weights="cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="resamples=0"):
        agreement(pair, resamples=0)
    with pytest.raises(InputError, match="no answers have control"):
        agreement(pair.with_columns(control=pl.lit("q")), control="r")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "alpha"), [("rte", 0.241), ("bluebird", 0.126), ("product", 0.157), ("face", 0.495)]
)
def test_alpha_of_real_crowds(name: str, alpha: float, real_crowd: Callable[[str], Any]) -> None:
    found = agreement(real_crowd(name).answers, resamples=100)
    assert found.value == pytest.approx(alpha, abs=1e-3)
    assert found.low < alpha < found.high
