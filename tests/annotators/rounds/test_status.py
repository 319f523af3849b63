"""What rounds cost, what more answers would buy, and how it is shown."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from curate.annotators.rounds import Agreement, Rounds, worth_of_asking, worth_of_rating
from curate.annotators.rounds.status import RoundStatus
from curate.errors import InputError


def crowd(n: int = 200, accuracy: float = 0.75, seed: int = 0) -> tuple[pl.DataFrame, list[str]]:
    """Three of six people answer about each item: the planted truth is what they hit with this chance."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(list("abcd"), n)
    rows = []
    for i, t in enumerate(truth):
        for who in rng.choice(6, 3, replace=False):
            value = t if rng.random() < accuracy else rng.choice(list("abcd"))
            rows.append((f"i{i:03d}", f"p{who}", value, float(rng.gamma(4, 2))))
    frame = pl.DataFrame(rows, ["item", "annotator", "value", "seconds"], orient="row")
    return frame, truth.tolist()


def test_a_round_is_counted_timed_and_priced() -> None:
    frame = pl.DataFrame(
        {
            "item": ["x", "x", "x", "y", "x"],
            "annotator": ["a", "b", "c", "a", "d"],
            "round": [1, 1, 1, 1, 2],
            "control": ["label", "label", "", "label", "label"],
            "value": ["u", "v", None, "u", "u"],
            "skipped": [False, False, True, False, False],
            "seconds": [10.0, 20.0, 30.0, None, 3600.0],
            "touched": [True, False, None, False, None],
        }
    )
    table = Rounds("label", rules=(Agreement(),), price=0.5, wage=12.0).judge(frame).by_round
    first, second = table.to_dicts()
    assert (first["items"], first["people"], first["answers"], first["skips"]) == (2, 3, 3, 1)
    assert first["pace"] == 20.0 and first["hours"] == pytest.approx(80 / 3600)
    assert first["untouched"] == pytest.approx(2 / 3)
    assert first["cost"] == pytest.approx(3 * 0.5 + 80 / 3600 * 12)
    assert (second["hours"], second["cost"], second["alpha"]) == (1.0, 12.5, None)


def test_agreement_of_ratings_is_by_distance() -> None:
    frame = pl.DataFrame(
        {"item": list("xxyyzz"), "annotator": list("ababab"), "value": ["1", "2", "4", "5", "2", "1"]}
    )
    alpha = Rounds("overall").judge(frame).by_round["alpha"][0]
    # interval alpha by hand: observed 1/2 * mean of (a-b)^2 ... values 1,2,4,5,2,1
    pairs = [(1, 2), (4, 5), (2, 1)]
    seen = np.mean([(a - b) ** 2 for a, b in pairs])
    values = np.array([1, 2, 4, 5, 2, 1])
    chance = ((values[:, None] - values[None]) ** 2).sum() / (6 * 5)
    assert alpha == pytest.approx(1 - seen / chance)


def test_what_answers_are_worth_is_about_what_they_bring() -> None:
    frame, truth = crowd()
    worth = worth_of_asking(frame, 100)
    assert worth.now < worth.then <= 1 and worth.random < worth.then
    assert worth.curve["answers"][0] == 0 and worth.curve["answers"].to_list()[-1] <= 100
    assert (np.diff(worth.curve["value"].to_numpy()) >= -1e-12).all()
    assert "100 more answers" in str(worth)
    from curate.annotators.consensus import aggregate, ask_again

    known = dict(zip([f"i{i:03d}" for i in range(200)], truth, strict=True))

    def right(answers: pl.DataFrame) -> float:
        settled = aggregate(answers)
        return float(np.mean([known[i] == v for i, v in settled.select("item", "value").iter_rows()]))

    rng = np.random.default_rng(1)
    chosen = ask_again(frame, target=1 - 1e-9, budget=100.0)
    rows = [
        (item, f"q{k}", known[item] if rng.random() < 0.8125 else str(rng.choice(list("abcd"))), 1.0)
        for item, more in chosen.select("item", "more").iter_rows()
        for k in range(more)
    ]
    after = pl.concat([frame, pl.DataFrame(rows, frame.columns, orient="row")])
    gained = right(after) - right(frame)
    assert gained == pytest.approx(worth.then - worth.now, abs=0.06)
    with pytest.raises(InputError, match="asked=0"):
        worth_of_asking(frame, 0)


