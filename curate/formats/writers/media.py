"""Bring the bytes of images and sounds into an export: embedded in a column, or copied beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import blake3
import pyarrow as pa

from curate.errors import MediaError, SchemaError
from curate.formats.writers.draft import Draft, HashedFile

__all__ = ["EMBEDDED", "FAILED", "MediaCarrier", "safe_key"]

EMBEDDED = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""How an embedded image or sound is held: its bytes and a file name, as Hugging Face `datasets` does."""

FAILED = "failed.jsonl"

_SLICE_BYTES = 32 * 2**20
_FOLDER_ITEMS = 10_000
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_MAGIC = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
    (b"fLaC", "flac"),
    (b"OggS", "ogg"),
    (b"ID3", "mp3"),
    (b"\xff\xfb", "mp3"),
    (b"\xff\xf3", "mp3"),
)


def safe_key(id_: str) -> str:
    """A file name for an id, at most 84 ASCII characters: different ids never share one.

    Letters, digits, `_` and `-` stay; every other byte of its UTF-8 becomes `%XX`. What is longer than 80 (or empty)
    keeps its beginning, then `%_` and a hash; `%_` cannot come out of the first rule.
    """
    raw = id_.encode("utf-8", "surrogatepass")
    key = "".join(chr(b) if b in _SAFE else f"%{b:02X}" for b in raw[:81])
    if key.startswith("-"):  # never an option of some command
        key = "%2D" + key[1:]
    if raw and len(raw) <= 80 and len(key) <= 80:
        return key
    return f"{key[:48]}%_{blake3.blake3(raw).hexdigest(length=16)}"


@dataclass
class MediaCarrier:
    """Reads media and puts them into the rows (`embed`) or into files of the draft (`copy`).

    An item whose media cannot be read, or are no longer the bytes that were imported, is left out of the rows,
    written to `failed.jsonl` with the reason, and counted in `failed` and `reasons`.
    """

    draft: Draft
    columns: tuple[str, ...]
    mode: str
    policy: Any = None
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    _copied: int = 0
    _open: ExitStack = field(default_factory=ExitStack)
    _list: HashedFile | None = None

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The schema of the rows that come out."""
        if self.mode != "embed":
            return schema
        return pa.schema([pa.field(f.name, EMBEDDED) if f.name in self.columns else f for f in schema])

    def carry(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same rows, with media; in pieces small enough to hold their bytes."""
        for batch in batches:
            start, size = 0, 0
            rows: list[dict[str, Any] | None] = []
            for index, item in enumerate(self._addresses(batch)):
                values = self._row(item)
                rows.append(values)
                size += sum(len(v["bytes"]) for v in (values or {}).values() if isinstance(v, dict))
                if size >= _SLICE_BYTES:
                    yield self._replace(batch.slice(start, len(rows)), rows)
                    start, size, rows = index + 1, 0, []
            yield self._replace(batch.slice(start, len(rows)), rows)

    def close(self) -> None:
        """Finish `failed.jsonl`, if there is one."""
        self._open.close()

    def _addresses(self, batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
        names = ["id", *self.columns]
        names += [f"{c}_sha256" for c in self.columns if f"{c}_sha256" in batch.schema.names]
        columns = [batch.column(name).to_pylist() for name in names]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))

    def _row(self, item: dict[str, Any]) -> dict[str, Any] | None:
        """The new value of each media column, or None if the item failed."""
        values: dict[str, Any] = {}
        for column in self.columns:
            uri = item[column]
            if uri is None:
                values[column] = None
                continue
            try:
                data = self._read(uri, item.get(f"{column}_sha256"))
            except MediaError as error:
                self._fail(item["id"], column, uri, error)
                return None
            name = self._name(item["id"], column, uri, data)
            values[column] = {"bytes": data, "path": name}
        if self.mode == "copy":
            return self._copy(values)
        return values

    def _read(self, uri: str, sha256: str | None) -> bytes:
        from curate.media import open_bytes

        try:
            data: bytes = open_bytes(uri) if self.policy is None else open_bytes(uri, self.policy)
        except OSError as error:
            raise MediaError("unreadable", f"{uri}: {error}") from error
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise MediaError(
                "changed", f"{uri} is not the file that was imported: its sha256 is no longer {sha256}"
            )
        return data

    def _name(self, id_: str, column: str, uri: str, data: bytes) -> str:
        middle = f".{column}" if len(self.columns) > 1 else ""
        return f"{safe_key(id_)}{middle}.{_extension(uri, data)}"

    def _copy(self, values: dict[str, Any]) -> dict[str, Any]:
        folder = f"media/{self._copied // _FOLDER_ITEMS:06d}"
        self._copied += 1
        paths: dict[str, Any] = {}
        for column, value in values.items():
            if value is None:
                paths[column] = None
                continue
            paths[column] = f"{folder}/{value['path']}"
            try:
                self.draft.write(paths[column], value["bytes"])
            except FileExistsError:
                raise SchemaError(
                    f"two items to export have the same id: both want {paths[column]}"
                ) from None
        return paths

    def _fail(self, id_: str, column: str, uri: str, error: MediaError) -> None:
        line = {"id": id_, "column": column, "uri": uri, "code": error.code, "reason": str(error)[:1000]}
        text = json.dumps(line, ensure_ascii=False) + "\n"
        if self._list is None:
            self._list = self._open.enter_context(self.draft.file(FAILED))
        self._list.write(text.encode("utf-8", "replace"))
        self._list.count(1)
        self.failed += 1
        self.reasons[error.code] = self.reasons.get(error.code, 0) + 1

    def _replace(self, batch: pa.RecordBatch, rows: list[dict[str, Any] | None]) -> pa.RecordBatch:
        kept = [row for row in rows if row is not None]
        if len(kept) < len(rows):
            batch = batch.filter(pa.array([row is not None for row in rows], pa.bool_()))
        schema = self.schema(batch.schema)
        columns = [
            pa.array([row[f.name] for row in kept], f.type)
            if f.name in self.columns
            else batch.column(f.name)
            for f in schema
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _extension(uri: str, data: bytes) -> str:
    """By the first bytes; by the address's ending where they say nothing."""
    for magic, extension in _MAGIC:
        if data.startswith(magic):
            return extension
    if data[:4] == b"RIFF":
        return {b"WAVE": "wav", b"WEBP": "webp"}.get(data[8:12], "bin")
    suffix = PurePosixPath(uri.partition("#")[0].partition("?")[0]).suffix.lower().removeprefix(".")
    return suffix if suffix.isascii() and suffix.isalnum() and len(suffix) <= 5 else "bin"
