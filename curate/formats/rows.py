"""What a reader hands on: rows as the source has them, and the rows it could not read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.counting import counted
from curate.kinds import Kind
from curate.records import REJECTED

__all__ = [
    "REJECTED",
    "Asked",
    "Chunk",
    "Hints",
    "Reader",
    "Rejection",
    "lost_file",
    "slice_table",
    "to_rejected",
]

_DATA_CHARACTERS = 1000
_CHUNK_BYTES = 128 << 20


@dataclass(frozen=True)
class Rejection:
    """One refused row; the fields of `REJECTED`, `data` being anything that can be shown."""

    source: str
    row: int | None
    code: str
    reason: str
    data: Any = None
    id: str | None = None


@dataclass
class Chunk:
    """Some rows of a source, as it has them.

    `rows` int64: the row number of each in its source; `sources` where each came from: one name for all, or one each.
    `base` is the folder that relative addresses of media start from.
    """

    table: pa.Table
    rows: npt.NDArray[np.int64]
    sources: str | pa.Array
    base: str
    rejected: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True)
class Hints:
    """What the plan knows and a reader needs: columns whose text must stay as written, that hold sets of labels, or media."""

    text: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    sounds: frozenset[str] = frozenset()

    @property
    def media(self) -> frozenset[str]:
        """Columns that hold images or sounds."""
        return self.images | self.sounds


def lost_file(file: str, row: int | None, reason: str, schema: pa.Schema | None = None) -> Chunk:
    """A chunk without rows that lists a file which cannot be read (from `row` on, where it was read so far)."""
    table = (schema or pa.schema([])).empty_table()
    rejection = Rejection(file, row, "unreadable-file", reason)
    return Chunk(table, np.zeros(0, np.int64), file, file.rpartition("/")[0], [rejection])


@dataclass(frozen=True)
class Asked:
    """What `open_source` was asked for, beside the source itself."""

    kind: Kind
    columns: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    texts: str | os.PathLike[str] | None = None
    max_text_bytes: int = 10_000_000

    def names(self, column: str) -> bool:
        """Whether the source's column of this name is asked for by name."""
        return column == self.id or column in self.columns.values()


class Reader(Protocol):
    """One source of rows. `implied` maps our columns to its own where the format itself says so (txt = caption)."""

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def implied(self) -> Mapping[str, str]: ...
    def chunks(self, rows: int, hints: Hints) -> Iterator[Chunk]: ...
    def describe(self) -> str: ...
    def fingerprint(self) -> str | None: ...


def to_rejected(rejections: Sequence[Rejection]) -> pa.Table:
    """Rejections as a table of schema `REJECTED`, in the order given."""
    return pa.table(
        {
            "source": [_clean(r.source) for r in rejections],
            "row": [r.row for r in rejections],
            "id": [None if r.id is None else _clean(r.id) for r in rejections],
            "code": [r.code for r in rejections],
            "reason": [_clean(r.reason) for r in rejections],
            "data": [None if r.data is None else _show(r.data) for r in rejections],
        },
        schema=REJECTED,
    )


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _show(data: Any) -> str:
    """JSON, with long values shortened first: a 10 MB caption must not be dumped to keep 1000 characters."""
    text = json.dumps(_shorten(data), ensure_ascii=False, default=str)
    return _clean(text[:_DATA_CHARACTERS])


def _shorten(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{counted(len(value), 'byte')}>"
    if isinstance(value, str):
        return value[:_DATA_CHARACTERS]
    if isinstance(value, Mapping):
        return {str(k): _shorten(v) for k, v in list(value.items())[:_DATA_CHARACTERS]}
    if isinstance(value, (list, tuple)):
        return [_shorten(v) for v in value[:_DATA_CHARACTERS]]
    return value


def slice_table(table: pa.Table, rows: int) -> Iterator[tuple[int, pa.Table]]:
    """(start, piece) of at most `rows` rows and roughly 128 MB: text columns are addressed by 32 bits."""
    start = 0
    while start < len(table):
        size = min(rows, len(table) - start)
        while size > 1 and table.slice(start, size).nbytes > _CHUNK_BYTES:
            size = -(-size // 2)
        yield start, table.slice(start, size)
        start += size
