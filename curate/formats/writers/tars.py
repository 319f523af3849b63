"""WebDataset shards: plain tar files in which the members of one sample stand together and share a key.

The bytes depend on the rows alone: headers carry no time, no owner and one mode, and members are in order of name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from curate.counting import counted
from curate.errors import SchemaError
from curate.formats.writers.draft import Draft, HashedFile
from curate.formats.writers.media import safe_key
from curate.formats.writers.text import count_unwritable, json_lines
from curate.kinds import Kind

__all__ = ["tar_header", "write_tars"]

_BLOCK = 512
_RECORD = 20 * _BLOCK
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def write_tars(
    shards: Iterable[tuple[int, Iterator[pa.Table]]],
    draft: Draft,
    kind: Kind,
    media: Mapping[str, str],
    lost: dict[str, int],
) -> None:
    """`shard-000000.tar` and so on. Of each row: `json` (all columns; media by member name), the bytes of its media,
    `txt` if one column is the text of this kind, and the label as `cls` (whole numbers) or `label.txt` (names)."""
    for number, chunks in shards:
        with draft.file(f"shard-{number:06d}.tar") as file:
            file.count(0)
            seen: set[str] = set()
            for table in chunks:
                file.count(table.num_rows)
                count_unwritable(table.drop_columns(list(media)), lost)
                for key, members in _samples(table, kind, media):
                    if key in seen:
                        raise SchemaError(
                            f"two items to export have the same id (key {key!r}): ids must be unique"
                        )
                    seen.add(key)
                    _write_sample(file, key, members)
            _end(file)


def _samples(
    table: pa.Table, kind: Kind, media: Mapping[str, str]
) -> Iterator[tuple[str, list[tuple[str, bytes | memoryview]]]]:
    """Key and members (extension, bytes) of each row."""
    text, label = _single(kind, "text", table), _single(kind, "label", table)
    ids = table.column("id").to_pylist()
    files = {column: table.column(column).to_pylist() for column in media}
    texts = table.column(text).to_pylist() if text else None
    labels = table.column(label).to_pylist() if label else None
    for row, line in enumerate(_documents(table, media)):
        members: list[tuple[str, bytes | memoryview]] = [("json", line)]
        for values in files.values():
            value: dict[str, Any] | None = values[row]
            if value is not None:
                members.append((value["path"].partition(".")[2], value["bytes"]))
        if texts is not None:
            members.append(("txt", (texts[row] or "").encode()))
        if labels is not None and labels[row] is not None:
            members.append(_label(labels[row]))
        yield safe_key(ids[row]), sorted(members, key=lambda member: member[0])


def _single(kind: Kind, role: str, table: pa.Table) -> str | None:
    columns = kind.roles.get(role, ())
    return columns[0] if len(columns) == 1 and columns[0] in table.column_names else None


def _label(value: str) -> tuple[str, bytes]:
    """`cls` is decoded as a whole number by every reader, so that a name must not stand there."""
    return ("cls" if _INTEGER.fullmatch(value) else "label.txt"), value.encode()


def _documents(table: pa.Table, media: Mapping[str, str]) -> Iterator[memoryview]:
    for column in media:
        index = table.column_names.index(column)
        paths = pa.chunked_array([chunk.field("path") for chunk in table.column(index).chunks], pa.string())
        table = table.set_column(index, column, paths)
    lines, start = json_lines(table), 0
    data = lines.obj.getvalue() if hasattr(lines.obj, "getvalue") else bytes(lines)
    view = memoryview(data)
    for _ in range(table.num_rows):
        end = data.index(b"\n", start)
        yield view[start:end]
        start = end + 1


def _write_sample(file: HashedFile, key: str, members: list[tuple[str, bytes | memoryview]]) -> None:
    parts: list[bytes | memoryview] = []
    for extension, data in members:
        parts += (tar_header(f"{key}.{extension}", len(data)), data, b"\0" * (-len(data) % _BLOCK))
    file.write(b"".join(parts))


def tar_header(name: str, size: int) -> bytes:
    """The 512-byte ustar header of a regular file: mode 0444, owner 0, time 0.

    `name` is at most 100 ASCII characters and `size` below 8 GiB, as the format wants.
    """
    raw = name.encode("ascii")
    if len(raw) > 100 or not 0 <= size < 8**11:
        raise ValueError(
            f"tar member {name!r} of {counted(size, 'byte')}: at most 100 characters and below 8 GiB"
        )
    front = (
        raw.ljust(100, b"\0")
        + b"0000444\0"
        + b"0000000\0"
        + b"0000000\0"
        + b"%011o\0" % size
        + b"00000000000\0"
    )
    back = b"0" + b"\0" * 100 + b"ustar\00000" + b"\0" * 64 + b"0000000\0" + b"0000000\0" + b"\0" * 167
    checksum = sum(front) + sum(back) + 8 * 32
    return front + b"%06o\0 " % checksum + back


def _end(file: HashedFile) -> None:
    """Two empty blocks, filled up to a whole record, as `tar` leaves it."""
    size = file.size + 2 * _BLOCK
    file.write(b"\0" * (2 * _BLOCK + -size % _RECORD))
