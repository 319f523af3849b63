"""JSON Lines and CSV, written by Polars a chunk at a time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from curate.formats.writers.draft import Draft

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "FORMULA",
    "GUARDED",
    "GuardedStrings",
    "count_unwritable",
    "json_lines",
    "write_csv",
    "write_jsonl",
]

FORMULA = r"^'*[=+\-@\t\r\n]"
"""Texts that a spreadsheet could run as a formula (after any apostrophes, so that guarding can be undone)."""

GUARDED = r"^'(?='*[=+\-@\t\r\n])"
"""What to remove, once, to have the original text back (Python's `re`)."""


def write_jsonl(shards: Iterable[tuple[int, Iterator[pa.Table]]], draft: Draft, lost: dict[str, int]) -> None:
    """`data/train-00000.jsonl` and so on; NaN and infinities become null and are counted by column in `lost`."""
    for number, chunks in shards:
        with draft.file(f"data/train-{number:05d}.jsonl") as file:
            file.count(0)
            for table in chunks:
                file.count(table.num_rows)
                count_unwritable(table, lost)
                file.write(json_lines(table))


def json_lines(table: pa.Table) -> memoryview:
    """One JSON object a row, UTF-8, each ended by a line feed."""
    buffer = io.BytesIO()
    if table.num_rows:
        _frame(table).write_ndjson(buffer)
    return buffer.getbuffer()


def count_unwritable(table: pa.Table, lost: dict[str, int]) -> None:
    """Add up, by column, the NaN and infinite numbers, which JSON has no way to write."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks:
            bad = _non_finite(chunk)
            if bad:
                lost[name] = lost.get(name, 0) + bad


def _non_finite(array: pa.Array) -> int:
    t = pa.types
    if t.is_floating(array.type):
        return int(pc.sum(pc.invert(pc.is_finite(array))).as_py() or 0)
    if t.is_list(array.type) or t.is_fixed_size_list(array.type):
        return _non_finite(array.flatten())
    if t.is_struct(array.type):
        return sum(_non_finite(child) for child in array.flatten())
    return 0


class GuardedStrings:
    """Which columns a CSV export guards against being run as formulas, and how many cells that touched."""

    def __init__(self) -> None:
        self.cells: dict[str, int] = {}

    def guard(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Texts that match `FORMULA` with an apostrophe in front; column names too."""
        import polars as pl

        for name, dtype in frame.schema.items():
            if dtype != pl.String:
                continue
            hits = frame[name].str.contains(FORMULA)
            count = int(hits.sum() or 0)
            if count:
                self.cells[name] = self.cells.get(name, 0) + count
                guarded = (
                    pl.when(pl.col(name).str.contains(FORMULA))
                    .then("'" + pl.col(name))
                    .otherwise(pl.col(name))
                )
                frame = frame.with_columns(guarded.alias(name))
        return frame.rename({name: guard_name(name) for name in frame.columns})


def guard_name(name: str) -> str:
    """A column name as the header of a CSV file has it."""
    return "'" + name if re.match(FORMULA, name) else name


def write_csv(
    shards: Iterable[tuple[int, Iterator[pa.Table]]],
    draft: Draft,
    guard: GuardedStrings,
    lost: dict[str, int],
) -> None:
    """`data/train-00000.csv` and so on, each with a header. Nested values as JSON text, null as nothing between the
    commas, an empty text as `""`, formulas guarded."""
    for number, chunks in shards:
        with draft.file(f"data/train-{number:05d}.csv") as file:
            file.count(0)
            for first, table in enumerate(chunks):
                file.count(table.num_rows)
                nested = [f.name for f in table.schema if pa.types.is_nested(f.type)]
                count_unwritable(table.select(nested), lost)
                buffer = io.BytesIO()
                frame = guard.guard(_flat(_frame(table)))
                frame.write_csv(buffer, include_header=first == 0, line_terminator="\n")
                file.write(buffer.getbuffer())


def _frame(table: pa.Table) -> pl.DataFrame:
    """Values that text can hold: bytes as base64, moments in time as ISO 8601."""
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(table))
    changes = []
    for name, dtype in frame.schema.items():
        if dtype == pl.Binary:
            changes.append(pl.col(name).bin.encode("base64"))
        elif isinstance(dtype, pl.Datetime):
            fraction = {"ns": "%.9f", "us": "%.6f"}.get(dtype.time_unit, "%.3f")
            column = pl.col(name).dt.convert_time_zone("UTC") if dtype.time_zone else pl.col(name)
            changes.append(column.dt.strftime(f"%Y-%m-%dT%H:%M:%S{fraction}{'Z' if dtype.time_zone else ''}"))
        elif isinstance(dtype, pl.Duration):
            changes.append(pl.col(name).dt.to_string("iso"))
        elif dtype == pl.Time:
            changes.append(pl.col(name).dt.strftime("%H:%M:%S%.f"))
    return frame.with_columns(changes) if changes else frame


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Nested columns as JSON text; null stays null."""
    import polars as pl

    changes = []
    for name, dtype in frame.schema.items():
        if dtype.is_nested():
            text = pl.struct(pl.col(name).alias("v")).struct.json_encode()
            inner = text.str.strip_prefix('{"v":').str.strip_suffix("}")
            changes.append(pl.when(pl.col(name).is_null()).then(None).otherwise(inner).alias(name))
    return frame.with_columns(changes) if changes else frame
