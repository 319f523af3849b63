"""Answers of annotators: a view of all that were recorded, and the way in, which adds each once and changes none.

Rows are told apart by `records.ANSWER_KEY`. What is there already is found by reading the keys of the live parts;
the commit is refused if answers were added since (`Changes.answers_at`), and then the keys are read again: two
processes that bring the same answer at the same moment add it once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.contracts import digest
from curate.counting import counted
from curate.errors import BusyError, ConflictError, InputError, SchemaError, UnknownNameError, require
from curate.records import ANSWER_KEY, ANSWER_STATUSES, ANSWERS
from curate.store import failpoints
from curate.store.changes import Changes
from curate.store.engine import engine, quote_name, quote_text
from curate.store.expression import Expression
from curate.store.parts import Part

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from curate.store.store import PartStore

TRIES = 100

_NEEDED = ("item", "annotator", "round", "control", "value", "created_at", "source", "answer_id")
_GIVEN = ("item", "annotator", "round", "control", "updated_at", "source", "answer_id")
"""Columns without which a row says nothing: they may not be null."""


@dataclass(frozen=True, eq=False)
class AnswersView:
    """All answers in the order they were recorded, lazily; `where` and `latest` narrow it down.

    The columns are those of `records.ANSWERS`. Every version of every answer is a row: `latest` leaves the newest.
    """

    root: Path
    parts: tuple[Part, ...]
    steps: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(ANSWERS.names)

    @property
    def schema(self) -> pa.Schema:
        """`records.ANSWERS`."""
        return ANSWERS

    def where(self, expression: str) -> AnswersView:
        """Rows for which an expression over the columns is true: `"round = 1 and status = 'ok'"`.

        Raises ExpressionError, UnknownNameError.
        """
        parsed = Expression(expression)
        parsed.check(ANSWERS)
        return self._then(f"SELECT * FROM answers WHERE {parsed.sql}")

    def latest(self) -> AnswersView:
        """What each annotator says in the end: the newest version of their answer to each item in each round.

        A skip replaces an answer and an answer a skip; a mark that was taken away is not there any more. Of several
        answers of one person to one task the newest that was not withdrawn counts. Rows of every `status` are kept:
        narrow down afterwards.
        """
        who, last = "item, annotator, round", "updated_at DESC, answer_id DESC"
        versions = f"PARTITION BY {who}, source, answer_id ORDER BY updated_at DESC"
        several = f"PARTITION BY {who} ORDER BY (status = 'withdrawn'), {last}, source"
        newest = self._then(f"SELECT * FROM answers QUALIFY rank() OVER ({versions}) = 1")
        return newest._then(f"SELECT * FROM answers QUALIFY rank() OVER ({several}) = 1")

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows with these columns (None = all). Raises UnknownNameError."""
        names = self.columns if columns is None else list(columns)
        for name in names:
            if name not in ANSWERS.names:
                raise UnknownNameError("column of answers", name, ANSWERS.names)
        table = self._table if columns is None else self._query(names)
        return table.select(names)

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """A Polars frame."""
        import polars

        return cast("pl.DataFrame", polars.from_arrow(self.to_arrow(columns)))

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """A pandas frame; needs the extra `pandas`."""
        require("pandas", "pandas")
        return cast("pd.DataFrame", self.to_arrow(columns).to_pandas())

    @cached_property
    def _length(self) -> int:
        return self._query(["item"]).num_rows if self.steps else sum(p.rows for p in self.parts)

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"AnswersView({counted(len(self), 'row')}, {', '.join(self.columns[:9])}, ...)"

    def _repr_html_(self) -> str:
        shown = self.to_polars(self.columns[:9])
        return f"<p>{counted(len(self), 'row')} of answers</p>{shown.head(10)._repr_html_()}"

    # --- inside ----------------------------------------------------------------------------------------------------

    def _then(self, step: str) -> AnswersView:
        return replace(self, steps=(*self.steps, step))

    @cached_property
    def _table(self) -> pa.Table:
        return self._query(self.columns)

    def _query(self, names: Sequence[str]) -> pa.Table:
        paths = [quote_text(str(engine(self.root).root / p.path)) for p in self.parts if p.rows]
        if not paths:
            return empty()
        # Every row knows its place: windows and joins of the steps may lose the order.
        query = f"SELECT *, row_number() OVER () AS _at FROM read_parquet([{', '.join(paths)}])"
        for step in self.steps:
            query = f"WITH answers AS ({query}) {step}"
        wanted = ", ".join(map(quote_name, names))
        with engine(self.root).cursor() as cursor:
            found = cursor.sql(f"SELECT {wanted} FROM ({query}) ORDER BY _at").to_arrow_table()
        return found.cast(pa.schema([ANSWERS.field(n) for n in names]))


def empty() -> pa.Table:
    """No answers."""
    return pa.Table.from_batches([], ANSWERS)


