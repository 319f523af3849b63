"""One way in: whatever holds the items, as batches that fit the kind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError, UnknownNameError
from curate.formats.chats import with_chats
from curate.formats.exported import Exported, find_export
from curate.formats.frames import frame_reader
from curate.formats.locate import (
    absolute,
    check_address,
    find_files,
    is_folder,
    is_url,
    suffix_of,
    walk_folder,
    within,
)
from curate.formats.mapping import plan_columns
from curate.formats.rows import REJECTED, Asked, Reader
from curate.formats.scan import ScannedReader
from curate.formats.shape import SourceBatch, shape_chunk
from curate.kinds import Kind
from curate.kinds import kind as kind_of

__all__ = ["FORMATS", "Source", "SourceBatch", "check_source", "columns_ahead", "open_source"]

FORMATS = ("parquet", "csv", "tsv", "jsonl", "json", "folder", "webdataset", "datasets")

_BY_SUFFIX = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".tar": "webdataset",
    ".tgz": "webdataset",
}
_TABLES = {"parquet", "csv", "tsv", "jsonl", "json"}
_MAX_BATCH_BYTES = 128 << 20
_QUICKLY = 256 << 20
"""Bytes of text or tar that may be read through to learn their columns: one second, about."""


class Source:
    """Items of one kind, wherever they are. `batches` may be called again and gives the same batches again."""

    def __init__(
        self, reader: Reader, asked: Asked, *, root: str | None = None, exported: Exported | None = None
    ) -> None:
        self.kind = asked.kind
        self._reader = reader
        self._root = root or (exported.folder if exported else None)
        self._exported = exported
        self._max_text_bytes = asked.max_text_bytes
        names: Sequence[str] = reader.names
        if exported:
            names, asked = exported.own(names, asked), exported.renamed(names, asked)
        self._plan = plan_columns(names, asked, reader.implied)

    def describe(self) -> str:
        """One line for logs."""
        return self._reader.describe()

    def fingerprint(self) -> str | None:
        """Changes when the source does, judged by names, sizes and times of change; None where only reading tells."""
        return self._reader.fingerprint()

    @property
    def mapping(self) -> dict[str, str]:
        """Our column -> the source's, for every column that is read."""
        ids = {} if self._plan.id is None else {"id": self._plan.id}
        return {**ids, **self._plan.fields, **self._plan.extra}

    def batches(self, rows: int = 8192) -> Iterator[SourceBatch]:
        """All rows in order, in batches of `rows` (fewer in the last, and where they are large), each row either in
        the table or among the rejected."""
        if rows < 1:
            raise InputError(f"batches of {counted(rows, 'row')}: at least 1 is needed")
        tables: list[pa.Table] = []
        rejected: list[pa.Table] = []
        for chunk in self._reader.chunks(rows, self._plan.hints()):
            batch = shape_chunk(chunk, self._plan, root=self._root, max_text_bytes=self._max_text_bytes)
            tables.append(self._exported.plain(batch.table) if self._exported else batch.table)
            rejected.append(batch.rejected)
            held = sum(map(len, tables))
            if held < rows and sum(table.nbytes for table in tables) < _MAX_BATCH_BYTES:
                continue
            table = _concat(tables)
            whole = max(held - held % rows, 0) or held
            for start in range(0, whole, rows):
                yield SourceBatch(
                    table.slice(start, min(rows, whole - start)).combine_chunks(), _drain(rejected)
                )
            tables = [table.slice(whole)] if whole < held else []
        if sum(map(len, tables)) or any(map(len, rejected)):
            yield SourceBatch(_concat(tables).combine_chunks(), _drain(rejected))


def _concat(tables: Sequence[pa.Table]) -> pa.Table:
    filled = [table for table in tables if len(table)] or tables[:1]
    return pa.concat_tables(filled, promote_options="default")


def _drain(rejected: list[pa.Table]) -> pa.Table:
    table = pa.concat_tables([REJECTED.empty_table(), *rejected]).combine_chunks()
    rejected.clear()
    return table


def open_source(
    source: Any,
    kind: str | Kind,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    id: str | None = None,
    texts: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    max_text_bytes: int = 10_000_000,
) -> Source:
    """Open a source of items; only its listing and its columns are read yet.

    `source`  a path, glob, folder or fsspec URL of Parquet, CSV, JSON, images, sounds, tars or a saved dataset; a folder
              that `export` wrote, or files of it, where facts about media are found out anew and rank, weight, gain and reason become
              `selection_rank` and so on; or a pandas, Polars or Arrow table, a DuckDB relation, a `datasets` object, a
              list of dicts, a dict of columns.
    `format`  one of `FORMATS`, where the name does not tell.
    `columns` our column -> the source's; needed where names differ, and to rename the user's own columns. For `labels` also
              columns of yes and no, one for each label: names, or patterns with one `*`, separated by commas.
    `id`      the source's column that identifies an item; without one (and without a column `id`) ids are derived.
    `texts`   for folders: the metadata table (path), or the suffix of sidecar files (".txt").
    `root`    what relative addresses of media start from, if not the folder of the table.
    `max_text_bytes`  longer texts are rejected.

    Conversations, lists of messages, become the texts of instructions and preferences: see `chats.with_chats`.
    Raises InputError where there is nothing, SchemaError or UnknownNameError where columns do not fit.
    """
    kind = kind_of(kind) if isinstance(kind, str) else kind
    _check_format(format)
    asked = Asked(kind, columns or {}, id, texts, max_text_bytes)
    exported = None
    if isinstance(source, (str, os.PathLike)):
        exported = _export_at(absolute(source), format)
        reader = _file_reader(absolute(source), format, asked, exported)
    else:
        reader = _object_reader(source, asked)
    reader = with_chats(reader, asked)
    return Source(reader, asked, root=None if root is None else absolute(root), exported=exported)


