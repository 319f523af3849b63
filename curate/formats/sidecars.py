"""Texts that belong to files: in a file beside each, or in a table with one row for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError, MediaError, SchemaError
from curate.formats.jsonl import columns_from_records
from curate.formats.locate import find_files, open_stream, suffix_of
from curate.formats.rows import Asked, Hints, Reader, Rejection
from curate.kinds import Kind

__all__ = ["TABLES", "SidecarTexts", "TableTexts", "Texts"]

_SIDECARS = (".txt", ".json", ".caption")
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
_NAMES = ("file_name", "filename", "file", "path", "image", "audio", "image_path", "audio_path", "name")
_NUMBERED = re.compile(r"#\d+$")
_FIRST_CELL = re.compile(r"([^,\t;|]+)([,\t;|])")

Rows = npt.NDArray[np.int64]


class Texts(Protocol):
    """What is known of files beside their content. `take` gives rows for files, and which file each row is of."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def implied(self) -> Mapping[str, str]: ...
    def gives(self, kind: Kind, column: str) -> bool: ...
    def take(
        self, files: Sequence[str], rejected: list[Rejection], numbers: Sequence[int]
    ) -> tuple[pa.Table, Rows]: ...
    def unused(self) -> list[Rejection]: ...


def stem(name: str) -> str:
    """A path without its last suffix."""
    dot = name.rfind(".")
    return name[:dot] if dot > name.rfind("/") + 1 else name


class SidecarTexts:
    """`x.txt` (the text) and `x.json` (more columns) beside `x.jpg`."""

    def __init__(
        self,
        root: str,
        names: Sequence[str],
        media: Sequence[str],
        asked: Asked,
        *,
        suffix: str | None = None,
    ) -> None:
        self._root, self._limit = root, asked.max_text_bytes
        suffixes = _SIDECARS if suffix is None else (suffix,)
        beside = {s: {n for n in names if n.endswith(s)} for s in suffixes}
        stems = {stem(name) for name in media} if any(beside.values()) else set()
        found = {s: some for s, some in beside.items() if any(stem(n) in stems for n in some)}
        if suffix is not None and not found:
            raise InputError(f"{root}: no file has a sidecar ending in {suffix}")
        self._beside = found
        self._stems = stems
        self._column = _text_column(asked.kind)
        texts = [s for s in found if s != ".json"]
        self._text = texts[0] if texts else None

    @cached_property
    def names(self) -> list[str]:
        """The text's column and the keys of all JSON sidecars, in order of appearance."""
        own = [self._column] if self._text else []
        keys: dict[str, None] = {}
        for name in sorted(self._beside.get(".json", ())):
            record = self._json(name)
            keys.update(dict.fromkeys(record if isinstance(record, dict) else ()))
        return own + [key for key in keys if key not in own]

    implied: Mapping[str, str] = {}

    def gives(self, kind: Kind, column: str) -> bool:
        """Whether a column of the kind comes from here."""
        return column in self.names

    def _json(self, name: str) -> dict[str, Any] | str:
        try:
            record = json.loads(self._read(name))
        except (ValueError, RecursionError, MediaError, OSError) as error:
            return f"{name} is not JSON: {error}"
        return record if isinstance(record, dict) else f"{name} holds no JSON object"

    def _read(self, name: str) -> str:
        with open_stream(f"{self._root}/{name}") as stream:
            data = stream.read(self._limit + 5)
        if len(data.removeprefix(b"\xef\xbb\xbf")) > self._limit + 1:
            raise MediaError("too-long", f"{name}: more than {counted(self._limit, 'byte')} (max_text_bytes)")
        return data.decode("utf-8-sig")

    def take(
        self, files: Sequence[str], rejected: list[Rejection], numbers: Sequence[int]
    ) -> tuple[pa.Table, Rows]:
        """One row for each file; a file whose sidecar cannot be read is rejected."""
        if not self._beside:
            return pa.table({"_": pa.nulls(len(files))}).select([]), np.arange(len(files))
        records: list[tuple[int, dict[str, Any]]] = []
        for index, (file, number) in enumerate(zip(files, numbers, strict=True)):
            try:
                records.append((index, self._record(file)))
            except UnicodeDecodeError as error:
                reason = f"the text beside {file} is not UTF-8: {error.reason} at byte {error.start}"
                rejected.append(Rejection(self._root, number, "invalid-utf8", reason, file))
            except MediaError as error:
                rejected.append(Rejection(self._root, number, error.code, str(error), file))
        faults: list[Rejection] = []
        table, source = columns_from_records(records, self._root, faults)
        for fault in faults:
            assert fault.row is not None
            rejected.append(
                Rejection(self._root, numbers[fault.row], fault.code, fault.reason, files[fault.row])
            )
        columns = {
            n: table.column(n) if n in table.column_names else pa.nulls(len(source)) for n in self.names
        }
        return (pa.table(columns) if columns else pa.table({"_": pa.nulls(len(source))}).select([])), source

    def _record(self, file: str) -> dict[str, Any]:
        record: dict[str, Any] = {}
        name = stem(file)
        if name + ".json" in self._beside.get(".json", ()):
            found = self._json(name + ".json")
            if isinstance(found, str):
                raise MediaError("malformed", found)
            record = dict(found)
        if self._text and name + self._text in self._beside[self._text]:
            record[self._column] = self._read(name + self._text).strip()
        return record

    def unused(self) -> list[Rejection]:
        """Sidecars of files that are not there."""
        lost = sorted(n for some in self._beside.values() for n in some if stem(n) not in self._stems)
        return [
            Rejection(
                self._root, None, "missing-file", f"{name}: there is no image or sound of that name", name
            )
            for name in lost
        ]


