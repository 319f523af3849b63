"""The files of one export while it is being written, hashed as they are written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import blake3

from curate.durable import sync

__all__ = ["Draft", "FileRecord", "HashedFile"]


@dataclass(frozen=True)
class FileRecord:
    """One finished file: its path within the export (with `/`), rows where it holds rows, size and checksums."""

    path: str
    rows: int | None
    bytes: int
    blake3: str
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


class HashedFile:
    """A new binary file, write-only, that hashes what passes. `rows` is for the writer to count up."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=1 << 20)
        self._blake3 = blake3.blake3()
        self._sha256 = hashlib.sha256()
        self.size = 0
        self.rows: int | None = None

    closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        self._blake3.update(view)
        self._sha256.update(view)
        self._file.write(view)
        self.size += view.nbytes
        return view.nbytes

    def count(self, rows: int) -> None:
        """Add to the number of rows this file holds."""
        self.rows = (self.rows or 0) + rows

    def tell(self) -> int:
        return self.size

    def flush(self) -> None:
        self._file.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._file.close()
        self.closed = True

    def record(self, path: str) -> FileRecord:
        """What the manifest says about it."""
        return FileRecord(path, self.rows, self.size, self._blake3.hexdigest(), self._sha256.hexdigest())


class Draft:
    """A folder that nobody else sees yet. `files` lists what was finished in it, in order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[FileRecord] = []

    @contextmanager
    def file(self, path: str) -> Iterator[HashedFile]:
        """A new file at this relative path; folders are made. It joins `files` when the block ends without error."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        file = HashedFile(target)
        try:
            yield file
        finally:
            file.close()
        self.files.append(file.record(path))

    def write(self, path: str, data: bytes) -> None:
        """A whole file at once."""
        with self.file(path) as file:
            file.write(data)

    def sync(self) -> None:
        """Force every file, then every folder from the leaves up, to the disk."""
        for folder, _, names in os.walk(self.root, topdown=False):
            for name in names:
                sync(Path(folder) / name)
            sync(Path(folder))
