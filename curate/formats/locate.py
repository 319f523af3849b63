"""Find the files that a path, a glob, a folder or a URL means, open them, and say whether they changed."""

from __future__ import annotations

import difflib
import glob
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import xxhash

from curate.errors import InputError

__all__ = [
    "COMPRESSION",
    "BrokenFile",
    "Stream",
    "absolute",
    "check_address",
    "file_system",
    "find_files",
    "fingerprint_files",
    "folder_of",
    "is_folder",
    "is_url",
    "open_stream",
    "suffix_of",
    "walk_folder",
    "within",
]

COMPRESSION = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_MAGIC = "*?["
_PIECE = 1 << 18


def is_url(source: str) -> bool:
    """Whether fsspec must open it. `file://` URLs are paths."""
    return "://" in source or "::" in source


def absolute(source: str | os.PathLike[str]) -> str:
    """An absolute path, or the URL as it is; `~` is the home folder and `file://` a path."""
    text = os.fspath(source)
    if text.startswith("file://"):
        from curate.media.address import parse

        text = parse(text).target
    # abspath would also fold "a//b" in a URL
    return text if is_url(text) else os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111


def file_system(url: str) -> tuple[Any, str]:
    """(fsspec file system, path in it). Raises InputError where the protocol is unknown or not installed, or the archive
    is not there that a chained URL (`zip://rows.csv::data.zip`) looks into.
    """
    import fsspec

    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(url))
    except (ValueError, ImportError, OSError) as error:
        raise InputError(f"{url} cannot be opened: {error}") from error


def check_address(url: str) -> None:
    """Raises InputError for a protocol that is unknown or not installed, and for an archive that is not on this machine; asks
    no other."""
    from fsspec.registry import available_protocols, known_implementations, registry

    links, known = url.split("::"), available_protocols()
    for link in links:
        protocol = link.partition("://")[0] if "://" in link else link if link in known else "file"
        told = known_implementations.get(protocol, {})
        if protocol not in known:
            raise InputError(f"{url} cannot be opened: Protocol not known: {protocol}")
        if protocol not in registry and told and find_spec(told["class"].partition(".")[0]) is None:
            raise InputError(f"{url} cannot be opened: {told.get('err', f'{protocol} is not installed')}")
    if len(links) > 1 and not is_url(absolute(links[-1])):
        find_files(absolute(links[-1]))


def _split_chain(source: str) -> tuple[str, str]:
    """The name inside an archive, and `::` with what it lies in; nothing of the second in an address that is no chain."""
    name, chain, outer = source.partition("::")
    return name, chain + outer


def within(folder: str, name: str) -> str:
    """The address of a file in a folder, here, there, or in an archive."""
    inner, chain = _split_chain(folder)
    return f"{inner.rstrip('/')}/{name}{chain}"


def suffix_of(source: str) -> str:
    """The lower-case suffix that tells the format: `.jsonl` of `a.jsonl.gz`."""
    name = _split_chain(source)[0].rstrip("/").rpartition("/")[2].lower()
    for ending in COMPRESSION:
        name = name.removesuffix(ending)
    return os.path.splitext(name)[1]  # noqa: PTH122


def folder_of(source: str) -> str:
    """What relative addresses in a file start from: its folder, or the URL of that."""
    name, chain = _split_chain(source)
    return (name.rpartition("/")[0] or "/") + chain


def is_folder(source: str) -> bool:
    """Whether it is a folder, here or there."""
    if not is_url(source):
        return Path(source).is_dir()
    files, path = file_system(source)
    return bool(files.isdir(path))


def find_files(source: str) -> list[str]:
    """The files that a file name, a glob (`**` included) or a URL of either means, sorted.

    Raises InputError where there are none, naming what exists.
    """
    if is_url(source):
        files, path = file_system(source)
        try:
            found = files.glob(path) if glob.has_magic(path) else [path] if files.exists(path) else []
        except OSError as error:
            raise InputError(f"{source} cannot be listed: {error}") from error
        if not found:
            raise InputError(f"there is nothing at {source}")
        chain = _split_chain(source)[1]
        return sorted(str(files.unstrip_protocol(name)) + chain for name in found)
    if Path(source).exists():
        return [source]
    if glob.has_magic(source):
        matches = sorted(name for name in glob.glob(source, recursive=True) if Path(name).is_file())  # noqa: PTH207
        if matches:
            return matches
        folder = source[: _first_magic(source)].rpartition("/")[0] or "/"
        raise InputError(f"no file matches {source}. {_holds(Path(folder)) or _near(folder)}")
    raise InputError(f"there is no file or folder {source}. {_near(source)}")


