"""When do people agree? Each rule looks at the votes of a unit and says yes, or why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from curate.annotators.consensus.aggregation import Method, aggregate
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Agreement", "Rule", "Spread", "Sure"]

Over = Literal["round", "all"]


class Rule(Protocol):
    """`over` says which votes it looks at: those of the newest round, or all. `look` gives a row for each unit with
    votes: `unit`, `agreed`, `why` (not; null where agreed)."""

    over: ClassVar[Over]

    def look(self, votes: pl.DataFrame) -> pl.DataFrame: ...


@dataclass(frozen=True)
class Spread:
    """Ratings lie apart: highest minus lowest of the newest round is `least` or more.

    The rule of EvalMuse (`least` 2 on a scale from 1 to 5): then three more people are asked. It looks at the newest
    round alone: a range over all rounds could never get smaller.
    """

    least: float = 2.0

    over: ClassVar[Over] = "round"

    def __post_init__(self) -> None:
        if not self.least > 0:
            raise InputError(f"Spread: least={self.least}: a range above 0 is meant")

    def look(self, votes: pl.DataFrame) -> pl.DataFrame:
        """Raises InputError for votes that are no numbers."""
        import polars as pl

        strange = votes.filter(pl.col("number").is_null())
        if strange.height:
            raise InputError(
                f"Spread needs numbers: {strange['value'][0]!r} of item {strange['item'][0]!r} is none. For labels use "
                "Agreement (agreement=0.8)"
            )
        apart = pl.col("number").max() - pl.col("number").min()
        found = votes.group_by("unit").agg(apart=apart)
        why = pl.format("the ratings lie {} apart", pl.col("apart").round(2))
        agreed = pl.col("apart") < self.least
        return found.select("unit", agreed=agreed, why=pl.when(~agreed).then(why))


@dataclass(frozen=True)
class Agreement:
    """Too few say the same: the most frequent answer has less than `least` of all votes."""

    least: float = 2 / 3

    over: ClassVar[Over] = "all"

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1:
            raise InputError(f"Agreement: least={self.least}: a share above 0, at most 1, is meant")

    def look(self, votes: pl.DataFrame) -> pl.DataFrame:
        """A row for each unit."""
        import polars as pl

        counts = votes.group_by("unit", "value").len("n")
        found = counts.group_by("unit").agg(top=pl.col("n").max(), n=pl.col("n").sum())
        agreed = pl.col("top") / pl.col("n") >= self.least - 1e-9
        why = pl.format("only {} of {} say the same", "top", "n")
        return found.select("unit", agreed=agreed, why=pl.when(~agreed).then(why))


@dataclass(frozen=True)
class Sure:
    """The consensus is not sure: its probability, by `method` of the aggregators, is below `target`.

    It weighs who says what: one careful person may outweigh two careless ones. `values` is the order, lowest first, for
    ordinal methods.
    """

    target: float = 0.95
    method: Method = "auto"
    values: tuple[str, ...] = ()

    over: ClassVar[Over] = "all"

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise InputError(f"Sure: target={self.target}: a probability between 0 and 1 is meant")

    def look(self, votes: pl.DataFrame) -> pl.DataFrame:
        """A row for each unit. Raises what `aggregate` raises."""
        import polars as pl

        found = aggregate(as_answers(votes), self.method, values=list(self.values) or None)
        agreed = pl.col("probability") >= self.target
        why = pl.format("the consensus is only {} sure", pl.col("probability").round(2))
        return found.select(unit="item", agreed=agreed, why=pl.when(~agreed).then(why))


def as_answers(votes: pl.DataFrame) -> pl.DataFrame:
    """Votes as the aggregators take them: units as items, the newest of a person who voted in several rounds."""
    import polars as pl

    newest = votes.sort("round").unique(["unit", "annotator"], keep="last", maintain_order=True)
    return newest.select(pl.col("unit").alias("item"), "annotator", "value", "seconds", "touched").sort(
        "item", "annotator"
    )
