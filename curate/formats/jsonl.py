"""JSON lines, compressed or not, and JSON arrays. A bad line costs that line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
import pyarrow.types as pt

from curate.counting import counted
from curate.errors import InputError
from curate.formats.arrays import from_values, plain
from curate.formats.coco import begins_coco, image_rows
from curate.formats.locate import BrokenFile, Stream, folder_of, open_stream
from curate.formats.rows import Chunk, Rejection, lost_file
from curate.formats.scan import ScannedReader

__all__ = ["JsonReader", "columns_from_records"]

_BLOCK = 16 << 20
_WHOLE = 1 << 30
_EXACT = 2.0**53


class JsonReader(ScannedReader):
    """One JSON object a line, one array of objects (alone or as the only list of an object), or COCO annotations in a file."""

    what = "JSON"

    def __init__(self, files: Sequence[str], *, max_text_bytes: int) -> None:
        super().__init__(files, max_text_bytes=max_text_bytes)
        self._longest = 8 * max_text_bytes + (1 << 20)

    def pieces(self) -> Iterator[Chunk]:
        """Blocks of roughly 16 MB."""
        for file in self.files:
            whole = self._whole(file)
            if whole is not None:
                yield whole
                continue
            row, line = 0, 1
            with open_stream(file) as stream:
                try:
                    for block, too_long in _blocks(stream, self._longest):
                        chunk, rows, lines = _parse(block, file, (row, line), too_long)
                        row, line = row + rows, line + lines
                        yield chunk
                except BrokenFile as error:
                    yield lost_file(file, row, str(error))

    def _whole(self, file: str) -> Chunk | None:
        """The file as one JSON document, if it is one: an array, or an object with exactly one list of objects."""
        with open_stream(file) as stream:
            try:
                start = stream.read(1 << 16)
            except BrokenFile:
                return None  # found out again, and listed, when it is read
            if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise InputError(f"{file} is UTF-16: save it as UTF-8 first")
            start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
            maybe = begins_coco(start) and not _spans_lines(start)  # one line, or the first of many
            if not start.startswith(b"[") and not _spans_lines(start) and not maybe:
                return None
        with open_stream(file) as stream:
            data = stream.read(_WHOLE + 1)
        if len(data) > _WHOLE and not maybe:
            raise InputError(
                f"{file}: a JSON document of more than 1 GiB; write one object a line instead (.jsonl)"
            )
        try:
            document = json.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            if maybe:
                return None
            raise InputError(f"{file} is neither JSON lines nor one JSON document: {error}") from error
        images = image_rows(document)
        records = _records(document) if images is None else images
        if images is None and maybe:
            return None
        if records is None:
            raise InputError(f"{file}: expected a list of objects, or an object with exactly one such list")
        rejected: list[Rejection] = []
        good = _only_objects(records, file, rejected)
        table, numbers = columns_from_records(good, file, rejected)
        return Chunk(table, numbers, file, folder_of(file), rejected)


def _spans_lines(start: bytes) -> bool:
    """Whether an object begins that goes on over several lines."""
    line = start.split(b"\n", 1)[0]
    if not start.startswith(b"{") or b"\n" not in start:
        return False
    try:
        json.loads(line)
    except ValueError:
        return line.strip() in (b"{",) or line.rstrip().endswith((b"[", b"{", b","))
    return False


def _records(document: Any) -> list[Any] | None:
    if isinstance(document, list):
        return document
    if isinstance(document, dict):
        lists = [
            v for v in document.values() if isinstance(v, list) and v and all(isinstance(r, dict) for r in v)
        ]
        return lists[0] if len(lists) == 1 else None
    return None


def _only_objects(
    records: list[Any], file: str, rejected: list[Rejection]
) -> list[tuple[int, dict[str, Any]]]:
    good = []
    for row, record in enumerate(records):
        if isinstance(record, dict):
            good.append((row, record))
        else:
            rejected.append(Rejection(file, row, "malformed", f"entry {row} is no JSON object", record))
    return good


def _blocks(stream: Stream, longest: int) -> Iterator[tuple[bytes, int]]:
    """(whole lines, bytes of one line that was left out behind them because it is too long, or 0)."""
    held = b""
    while True:
        try:
            data = stream.read(_BLOCK)
        except BrokenFile:
            if held:
                yield held, 0  # the last line is cut: it will be found malformed
            raise
        if not data:
            break
        held += data
        cut = held.rfind(b"\n") + 1
        if cut:
            yield held[:cut], 0
            held = held[cut:]
        if len(held) > longest:
            size, held = _skip_line(stream, len(held))
            yield b"", size
    if held:
        yield held, 0


def _skip_line(stream: Stream, size: int) -> tuple[int, bytes]:
    while True:
        data = stream.read(_BLOCK)
        if not data:
            return size, b""
        cut = data.find(b"\n")
        if cut >= 0:
            return size + cut, data[cut + 1 :]
        size += len(data)


def _parse(block: bytes, file: str, at: tuple[int, int], too_long: int) -> tuple[Chunk, int, int]:
    """The chunk, how many rows and how many lines were in the block; `at` are the numbers of its first row and line."""
    row, line = at
    if too_long:
        reason = f"line {line}: {counted(too_long, 'byte is', 'bytes are')} more than one row may have (max_text_bytes)"
        rejection = Rejection(file, row, "too-long", reason)
        return Chunk(pa.table({}), np.zeros(0, np.int64), file, folder_of(file), [rejection]), 1, 1
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    fast = _parse_fast(block, lines)
    if fast is not None:
        numbers = np.arange(row, row + len(fast), dtype=np.int64)
        return Chunk(fast, numbers, file, folder_of(file)), len(fast), lines
    records: list[tuple[int, dict[str, Any]]] = []
    rejected: list[Rejection] = []
    number = row
    for offset, text in enumerate(block.removesuffix(b"\n").split(b"\n")):
        text = text.removeprefix(b"\xef\xbb\xbf") if line + offset == 1 else text
        if not text.strip():
            continue
        problem = _load(text, number, records)
        if problem is not None:
            code, reason = problem
            shown = text[:1000].decode("utf-8", "backslashreplace")
            rejected.append(Rejection(file, number, code, f"line {line + offset}: {reason}", shown))
        number += 1
    table, numbers = columns_from_records(records, file, rejected)
    return Chunk(table, numbers, file, folder_of(file), rejected), number - row, lines


def _load(text: bytes, row: int, records: list[tuple[int, dict[str, Any]]]) -> tuple[str, str] | None:
    try:
        record = json.loads(text.decode())
    except UnicodeDecodeError as error:
        return "invalid-utf8", f"not UTF-8: {error.reason} at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return "malformed", f"not JSON: {error}"
    if not isinstance(record, dict):
        return "malformed", "no JSON object"
    records.append((row, record))
    return None


def _parse_fast(block: bytes, lines: int) -> pa.Table | None:
    """Arrow's own parser, where it says exactly what ours would; None otherwise."""
    try:
        block.decode()
        options = pajson.ReadOptions(use_threads=False, block_size=len(block) + 1)
        table = pajson.read_json(io.BytesIO(block), read_options=options)
        if any(
            _has_time(field.type) for field in table.schema
        ):  # it takes text that looks like a date for one
            schema = pa.schema([(f.name, _without_time(f.type)) for f in table.schema])
            parsing = pajson.ParseOptions(explicit_schema=schema)
            table = pajson.read_json(io.BytesIO(block), read_options=options, parse_options=parsing)
    except (UnicodeDecodeError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    blank = lines - len(table)
    if blank and blank != sum(not text.strip() for text in block.removesuffix(b"\n").split(b"\n")):
        return None  # rows and lines are not the same: numbers in messages would be wrong
    if len(set(table.column_names)) < table.num_columns or any(_loses_digits(c) for c in table.columns):
        return None
    return pa.table({name: plain(table.column(name)) for name in table.column_names})


def _has_time(type_: pa.DataType) -> bool:
    if pt.is_temporal(type_):
        return True
    return (
        any(_has_time(type_.field(i).type) for i in range(type_.num_fields)) if pt.is_nested(type_) else False
    )


def _without_time(type_: pa.DataType) -> pa.DataType:
    if pt.is_temporal(type_):
        return pa.string()
    if pt.is_struct(type_):
        return pa.struct([(f.name, _without_time(f.type)) for f in type_])
    if pt.is_list(type_):
        return pa.list_(_without_time(type_.value_type))
    return type_


def _loses_digits(column: pa.ChunkedArray) -> bool:
    """Whether integers may have become floats that cannot hold them."""
    type_ = column.type
    if pt.is_floating(type_):
        return bool(pc.any(pc.greater_equal(pc.abs(column), _EXACT)).as_py())
    if pt.is_struct(type_):
        return any(_loses_digits(child) for child in column.flatten())
    if pt.is_list(type_):
        return _loses_digits(pa.chunked_array([pc.list_flatten(column.combine_chunks())]))
    return False


def columns_from_records(
    records: Sequence[tuple[int, dict[str, Any]]], source: str, rejected: list[Rejection]
) -> tuple[pa.Table, Any]:
    """Objects as columns, in order of first appearance, and their row numbers; rows that cannot be are appended to
    `rejected` and left out."""
    names = list(dict.fromkeys(name for _, record in records for name in record))
    columns: dict[str, pa.Array] = {}
    bad: dict[int, tuple[str, str]] = {}
    for name in names:
        columns[_sound(name)], found = from_values([record.get(name) for _, record in records])
        for position, (code, reason) in found.items():
            bad.setdefault(position, (code, f"column {name!r} {reason}"))
    table = pa.table(columns) if columns else pa.table({"_": pa.nulls(len(records))}).select([])
    numbers = np.fromiter((row for row, _ in records), np.int64, len(records))
    if bad:
        for position in sorted(bad):
            row, record = records[position]
            rejected.append(Rejection(source, row, *bad[position], record))
        keep = np.ones(len(records), bool)
        keep[sorted(bad)] = False
        table, numbers = table.filter(pa.array(keep)), numbers[keep]
    return table, numbers


def _sound(name: Any) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()
