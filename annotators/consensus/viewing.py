"""Answers that lie in the columns of a view, as a frame of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from curate.contracts import View
from curate.errors import InputError, SchemaError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["needed_columns", "view_answers"]

OPTIONAL = ("seconds", "touched", "time", "created_at", "round", "skipped")


def needed_columns(answers: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    """What is read: the columns, one for each annotator, or the one list of answers."""
    return columns or (answers,)


def view_answers(view: View, answers: str, columns: tuple[str, ...] = ()) -> pl.DataFrame:
    """`item` (the id), `annotator`, `value` (string), and what else is known, a row for each answer.

    `answers` is a column of lists of structs `annotator`, `value` (and `seconds`, `touched`, `time`, `round`,
    `skipped`); with `columns` each of these is an annotator and holds values. Items without any answer are absent.
    Raises SchemaError for a column of another type, InputError naming items for an answer by nobody.
    """
    import polars as pl

    if columns:
        wide = pl.DataFrame(view.to_arrow(["id", *columns]))
        wide = wide.with_columns(pl.col(name).cast(pl.String) for name in columns)
        long = wide.unpivot(columns, index="id", variable_name="annotator", value_name="value")
        return long.rename({"id": "item"}).drop_nulls("value").sort("item", "annotator")
    table = view.to_arrow(["id", answers])
    kind = table.schema.field(answers).type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    fields = (
        {field.name for field in kind.value_type} if listed and pa.types.is_struct(kind.value_type) else set()
    )
    if not {"annotator", "value"} <= fields:
        raise SchemaError(
            f"column {answers!r} is {kind}; a list of structs with annotator and value is meant, "
            "or name the columns, one for each annotator, by `columns`"
        )
    frame = pl.DataFrame(table).explode(answers).drop_nulls(answers).unnest(answers)
    kept = [name for name in OPTIONAL if name in fields]
    frame = frame.select(pl.col("id").alias("item"), "annotator", pl.col("value").cast(pl.String), *kept)
    nobody = frame.filter(pl.col("annotator").is_null())["item"].unique().sort()
    if len(nobody):
        raise InputError(f"answers without an annotator, of items {nobody.head(5).to_list()}")
    return frame.drop_nulls("value").sort("item", "annotator")