class TableTexts:
    """A table with a row for each text; one column names the file, with or without suffix and folder."""

    def __init__(self, table: str, media: Sequence[str], asked: Asked) -> None:
        kind, columns = asked.kind, asked.columns
        self._path, self._kind, self._limit = table, kind, asked.max_text_bytes
        self._media = media
        reader = self._open(find_files(table)[0])
        known = {name for c in kind.content for name in (c, *kind.aliases.get(c, ()))}
        hints = Hints(text=frozenset({*_NAMES, *known, *columns.values()} & set(reader.names)))
        chunks = list(reader.chunks(1 << 20, hints))
        self._lost = [r for chunk in chunks for r in chunk.rejected]
        self._table = pa.concat_tables([c.table for c in chunks], promote_options="permissive")
        self._rows = np.concatenate([c.rows for c in chunks])
        self._key = self._find_key(columns)

    def _open(self, file: str) -> Reader:
        suffix = suffix_of(file)
        if suffix == ".parquet":
            from curate.formats.parquet import ParquetReader

            return ParquetReader([file])
        if suffix in (".jsonl", ".json"):
            from curate.formats.jsonl import JsonReader

            return JsonReader([file], max_text_bytes=self._limit)
        from curate.formats.text import CsvReader

        delimiter = "\t" if suffix == ".tsv" else None
        first = self._first_line(file)
        cell = _FIRST_CELL.match(first)
        if cell is None or not self._names_file(cell[1].strip('"')):
            return CsvReader([file], max_text_bytes=self._limit, delimiter=delimiter)
        # No header: the very first cell names a file that is there.
        width = first.count(cell[2]) + 1
        header = ["file_name", _text_column(self._kind), *(f"column_{i}" for i in range(2, width))]
        return CsvReader([file], max_text_bytes=self._limit, delimiter=cell[2], header=header)

    def _first_line(self, file: str) -> str:
        with open_stream(file) as stream:
            return (
                stream.read(1 << 16)
                .decode("utf-8", "replace")
                .lstrip("\ufeff")
                .split("\n", 1)[0]
                .rstrip("\r")
            )

    @cached_property
    def _ways(self) -> list[dict[str, list[int]]]:
        """Ways in which a table may name a file: path, path without suffix, name, name without suffix."""
        ways: list[dict[str, list[int]]] = [{}, {}, {}, {}]
        for index, name in enumerate(self._media):
            base = name.rpartition("/")[2]
            for way, key in zip(ways, (name, stem(name), base, stem(base)), strict=True):
                way.setdefault(key, []).append(index)
        return ways

    def _find(self, key: str) -> list[int]:
        key = key.removeprefix("./")
        return next((way[key] for way in self._ways if key in way), [])

    def _names_file(self, cell: str) -> bool:
        return bool(cell) and bool(self._find(cell) or self._find(_NUMBERED.sub("", cell)))

    def _find_key(self, columns: Mapping[str, str]) -> str:
        names = self._table.column_names
        given = [columns[c] for c in self._kind.media if columns.get(c) in names]
        for name in [*given, *(n for n in _NAMES if n in names)]:
            return name
        media = " or ".join(self._kind.media)
        raise SchemaError(
            f"{self._path} has no column that names the files. It has: {', '.join(names)}. Say which it is: "
            f'columns={{"{self._kind.media[0]}": "<its name>"}} for the {media}'
        )

    @property
    def names(self) -> list[str]:
        """The table's columns; the one that names the file gives way to its address."""
        return [name for name in self._table.column_names if name != self._key]

    @property
    def key(self) -> str:
        """The column that names the file."""
        return self._key

    implied: Mapping[str, str] = {}

    def gives(self, kind: Kind, column: str) -> bool:
        """Whether a column of the kind comes from here, under its own or another known name."""
        return any(name in self.names for name in (column, *kind.aliases.get(column, ())))

    @cached_property
    def _joined(self) -> tuple[list[list[int]], list[int]]:
        """For each file the rows that name it, and the rows that name no file."""
        rows: list[list[int]] = [[] for _ in self._media]
        lost: list[int] = []
        for row, cell in enumerate(self._table.column(self._key).to_pylist()):
            text = "" if cell is None else str(cell)
            hits = self._find(text) or self._find(_NUMBERED.sub("", text))
            for hit in hits:
                rows[hit].append(row)
            if not hits:
                lost.append(row)
        return rows, lost

    def take(
        self, files: Sequence[str], rejected: list[Rejection], numbers: Sequence[int]
    ) -> tuple[pa.Table, Rows]:
        """The rows of each file in the table's order; a file that no row names has one row of nulls."""
        place = self._place
        taken: list[int | None] = []
        source: list[int] = []
        for index, file in enumerate(files):
            rows: Sequence[int | None] = self._joined[0][place[file]] or [None]
            taken += rows
            source += [index] * len(rows)
        return self._table.select(self.names).take(pa.array(taken, pa.int64())), np.array(source, np.int64)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._media)}

    def unused(self) -> list[Rejection]:
        """Rows of the table that cannot be read, and rows whose file is not there."""
        lost = self._joined[1]
        shown = self._table.take(pa.array(lost, pa.int64())).to_pylist()
        return self._lost + [
            Rejection(
                self._path,
                int(self._rows[row]),
                "missing-file",
                f"there is no file {data[self._key]!r} in the folder",
                data,
            )
            for row, data in zip(lost, shown, strict=True)
        ]


def _text_column(kind: Kind) -> str:
    """The column that a bare text beside a file fills: the label where that is what the kind needs."""
    if "label" in kind.needed:
        return "label"
    texts = kind.roles.get("text", ())
    return texts[0] if texts else "text"
