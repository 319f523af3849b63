"""Answers that are sets of labels, as a question with several choices gives them: each label is decided by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from curate.annotators.consensus.aggregation import Method, aggregate

if TYPE_CHECKING:
    import polars as pl

__all__ = ["aggregate_sets", "are_sets", "as_lists"]

_YES, _NO = "yes", "no"
_BETWEEN = "\x1e"
"""Stands between an item and a label in a question's name."""


def are_sets(values: pl.Series) -> bool:
    """Whether every answer is a JSON list of texts; false where there is none."""
    distinct = values.drop_nulls().unique().to_list()
    return bool(distinct) and all(_read(value) is not None for value in distinct)


def as_lists(values: pl.Series) -> pl.Series:
    """Such answers as lists of strings, null where there is none."""
    import polars as pl

    return pl.Series(
        values.name, [None if v is None else _read(v) for v in values.to_list()], pl.List(pl.String)
    )


def aggregate_sets(answers: pl.DataFrame, method: Method) -> pl.DataFrame:
    """`aggregate` of sets: `item`, `value` (a JSON list of the labels that hold, sorted), `probability` that all of it is
    right, the labels taken for independent of each other.

    Each label that anybody gives an item is a question of its own about that item, to which all who answered say yes or no.
    """
    import polars as pl

    questions = _questions(answers)
    items = answers["item"].unique().sort().to_frame()
    if questions.height:
        parts = pl.col("item").str.splitn(_BETWEEN, 2).struct
        found = aggregate(questions, method).select("value", "probability", item=parts[0], label=parts[1])
        held = pl.col("label").filter(pl.col("value") == _YES).sort()
        said = found.group_by("item").agg(labels=held, probability=pl.col("probability").product())
        items = items.join(said, "item", "left", maintain_order="left")
    else:
        items = items.with_columns(labels=pl.lit(None), probability=pl.lit(None, pl.Float64))
    texts = [
        json.dumps(v or [], ensure_ascii=False, separators=(",", ":")) for v in items["labels"].to_list()
    ]
    return items.select(
        "item", value=pl.Series(texts, dtype=pl.String), probability=pl.col("probability").fill_null(1.0)
    )


def _questions(answers: pl.DataFrame) -> pl.DataFrame:
    """`item` (with the label), `annotator`, `value` yes or no; none where all sets are empty."""
    import polars as pl

    given = answers.with_columns(value=as_lists(answers["value"]))
    labels = given.explode("value").drop_nulls("value").select("item", label="value").unique()
    return given.join(labels, "item").select(
        item=pl.concat_str("item", "label", separator=_BETWEEN),
        annotator="annotator",
        value=pl.when(pl.col("value").list.contains(pl.col("label")))
        .then(pl.lit(_YES))
        .otherwise(pl.lit(_NO)),
    )


def _read(value: str) -> list[str] | None:
    if not value.startswith("["):
        return None
    try:
        found = json.loads(value)
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None
