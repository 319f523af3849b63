"""Tables in memory: Arrow, pandas, Polars, DuckDB, lists of dicts, dicts of columns."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.formats.arrays import Bad, from_values, media_from_values, plain
from curate.formats.rows import Chunk, Hints, Rejection, slice_table

__all__ = ["FrameReader", "frame_reader"]


class FrameReader:
    """Columns that are Arrow arrays already, or Python objects that become one when it is known what they are for."""

    implied: Mapping[str, str] = {}

    def __init__(self, columns: Mapping[str, Any], size: int, what: str) -> None:
        self._columns = dict(columns)
        self._size = size
        self._what = what

    @property
    def names(self) -> list[str]:
        """Its columns."""
        return list(self._columns)

    def describe(self) -> str:
        """One line for logs."""
        return f"{self._what} of {counted(self._size, 'row')}"

    def fingerprint(self) -> str | None:
        """Unknown: only reading tells what is in memory."""
        return None

    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]:
        """Batches of at most `rows` rows and roughly 128 MB."""
        arrays: dict[str, pa.Array | pa.ChunkedArray] = {}
        objects: dict[str, Sequence[Any]] = {}
        bad: Bad = {}
        for name, column in self._columns.items():
            if isinstance(column, (pa.Array, pa.ChunkedArray)):
                arrays[name] = column
            elif name in hints.media and not all(isinstance(v, str) for v in column if v is not None):
                objects[name] = column  # encoded batch by batch: pictures are large
            else:
                arrays[name], found = from_values(column)
                _note(bad, found, name)
        table = pa.table(arrays) if arrays else pa.table({"_": pa.nulls(self._size)}).select([])
        for start, piece in slice_table(table, min(rows, 1024) if objects else rows):
            yield self._chunk(piece, start, objects, bad)

    def _chunk(self, piece: pa.Table, start: int, objects: Mapping[str, Sequence[Any]], bad: Bad) -> Chunk:
        stop = start + len(piece)
        mine = {row - start: fault for row, fault in bad.items() if start <= row < stop}
        columns = {name: plain(piece.column(name)) for name in piece.column_names}
        for name, values in objects.items():
            columns[name], found = media_from_values(values[start:stop])
            _note(mine, found, name)
        ordered = {name: columns[name] for name in self._columns}
        table = pa.table(ordered)
        numbers = np.arange(start, stop, dtype=np.int64)
        rejected = []
        if mine:
            for row in sorted(mine):
                shown = {n: c[row].as_py() for n, c in ordered.items()}
                rejected.append(Rejection(self._what, start + row, *mine[row], shown))
            keep = np.ones(len(table), bool)
            keep[sorted(mine)] = False
            table, numbers = table.filter(pa.array(keep)), numbers[keep]
        return Chunk(table, numbers, self._what, str(Path.cwd()), rejected)


def _note(bad: Bad, found: Bad, name: str) -> None:
    for row, (code, reason) in found.items():
        bad.setdefault(row, (f"type-{name}" if code == "type" else code, f"column {name!r} {reason}"))


def frame_reader(source: Any) -> FrameReader | None:
    """A reader for a table in memory; None if it is none that we know. Nothing is imported that the caller has not."""
    if isinstance(source, pa.Table):
        return _of_arrow(source, "pyarrow.Table")
    if isinstance(source, (pa.RecordBatch, pa.RecordBatchReader)):
        batches = [source] if isinstance(source, pa.RecordBatch) else list(source)
        schema = source.schema
        return _of_arrow(pa.Table.from_batches(batches, schema), f"pyarrow.{type(source).__name__}")
    if isinstance(source, Mapping):
        return _of_columns(source)
    if isinstance(source, Sequence) and not isinstance(source, (str, bytes, os.PathLike)):
        return _of_records(source)
    for module, read in (("pandas", _of_pandas), ("polars", _of_polars), ("duckdb", _of_duckdb)):
        loaded = sys.modules.get(module)
        if loaded is not None:
            reader = read(source, loaded)
            if reader is not None:
                return reader
    return None


def _of_arrow(table: pa.Table, what: str) -> FrameReader:
    if len(set(table.column_names)) < table.num_columns:
        twice = sorted({n for n in table.column_names if table.column_names.count(n) > 1})
        raise SchemaError(f"the table has more than one column {twice[0]!r}: rename one")
    return FrameReader(dict(zip(table.column_names, table.columns, strict=True)), len(table), what)


def _of_columns(source: Mapping[Any, Any]) -> FrameReader:
    columns: dict[str, Any] = {}
    for name, values in source.items():
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            columns[str(name)] = values
        elif isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype != object:
            columns[str(name)] = pa.array(values, from_pandas=True)
        else:
            columns[str(name)] = list(values)
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise SchemaError(f"columns of different length: {', '.join(f'{n} {s}' for n, s in sizes.items())}")
    return FrameReader(columns, next(iter(sizes.values()), 0), "dict of columns")


def _of_records(source: Sequence[Any]) -> FrameReader:
    for row, record in enumerate(source):
        if not isinstance(record, Mapping):
            raise InputError(
                f"a list of dicts is expected; entry {row} is a {type(record).__name__}: {record!r:.80}"
            )
    names = list(dict.fromkeys(name for record in source for name in record))
    columns = {str(name): [record.get(name) for record in source] for name in names}
    return FrameReader(columns, len(source), "list of dicts")


def _of_pandas(source: Any, pandas: Any) -> FrameReader | None:
    if not isinstance(source, pandas.DataFrame):
        return None
    named = [name for name in source.index.names if name is not None and name not in source.columns]
    if named:  # somebody called it something: it is a column like the others
        source = source.reset_index(level=named)
    columns: dict[str, Any] = {}
    for position, name in enumerate(source.columns):
        series = source.iloc[:, position]
        if str(name) in columns:
            raise SchemaError(f"the frame has more than one column {str(name)!r}: rename one")
        columns[str(name)] = list(series) if series.dtype == object else pa.array(series, from_pandas=True)
    return FrameReader(columns, len(source), "pandas.DataFrame")


def _of_polars(source: Any, polars: Any) -> FrameReader | None:
    if isinstance(source, polars.LazyFrame):
        source = source.collect()
    if not isinstance(source, polars.DataFrame):
        return None
    columns: dict[str, Any] = {}
    for series in source.iter_columns():
        columns[series.name] = series.to_list() if series.dtype == polars.Object else series.to_arrow()
    return FrameReader(columns, len(source), "polars.DataFrame")


def _of_duckdb(source: Any, duckdb: Any) -> FrameReader | None:
    if not isinstance(source, duckdb.DuckDBPyRelation):
        return None
    return _of_arrow(source.to_arrow_table(), "DuckDB relation")
