"""Where items stand, worked out by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from curate.annotators.rounds import Agreement, Rounds, Spread, Sure, gold_table, judge, read_votes
from curate.errors import InputError, SchemaError


def said(*rows: tuple[Any, ...], control: str = "overall") -> pl.DataFrame:
    """(item, round, annotator, value) or, of value None, a skip."""
    return pl.DataFrame(
        {
            "item": [r[0] for r in rows],
            "round": [r[1] for r in rows],
            "annotator": [r[2] for r in rows],
            "control": [control if r[3] is not None else "" for r in rows],
            "value": [r[3] for r in rows],
            "skipped": [r[3] is None for r in rows],
            "status": ["ok"] * len(rows),
        }
    )


def votes(item: str, values: str, round: int = 1, people: str = "abcdefgh") -> list[tuple[Any, ...]]:
    """One digit for each person; '-' is a skip."""
    return [(item, round, p, None if v == "-" else v) for p, v in zip(people, values, strict=False)]


def state(frame: pl.DataFrame, plan: Rounds, item: str = "x", items: Any = None) -> tuple[str, str | None]:
    row = plan.judge(frame, items).units.filter(pl.col("item") == item).to_dicts()[0]
    return row["state"], row["why"]


PLAN = Rounds("overall", method="mean")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("333", "settled"),
        ("334", "settled"),
        ("335", "again"),
        ("135", "again"),
        ("3334", "settled"),  # more answers than were wanted
        ("13515", "again"),
        ("33", "waiting"),
        ("3", "waiting"),
    ],
)
def test_the_rule_of_evalmuse(values: str, expected: str) -> None:
    assert state(said(*votes("x", values)), PLAN)[0] == expected


def test_three_more_are_asked_until_they_agree_or_the_rounds_are_used_up() -> None:
    one = votes("x", "135")
    assert PLAN.judge(said(*one)).next() == {2: ["x"]}
    two = [*one, *votes("x", "44", 2, "def")]
    assert state(said(*two), PLAN) == ("waiting", "1 more answer is to come")
    agreed = [*one, *votes("x", "445", 2, "def")]
    newest = Rounds("overall", method="mean", count="newest").judge(said(*agreed)).units.to_dicts()[0]
    assert (newest["state"], newest["round"], newest["answers"]) == ("settled", 2, 3)
    assert newest["number"] == pytest.approx(13 / 3) and newest["value"] == "4.333333"
    apart = [*one, *votes("x", "152", 2, "def")]
    assert PLAN.judge(said(*apart)).next() == {3: ["x"]}
    never = [*apart, *votes("x", "151", 3, "ghi")]
    assert state(said(*never), PLAN) == ("undecided", "the ratings lie 4.0 apart")
    assert PLAN.judge(said(*never)).done


def test_all_votes_count_and_of_who_is_asked_twice_the_newest() -> None:
    rows = [*votes("x", "135"), *votes("x", "445", 2, "def")]
    whole = PLAN.judge(said(*rows)).units.to_dicts()[0]
    assert whole["number"] == pytest.approx(22 / 6, abs=1e-6) and whole["answers"] == 6
    twice = PLAN.judge(said(*votes("x", "135"), *votes("x", "445", 2, "abd"))).units.to_dicts()[0]
    assert twice["number"] == pytest.approx((4 + 4 + 5 + 5) / 4) and twice["answers"] == 4


def test_labels_that_look_like_numbers_stay_labels() -> None:
    rows = said(
        *[("x", 1, p, "007") for p in "abc"],
        *[("y", 1, p, v) for p, v in zip("abc", ("1e3", "1e3", "7"), strict=True)],
    )
    units = Rounds("overall", rules=(Agreement(0.6),), method="majority").judge(rows).units
    assert units["value"].to_list() == ["007", "1e3"] and units["number"].null_count() == 2
    assert Rounds("overall", rules=(Agreement(0.6),), method="mean").judge(rows).units[
        "number"
    ].to_list() == [
        7.0,
        pytest.approx(2007 / 3),
    ]
    with pytest.raises(InputError, match="'a' is none"):
        Rounds("overall", rules=(Agreement(),), method="mean").judge(said(*votes("x", "a33")))


def test_an_expert_decides_after_the_last_round() -> None:
    plan = Rounds("overall", most=1, experts=("eve",), method="mean")
    rows = votes("x", "135")
    assert state(said(*rows), plan)[0] == "expert"
    assert (
        plan.judge(said(*rows)).next() == {2: ["x"]} and plan.judge(said(*rows)).next(experts_too=False) == {}
    )
    other = [*rows, ("x", 2, "d", "1")]
    assert state(said(*other), plan)[0] == "expert"  # not anybody's round
    done = plan.judge(said(*rows, ("x", 2, "eve", "2"))).units.to_dicts()[0]
    assert (done["state"], done["value"], done["probability"], done["why"]) == (
        "adjudicated",
        "2",
        1.0,
        "decided by eve",
    )


def test_ground_truth_marks_are_an_experts() -> None:
    frame = said(*votes("x", "135"), ("x", 1, "z", "2")).with_columns(gold=pl.col("annotator") == "z")
    assert state(frame, PLAN) == ("adjudicated", "decided by z")


def test_skips_wait_for_others_and_end_where_everybody_skips() -> None:
    assert state(said(*votes("x", "3-3")), PLAN) == ("waiting", "1 more answer is to come")
    assert state(said(*votes("x", "3-33")), PLAN)[0] == "settled"
    assert state(said(*votes("x", "---")), PLAN) == ("undecided", "everybody skipped it")
    assert PLAN.judge(said(*votes("x", "3-33"))).units["skips"].to_list() == [1]


def test_items_that_nobody_answered_wait() -> None:
    status = PLAN.judge(said(*votes("x", "333")), items=["y", "x"])
    assert status.units.select("item", "state", "missing").rows() == [
        ("x", "settled", 0),
        ("y", "waiting", 3),
    ]
    assert status.ids("waiting") == ["y"] and not status.done
    assert status.counts == {"settled": 1, "waiting": 1}


def test_labels_agree_by_shares_and_by_the_aggregators() -> None:
    shares = Rounds("overall", rules=(Agreement(0.6),), most=2)
    assert state(said(*votes("x", "aab")), shares)[0] == "settled"
    assert state(said(*votes("x", "abc")), shares) == ("again", "only 1 of 3 say the same")
    more = [*votes("x", "abc"), *votes("x", "aaa", 2, "def")]
    assert state(said(*more), shares)[0] == "settled"  # 4 of all 6
    many = [row for i in range(20) for row in votes(f"i{i}", "aaa" if i % 2 else "bbb")]
    sure = Rounds("overall", rules=(Sure(0.9, method="majority"),))
    assert state(said(*many, *votes("x", "aab")), sure) == ("again", "the consensus is only 0.67 sure")
    assert state(said(*many), sure, "i0")[0] == "settled"
    both = Rounds("overall", rules=(Sure(0.9, method="majority"), Agreement(1.0)))
    assert state(said(*many, *votes("x", "aab")), both)[1] == (
        "only 2 of 3 say the same; the consensus is only 0.67 sure"
    )


def test_a_spread_needs_numbers() -> None:
    with pytest.raises(InputError, match="'a' of item 'x'"):
        PLAN.judge(said(*votes("x", "a33")))


def test_every_element_is_decided_by_itself() -> None:
    rows = pl.concat(
        [
            said(*votes("x", "yyy"), *votes("y", "yyy"), control="element_0"),
            said(*votes("x", "yny"), control="element_1"),
        ]
    )
    plan = Rounds("element_*", rules=(Agreement(0.9),))
    units = plan.judge(rows).units
    assert units.select("item", "control", "state").rows() == [
        ("x", "element_0", "settled"),
        ("x", "element_1", "again"),
        ("y", "element_0", "settled"),
    ]
    assert plan.judge(rows).next() == {2: ["x"]}
    blank = pl.concat([rows, said(("y", 1, "a", "n"), control="element_1")])
    assert plan.judge(blank).units.row(3, named=True)["state"] == "settled"  # two left it blank, one answered


def test_what_makes_no_sense_is_set_aside() -> None:
    plan = Rounds("overall", aside={"problem": "nonsense"})
    nonsense = '["blurred","nonsense"]'
    rows = pl.concat(
        [
            said(*votes("x", "15"), *votes("y", "155"), *votes("z", "155")),
            said(
                ("x", 1, "c", nonsense), ("x", 1, "a", nonsense), ("y", 1, "a", nonsense), control="problem"
            ),
            said(("z", 1, "a", "not nonsense at all"), control="problem"),
        ]
    )
    assert state(rows, plan) == ("aside", "people say that the question makes no sense")
    assert state(rows, plan, "y")[0] == "again"
    assert state(rows, plan, "z")[0] == "again"


def test_who_fails_gold_items_does_not_count() -> None:
    gold = {f"g{i}": "3" for i in range(5)}
    rows = [row for item in gold for row in votes(item, "331")]  # c is always wrong
    rows += votes("x", "335")
    trusting = Rounds("overall", gold=gold, method="mean")
    assert state(said(*rows), trusting)[0] == "again"
    careful = Rounds("overall", gold=gold, trust=0.6, method="mean")
    assert state(said(*rows), careful) == ("again", "1 answer is of somebody who fails gold items")
    table = careful.judge(said(*rows)).annotators
    assert table.select("annotator", "gold_answers", "gold_accuracy", "trusted").rows() == [
        ("a", 5, 1.0, True),
        ("b", 5, 1.0, True),
        ("c", 5, 0.0, False),
    ]
    assert state(said(*rows), careful, "g0") == ("gold", None)
    close = gold_table(read_votes(said(*rows), "overall").rows, gold, trust=0.6, tolerance=2.0)
    assert close["gold_accuracy"].to_list() == [1.0, 1.0, 1.0]
    few = Rounds("overall", gold=gold, trust=0.6, gold_least=6, method="mean")
    assert few.judge(said(*rows)).annotators["trusted"].all()


def test_the_newest_of_each_person_counts_and_only_what_is_ok() -> None:
    frame = said(*votes("x", "333"), ("x", 1, "a", "5"), ("x", 1, "d", "1")).with_columns(
        created_at=pl.Series([1, 1, 1, 2, 1]), status=pl.Series(["ok"] * 4 + ["stale"])
    )
    assert read_votes(frame, "overall").rows.select("annotator", "value").rows() == [
        ("a", "5"),
        ("b", "3"),
        ("c", "3"),
    ]
    late = said(*votes("x", "333"), ("x", 1, "a", None)).with_columns(created_at=pl.Series([1, 1, 1, 2]))
    assert read_votes(late, "overall").people["skipped"].to_list() == [True, False, False]
    assert state(late, PLAN)[0] == "waiting"


def test_plain_frames_and_bad_input() -> None:
    plain = {"item": [1, 1, 1], "annotator": list("abc"), "value": [3, 3, 4]}
    assert PLAN.judge(plain).counts == {"settled": 1}
    with pytest.raises(SchemaError, match="annotator"):
        PLAN.judge({"item": [1], "value": [1]})
    with pytest.raises(InputError, match="'mood'"):
        Rounds("mood").judge(said(*votes("x", "333")))
    with pytest.raises(InputError, match="no state 'done'"):
        PLAN.judge(plain).ids("done")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"first": 0}, "first=0"),
        ({"trust": 2.0}, "trust"),
        ({"price": -1.0}, "price"),
        ({"rules": ()}, "no rules"),
    ],
)
def test_bad_plans_are_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Rounds("overall", **params)
    for rule in (lambda: Spread(0), lambda: Agreement(0), lambda: Sure(1.0)):
        with pytest.raises(InputError):
            rule()


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [row for i in range(30) for row in votes(f"i{i}", str(1 + i % 5) + "3" + str(1 + i % 3))]
    frame = said(*rows)
    one = judge(frame, PLAN).units
    for seed in range(3):
        assert judge(frame.sample(fraction=1.0, shuffle=True, seed=seed), PLAN).units.equals(one)
