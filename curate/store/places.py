"""Where workers find a store: in its folder, or, on machines that share no disk with it, where it is published.

A worker never opens the catalog: a task brings the excerpt of the snapshot that it reads (`excerpts`), and the driver alone
commits. Through a published place parts travel under the names that their content gives them, each whole or not at all:

    driver   publishes the version that the tasks read            (`publish`)
    worker   fetches a part and what lies beside it, checks the hashes, works, uploads what it made; or, for steps that see
             everything, fetches what is read of its pieces, and keeps it for the next question
    driver   fetches that, checks the hashes, commits, and at the end publishes the new versions

Whoever is killed leaves at most a part at that place that no manifest names; the same work makes the same part again.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from curate.contracts import digest
from curate.store import failpoints, folder, lease
from curate.store.clone import clone, download, have
from curate.store.layout import packs_named, resolve_inside
from curate.store.parts import NewPart
from curate.store.publish import Needed, needed, published
from curate.store.remote import Remote, open_remote
from curate.store.store import PartStore
from curate.store.writer import PartWriter, scratch_name

KEEP = 16 << 30
"""Bytes that a worker keeps of what it has brought, for the next time."""


class Place(Protocol):
    """A store as a worker sees it: `path` is where files are read, and where a PartWriter writes."""

    @property
    def path(self) -> Path: ...
    def resolve(self, uris: pa.Array) -> pa.Array: ...
    def bring(self, parts: Iterable[NewPart]) -> None:
        """See to it that the files of these parts are there, until `tidy` at least."""

    def tidy(self) -> None:
        """Nobody reads at the moment: let go of what was brought and takes too much room."""

    @contextmanager
    def holding(self, parts: Iterable[NewPart]) -> Iterator[None]:
        """The files of these parts, and the media packed with them, are there while the block runs."""

    def hand_in(self, parts: Iterable[NewPart]) -> None:
        """Put parts that were written here where the driver finds them."""


_places: dict[str, Place] = {}


def open_place(where: str) -> Place:
    """This process's one place at `where`: the path of a store, or the address at which one is published. Reads nothing yet."""
    if where not in _places:
        _places[where] = PublishedPlace(where) if "://" in where else StoreFolder(Path(where))
    return _places[where]


def tidy() -> None:
    """`Place.tidy` of all that this process has opened."""
    for place in _places.values():
        place.tidy()


class StoreFolder:
    """The store's own folder, on this machine's disk or on one that all machines have mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resolve(self, uris: pa.Array) -> pa.Array:
        """See `PartStore.resolve`."""
        return resolve_inside(self.path, uris)

    def bring(self, parts: Iterable[NewPart]) -> None:
        """They are there."""

    def tidy(self) -> None:
        """Nothing was brought."""

    @contextmanager
    def holding(self, parts: Iterable[NewPart]) -> Iterator[None]:
        """They are there."""
        yield

    def hand_in(self, parts: Iterable[NewPart]) -> None:
        """They are there."""


class PublishedPlace:
    """A published store, seen from a process that has nothing of it: files come when they are needed."""

    def __init__(self, url: str) -> None:
        self.path = _own_folder()
        self._remote = open_remote(url)
        self._kept: dict[str, int] = {}  # keys and bytes of what was brought, longest unused first

    def resolve(self, uris: pa.Array) -> pa.Array:
        """See `PartStore.resolve`; packs come as parts do."""
        for name in sorted(packs_named(uris)):
            self._bring(Needed(f"blobs/{name}.pack", None, name))
        return resolve_inside(self.path, uris)

    def bring(self, parts: Iterable[NewPart]) -> None:
        """See `Place`. Raises as `holding` does."""
        for part in parts:
            self._bring(Needed(part.path, part.bytes, part.blake3))

    def tidy(self) -> None:
        """See `Place`: what was not used for longest goes until `KEEP` bytes are left. What is mapped stays readable."""
        spare = sum(self._kept.values()) - KEEP
        for key in list(self._kept):
            if spare <= 0:
                return
            spare -= self._kept.pop(key)
            (self.path / key).unlink(missing_ok=True)

    @contextmanager
    def holding(self, parts: Iterable[NewPart]) -> Iterator[None]:
        """See `Place`. Raises CorruptionError where a file is not what was published, StoreError where it does not come."""
        files = [file for part in parts for file in needed(part) if file.key not in self._kept]
        try:
            for file in files:
                self._fetch(file)
            yield
        finally:
            for file in files:
                (self.path / file.key).unlink(missing_ok=True)

    def hand_in(self, parts: Iterable[NewPart]) -> None:
        """See `Place`."""
        for part in parts:
            failpoints.hit("place.upload")
            self._remote.upload(part.path, self.path / part.path)
            (self.path / part.path).unlink()
        failpoints.hit("place.uploaded")

    def _bring(self, file: Needed) -> None:
        if file.key in self._kept:
            self._kept[file.key] = self._kept.pop(file.key)
        elif not have(self.path, file):  # held for a task
            self._kept[file.key] = self._fetch(file)
            failpoints.hit("place.brought")

    def _fetch(self, file: Needed) -> int:
        (self.path / "tmp").mkdir(exist_ok=True)
        return download(self.path, self._remote, file, self.path / "tmp" / scratch_name())


def receive(writer: PartWriter, remote: Remote, parts: Iterable[NewPart]) -> None:
    """Bring parts that a worker has handed in into the writer's store. Raises CorruptionError, StoreError."""
    for file in (file for part in parts for file in needed(part)):
        if not have(writer.store_path, file):
            download(writer.store_path, remote, file, writer.scratch(file.key.split("/")[1]))
            failpoints.hit("place.received")


def address(text: str) -> str:
    """The address of a place where a store is published as every machine can use it: a path becomes file://."""
    return text if "://" in text else f"file://{folder.absolute(text)}"


def open_shared(path: str | Path, url: str | None) -> PartStore:
    """The store at `path`, made where there is none; with `url` as it is published there, if it is.

    Raises ConflictError if the store has gone another way than what is published.
    """
    if url and published(open_remote(url)):
        return clone(url, path)[0]
    return PartStore.create(path, exist_ok=True)


def _own_folder() -> Path:
    """A folder of this process, gone when it ends. Those of workers that were killed go now."""
    me = lease.this_process()
    prefix = f"curate-worker-{digest(me.boot_id, me.pid_space)[:8]}-"
    for other in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        pid, start = other.name.removeprefix(prefix).split("-")[:2]
        if lease.process_start(int(pid)) != start:
            shutil.rmtree(other, ignore_errors=True)
    own = Path(tempfile.mkdtemp(prefix=f"{prefix}{me.pid}-{me.pid_start}-"))
    atexit.register(_remove, own, os.getpid())
    return own


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)
