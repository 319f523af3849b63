"""Bringing rows of a view to the caller: names checked, types as declared, vectors attached, addresses absolute."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import ROW
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.store.engine import quote_name
from curate.store.expression import Expression
from curate.store.layout import Home, Layout, holds_texts
from curate.store.query import Query, declared
from curate.store.relation import SEQ
from curate.store.rowset import RowSet, int64_array, int64_values
from curate.store.vectors import Blank, PartVectors, Piece, map_column


def named(layout: Layout, columns: Sequence[str] | None) -> list[str]:
    """The columns asked for, each known and none twice; None = all visible ones."""
    if columns is None:
        return list(layout.visible.names)
    if isinstance(columns, str):
        raise InputError(f"columns={columns!r}: give a list of names, such as [{columns!r}]")
    for name in columns:
        layout.field(name)
    if len(set(columns)) != len(columns):
        raise InputError(f"a column is asked for twice: {', '.join(columns)}")
    return list(columns)


def schema_of(layout: Layout, names: Sequence[str]) -> pa.Schema:
    """The schema of a table with these columns."""
    return pa.schema([layout.field(name) for name in names])


def check_scalars(layout: Layout, names: Iterable[str]) -> None:
    """Raise UnknownNameError or SchemaError unless all are columns of plain values, or of lists of texts."""
    for name in names:
        type_ = layout.field(name).type
        if pa.types.is_nested(type_) and not holds_texts(type_):
            raise SchemaError(f"{name!r} holds {layout.field(name).type}, not plain values")


def finish(home: Home, layout: Layout, raw: pa.Table, names: Sequence[str]) -> pa.Table:
    """A table with the columns `names`, from one with `c0`, `c1`, ... (those of them that are no vectors) and `seq`."""
    scalars = iter(raw.columns[:-1])
    columns = []
    for name in names:
        if layout.is_vector(name):
            columns.append(attach(home, layout, name, int64_values(raw.column(SEQ))))
        else:
            column = next(scalars)
            columns.append(_absolute(home, column) if name in layout.media else column)
    return declared(columns, schema_of(layout, names))


def _absolute(home: Home, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_string(column.type) or not pc.any(pc.starts_with(column, "store:")).as_py():
        return column
    return pa.chunked_array([home.resolve(chunk) for chunk in column.chunks], column.type)


def attach(home: Home, layout: Layout, name: str, seqs: npt.NDArray[np.int64]) -> pa.ChunkedArray:
    """Values of a column kept in Arrow files for ascending `seqs`; null where an item has none."""
    type_ = layout.field(name).type
    chunks, done = [], 0
    for part in layout.snapshot.items:
        stop = int(np.searchsorted(seqs, part.seq_lo + part.rows))
        if stop <= done:
            continue
        rows, done = seqs[done:stop] - part.seq_lo, stop
        source = layout.source(part, name)
        if source.file is None:
            chunks.append(pa.nulls(len(rows), type_))
        else:
            home.bring([source.file])
            column = map_column(home.path / source.file.path, name)
            whole = len(rows) == len(column)
            chunks.append(column if whole else column.take(int64_array(rows)))
    return pa.chunked_array(chunks, type_)


def rebatch(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of exactly `rows` from batches of any size; pieces are joined only across their borders."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        while len(batch):
            piece = batch.slice(0, rows - size)
            held.append(piece)
            size += len(piece)
            batch = batch.slice(len(piece))
            if size == rows:
                yield _joined(held)
                held, size = [], 0
    if held:
        yield _joined(held)


def _joined(held: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(held) == 1:
        return held[0]
    return pa.Table.from_batches(held).combine_chunks().to_batches()[0]


def computed(query: Query, expression: Expression) -> pa.ChunkedArray:
    """The value of an expression for each row."""
    names = sorted(expression.columns)
    text = expression.render({name: f"c{i}" for i, name in enumerate(names)})
    chunks: list[pa.Array] = []
    for piece in query.pieces():
        with piece.open(names) as (cursor, sql):
            reader = cursor.sql(f"SELECT {text} AS value FROM ({sql})").to_arrow_reader(1 << 17)
            type_ = reader.schema.field(0).type
            chunks += [batch.column(0) for batch in reader]  # as they come: a table would be held twice
            del reader  # it holds the query, and what that holds of its files
    return pa.chunked_array(chunks, type_)


@contextmanager
def sql(query: Query, text: str, names: Sequence[str]) -> Iterator[Any]:
    """One SELECT over the relation `view`, ready to run (a DuckDB relation)."""
    check_scalars(query.layout, names)
    lowered = [n.lower() for n in names]
    if len(set(lowered)) < len(lowered) or ROW in lowered:
        raise SchemaError(
            f"columns of `view` must differ by more than case, and from {ROW!r}: {', '.join(names)}"
        )
    with query.open(names) as (cursor, made):
        _check_select(cursor, text)
        listed = [f"c{i} AS {quote_name(n)}" for i, n in enumerate(names)]
        listed.append(f"{_position(query)} AS {ROW}")
        cursor.execute(f'CREATE TEMP VIEW "view" AS SELECT {", ".join(listed)} FROM ({made})')
        yield cursor.sql(text)


def _position(query: Query) -> str:
    """SQL for a row's position. Counting rows makes DuckDB go through them one by one, so: only where rows may lack."""
    parts = query.parts
    joined = all(a.seq_lo + a.rows == b.seq_lo for a, b in itertools.pairwise(parts))
    if query.rows is None and not query.predicates and query.limit is None and joined:
        return f"{SEQ} - {parts[0].seq_lo if parts else 0}"
    return "row_number() OVER () - 1"


