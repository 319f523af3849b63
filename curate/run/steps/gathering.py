"""Recorded answers as a column of lists beside the items: what scorers and analyses of answers read."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from curate.errors import InputError, UnknownNameError
from curate.run.context import RunContext
from curate.run.ledger import StepRecord
from curate.run.steps.joining import run_join
from curate.store import PartStore
from curate.store.engine import quote_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["run_gather"]

_READ = (
    "item",
    "annotator",
    "value",
    "round",
    "created_at",
    "updated_at",
    "seconds",
    "touched",
    "skipped",
    "status",
)


def run_gather(context: RunContext, *, control: str | None = None, name: str = "answers") -> StepRecord:
    """Join the newest answer of each person about each item, round by round, as the column `name`: a list for each item of
    structs `annotator`, `value`, `round`, `time`, `seconds`, `touched`. Items without an answer are null with a reason.

    Answers that are skips, or whose status is not ok, are left out, and so are those to items that were deleted.
    """
    control = _meant(context.store, control)
    lists = _lists(context.store, control, name)
    if not lists.height:
        raise InputError(f"no item of the store has an answer to {control!r}: there is nothing to gather")
    origin = {"made_by": "recorded answers", "control": control}
    return run_join(context, lists.to_arrow(), name=name, origin=origin)


def _meant(store: PartStore, control: str | None) -> str:
    """The question whose answers are gathered: the one that is named, or the only one."""
    there = sorted(set(store.answers().to_arrow(["control"])["control"].unique().to_pylist()) - {""})
    if not there:
        raise InputError("no answers are recorded yet: record_answers, or pull them from an annotator")
    if control is None and len(there) > 1:
        raise InputError(f"there are answers to {', '.join(map(repr, there))}: say which by `control`")
    if control is not None and control not in there:
        raise UnknownNameError("control", control, there)
    return control or str(there[0])


def _lists(store: PartStore, control: str, name: str) -> pl.DataFrame:
    import polars as pl

    # A tool's skip names no control, and takes back what was answered before.
    meant = store.answers().where(f"control = {quote_text(control)} or control = ''").latest()
    ids = cast("pl.Series", pl.from_arrow(store.view().ids())).cast(pl.String)
    said = meant.to_polars(_READ).filter(
        pl.col("status") == "ok",
        ~pl.col("skipped"),
        pl.col("value").is_not_null(),
        pl.col("item").is_in(ids.implode()),
    )
    moment = pl.when(pl.col("created_at").is_not_null()).then("updated_at").alias("time")
    one = pl.struct("annotator", "value", "round", moment, "seconds", "touched")
    rows = said.sort("item", "annotator", "round").group_by("item", maintain_order=True).agg(one.alias(name))
    return rows.rename({"item": "id"})
