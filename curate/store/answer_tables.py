"""Answers from elsewhere: a long table of who said what of which item, completed to rows of `records.ANSWERS`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError, SchemaError, UnknownNameError
from curate.records import ANSWER_KEY, ANSWERS
from curate.store.answers import as_table

if TYPE_CHECKING:
    import polars as pl

    from curate.store.store import PartStore

__all__ = ["complete_answers", "is_complete", "read_table"]

NEEDED = ("item", "annotator", "value")
KNOWN = (*NEEDED, "time", "created_at", "round", "seconds", "touched", "skipped", "control")
"""The columns that are looked at, those that `annotators.consensus.aggregate` understands; others may hold anything."""

UNKNOWN_TIME = 0
"""Stands as `updated_at` for a moment that nobody knows: 1970, before every one that is known."""


def is_complete(table: pa.Table) -> bool:
    """Whether rows say themselves where they come from: then nothing is left to complete."""
    return {"source", "answer_id"} <= set(table.column_names)


def read_table(path: str | Path) -> pl.DataFrame:
    """A table of answers from a .csv, .tsv, .parquet or .jsonl file; what a CSV holds stays text.

    Raises InputError for other files and for one that cannot be read.
    """
    import polars as pl

    path = Path(path).expanduser()
    try:
        if path.suffix in (".csv", ".tsv"):
            return pl.read_csv(path, infer_schema=False, separator="\t" if path.suffix == ".tsv" else ",")
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(path, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    raise InputError(f"{path}: a table of answers is a .csv, .tsv, .parquet or .jsonl file")


def complete_answers(
    store: PartStore,
    answers: Any,
    *,
    columns: Mapping[str, str] | None = None,
    control: str = "label",
    source: str = "table",
) -> pa.Table:
    """Rows of `ANSWERS` from a frame with `item`, `annotator`, `value`, and whichever of `KNOWN` there are besides.

    `columns` maps these names to the frame's. A row without a `round` is of round 1, without a `control` of `control`;
    without a `time` it is unknown when (`created_at` null). A null or NaN value is a skip. The answer's name at `source`
    is made of item, annotator and round, so that recording the same table again adds nothing.
    Raises SchemaError for missing columns; UnknownNameError for a name in `columns`; InputError for items that the store
    does not have, a row without item or annotator, and answers that contradict each other or what was recorded.
    """
    frame = _named(as_table(answers), dict(columns or {}))
    frame = _typed(frame, control, source)
    _check_items(store, frame)
    frame = _once(frame)
    _check_recorded(store, frame, source)
    return frame.select(ANSWERS.names).to_arrow().cast(ANSWERS)


def _named(table: pa.Table, columns: dict[str, str]) -> pl.DataFrame:
    import polars as pl

    for ours, theirs in columns.items():
        if ours not in KNOWN:
            raise UnknownNameError("column of answers", ours, KNOWN)
        if theirs not in table.column_names:
            raise UnknownNameError("column", theirs, table.column_names)
    taken = {name: name for name in KNOWN if name in table.column_names} | columns
    missing = [name for name in NEEDED if name not in taken]
    if missing:
        raise SchemaError(
            f"no column {', '.join(map(repr, missing))}: there is {', '.join(map(repr, table.column_names)) or 'none'}; "
            f"say which is meant by `columns`, as in {{{missing[0]!r}: ...}}"
        )
    if "time" in taken:
        taken["created_at"] = taken.pop("time")
    chosen = pa.table({ours: table.column(theirs) for ours, theirs in taken.items()})
    return cast("pl.DataFrame", pl.from_arrow(chosen))


def _typed(frame: pl.DataFrame, control: str, source: str) -> pl.DataFrame:
    """With every column of ANSWERS, of its type; `updated_at` as UNKNOWN_TIME where nobody knows."""
    import polars as pl

    value = _text(frame["value"])
    skipped = value.is_null() | _flags(frame, "skipped").fill_null(False)
    frame = frame.with_columns(
        _cast(frame, "item", pl.String),
        _cast(frame, "annotator", pl.String),
        _cast(frame, "round", pl.Int32).fill_null(1),
        _cast(frame, "control", pl.String).fill_null(control),
        _cast(frame, "seconds", pl.Float64),
        _flags(frame, "touched"),
        _moments(frame),
        skipped.alias("skipped"),
        value.zip_with(~skipped, pl.Series([None], dtype=pl.String)).alias("value"),
        pl.lit("ok").alias("status"),
        pl.lit(source).alias("source"),
        pl.lit(False).alias("gold"),
        *(pl.lit(None, pl.String).alias(name) for name in ("model_version", "reason", "key", "hash")),
    )
    for name in ("item", "annotator"):
        empty = frame[name].is_null()
        if empty.any():
            rows = empty.arg_true().head(5).to_list()
            raise InputError(
                f"{counted(int(empty.sum()), 'answer has', 'answers have')} no {name}, in rows {rows}: an answer needs "
                "one"
            )
    unknown = pl.lit(UNKNOWN_TIME).cast(pl.Datetime("us", "UTC"))
    return frame.with_columns(
        updated_at=pl.col("created_at").fill_null(unknown),
        answer_id=pl.struct("item", "annotator", "round").struct.json_encode(),
    )


def _text(values: pl.Series) -> pl.Series:
    """Values as text: whole numbers without a point, several choices as a JSON list; null where there is none."""
    import polars as pl

    if values.dtype.is_float():
        return values.fill_nan(None).cast(pl.String).str.replace(r"\.0$", "")
    if values.dtype in (pl.List, pl.Array):
        listed = values.cast(pl.List(pl.String)).to_frame("v").select(pl.struct("v").struct.json_encode())
        whole = listed.to_series().str.strip_prefix('{"v":').str.strip_suffix("}")
        return whole.zip_with(values.is_not_null(), pl.Series([None], dtype=pl.String)).alias("value")
    return _cast(values.to_frame("value"), "value", pl.String)


def _cast(frame: pl.DataFrame, name: str, dtype: Any) -> pl.Series:
    import polars as pl

    if name not in frame.columns:
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
    column = frame[name]
    if dtype == pl.String and column.dtype.is_float():
        return _text(column)
    try:
        return column.cast(dtype)
    except pl.exceptions.PolarsError as error:
        raise SchemaError(
            f"the column {name!r} of the answers is {column.dtype}, not {dtype}: {error}"
        ) from None


def _flags(frame: pl.DataFrame, name: str) -> pl.Series:
    import polars as pl

    if name in frame.columns and frame[name].dtype == pl.String:  # as a CSV has them
        words = {"true": True, "false": False, "1": True, "0": False, "": None}
        lower = frame[name].str.to_lowercase()
        strange = lower.drop_nulls().filter(~lower.drop_nulls().is_in(list(words)))
        if len(strange):
            raise SchemaError(f"{name!r} of an answer is {strange[0]!r}: true or false is meant")
        return lower.replace_strict(words, return_dtype=pl.Boolean)
    return _cast(frame, name, pl.Boolean)


def _moments(frame: pl.DataFrame) -> pl.Series:
    """When answers were given, in UTC; a moment without a zone is taken for UTC."""
    import polars as pl

    name, dtype = "created_at", pl.Datetime("us", "UTC")
    if name not in frame.columns or frame[name].dtype == pl.Null:
        return pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
    column = frame[name]
    try:
        if column.dtype == pl.String:
            return column.str.to_datetime(time_unit="us", time_zone="UTC")
        if column.dtype in (pl.Datetime, pl.Date):
            zoned = getattr(column.dtype, "time_zone", None)
            column = column.cast(pl.Datetime("us", zoned))
            return column.dt.convert_time_zone("UTC") if zoned else column.dt.replace_time_zone("UTC")
    except pl.exceptions.PolarsError as error:
        raise SchemaError(f"the times of the answers cannot be read: {error}") from None
    raise SchemaError(
        f"the times of the answers are {column.dtype}: moments are meant, or ISO 8601 text; "
        "of seconds since 1970 `polars.from_epoch` makes moments"
    )


def _check_items(store: PartStore, frame: pl.DataFrame) -> None:
    import polars as pl

    view = store.view()
    ids = cast("pl.Series", pl.from_arrow(view.ids())).cast(pl.String)
    asked = frame["item"].unique(maintain_order=True)
    strange = asked.filter(~asked.is_in(ids.implode()))
    if len(strange):
        there = (
            f"{counted(len(ids), 'item')}, such as {_first(ids)}"
            if len(ids)
            else "no items yet: add them first"
        )
        raise InputError(
            f"{len(strange):,} of {counted(len(asked), 'item')} of the answers {'is' if len(strange) == 1 else 'are'} "
            f"not in the store, such as {_first(strange)}; the store has {there}"
        )


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    """Each answer once. Raises InputError where one person says two things of one item at once."""
    rows = frame.unique([*ANSWER_KEY, "value"], keep="first", maintain_order=True)
    twice = rows.filter(rows.select(ANSWER_KEY).is_duplicated())
    if twice.height:
        first = twice.filter(
            (twice["answer_id"] == twice["answer_id"][0]) & (twice["control"] == twice["control"][0])
        )
        raise InputError(
            f"{counted(twice['answer_id'].n_unique(), 'answer contradicts', 'answers contradict')} another by the same "
            f"person about the same item, such as item {first['item'][0]!r} by {first['annotator'][0]!r}: "
            f"{first['value'][0]!r} and {first['value'][1]!r}. Keep one of each, or add `time` or `round`"
        )
    return rows


def _check_recorded(store: PartStore, frame: pl.DataFrame, source: str) -> None:
    """Raises InputError where an answer was recorded before, of the same moment, with another value."""
    import polars as pl

    before = store.answers().to_polars([*ANSWER_KEY, "value"]).filter(pl.col("source") == source)
    both = frame.join(before, on=list(ANSWER_KEY), suffix="_before")
    other = both.filter(pl.col("value").ne_missing(pl.col("value_before")))
    if other.height:
        first = other.row(0, named=True)
        raise InputError(
            f"{counted(other.height, 'answer was', 'answers were')} recorded before with another value, such as item "
            f"{first['item']!r} by {first['annotator']!r}: {first['value_before']!r}, now {first['value']!r}. No "
            "answer is ever changed: say by `time` when it was, or name another `source`"
        )


def _first(values: pl.Series) -> str:
    return ", ".join(map(repr, values.head(3).to_list()))
