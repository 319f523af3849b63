"""Running a relation: bind its masks, filter, and bring columns back as they are declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.store.engine import Engine, duckdb_types
from curate.store.expression import Expression
from curate.store.layout import Home, Layout
from curate.store.parts import Part
from curate.store.relation import SEQ, Relation, relation
from curate.store.rowset import RowSet

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PIECE = 1 << 20
"""Rows, about, that one query reads."""


@dataclass(frozen=True, eq=False)
class Query:
    """Rows of some parts: those in `rows` (None = all) for which all `predicates` are true, the first `limit`."""

    home: Home
    layout: Layout
    engine: Engine
    parts: tuple[Part, ...]
    rows: RowSet | None = None
    predicates: tuple[Expression, ...] = ()
    limit: int | None = None

    @contextmanager
    def open(self, names: Sequence[str]) -> Iterator[tuple[DuckDBPyConnection, str]]:
        """A cursor, and SQL that gives `c0`, `c1`, ... (the columns `names`) and `seq` in item order."""
        read = sorted({c for p in self.predicates for c in p.columns} - set(names))
        columns = [*names, *read]
        with self.engine.cursor() as cursor:
            schema = pa.schema([self.layout.field(name) for name in columns])
            types = duckdb_types(cursor, schema)
            made = relation(self.layout, self.engine.root, self.parts, columns, self.rows, types)
            bind(cursor, made)
            self.home.bring(made.files)
            yield cursor, self._filtered(made, columns, len(names))

    def table(self, names: Sequence[str]) -> pa.Table:
        """All rows at once, as `c0`, `c1`, ... and `seq`."""
        pieces = []
        for piece in self.pieces():
            with piece.open(names) as (cursor, sql):
                pieces.append(cursor.sql(sql).to_arrow_table())
        return pa.concat_tables(pieces)

    def stream(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The same in batches of about `rows`, without ever holding more than a few of them."""
        for piece in self.pieces():
            with piece.open(names) as (cursor, sql):
                yield from cursor.sql(sql).to_arrow_reader(rows)

    def pieces(self) -> Iterator[Query]:
        """The same rows by runs of parts, each of about `PIECE` rows: what DuckDB keeps of every file that a query has
        opened is gone when that query ends, so memory does not grow with the table. There is one at least; a limit is one's."""
        start = size = 0
        if self.limit is not None:
            yield self
            return
        for stop, part in enumerate(self.parts):
            if size and size + part.rows > PIECE:
                yield replace(self, parts=self.parts[start:stop])
                self.engine.closed(stop - start)
                start, size = stop, 0
            size += part.rows
        yield replace(self, parts=self.parts[start:])
        self.engine.closed(len(self.parts) - start)

    def _filtered(self, made: Relation, columns: Sequence[str], wanted: int) -> str:
        listed = ", ".join([*(f"c{i}" for i in range(wanted)), SEQ])
        text = f"SELECT {listed} FROM ({made.sql})"
        if self.predicates:
            aliases = {name: f"c{i}" for i, name in enumerate(columns)}
            text += " WHERE " + " AND ".join(f"({p.render(aliases)})" for p in self.predicates)
        return text if self.limit is None else f"{text} LIMIT {self.limit}"


def bind(cursor: DuckDBPyConnection, made: Relation) -> None:
    """Hand a relation's bit masks to the cursor that will read them."""
    for name, bits in made.variables.items():
        cursor.execute(f"SET VARIABLE {name} = ?::BLOB::BIT", [bits])


def declared(columns: Sequence[pa.ChunkedArray], schema: pa.Schema) -> pa.Table:
    """Columns as DuckDB gave them, in the types the schema declares (fixed-size binary, for one, comes as binary)."""
    return pa.Table.from_arrays(
        [_cast(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
    )


def _cast(column: Any, type_: pa.DataType) -> Any:
    if column.type == type_:
        return column
    if pa.types.is_null(type_):
        return pa.chunked_array([pa.nulls(len(column))])
    return column.cast(type_)
