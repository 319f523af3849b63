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

from curate.errors import InputError
from curate.formats.arrays import to_text
from curate.formats.locate import folder_of, open_stream, suffix_of
from curate.formats.rows import Chunk, Rejection
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
        lost: list[tuple[int | None, str]] = []

        def refuse(row: Any) -> str:
            cells = f"{row.actual_columns} cells where the header has {row.expected_columns}"
            lost.append((row.number, f"{cells}\0{row.text}"))
            return "skip"

        names, delimiter = self._look(file)
        with open_stream(file) as stream:
            reader = self._open(file, stream, names, delimiter, refuse)
            # `number` counts from 1 and counts the header, as long as one thread parses.
            first = 1 if self._header else 2
            at = 0
            while True:
                batch = self._next(file, reader)
                if batch is None:
                    break
                gone = [(int(number or 0) - first, reason) for number, reason in lost]
                lost.clear()
                rows = _positions(at, len(batch), [row for row, _ in gone])
                at = int(rows[-1]) + 1 if len(rows) else at
                yield self._chunk(file, batch, rows, gone)
            gone = [(int(number or 0) - first, reason) for number, reason in lost]
            if gone:
                empty = pa.RecordBatch.from_pylist([], schema=reader.schema)
                yield self._chunk(file, empty, np.zeros(0, np.int64), gone)

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

    def _open(self, file: str, stream: Any, names: list[str], delimiter: str, refuse: Any) -> Any:
        try:
            return pacsv.open_csv(
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
                    column_types=dict.fromkeys(names, pa.binary()),
                    check_utf8=False,
                    strings_can_be_null=True,
                    null_values=[""],
                    quoted_strings_can_be_null=True,
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(f"{file} cannot be read as CSV: {error}") from error

    def _next(self, file: str, reader: Any) -> pa.RecordBatch | None:
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None
        except pa.ArrowInvalid as error:
            raise InputError(f"{file} cannot be read as CSV: {error}") from error
        except EOFError as error:
            raise InputError(f"{file}: the compressed file ends early") from error

    def _chunk(self, file: str, batch: pa.RecordBatch, rows: Any, gone: list[tuple[int, str]]) -> Chunk:
        rejected = []
        for row, text in gone:
            reason, _, line = text.partition("\0")
            rejected.append(Rejection(file, row, "malformed", f"data row {row + 1}: {reason}", line))
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
