"""How the rounds stand: what is settled, what comes next, what it cost, and what more would buy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.annotators.consensus.aggregation import NUMERIC
from curate.annotators.consensus.reliability import agreement
from curate.annotators.rounds.judging import STATES, Judged, judge
from curate.annotators.rounds.rules import as_answers
from curate.annotators.rounds.worth import Worth, worth_of_asking, worth_of_rating
from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from curate.annotators.rounds.plan import Rounds

__all__ = ["RoundStatus", "status_of"]


@dataclass(frozen=True, eq=False)
class RoundStatus:
    """Where every item stands, drawn in a notebook, printed as text.

    `units` has a row for each item (for each control of an item, where the plan's `control` is a pattern), `annotators` one
    for each person with what they got right of the gold items: see `judge`. `by_round` says what each round was and cost.
    """

    plan: Rounds
    judged: Judged

    @property
    def units(self) -> pl.DataFrame:
        """See `judge`."""
        return self.judged.units

    @property
    def annotators(self) -> pl.DataFrame:
        """See `gold_table`."""
        return self.judged.annotators

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many are in each state that occurs, in the order of `STATES`."""
        there = dict(self.units.group_by("state").len().iter_rows())
        return {state: there[state] for state in STATES if state in there}

    def ids(self, state: str) -> list[str]:
        """Items of which something is in this state, sorted."""
        if state not in STATES:
            raise InputError(f"no state {state!r}: there are {', '.join(STATES)}")
        import polars as pl

        return self.units.filter(pl.col("state") == state)["item"].unique().sort().to_list()

    def next(self, *, experts_too: bool = True) -> dict[int, list[str]]:
        """Which items to push into which round: those to be asked again, and those for experts."""
        import polars as pl

        states = ["again", "expert"] if experts_too else ["again"]
        open_ = self.units.filter(pl.col("state").is_in(states))
        grouped = open_.select("item", round=pl.col("round") + 1).unique().sort("round", "item")
        found: dict[int, list[str]] = {}
        for item, round in grouped.iter_rows():
            found.setdefault(round, []).append(item)
        return found

    @property
    def done(self) -> bool:
        """Nothing is open any more."""
        return not {"waiting", "again", "expert"} & set(self.counts)

    @cached_property
    def by_round(self) -> pl.DataFrame:
        """A row for each round: `items`, `people`, `answers` (of a person about an item), `skips`; `alpha`, Krippendorff's
        (null where nothing can be said); `untouched`, the share of shown pre-annotations left as they were; `pace`,
        median seconds an answer, `hours` in all (answers without a time count as the median), `cost`.
        """
        import polars as pl

        people, votes = self.judged.whole.people, self.judged.whole.rows
        table = (
            people.group_by("round")
            .agg(
                items=pl.col("item").n_unique(),
                people=pl.col("annotator").n_unique(),
                answers=(~pl.col("skipped")).sum(),
                skips=pl.col("skipped").sum(),
                pace=pl.col("seconds").median(),
                hours=pl.col("seconds").fill_null(pl.col("seconds").median()).sum() / 3600,
            )
            .sort("round")
        )
        shown = votes.group_by("round").agg(untouched=1 - pl.col("touched").mean())
        alphas = [_alpha(votes.filter(pl.col("round") == r), self.plan) for r in table["round"].to_list()]
        return (
            table.join(shown, "round", "left")
            .with_columns(
                alpha=pl.Series(alphas, dtype=pl.Float64),
                cost=pl.col("answers") * self.plan.price + pl.col("hours") * self.plan.wage,
            )
            .sort("round")
            .select(
                "round", "items", "people", "answers", "skips", "alpha", "untouched", "pace", "hours", "cost"
            )
        )

    def worth(self, asked: int = 100) -> Worth:
        """What so many further answers would buy: a smaller error where the plan's method takes means (`worth_of_rating`),
        more that is right elsewhere (`worth_of_asking`). Gold items, and what an expert decided, are left out.

        Raises InputError where nothing is left to learn from.
        """
        import polars as pl

        final = self.units.filter(pl.col("state").is_in(["gold", "adjudicated"]))
        votes = self.judged.votes.join(final, "unit", "anti")
        if not votes.height:
            raise InputError("nobody answered yet: what answers are worth is learnt from answers")
        if self.plan.method in NUMERIC:
            return worth_of_rating(as_answers(votes).with_columns(pl.col("value").cast(pl.Float64)), asked)
        return worth_of_asking(as_answers(votes), asked, values=list(self.plan.values) or None)

    def __str__(self) -> str:
        total = self.units.height
        said = ", ".join(f"{n:,} {state}" for state, n in self.counts.items()) or "nothing was asked yet"
        lines = [f"{self.plan.control}: {total:,} to decide: {said}"]
        for row in self.by_round.iter_rows(named=True):
            alpha = "" if row["alpha"] is None else f", alpha {row['alpha']:.2f}"
            cost = f", cost {row['cost']:,.2f}" if row["cost"] else ""
            lines.append(
                f"  round {row['round']}: {counted(row['answers'], 'answer')} by "
                f"{counted(row['people'], 'person', 'people')} about {counted(row['items'], 'item')}, {row['skips']:,} "
                f"skips{alpha}, {row['hours']:.1f} h{cost}"
            )
        lines += self._waiting()
        lines += [
            f"  next: {counted(len(ids), 'item')} in round {round}" for round, ids in self.next().items()
        ]
        return "\n".join(lines)

    def _waiting(self) -> list[str]:
        """How many answers are missing, and of how many: fewer people may have been asked than the rules wait for."""
        missing = int(self.units["missing"].sum())
        if not missing:
            return []
        first, more = self.plan.first, self.plan.more
        return [
            f"  waiting for {counted(missing, 'more answer')}: {first:,} of each item in the first round and {more:,} in "
            "a further one; where you asked fewer people say so by `first` and `more`"
        ]

    def _repr_html_(self) -> str:
        from curate.annotators.rounds.drawing import draw

        return draw(self)


def status_of(plan: Rounds, answers: Any, items: Any = None) -> RoundStatus:
    """Judge, and make a status of it."""
    return RoundStatus(plan, judge(answers, plan, items))


def _alpha(votes: pl.DataFrame, plan: Rounds) -> float | None:
    """Krippendorff's alpha of one round: of numbers by their distance, of labels by being equal."""
    import polars as pl

    if not votes.height:
        return None
    frame = as_answers(votes)
    level = "nominal"
    if plan.numeric and votes["number"].null_count() == 0:
        frame, level = frame.with_columns(pl.col("value").cast(pl.Float64)), "interval"
    try:
        found = agreement(frame, level, resamples=1, values=list(plan.values) or None)  # type: ignore[arg-type]
    except InputError:  # nobody answered what another did
        return None
    return None if found.note else found.value
