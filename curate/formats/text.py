"""CSV and TSV: read as bytes, so that one bad byte costs one row; typed after everything was seen."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from curate.counting import counted
from curate.errors import InputError
from curate.formats.arrays import to_text
from curate.formats.locate import BrokenFile, Stream, folder_of, open_stream, suffix_of
from curate.formats.rows import Chunk, Rejection, lost_file
from curate.formats.scan import ScannedReader

__all__ = ["CsvReader", "guess_delimiter"]

_BLOCK = 16 << 20
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
_NUMBER = r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|^[-+]?(nan|NaN|inf|Infinity)$"
_TRUTH = r"^(true|false|True|False|TRUE|FALSE)$"


class CsvReader(ScannedReader):
    """Delimited text with a header line. Empty cells are null. Numbers become numbers where a whole column is
    numbers; `header` gives the columns' names where the file has none."""

    what = "CSV"

    def __init__(
        self,
        files: Sequence[str],
        *,
        max_text_bytes: int,
        delimiter: str | None = None,
        header: Sequence[str] = (),
    ) -> None:
        super().__init__(files, max_text_bytes=max_text_bytes)
        self._delimiter = delimiter
        self._header = list(header)

    def pieces(self) -> Iterator[Chunk]:
        """Blocks of roughly 16 MB, all text."""
        for file in self.files:
            yield from self._read(file)

    def types(self, table: pa.Table) -> dict[str, pa.DataType]:
        """Numbers and truth values as such, where every cell is one and nothing is lost (007 stays text)."""
        return {name: _type_of(table.column(name)) for name in table.column_names}

    def _read(self, file: str) -> Iterator[Chunk]:
        lost: list[tuple[int, str, str]] = []
        # Arrow counts rows from 1, the header included, as long as one thread parses.
        first = 1 if self._header else 2

        def refuse(row: Any) -> str:
            reason = f"{counted(row.actual_columns, 'cell')} where the header has {row.expected_columns}"
            lost.append((int(row.number or 0) - first, reason, str(row.text)))
            return "skip"

        try:
            names, delimiter = self._look(file)
        except BrokenFile as error:
            yield lost_file(file, None, str(error))
            return
        at, refused = 0, list[int]()
        with open_stream(file) as stream:
            try:
                reader = self._open(stream, names, delimiter, refuse)
                while True:
                    batch = next(reader, None)
                    refused += [
                        row for row, _, _ in lost
                    ]  # of this block, and of the next, which is read ahead
                    size = 0 if batch is None else len(batch)
                    rows = _positions(at, size, refused)
                    if size and batch is not None:
                        at = int(rows[-1]) + 1
                        refused = [row for row in refused if row >= at]
                    batch = (
                        pa.RecordBatch.from_pylist([], schema=_text_schema(names)) if batch is None else batch
                    )
                    yield self._chunk(file, batch, rows, lost)
                    lost.clear()
                    if not size:
                        break
            except (pa.ArrowInvalid, BrokenFile) as error:
                yield lost_file(file, at, f"rows from {at} on cannot be read: {error}")

    def _look(self, file: str) -> tuple[list[str], str]:
        """Column names and delimiter from the first line."""
        with open_stream(file) as stream:
            start = stream.read(1 << 20)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise InputError(f"{file} is UTF-16: save it as UTF-8 first")
        if not start.strip():
            raise InputError(f"{file} is empty: not even a header line")
        text = start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").lstrip("\r\n")
        delimiter = self._delimiter or ("\t" if suffix_of(file) == ".tsv" else guess_delimiter(text))
        if self._header:
            return self._header, delimiter
        try:
            names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
            for name in names:
                name.encode()
        except (UnicodeEncodeError, csv.Error) as error:
            raise InputError(f"{file}: the header line is not UTF-8 text: {error}") from error
        names = [
            name.strip() or f"column_{i}" for i, name in enumerate(names)
        ]  # pandas leaves its index unnamed
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"{file}: the header names {', '.join(map(repr, twice))} more than once")
        return names, delimiter

    def _open(
        self, stream: Stream, names: list[str], delimiter: str, refuse: Any
    ) -> Iterator[pa.RecordBatch]:
        reader = pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(
                use_threads=False,
                block_size=max(_BLOCK, 2 * self.max_text_bytes),
                column_names=names,
                skip_rows=0 if self._header else 1,
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                invalid_row_handler=refuse,
                quote_char=False if self._header and delimiter in "\t|" else '"',
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=_text_schema(names),
                check_utf8=False,
                strings_can_be_null=True,
                null_values=[""],
                quoted_strings_can_be_null=True,
            ),
        )
        yield from reader

    def _chunk(
        self, file: str, batch: pa.RecordBatch, rows: Any, lost: Sequence[tuple[int, str, str]]
    ) -> Chunk:
        rejected = [
            Rejection(file, row, "malformed", f"data row {row + 1}: {reason}", text)
            for row, reason, text in lost
        ]
        columns: dict[str, pa.Array] = {}
        bad: dict[int, str] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            columns[name], found = to_text(column)
            for row, (_, reason) in found.items():
                bad.setdefault(row, f"data row {int(rows[row]) + 1}: column {name!r} {reason}")
        table = pa.table(columns)
        if bad:
            where = np.fromiter(sorted(bad), np.int64)
            shown = table.take(pa.array(where)).to_pylist()
            rejected += [
                Rejection(file, int(rows[row]), "invalid-utf8", bad[row], data)
                for row, data in zip(where.tolist(), shown, strict=True)
            ]
            keeps = np.ones(len(table), bool)
            keeps[where] = False
            table, rows = table.filter(pa.array(keeps)), rows[keeps]
        return Chunk(table, rows, file, folder_of(file), rejected)


def _text_schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, pa.binary()) for name in names])  # bytes: whether they are text is for us to say


def _positions(at: int, size: int, gone: list[int]) -> Any:
    """Row numbers of `size` rows from `at` on, skipping those that were refused in between."""
    numbers = np.arange(at, at + size + len(gone), dtype=np.int64)
    return np.setdiff1d(numbers, np.asarray(gone, np.int64), assume_unique=True)[:size]


def _type_of(column: pa.ChunkedArray) -> pa.DataType:
    if column.null_count == len(column):
        return pa.null()
    for pattern, type_ in ((_INTEGER, pa.int64()), (_NUMBER, pa.float64()), (_TRUTH, pa.bool_())):
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            padded = (
                type_ == pa.float64() and pc.any(pc.match_substring_regex(column, r"^[-+]?0[0-9]")).as_py()
            )
            return pa.string() if padded else type_
    return pa.string()


def guess_delimiter(text: str) -> str:
    """The delimiter of a header line: the candidate that splits it into most cells."""
    line = text.split("\n", 1)[0]
    counts = {mark: line.count(mark) for mark in (",", "\t", ";", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","
