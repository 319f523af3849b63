"""Answers as votes: who says what of which item in which round, the newest of each, and who skipped."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from curate.annotators.consensus.frames import read_frame
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Votes", "read_votes"]

_KNOWN = (
    "item",
    "annotator",
    "round",
    "control",
    "value",
    "skipped",
    "status",
    "created_at",
    "updated_at",
    "seconds",
    "touched",
    "gold",
)
BETWEEN = "\x1f"
"""Stands between item and control in a unit's name."""


@dataclass(frozen=True, eq=False)
class Votes:
    """`rows`: a vote each: `unit`, `item`, `control`, `annotator`, `round`, `value`, `number` (null where it is none),
    `gold`, `seconds`, `touched`. A unit is what is decided by itself: an item, or one of several controls of an item.
    `people`: who took part in which round, whatever they were asked: `item`, `round`, `annotator`, `skipped`, `seconds`.
    `everything`: all answers that count, those to other controls too.
    """

    rows: pl.DataFrame
    people: pl.DataFrame
    everything: pl.DataFrame


def read_votes(answers: Any, control: str) -> Votes:
    """The votes that count: the newest of each person about each item in each round, of status ok.

    `answers` is `store.answers` or any frame with `item`, `annotator`, `value`; understood where there: `round` (default
    1), `control`, `skipped`, `status`, `created_at`, `updated_at`, `seconds`, `touched`, `gold`. `control` is a name, or a
    pattern with `*` (`element_*`): then every control of every item is decided by itself.
    Raises SchemaError for missing columns, InputError where no answer has that control.
    """
    import polars as pl

    if hasattr(answers, "latest"):
        answers = answers.latest()
    frame = _whole(read_frame(answers, known=_KNOWN), control)
    frame = frame.filter(pl.col("status") == "ok")
    newest = _newest(frame)
    people = newest.group_by("item", "round", "annotator").agg(
        pl.col("skipped").all(), pl.col("seconds").max()
    )
    given = newest.filter(~pl.col("skipped") & pl.col("value").is_not_null())
    there = given["control"].unique().sort().to_list()
    meant = [name for name in there if fnmatchcase(name, control)]
    if not meant and there:
        raise InputError(f"no answers to {control!r}; there are answers to {', '.join(map(repr, there))}")
    rows = given.filter(pl.col("control").is_in(meant)).with_columns(
        unit=pl.concat_str("item", "control", separator=BETWEEN) if "*" in control else pl.col("item"),
        number=pl.col("value").cast(pl.Float64, strict=False),
    )
    order = ["unit", "round", "annotator"]
    return Votes(
        rows.select(*order, "item", "control", "value", "number", "gold", "seconds", "touched").sort(order),
        people.sort("item", "round", "annotator"),
        given,
    )


def _whole(frame: pl.DataFrame, control: str) -> pl.DataFrame:
    """With every column, and strings where strings are meant."""
    import polars as pl

    defaults: dict[str, pl.Expr] = {
        "round": pl.lit(1, pl.Int64),
        "control": pl.lit("value" if "*" in control else control),
        "skipped": pl.lit(False),
        "status": pl.lit("ok"),
        "created_at": pl.lit(0, pl.Int64),
        "seconds": pl.lit(None, pl.Float64),
        "touched": pl.lit(None, pl.Boolean),
        "gold": pl.lit(False),
    }
    frame = frame.with_columns(**{n: e for n, e in defaults.items() if n not in frame.columns})
    if "updated_at" not in frame.columns:
        frame = frame.with_columns(updated_at=pl.col("created_at"))
    text = ("item", "annotator", "value", "control", "status")
    return frame.with_columns(
        *(pl.col(name).cast(pl.String) for name in text),
        pl.col("round").cast(pl.Int64).fill_null(1),
        pl.col("skipped", "gold").fill_null(False),
        pl.col("seconds").cast(pl.Float64),
    )


def _newest(frame: pl.DataFrame) -> pl.DataFrame:
    """Of several answers of one person to one task the newest: it may skip what was answered before, and the reverse."""
    import polars as pl

    last = pl.col("updated_at") == pl.col("updated_at").max().over("item", "annotator", "round")
    who = ["item", "annotator", "round", "control"]
    return (
        frame.filter(last).sort(*who, "value", nulls_last=True).unique(who, keep="first", maintain_order=True)
    )