def _first_magic(source: str) -> int:
    return min(source.find(c) for c in _MAGIC if c in source)


def _near(source: str) -> str:
    """The nearest thing that exists, for a message."""
    path = Path(source)
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    try:
        names = sorted(p.name for p in missing.parent.iterdir())
    except OSError:
        return f"The folder {missing.parent} cannot be listed."
    close = difflib.get_close_matches(missing.name, names, n=1, cutoff=0.5)
    return f"Did you mean {missing.parent / close[0]}?" if close else _holds(missing.parent)


def _holds(folder: Path) -> str:
    """What a folder holds, for a message; nothing if it is none."""
    if not folder.is_dir():
        return ""
    names = sorted(p.name for p in folder.iterdir())
    return f"{folder} holds: {', '.join(names[:10]) or 'nothing'}{', ...' if len(names) > 10 else ''}."


def walk_folder(folder: str) -> list[tuple[str, os.stat_result | None]]:
    """All files under a folder as (relative path, facts), sorted by path; hidden ones and linked folders are left out."""
    if is_url(folder):
        files, path = file_system(folder)
        root = path.rstrip("/") + "/"
        names = [str(name).removeprefix(root) for name in files.find(path)]
        return [(name, None) for name in sorted(names) if not _hidden(name)]
    return sorted(_walk(folder, ""), key=lambda item: item[0])


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")
            elif not entry.is_dir():  # links to files are followed; a broken link is a file that is missing
                try:
                    yield prefix + entry.name, entry.stat()
                except OSError:
                    yield prefix + entry.name, entry.stat(follow_symlinks=False)


class BrokenFile(InputError):
    """A file that can be opened but not read to its end."""


class Stream:
    """Bytes of a file, decompressed. `read` hands out all that can be read before it raises BrokenFile."""

    def __init__(self, source: str, raw: Any, opened: Any = None) -> None:
        self._source, self._raw = source, raw
        self._opened = opened  # fsspec closes what it opened, the archive around a file, when nobody holds it
        self._problem: Exception | None = None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        pieces: list[bytes] = []
        while size > 0 and self._problem is None:
            try:
                piece = self._raw.read(min(size, _PIECE))  # small ones: a failing call loses what it had
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
                self._problem = error
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        if not pieces and self._problem is not None:
            raise BrokenFile(f"{self._source} cannot be read to its end: {self._problem}") from self._problem
        return b"".join(pieces)

    @property
    def closed(self) -> bool:
        """As of files."""
        return bool(self._raw.closed)

    def close(self) -> None:
        """As of files."""
        self._raw.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_stream(source: str) -> Stream:
    """The file's bytes, decompressed as its suffix says. Raises InputError."""
    import fsspec

    try:
        name, chain = _split_chain(source)
        packing = fsspec.utils.infer_compression(name)  # of a chain fsspec would look at the archive
        opened = fsspec.open(source, "rb", compression=packing if chain else "infer")
        return Stream(source, opened.open(), opened)
    except ValueError as error:
        if source.endswith(".zst"):
            raise InputError(f"{source}: reading .zst needs a package: pip install zstandard") from error
        raise InputError(f"{source} cannot be opened: {error}") from error
    except (OSError, ImportError) as error:
        raise InputError(f"{source} cannot be opened: {error}") from error


def fingerprint_files(
    sources: Iterable[str], facts: Iterable[os.stat_result | None] | None = None
) -> str | None:
    """A digest of names, sizes and times of change; None where a file system tells no time of change or tag."""
    hasher = xxhash.xxh3_128()
    listed = list(sources)
    for source, stat in zip(listed, facts or [None] * len(listed), strict=True):
        if stat is None:
            state = _remote_state(source) if is_url(source) else _local_state(source)
        else:
            state = f"{stat.st_size}\0{stat.st_mtime_ns}"
        if state is None:
            return None
        hasher.update(f"{source}\0{state}\0".encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()


def _local_state(source: str) -> str:
    stat = os.stat(source)  # noqa: PTH116
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


def _remote_state(source: str) -> str | None:
    files, path = file_system(source)
    info = files.info(path)
    tag = next(
        (info[k] for k in ("etag", "ETag", "mtime", "LastModified", "last_modified") if info.get(k)), None
    )
    return None if tag is None else f"{info.get('size')}\0{tag}"
