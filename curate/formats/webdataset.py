"""WebDataset tars: members of one key make one row. Nothing is ever extracted: media are addressed where they lie."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, cast

import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError
from curate.formats.folder import AUDIO_SUFFIXES, IMAGE_SUFFIXES
from curate.formats.jsonl import columns_from_records
from curate.formats.locate import folder_of, is_url, open_stream
from curate.formats.rows import Chunk, Rejection
from curate.formats.scan import ScannedReader
from curate.kinds import Kind
from curate.media.address import with_range

__all__ = ["KEY", "TarReader"]

KEY = "__key__"
_SAMPLES = 4096
_PIECE_BYTES = 64 << 20
_TEXTS = ("txt", "text", "cls", "caption", "transcript")
_MEDIUM = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_MAGIC: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


@dataclass
class _Sample:
    """The members of one key, as far as they were read."""

    key: str
    record: dict[str, Any] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    bytes: int = 0
    fault: tuple[str, str] | None = None


class _Damage(Exception):
    """The tar cannot be read on from here."""


class TarReader(ScannedReader):
    """One row for each key. The first image or sound is the medium; `txt` and the like are texts, `cls` the label; the
    keys of `json` are columns; any other member is a column named by its extension that holds its address.

    In a plain tar a medium is addressed by byte range; out of a compressed one its bytes are read.
    """

    what = "tar"

    def __init__(
        self, files: Sequence[str], kind: Kind, *, max_text_bytes: int, with_key: bool = False
    ) -> None:
        super().__init__(files, max_text_bytes=max_text_bytes)
        self._kind = kind
        self._with_key = with_key
        suffixes = {"image": IMAGE_SUFFIXES, "audio": AUDIO_SUFFIXES}
        self._media = {
            suffix[1:]: column
            for role in suffixes
            for column in kind.roles.get(role, ())
            for suffix in suffixes[role]
        }

    @property
    def implied(self) -> Mapping[str, str]:  # type: ignore[override]
        """`txt` is the text, `cls` the label."""
        text = self._kind.roles.get("text", ())
        written = [t for t in _TEXTS if t != "cls" and t in self.names]
        found = {text[0]: written[0]} if len(text) == 1 and written else {}
        return found | ({"label": "cls"} if "label" in self._kind.content else {})

    def pieces(self) -> Iterator[Chunk]:
        """Up to 4096 samples each, fewer where their bytes were read."""
        for file in self.files:
            held: list[_Sample] = []
            rejected: list[Rejection] = []
            row = 0
            for sample in self._samples(file, rejected):
                held.append(sample)
                if len(held) == _SAMPLES or sum(s.bytes for s in held) > _PIECE_BYTES:
                    yield self._chunk(file, held, row, rejected)
                    row, held, rejected[:] = row + len(held), [], []
            if held or rejected:
                yield self._chunk(file, held, row, rejected)

    def _chunk(self, file: str, samples: Sequence[_Sample], row: int, rejected: Sequence[Rejection]) -> Chunk:
        mine = list(rejected)
        records = []
        for number, sample in enumerate(samples, row):
            if sample.fault is None:
                records.append((number, sample.record))
            else:
                mine.append(Rejection(file, number, *sample.fault, {"key": sample.key}))
        media = sorted({column for column in self._media.values() if any(column in r for _, r in records)})
        plain = [(n, {k: v for k, v in r.items() if k not in media}) for n, r in records]
        table, numbers = columns_from_records(plain, file, mine)
        kept = set(numbers.tolist())
        for column in reversed(media):
            values = pa.array([r.get(column) for n, r in records if n in kept], _MEDIUM)
            table = table.add_column(0, column, values) if table.num_columns else pa.table({column: values})
        return Chunk(table, numbers, file, folder_of(file), mine)

    def _samples(self, file: str, rejected: list[Rejection]) -> Iterator[_Sample]:
        """Consecutive members of equal key, in order; what cannot be used is appended to `rejected`."""
        current: _Sample | None = None
        try:
            for member, read in _members(file):
                name = member.name.removeprefix("./")
                problem = _unsafe(member, name)
                if problem:
                    rejected.append(Rejection(file, None, "unsafe-member", problem, {"member": member.name}))
                    continue
                key, extension = _split(name)
                if member.isdir() or not extension or not key.rpartition("/")[2]:
                    continue
                if current is None or current.key != key:
                    if current is not None:
                        yield current
                    current = _Sample(key, {KEY: key} if self._with_key else {})
                if name in current.members:
                    reason = f"member {name!r} occurs twice in its sample: the first is used"
                    rejected.append(Rejection(file, None, "duplicate-member", reason, {"member": name}))
                    continue
                current.members.add(name)
                self._take(current, with_range(file, member.offset_data, member.size), member, read)
        except _Damage as error:
            if len(self.files) == 1 and current is None:
                raise InputError(str(error)) from error
            rejected.append(Rejection(file, None, "unreadable-file", str(error)))
        if current is not None:
            yield current

    def _take(self, sample: _Sample, where: str, member: tarfile.TarInfo, read: _Read) -> None:
        """Put one member into its sample."""
        extension = _split(member.name)[1]
        column = self._media.get(extension)
        plain = read.plain
        if column is not None and column not in sample.record:
            data = None if plain else read(member, _PIECE_BYTES * 4)
            sample.record[column] = {"bytes": data, "path": where if plain else None}
            sample.bytes += len(data or b"")
        elif extension in _TEXTS or extension.endswith("json"):
            if member.size > self.max_text_bytes:
                sample.fault = (
                    "too-long",
                    f"member {member.name!r} has {counted(member.size, 'byte')} (max_text_bytes)",
                )
                return
            try:
                text = read(member, self.max_text_bytes).decode("utf-8-sig")
            except UnicodeDecodeError as error:
                sample.fault = (
                    "invalid-utf8",
                    f"member {member.name!r} is not UTF-8: {error.reason} at {error.start}",
                )
                return
            sample.bytes += len(text)
            self._put_text(sample, member.name, extension, text)
        elif plain:
            sample.record.setdefault(extension, where)
        # What else a compressed tar holds has no address; it is left where it is.

    def _put_text(self, sample: _Sample, name: str, extension: str, text: str) -> None:
        if extension != "json":
            sample.record[extension] = text.strip() if extension in _TEXTS else text
            return
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            sample.fault = ("malformed", f"member {name!r} is not JSON: {error}")
            return
        if not isinstance(record, dict):
            sample.fault = ("malformed", f"member {name!r} holds no JSON object")
            return
        media = set(self._media.values())
        for key, value in record.items():
            if key not in media:
                sample.record.setdefault(key, value)


def _split(name: str) -> tuple[str, str]:
    """(key, extension): the base name is cut at its first dot."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return folder + slash + stem, extension.lower()