def test_what_ratings_are_worth_by_hand_and_by_simulation() -> None:
    two = {"item": ["x", "x", "y", "y", "y"], "annotator": list("ababc"), "value": [1.0, 3.0, 2.0, 2.0, 2.0]}
    worth = worth_of_rating(two, 1)
    # Squares 2 and 0 over 1 and 2 degrees of freedom: 2/3 in common. Beyond chance they differ by
    # 1/3 ((2 - 2/3)^2 - 8/9) + 2/3 (4/9 - 4/9) = 8/27, so the common one weighs as much as 4 + 8/9 / (8/27) = 7 degrees.
    x, y = np.sqrt((2 + 7 * 2 / 3) / 8), np.sqrt((0 + 7 * 2 / 3) / 9)
    assert worth.where.rows() == [("x", 1)]
    assert worth.now == pytest.approx((x / np.sqrt(2) + y / np.sqrt(3)) / 2)
    assert worth.then == pytest.approx((x / np.sqrt(3) + y / np.sqrt(3)) / 2)
    twice, three_times = ((x / np.sqrt(2 + k) + y / np.sqrt(3 + k)) / 2 for k in (2, 3))
    assert worth_of_rating(two, 4).random == pytest.approx(twice), "everybody's turn before anybody's next"
    assert worth_of_rating(two, 5).random == pytest.approx((twice + three_times) / 2)
    wild = {"item": np.repeat(["x", "y"], 50), "annotator": [f"p{k}" for k in range(50)] * 2}
    wild["value"] = np.concatenate([np.tile([1.0, 5.0], 25), np.tile([3.0, 3.1], 25)])
    assert worth_of_rating(wild, 10).random - worth_of_rating(wild, 10).then > 0.002  # all to x
    rng = np.random.default_rng(0)
    n = 400
    truth = rng.normal(3, 1, n)
    rows = [
        (f"i{i:03d}", f"p{k}", truth[i] + rng.normal(0, 0.8))
        for i in range(n)
        for k in range(2 + 4 * (i % 2))
    ]
    frame = pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")
    big = worth_of_rating(frame, 400)
    assert big.then < big.random < big.now and big.curve.height == 401
    assert big.now == pytest.approx(np.mean([0.8 / np.sqrt(2), 0.8 / np.sqrt(6)]), rel=0.1)
    assert "off by" in str(big)
    with pytest.raises(InputError, match="two ratings"):
        worth_of_rating({"item": ["x"], "annotator": ["a"], "value": [1.0]})
    status = Rounds("overall", method="mean").judge(frame)
    assert status.worth(10).measure == "error" and "expected error" in status._repr_html_()


def shown(status: RoundStatus) -> str:
    html = status._repr_html_()
    ElementTree.fromstring(html)
    return html


def test_a_status_is_drawn_and_printed() -> None:
    frame, _ = crowd(60)
    status = Rounds("label", rules=(Agreement(),), price=0.1).judge(frame)
    html = shown(status)
    assert "<svg" in html and "more answers" in html and "settled" in html
    text = str(status)
    assert (
        text.startswith("label: 60 to decide:")
        and "round 1: 180 answers by 6 people" in text
        and "cost 18.00" in text
    )


def test_a_status_says_for_how_many_answers_it_waits() -> None:
    frame = {"item": ["x", "x", "y"], "annotator": ["a", "b", "a"], "value": ["yes", "yes", "no"]}
    plan = Rounds("label", rules=(Agreement(),))
    assert "waiting for 3 more answers: 3 of each item in the first round" in str(plan.judge(frame))
    text = str(Rounds("label", rules=(Agreement(),), first=1).judge(frame))
    assert "waiting" not in text and "2 settled" in text


def test_hostile_names_are_escaped_and_nothing_asked_is_said() -> None:
    empty = pl.DataFrame(schema={"item": pl.String, "annotator": pl.String, "value": pl.String})
    status = Rounds('<script>"x"</script>').judge(empty)
    assert "<script>" not in shown(status) and "nothing was asked yet" in str(status)
    assert status.next() == {} and status.done
    with pytest.raises(InputError, match="nobody answered"):
        status.worth()