def record(store: PartStore, answers: Any, *, message: str = "") -> dict[str, int]:
    """Add answers that are not there yet; see `PartStore.record_answers`."""
    table = checked(answers)
    for attempt in range(TRIES):
        snapshot = store.snapshot()
        fresh = _unknown(table, known_keys(store.path, snapshot.answers))
        counts = {"new": fresh.num_rows, "present": table.num_rows - fresh.num_rows}
        if not fresh.num_rows:
            return counts
        failpoints.hit("answers.write")
        with store.writer() as writer:
            part = writer.answers(fresh)
            token = digest("answers", part.part_id, snapshot.version)
            try:
                store.commit(
                    Changes(
                        "answers",
                        token,
                        add=[part],
                        message=message,
                        stats=counts,
                        answers_at=snapshot.version,
                    )
                )
                return counts
            except ConflictError:
                if attempt + 1 == TRIES:
                    raise
        time.sleep(random.uniform(0, 0.01) * min(attempt + 1, 20))
    raise BusyError(f"other processes recorded answers in {store.path} all the time: run again")


def checked(answers: Any) -> pa.Table:
    """A frame of answers as a table of the schema `ANSWERS`, each row once.

    Raises SchemaError for missing, unknown or unreadable columns, InputError for nulls where a row needs a value and
    for a `status` that there is not.
    """
    table = as_table(answers)
    for name in table.column_names:
        if name not in ANSWERS.names:
            raise UnknownNameError("column of answers", name, ANSWERS.names)
    if missing := [n for n in _NEEDED if n not in table.column_names]:
        raise SchemaError(
            f"answers without {', '.join(map(repr, missing))}: {', '.join(map(repr, _NEEDED))} are needed, "
            f"there is {', '.join(map(repr, table.column_names)) or 'none'}"
        )
    rows = table.num_rows
    columns = [_column(table, field, rows) for field in ANSWERS]
    whole = pa.table(columns, schema=ANSWERS)
    for name in (*_GIVEN, "skipped"):
        if whole[name].null_count:
            at = pc.index(pc.is_null(whole[name]), True).as_py()
            raise InputError(f"row {at} of the answers has no {name!r}: every answer has one")
    strange = set(pc.unique(whole["status"]).to_pylist()) - set(ANSWER_STATUSES)
    if strange:
        raise InputError(
            f"status {min(strange, key=str)!r} of an answer is none of {', '.join(ANSWER_STATUSES)}"
        )
    return whole.take(_first_of_each(whole))


def as_table(answers: Any) -> pa.Table:
    """A frame of any kind, or a mapping of columns, as an Arrow table. Raises SchemaError for anything else."""
    if isinstance(answers, pa.Table):
        return answers
    if hasattr(answers, "to_arrow"):
        return cast("pa.Table", answers.to_arrow())
    try:
        return pa.Table.from_pandas(answers) if hasattr(answers, "iloc") else pa.table(answers)
    except (TypeError, pa.ArrowException) as error:
        raise SchemaError(f"a {type(answers).__name__} is no table of answers: {error}") from None


def _column(table: pa.Table, field: pa.Field, rows: int) -> pa.ChunkedArray:
    if field.name not in table.column_names:
        if field.name == "updated_at":
            return _cast(table["created_at"], field)
        default = {"skipped": False, "status": "ok"}.get(field.name)
        return pa.chunked_array([pa.repeat(pa.scalar(default, field.type), rows)])
    return _cast(table[field.name], field)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise SchemaError(
            f"the column {field.name!r} of the answers is {column.type}, not {field.type}: {error}"
        ) from None


def known_keys(root: Path, parts: Iterable[Part]) -> pl.DataFrame:
    """The keys of all answers in these parts."""
    import polars as pl

    tables = [empty().select(ANSWER_KEY)]
    for part in parts:
        with pa.OSFile(str(root / part.path)) as source:  # `read_table` would import pandas where it can
            tables.append(pq.ParquetFile(source).read(columns=list(ANSWER_KEY)))
    return cast("pl.DataFrame", pl.from_arrow(pa.concat_tables(tables)))


def _unknown(table: pa.Table, known: pl.DataFrame) -> pa.Table:
    import polars as pl

    keys = cast("pl.DataFrame", pl.from_arrow(table.select(ANSWER_KEY))).with_row_index("_row")
    rows = keys.join(known, on=list(ANSWER_KEY), how="anti").sort("_row")["_row"]
    return table.take(rows.to_arrow())


def _first_of_each(table: pa.Table) -> pa.Array:
    import polars as pl

    keys = cast("pl.DataFrame", pl.from_arrow(table.select(ANSWER_KEY))).with_row_index("_row")
    rows: pl.Series = keys.unique(list(ANSWER_KEY), keep="first").sort("_row")["_row"]
    return rows.to_arrow()