def _unsafe(member: tarfile.TarInfo, name: str) -> str | None:
    shown = repr(member.name)
    if name.startswith("/") or ".." in name.split("/"):
        return f"member {shown} climbs out of its folder"
    if member.issym() or member.islnk():
        return f"member {shown} is a link to {member.linkname!r}"
    if member.issparse():
        return f"member {shown} is a sparse file"
    if not (member.isreg() or member.isdir()):
        return f"member {shown} is a device or a pipe"
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"member {shown} has a name that is not UTF-8"
    return None


class _Read:
    """Reads a member's bytes; `plain` says that they can be addressed in the file itself."""

    def __init__(self, tar: tarfile.TarFile, plain: bool) -> None:
        self._tar, self.plain = tar, plain

    def __call__(self, member: tarfile.TarInfo, limit: int) -> bytes:
        if member.size > limit:
            raise _Damage(f"member {member.name!r} has {counted(member.size, 'byte')}, the limit is {limit}")
        stream = self._tar.extractfile(member)  # a window on the stream; nothing is written anywhere
        data = stream.read() if stream is not None else b""
        if len(data) < member.size:
            raise _Damage(f"the tar ends within member {member.name!r}")
        return data


def _members(file: str) -> Iterator[tuple[tarfile.TarInfo, _Read]]:
    """Members in order. Raises `_Damage` where the file is no tar, or not to its end."""
    plain, raw, stream = _open(file)
    with raw, stream:  # closing a decompressor leaves the file under it open
        try:
            tar = tarfile.open(fileobj=stream, mode="r:" if plain else "r|")  # noqa: SIM115  (holds nothing of its own)
            read = _Read(tar, plain)
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would remember every one
                yield member, read
            if plain:
                _check_end(stream, tar.offset, file)
        except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
            raise _Damage(f"{file} cannot be read as tar: {error}") from error


def _check_end(stream: IO[bytes], offset: int, file: str) -> None:
    """`tarfile` takes a damaged header behind the first for the end, and would drop the rest without a word."""
    stream.seek(offset)
    block = stream.read(tarfile.BLOCKSIZE)
    if block.strip(b"\0"):
        raise _Damage(f"{file} is damaged at byte {offset}: what comes behind cannot be read")


def _open(file: str) -> tuple[bool, IO[bytes], IO[bytes]]:
    """(whether it is plain, the file, its decompressed bytes)"""
    import fsspec

    try:
        raw: IO[bytes] = fsspec.open(file, "rb").open() if is_url(file) else open(file, "rb")  # noqa: PTH123, SIM115
        magic = raw.read(6)
        raw.seek(0)
    except OSError as error:
        raise _Damage(f"{file} cannot be opened: {error}") from error
    for start, opened in _MAGIC.items():
        if magic.startswith(start):
            return False, raw, cast("IO[bytes]", opened(raw, "rb"))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return False, raw, cast("IO[bytes]", open_stream(file))
    return True, raw, raw
