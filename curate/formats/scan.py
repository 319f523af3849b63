"""Text formats carry no types: look at everything once, then read it again as what it turned out to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError
from curate.formats.arrays import cast_column, plain, unify_types
from curate.formats.locate import fingerprint_files
from curate.formats.rows import Chunk, Hints, Rejection

__all__ = ["ScannedReader"]


class ScannedReader:
    """Base of readers whose pieces tell their columns only when parsed. A source of one piece is parsed once."""

    what = "text"
    implied: Mapping[str, str] = {}

    def __init__(self, files: Sequence[str], *, max_text_bytes: int) -> None:
        self.files = list(files)
        self.max_text_bytes = max_text_bytes

    def pieces(self) -> Iterator[Chunk]:
        """Parsed pieces, each with the columns and types it happens to have."""
        raise NotImplementedError

    def types(self, table: pa.Table) -> dict[str, pa.DataType]:
        """What a piece's columns are; formats that carry no types at all look at the values."""
        return {field.name: field.type for field in table.schema}

    @cached_property
    def _scan(self) -> tuple[pa.Schema, list[Chunk] | None]:
        """All columns with types that hold every value, and the only piece, if it is one."""
        types: dict[str, pa.DataType] = {}
        kept: list[Chunk] | None = []
        rows = 0
        first: Rejection | None = None
        for piece in self.pieces():
            rows += len(piece.table)
            first = first or next(iter(piece.rejected), None)
            for name, type_ in self.types(piece.table).items():
                types[name] = unify_types(types.get(name, pa.null()), type_)
            kept = [*kept, piece] if kept is not None and not kept else None
        if not rows:
            why = f"no row that can be read; {first.reason}" if first else "no rows"
            raise InputError(f"{self.describe()} holds {why}")
        return pa.schema(list(types.items())), kept

    @property
    def names(self) -> list[str]:
        """Columns of all files."""
        return list(self._scan[0].names)

    def describe(self) -> str:
        """One line for logs."""
        more = (
            "" if len(self.files) == 1 else f" and {counted(len(self.files) - 1, f'more {self.what} file')}"
        )
        return f"{self.files[0]}{more}"

    def fingerprint(self) -> str | None:
        """Changes when a file does."""
        return fingerprint_files(self.files)

    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]:
        """Pieces as they were parsed, all with the same columns, and types but for those that stay text.

        `rows` is not heeded: pieces have the size of the blocks that were parsed."""
        schema, kept = self._scan
        for piece in kept if kept is not None else self.pieces():
            columns = {}
            for field in schema:
                index = piece.table.schema.get_field_index(field.name)
                if index < 0:
                    columns[field.name] = pa.nulls(len(piece.table), field.type)
                    continue
                column = plain(piece.table.column(index))
                stays = field.name in hints.text and not pa.types.is_nested(column.type)
                columns[field.name] = column if stays else cast_column(column, field.type)
            table = pa.table(columns) if columns else piece.table
            yield Chunk(table, piece.rows, piece.sources, piece.base, piece.rejected)
