"""Packs: many small media files in one, for sources that hold bytes and no files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import blake3

from curate.counting import counted
from curate.errors import InputError, StoreError
from curate.store import filesystem
from curate.store.writer import scratch_name


class PackWriter:
    """Appends bytes to one pack. The pack is named by its content, so its name is known only after `close`.

    The item part that points into it must say so: `stats={"packs": [name]}`; others are swept after a while.
    """

    def __init__(self, store_path: str | Path, writer_id: str) -> None:
        self.store_path = Path(store_path)
        self.name: str | None = None
        self._scratch = self.store_path / "tmp" / writer_id / f"{scratch_name()}.pack"
        self._fd: int | None = None
        self._hash = blake3.blake3()
        self._size = 0
        self._known: dict[bytes, tuple[int, int]] = {}
        self._closed = False

    def add(self, data: Any) -> tuple[int, int]:
        """Append a buffer of bytes; (offset, length). The same bytes again give the same place."""
        if self._closed:
            raise InputError("this pack is closed: open another")
        key = blake3.blake3(data).digest(16)
        if key not in self._known:
            self._append(data)
            length = memoryview(data).nbytes
            self._known[key] = (self._size, length)
            self._size += length
        return self._known[key]

    def _append(self, data: Any) -> None:
        try:
            if self._fd is None:
                self._scratch.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._fd = os.open(self._scratch, flags, 0o666)
            filesystem.write_all(self._fd, data, "pack")
        except OSError as error:
            self.discard()
            raise filesystem.write_failure(self._scratch, error) from error
        self._hash.update(data)

    def close(self) -> str | None:
        """Make the pack durable; its name, or None if nothing was added."""
        if self._closed or self._fd is None:
            self._closed = True
            return self.name
        name = self._hash.hexdigest(length=16)
        final = pack_path(self.store_path, name)
        try:
            filesystem.sync_file(self._fd, "pack")
            written = os.fstat(self._fd).st_size
            if written != self._size:
                raise StoreError(
                    f"{self._scratch} holds {counted(written, 'byte')}, {self._size} were written: the disk lost some; "
                    "run again"
                )
            filesystem.publish(self._scratch, final, "pack")
        except OSError as error:
            raise filesystem.write_failure(final, error) from error
        finally:
            self.discard()
        self.name = name
        return name

    def discard(self) -> None:
        """Give up what is not yet durable."""
        self._closed = True
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._scratch.unlink(missing_ok=True)

    def uri(self, offset: int, length: int) -> str:
        """The address of a range, for a media column: `store:blobs/NAME.pack#bytes=OFFSET,LENGTH`."""
        if self.name is None:
            raise InputError("a pack has its name, and its ranges their addresses, once it is closed")
        return f"store:blobs/{self.name}.pack#bytes={offset},{length}"


def pack_path(store_path: Path, name: str) -> Path:
    """Where the pack of that name lies."""
    return store_path / "blobs" / f"{name}.pack"