def columns_ahead(
    source: str,
    kind: str | Kind,
    *,
    format: str | None = None,
    columns: Mapping[str, str] | None = None,
    id: str | None = None,
    texts: str | os.PathLike[str] | None = None,
) -> tuple[str, ...] | None:
    """The columns that `open_source` with the same would bring, `id` first; None where telling them takes long: for files
    on other machines, and for much text, which has to be read through. Raises what `open_source` raises."""
    asked = Asked(kind_of(kind) if isinstance(kind, str) else kind, columns or {}, id, texts)
    check_source(source, format=format, texts=texts)
    if is_url(absolute(source)):
        return None
    exported = _export_at(absolute(source), format)
    reader = _file_reader(absolute(source), format, asked, exported)
    if isinstance(reader, ScannedReader) and sum(map(os.path.getsize, reader.files)) > _QUICKLY:
        return None
    return tuple(dict.fromkeys(["id", *Source(with_chats(reader, asked), asked, exported=exported).mapping]))


def check_source(source: str, *, format: str | None = None, texts: Any = None) -> None:
    """Raises InputError where there is surely nothing to read, UnknownNameError for a format; nothing is listed or read."""
    _check_format(format)
    place = absolute(source)
    if is_url(place):
        check_address(place)
    elif not is_folder(place):
        files = find_files(place)
        if format is None and find_export(place) is None:
            _guess_format(place, files, False, texts is not None)


def _check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)


def _export_at(source: str, format: str | None) -> Exported | None:
    """The export that the source is, or is part of, unless another format is asked for."""
    found = find_export(source)
    return found if found is not None and format in (None, found.format) else None


def _object_reader(source: Any, asked: Asked) -> Reader:
    if asked.texts is not None:
        raise InputError("texts= belongs to folders of images or sounds; a table has its texts in a column")
    from curate.formats.hf import dataset_reader

    reader = dataset_reader(source) or frame_reader(source)
    if reader is None:
        raise InputError(
            f"a {type(source).__module__}.{type(source).__name__} is no source of items: expected a path, a pandas, "
            "Polars or Arrow table, a DuckDB relation, a datasets.Dataset, a list of dicts or a dict of columns"
        )
    return reader


def _file_reader(source: str, format: str | None, asked: Asked, exported: Exported | None = None) -> Reader:
    if exported is not None and exported.format != "datasets":
        return _table_reader(exported.format, list(exported.files), asked)
    folder = is_folder(source)
    listing = walk_folder(source) if folder else []
    files = [within(source, name) for name, _ in listing] if folder else find_files(source)
    if folder and not files:
        raise InputError(f"the folder {source} is empty")
    if "::" in source and not {_BY_SUFFIX.get(suffix_of(file)) for file in files} <= _TABLES:
        raise InputError(
            f"{source}: inside an archive only tables are read ({', '.join(sorted(_TABLES))}); unpack it first"
        )
    format = format or _guess_format(source, files, folder, asked.texts is not None)
    if format == "folder":
        from curate.formats.folder import FolderReader

        return FolderReader(source if folder else None, files, [stat for _, stat in listing], asked)
    if asked.texts is not None:
        raise InputError(f"texts= belongs to folders of images or sounds; {source} is read as {format}")
    if format == "datasets":
        from curate.formats.hf import saved_reader

        return saved_reader(source)
    if folder:
        files = [file for file in files if _BY_SUFFIX.get(suffix_of(file)) in _same(format)]
        if not files:
            raise InputError(f"the folder {source} holds no {format} files")
    return _table_reader(format, files, asked)


def _same(format: str) -> tuple[str, ...]:
    return ("json", "jsonl") if format in ("json", "jsonl") else (format,)


def _table_reader(format: str, files: list[str], asked: Asked) -> Reader:
    limit = asked.max_text_bytes
    if format == "parquet":
        from curate.formats.parquet import ParquetReader

        return ParquetReader(files)
    if format in ("csv", "tsv"):
        from curate.formats.text import CsvReader

        return CsvReader(files, max_text_bytes=limit, delimiter="\t" if format == "tsv" else None)
    if format == "webdataset":
        from curate.formats.webdataset import KEY, TarReader

        return TarReader(files, asked.kind, max_text_bytes=limit, with_key=asked.names(KEY))
    from curate.formats.jsonl import JsonReader

    return JsonReader(files, max_text_bytes=limit)


def _guess_format(source: str, files: Sequence[str], folder: bool, with_texts: bool) -> str:
    from curate.formats.folder import is_medium

    names = {file.rpartition("/")[2] for file in files} if folder else set()
    if names & {"dataset_dict.json"} or {"dataset_info.json", "state.json"} <= names:
        return "datasets"
    if with_texts or (folder and any(is_medium(file) for file in files)):
        return "folder"
    found = {_BY_SUFFIX[s] for s in map(suffix_of, files) if s in _BY_SUFFIX}
    found = {"jsonl" if f == "json" and "jsonl" in found else f for f in found}
    if len(found) == 1:
        return found.pop()
    if all(is_medium(file) for file in files):
        return "folder"
    known = ", ".join(FORMATS)
    if len(found) > 1:
        raise InputError(f"{source} holds {', '.join(sorted(found))}: say which to read with format=")
    shown = ", ".join(sorted({suffix_of(file) or "no suffix" for file in files})[:5])
    advice = "unpack it first" if suffix_of(source) == ".zip" else f"pass format= (one of {known})"
    raise InputError(f"{source}: the format of {shown} files is not known; {advice}")
