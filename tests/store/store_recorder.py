"""Records what the store asks of the operating system, and builds the disk as a power cut would leave it.

What was written but not synced is lost, wholly or by half; names that were given but whose folder was not synced are
there or not. The catalog is taken as SQLite left it after its last finished transaction: SQLite's own tests cover
power loss inside one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from curate.store import catalog, failpoints, filesystem, packs
from curate.store.store import PartStore

VARIANTS = ("neither names nor data", "names but no data", "names and half the data")


@dataclass
class File:
    """One file, whatever it is called: what was written, and how much of it was synced."""

    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


class Recorder:
    """The events, in order; patch with `recording`, then `disk_after(n, variant)` for every n."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[tuple[Any, ...]] = []
        self.open_files: dict[int, Path] = {}

    # --- what stands in for the module `os` in the store's modules ---

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        fd = os.open(path, flags, mode)
        self.open_files[fd] = Path(path)
        if flags & os.O_CREAT:
            self.events.append(("create", Path(path)))
        return fd

    def write(self, fd: int, data: memoryview, name: str) -> int:
        done = os.write(fd, data)
        self.events.append(("write", self.open_files[fd], bytes(data[:done])))
        return done

    def fsync(self, fd: int) -> None:
        os.fsync(fd)
        path = self.open_files[fd]
        self.events.append(("sync folder" if path.is_dir() else "sync", path))

    def close(self, fd: int) -> None:
        os.close(fd)
        del self.open_files[fd]

    def disk_after(self, count: int, variant: str) -> tuple[dict[Path, bytes], list[str]]:
        """Files (by path) that are on the disk if the power fails after `count` events, and the acked tokens."""
        names: dict[Path, File] = {}
        durable: dict[Path, File] = {}
        content, acked = b"", []
        for what, *rest in self.events[:count]:
            match what:
                case "create":
                    names[rest[0]] = File()
                case "write":
                    names[rest[0]].data += rest[1]
                case "sync":
                    names[rest[0]].synced = bytes(names[rest[0]].data)
                case "rename":
                    names[rest[1]] = names.pop(rest[0])
                case "unlink":
                    names.pop(rest[0], None)
                case "sync folder":
                    durable = {p: f for p, f in durable.items() if p.parent != rest[0]}
                    durable |= {p: f for p, f in names.items() if p.parent == rest[0]}
                case "catalog":
                    content = rest[0]
                case "ack":
                    acked.append(rest[0])
        there = durable if variant == VARIANTS[0] else names
        half = variant == VARIANTS[2]
        files = {
            p: f.synced + bytes(f.data[len(f.synced) :][: len(f.data) // 2 * half]) for p, f in there.items()
        }
        return files | ({self.root / "catalog.sqlite": content} if content else {}), acked


@contextmanager
def recording(root: Path) -> Iterator[Recorder]:
    """Record what the store under `root` does while the block runs."""
    recorder, patch = Recorder(root), pytest.MonkeyPatch()
    plain_rename, plain_unlink, plain_write = Path.rename, Path.unlink, catalog.Catalog.write
    plain_create, plain_commit = catalog.create, PartStore.commit

    def rename(self: Path, target: Path) -> Path:
        recorder.events.append(("rename", self, Path(target)))
        return plain_rename(self, target)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        recorder.events.append(("unlink", self))
        plain_unlink(self, missing_ok)

    def keep_catalog() -> None:
        con = sqlite3.connect(root / "catalog.sqlite")
        recorder.events.append(("catalog", con.serialize()))
        con.close()

    @contextmanager
    def write(self: catalog.Catalog) -> Iterator[sqlite3.Connection]:
        with plain_write(self) as con:
            yield con
        keep_catalog()

    def create(path: Path, meta: dict[str, str]) -> None:
        plain_create(path, meta)
        keep_catalog()

    def commit(self: PartStore, changes: Any) -> Any:
        done = plain_commit(self, changes)
        recorder.events.append(("ack", changes.token))
        return done

    for module in (filesystem, packs):
        patch.setattr(module, "os", recorder)
    patch.setattr(failpoints, "write", recorder.write)
    patch.setattr(Path, "rename", rename)
    patch.setattr(Path, "unlink", unlink)
    patch.setattr(catalog.Catalog, "write", write)
    patch.setattr(catalog, "create", create)
    patch.setattr(PartStore, "commit", commit)
    try:
        yield recorder
    finally:
        patch.undo()