def _check_select(cursor: Any, text: str) -> None:
    import duckdb

    statements = cursor.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(s.type.name for s in statements) or "nothing"
        raise InputError(f"one SELECT over the relation `view` can be run, not {kinds}: {text[:120]!r}")


def vectors(query: Query, chosen: RowSet | None, name: str) -> PartVectors:
    """The vectors of the rows `chosen` (None = all) of the query's parts."""
    layout, place = query.layout, query.home
    field = layout.field(name)
    if not layout.is_vector(name) or not pa.types.is_fixed_size_list(field.type):
        known = [f.name for f in layout.visible if layout.is_vector(f.name) and f.name != name]
        lacks = "no vector for any item" if layout.is_vector(name) else f"{field.type}, not vectors"
        raise SchemaError(
            f"{name!r} holds {lacks}. Columns with vectors: {', '.join(known) or 'none'}; "
            "an encoder such as `pixel-embedding` or `minilm` makes one"
        )
    home = layout.homes.get(name)
    pieces: list[Piece | Blank] = []
    missing = 0
    for part in query.parts:
        flags = None if chosen is None else chosen.of(part.seq_lo, part.seq_lo + part.rows)
        rows = None if flags is None or flags.all() else np.flatnonzero(flags).astype(np.int64, copy=False)
        count = part.rows if rows is None else len(rows)
        source = layout.source(part, name) if count else None
        if source is not None and source.file is not None:
            bring = partial(place.bring, [source.file])
            pieces.append(Piece(place.path / source.file.path, name, part.rows, rows, bring))
        elif count and home is not None and layout.given(home, part):
            pieces.append(Blank(count, field.type))
        else:
            missing += count
    if missing:
        raise SchemaError(
            f"{missing} of {counted(missing + sum(map(len, pieces)), 'item')} have no {name!r} yet: score them first, "
            "or leave their parts out"
        )
    return PartVectors(name, pieces, field.type)


def without_fixed_binary(table: pa.Table) -> pa.Table:
    """The same with fixed-size binary columns as plain binary ones."""
    fields = [f.with_type(pa.binary()) if pa.types.is_fixed_size_binary(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))
