"""Where every item stands: settled, waiting, to be asked again, to be adjudicated, undecided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.annotators.consensus.aggregation import aggregate
from curate.annotators.rounds.gold import gold_table
from curate.annotators.rounds.rules import as_answers
from curate.annotators.rounds.sets import aggregate_sets, are_sets
from curate.annotators.rounds.votes import Votes, read_votes
from curate.annotators.tasks.control import plain_number
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from curate.annotators.rounds.plan import Rounds

__all__ = ["DECIDED", "STATES", "Judged", "judge"]

STATES = ("settled", "adjudicated", "gold", "aside", "waiting", "again", "expert", "undecided")
"""`settled`: people agree; `adjudicated`: an expert decided; `gold`: known beforehand; `aside`: people say that the question
makes no sense; `waiting`: answers are still to come; `again`: to be asked in the next round; `expert`: to be decided by
an expert; `undecided`: the rounds are used up, or everybody skipped it."""
DECIDED = ("settled", "adjudicated", "gold")


@dataclass(frozen=True, eq=False)
class Judged:
    """`units`: a row for each item (or each control of an item) as `judge` describes it; `annotators` as `gold_table` does;
    `votes` that count, and all that there are."""

    units: pl.DataFrame
    annotators: pl.DataFrame
    votes: pl.DataFrame
    whole: Votes


def judge(answers: Any, plan: Rounds, items: Any = None) -> Judged:
    """Judge every item that was answered or skipped, and those of `items` that nobody answered yet.

    A row each, sorted: `item`, `control`, `state` (`STATES`), `why`; `round` (the newest it was asked in), `people` who
    answered in that round, `missing` (how many answers are still to come), `skips` in all; `value` the consensus says,
    `number` (the same, where it is one), `probability` (null for means), `answers` it is made of.
    """
    import polars as pl

    whole = read_votes(answers, plan.control)
    expert = pl.col("gold") | pl.col("annotator").is_in(list(plan.experts))
    crowd = whole.rows.filter(~expert & (pl.col("round") <= plan.most))
    annotators = gold_table(
        crowd, plan.gold, trust=plan.trust, least=plan.gold_least, tolerance=plan.tolerance
    )
    untrusted = annotators.filter(~pl.col("trusted"))["annotator"].to_list()
    votes = crowd.filter(~pl.col("annotator").is_in(untrusted))
    units = _units(whole, untrusted, plan, items)
    units = units.join(_rules(votes, units, plan), "unit", "left")
    units = units.join(_settled(votes, units, plan), "unit", "left")
    units = _decided(units, whole.rows.filter(expert), plan)
    units = units.join(_aside(whole, plan), ["item", "round"], "left")
    return Judged(_states(units, plan), annotators, votes, whole)


def _units(whole: Votes, untrusted: list[str], plan: Rounds, items: Any) -> pl.DataFrame:
    """What is to be decided, and who took part in its newest round."""
    import polars as pl

    expert = pl.col("annotator").is_in(list(plan.experts)) | (pl.col("round") > plan.most)
    crowd = whole.people.filter(~expert)
    newest = crowd.group_by("item").agg(round=pl.col("round").max())
    now = crowd.join(newest, ["item", "round"], "inner")
    trusted, there = ~pl.col("annotator").is_in(untrusted), ~pl.col("skipped")
    people = now.group_by("item").agg(
        people=(there & trusted).sum(), dropped=(there & ~trusted).sum(), skipped=pl.col("skipped").sum()
    )
    skips = crowd.group_by("item").agg(skips=pl.col("skipped").sum())
    asked = newest.join(people, "item").join(skips, "item")
    if items is not None:
        listed = pl.Series("item", [str(i) for i in items], dtype=pl.String).unique()
        asked = pl.concat([asked, listed.to_frame().join(asked, "item", "anti")], how="diagonal")
    counts = {n: pl.col(n).fill_null(0) for n in ("people", "dropped", "skipped", "skips")}
    asked = asked.with_columns(**counts, round=pl.col("round").fill_null(1))
    said = whole.rows.select("unit", "item", "control").unique()
    alone = asked.join(said, "item", "anti").select(
        unit="item", item="item", control=pl.lit("" if "*" in plan.control else plan.control)
    )
    known = pl.concat([said, alone]).join(asked, "item", "left")  # an expert may be the only one who answered
    return known.with_columns(
        pl.col("people", "dropped", "skipped", "skips").fill_null(0), pl.col("round").fill_null(1)
    )


def _rules(votes: pl.DataFrame, units: pl.DataFrame, plan: Rounds) -> pl.DataFrame:
    """`unit`, `agreed` (by every rule), `why` not."""
    import polars as pl

    newest = votes.join(units.select("unit", "round"), ["unit", "round"], "inner")
    looked = [rule.look(newest if rule.over == "round" else votes) for rule in plan.rules if votes.height]
    if not looked:
        return pl.DataFrame(schema={"unit": pl.String, "agreed": pl.Boolean, "why": pl.String})
    return (
        pl.concat([one.select("unit", "agreed", "why") for one in looked])
        .group_by("unit")
        .agg(agreed=pl.col("agreed").all(), why=pl.col("why").drop_nulls().sort().str.join("; "))
    )


def _settled(votes: pl.DataFrame, units: pl.DataFrame, plan: Rounds) -> pl.DataFrame:
    """`unit`, `value`, `number`, `probability`, `answers`: what the votes say together."""
    import polars as pl

    schema = {
        "unit": pl.String,
        "value": pl.String,
        "number": pl.Float64,
        "probability": pl.Float64,
        "answers": pl.UInt32,
    }
    if plan.count == "newest":
        votes = votes.join(units.select("unit", "round"), ["unit", "round"], "inner")
    if not votes.height:
        return pl.DataFrame(schema=schema)
    frame = as_answers(votes)
    if plan.numeric:
        strange = votes.filter(pl.col("number").is_null())["value"]
        if len(strange):
            raise InputError(
                f"answers to {plan.control!r} are taken for numbers, and {strange[0]!r} is none: say another method or rule"
            )
        frame = frame.with_columns(pl.col("value").cast(pl.Float64))
    if not plan.numeric and are_sets(frame["value"]):
        found = aggregate_sets(frame, plan.method)
    else:
        found = aggregate(frame, plan.method, values=list(plan.values) or None)
    text = [
        v if isinstance(v, str) or v is None else plain_number(round(v, 6)) for v in found["value"].to_list()
    ]
    counts = frame.group_by("item").len("answers")
    return found.select(
        unit="item",
        value=pl.Series(text, dtype=pl.String),
        number=pl.Series(text if plan.numeric else [None] * len(text), dtype=pl.String).cast(pl.Float64),
        probability=pl.col("probability").cast(pl.Float64),
    ).join(counts.rename({"item": "unit"}), "unit", "left")


def _decided(units: pl.DataFrame, experts: pl.DataFrame, plan: Rounds) -> pl.DataFrame:
    """With what experts and gold say in place of what the crowd says."""
    import polars as pl

    last = experts.sort("round", "annotator").unique("unit", keep="last")
    said = last.select("unit", expert_value="value", expert="annotator")
    truth = pl.DataFrame(
        {"item": list(plan.gold), "truth": list(plan.gold.values())},
        schema={"item": pl.String, "truth": pl.String},
    )
    units = units.join(said, "unit", "left").join(truth, "item", "left")
    final = pl.coalesce("truth", "expert_value")
    sure = final.is_not_null() & pl.lit(plan.numeric)
    return units.with_columns(
        value=pl.coalesce(final, "value"),
        number=pl.when(sure).then(final.cast(pl.Float64, strict=False)).otherwise("number"),
        probability=pl.when(final.is_not_null()).then(1.0).otherwise("probability"),
        answers=pl.col("answers").fill_null(0),
    )


def _aside(whole: Votes, plan: Rounds) -> pl.DataFrame:
    """`item`, `round`, `nonsense`: whether at least half of those who answered say that the question makes no sense."""
    import polars as pl

    says = pl.lit(False)
    for control, value in plan.aside.items():
        said = pl.col("value")
        listed = said.str.starts_with("[") & said.str.contains(f'"{value}"', literal=True)
        says = says | ((pl.col("control") == control) & ((said == value) | listed))
    each = whole.everything.group_by("item", "round", "annotator").agg(says.any().alias("says"))
    share = pl.col("says").sum() * 2 >= pl.len()
    return each.group_by("item", "round").agg(nonsense=share & pl.col("says").any())


def _states(units: pl.DataFrame, plan: Rounds) -> pl.DataFrame:
    """The rows of `judge`: what is known of each unit put into words."""
    import polars as pl

    wanted = (
        pl.when(pl.col("round") == 1).then(plan.first).otherwise(plan.more).cast(pl.Int64)
    )  # counts have no sign
    units = units.with_columns(
        to_come=wanted - pl.col("people") - pl.col("dropped"),
        distrusted=(pl.col("dropped") > 0) & (pl.col("people") < wanted),
        unwanted=(pl.col("people") == 0) & (pl.col("skipped") >= wanted),
    )
    units = units.with_columns(state=_state(plan)).with_columns(because=_because())
    waiting, plain = pl.col("state") == "waiting", pl.col("state").is_in(["settled", "gold"])
    return units.select(
        "item",
        "control",
        "unit",
        "state",
        why=pl.when(~plain).then("because"),
        round="round",
        people="people",
        missing=pl.when(waiting).then("to_come").otherwise(0),
        skips="skips",
        answers="answers",
        value="value",
        number="number",
        probability="probability",
    ).sort("item", "control")


def _state(plan: Rounds) -> pl.Expr:
    import polars as pl

    last = pl.lit("expert" if plan.experts else "undecided")
    agreed = pl.col("agreed").fill_null(False) & ~pl.col("distrusted")
    return (
        pl.when(pl.col("truth").is_not_null())
        .then(pl.lit("gold"))
        .when(pl.col("expert_value").is_not_null())
        .then(pl.lit("adjudicated"))
        .when(pl.col("nonsense").fill_null(False))
        .then(pl.lit("aside"))
        .when("unwanted")
        .then(last)
        .when(pl.col("to_come") > 0)
        .then(pl.lit("waiting"))
        .when(agreed)
        .then(pl.lit("settled"))
        .when(pl.col("round") < plan.most)
        .then(pl.lit("again"))
        .otherwise(last)
    )


def _counted(column: str, one: str, many: str) -> pl.Expr:
    """`counted` of a column of numbers, one text a row."""
    import polars as pl

    return pl.when(pl.col(column) == 1).then(pl.lit(f"1 {one}")).otherwise(pl.format(f"{{}} {many}", column))


def _because() -> pl.Expr:
    import polars as pl

    return (
        pl.when(pl.col("state") == "adjudicated")
        .then(pl.format("decided by {}", "expert"))
        .when(pl.col("state") == "aside")
        .then(pl.lit("people say that the question makes no sense"))
        .when("unwanted")
        .then(pl.lit("everybody skipped it"))
        .when(pl.col("state") == "waiting")
        .then(_counted("to_come", "more answer is to come", "more answers are to come"))
        .when("distrusted")
        .then(
            _counted(
                "dropped",
                "answer is of somebody who fails gold items",
                "answers are of people who fail gold items",
            )
        )
        .when(pl.col("agreed").is_null())
        .then(pl.lit("nobody answered this"))
        .otherwise(pl.when(pl.col("why") != "").then("why"))
    )
