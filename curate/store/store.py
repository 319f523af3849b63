"""`PartStore`: one store on a local disk, many readers and several writing processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.errors import StoreError, UnknownNameError
from curate.records import REJECTED
from curate.store import catalog as catalogs
from curate.store import commit, filesystem, folder, history, lease, manifest, records
from curate.store.changes import Changes, Commit
from curate.store.packs import PackWriter
from curate.store.snapshot import Snapshot
from curate.store.writer import SELECTION, PartWriter, read_tables, scratch_name

if TYPE_CHECKING:
    from curate.store.answers import AnswersView
    from curate.store.clone import CloneReport
    from curate.store.compaction import CompactReport
    from curate.store.gc import GcReport
    from curate.store.parts import NewPart
    from curate.store.publish import PublishReport
    from curate.store.verify import Problem
    from curate.store.view import StoreView

DAY = 86400.0
KEEP_VERSIONS = 20
_SNAPSHOTS_KEPT = 4


class PartStore:
    """A store of immutable parts and the catalog that says which of them are live. Made by `create` or `open`.

    Safe to use from several threads, and after a fork; other processes open it for themselves.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._catalog = catalogs.Catalog(path / "catalog.sqlite")
        self._snapshots: dict[int, Snapshot] = {}

    # --- Opening ------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, path: str | Path, *, exist_ok: bool = False) -> PartStore:
        """Make an empty store in a new or empty folder. With `exist_ok` open the one that is there, if there is.

        Raises StoreError if there is a store, or something else, and StoreFormatError on a network file system.
        """
        root = folder.absolute(path)
        filesystem.refuse_network(root)
        if (root / "STORE.json").exists():
            if exist_ok:
                return cls.open(root)
            raise StoreError(f"there is a store at {root} already: open it, or choose another folder")
        folder.create(root)
        return cls.open(root)

    @classmethod
    def open(cls, path: str | Path) -> PartStore:
        """Open the store at `path`. Raises StoreNotFoundError, StoreFormatError, CorruptionError."""
        root = folder.absolute(path)
        filesystem.refuse_network(root)
        folder.read_format(root)
        store = cls(root)
        store._catalog.connection()
        store._export(lambda scratch: manifest.write_missing(root, store._catalog, scratch))
        return store

    @classmethod
    def rebuild(cls, path: str | Path) -> PartStore:
        """Make the catalog anew from manifests/, when it is lost or damaged; the old file is kept beside it.

        Nobody else may have the store open. Raises CorruptionError if manifests are missing or damaged too.
        """
        from curate.store.rebuild import rebuild

        root = folder.absolute(path)
        filesystem.refuse_network(root)
        rebuild(root)
        return cls.open(root)

    def close(self) -> None:
        """Close the catalog. Snapshots and views stay readable."""
        self._catalog.close()

    def __enter__(self) -> PartStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PartStore({str(self.path)!r})"

    # --- Reading ------------------------------------------------------------------------------------------------

    def snapshot(self, version: int | str | None = None) -> Snapshot:
        """The parts live at a version: the newest (None), a number, or a tag. Raises UnknownNameError."""
        with self._catalog.read() as con:
            number = records.resolve_version(con, version)
            found = self._snapshots.get(number)
            if found is None:
                found = records.load_snapshot(con, number)
        self._snapshots[number] = found
        while len(self._snapshots) > _SNAPSHOTS_KEPT:
            with suppress(KeyError, RuntimeError):  # another thread may be faster
                del self._snapshots[next(iter(self._snapshots))]
        return found

    def view(self, version: int | str | None = None) -> StoreView:
        """All items live at a version (see `snapshot`)."""
        from curate.store.view import StoreView

        return StoreView.over(self, self.snapshot(version))

    def selection_table(self, name: str, version: int | str | None = None) -> pa.Table:
        """Rows of a named selection: seq, rank, weight, gain, reason, as stored. Raises UnknownNameError."""
        snapshot = self.snapshot(version)
        if name not in snapshot.selections:
            raise UnknownNameError("selection", name, snapshot.selections)
        parts = snapshot.selection_parts.get(snapshot.selections[name].digest, ())
        return read_tables(self.path, parts, SELECTION)

    def rejected(self, version: int | str | None = None) -> pa.Table:
        """Every row that an import refused, with the reason."""
        return read_tables(self.path, self.snapshot(version).rejected, REJECTED)

    def answers(self, version: int | str | None = None) -> AnswersView:
        """Every answer of annotators, each version of each, in the order they were recorded."""
        from curate.store.answers import AnswersView

        return AnswersView(self.path, self.snapshot(version).answers)

    @property
    def uuid(self) -> str:
        """The identity of the store; a clone bears that of what it is a clone of."""
        return str(folder.read_format(self.path)["uuid"])

    def resolve(self, uris: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
        """Addresses with `store:` replaced by where this store lies: 'store:blobs/x.pack#bytes=0,10' becomes
        '/where/it/is/blobs/x.pack#bytes=0,10'. Others, and nulls, stay as they are.
        """
        from curate.store.layout import resolve_inside

        return resolve_inside(self.path, uris)

    def bring(self, parts: Iterable[NewPart]) -> None:
        """See `Home`: they are there."""

    # --- Writing ------------------------------------------------------------------------------------------------

    @contextmanager
    def writer(self) -> Iterator[PartWriter]:
        """A PartWriter, with a lease for as long as the block runs. Workers may share its `writer_id`."""
        with lease.scratch(self.path, self._catalog) as writer_id:
            yield PartWriter(self.path, writer_id)

    @contextmanager
    def pack(self) -> Iterator[PackWriter]:
        """A PackWriter: `add` bytes inside the block; at its end the pack is durable and has a name."""
        with lease.scratch(self.path, self._catalog) as writer_id:
            pack = PackWriter(self.path, writer_id)
            try:
                yield pack
                pack.close()
            finally:
                pack.discard()

    def commit(self, changes: Changes) -> Commit:
        """Make `changes` one new version, atomically, exactly once per token.

        When this returns, the change is on the disk. Raises ConflictError if another process changed what this
        replaces, BusyError if the catalog is locked for 30 s, SchemaError or InputError for parts that do not fit.
        """
        done = commit.commit(self.path, self._catalog, changes)
        self._export(lambda scratch: manifest.write_missing(self.path, self._catalog, scratch))
        return done

    def record_answers(self, answers: Any, *, message: str = "") -> dict[str, int]:
        """Add answers (a frame with the columns of `records.ANSWERS`); each is there once however often it is brought.

        How many were `new`, how many `present`. When this returns they are on the disk; nothing is ever overwritten.
        Raises SchemaError, InputError for rows that say nothing.
        """
        from curate.store import answers as answering

        return answering.record(self, answers, message=message)

    def recall(self, digest: str) -> dict[str, Any] | None:
        """The result of a finished step (`Changes.step`), or None."""
        with self._catalog.read() as con:
            return history.recall(con, digest)

    # --- Versions -----------------------------------------------------------------------------------------------

    def tag(self, name: str, version: int | str | None = None) -> int:
        """Name a version (the newest by default): `snapshot(name)` finds it and gc keeps it. A tag may be moved."""
        with self._catalog.write() as con:
            found = history.tag(con, name, version)
        self._export(lambda scratch: manifest.write_tags(self.path, self._catalog, scratch))
        return found

    def untag(self, name: str) -> None:
        """Take a tag away. Raises UnknownNameError."""
        with self._catalog.write() as con:
            history.untag(con, name)
        self._export(lambda scratch: manifest.write_tags(self.path, self._catalog, scratch))

    def tags(self) -> dict[str, int]:
        """Tags and the versions they name."""
        with self._catalog.read() as con:
            return history.tags(con)

    def history(self) -> list[dict[str, Any]]:
        """Every version, newest first: version, op, token, run_id, time, message, stats, available, tags."""
        with self._catalog.read() as con:
            return history.history(con)

    @contextmanager
    def pin(self, version: int | str | None = None) -> Iterator[int]:
        """Keep a version from gc while the block runs (in this process); gives its number."""
        with lease.held(self._catalog, lambda con: records.resolve_version(con, version)) as (_, number):
            yield number or 0

    # --- Runs ---------------------------------------------------------------------------------------------------

    def begin_run(self, run_id: str, recipe: Mapping[str, Any] | None, recipe_digest: str, seed: int) -> None:
        """Record that a run has started. Raises InputError if `run_id` was used before."""
        with self._catalog.write() as con:
            history.begin_run(con, run_id, recipe, recipe_digest, seed)

    def log_step(self, run_id: str, ordinal: int, record: Mapping[str, Any]) -> None:
        """Record a step of a run (`StepRecord.to_dict`); the same ordinal again replaces it."""
        with self._catalog.write() as con:
            history.log_step(con, run_id, ordinal, record)

    def end_run(self, run_id: str, status: str, seconds: float) -> None:
        """Record how a run ended: `done`, `failed`, `interrupted`."""
        with self._catalog.write() as con:
            history.end_run(con, run_id, status, seconds)
        self._export(lambda scratch: manifest.write_run(self.path, self._catalog, run_id, scratch))

    def runs(self) -> list[dict[str, Any]]:
        """Runs, newest first: run_id, status, started, seconds, recipe, recipe_digest, seed."""
        with self._catalog.read() as con:
            return history.runs(con)

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """Step records of a run, in order. Raises UnknownNameError."""
        with self._catalog.read() as con:
            return history.steps(con, run_id)

    # --- Housekeeping -------------------------------------------------------------------------------------------

    def gc(
        self, *, grace_seconds: float = DAY, keep_versions: int = KEEP_VERSIONS, dry_run: bool = False
    ) -> GcReport:
        """Delete files that no kept version needs; see `curate.store.gc`."""
        from curate.store import gc

        report = gc.collect(self.path, self._catalog, grace_seconds, keep_versions, dry_run=dry_run)
        if not dry_run:
            self._snapshots.clear()
            write = manifest.write_missing
            self._export(lambda scratch: write(self.path, self._catalog, scratch, everywhere=True))
        return report

    def compact(
        self, *, part_rows: int = 8192, alongside: bool = False, dry_run: bool = False
    ) -> CompactReport:
        """Merge small parts, and leave out what was deleted; items, seqs, scores and finished steps stay.

        A merged part has at most `part_rows` rows. Raises BusyError while others are writing; `alongside` does it all
        the same: what they worked out from a part that was replaced meanwhile gets ConflictError, and they run again.
        Raises CorruptionError if a part to be merged is damaged. `dry_run` only says what would be merged.
        """
        from curate.store import compaction

        return compaction.compact(self, part_rows=part_rows, alongside=alongside, dry_run=dry_run)

    def publish(self, url: str) -> PublishReport:
        """Upload the newest version to a folder, an object store or another fsspec address; again: what is new.

        Raises ConflictError if something else was published there, naming it; StoreError if the place cannot be used.
        """
        from curate.store.publish import publish

        return publish(self, url)

    @classmethod
    def clone(cls, url: str, path: str | Path) -> tuple[PartStore, CloneReport]:
        """A local store of what is published at `url`; again: what is new there. Raises ConflictError if the store at
        `path` has commits that are not published there, CorruptionError if what is published is damaged.
        """
        from curate.store.clone import clone

        return clone(url, path)

    def verify(self, *, deep: bool = True) -> list[Problem]:
        """Everything damaged, missing or misaligned; [] means healthy. `deep` reads and hashes every file."""
        from curate.store import verify

        return verify.verify(self.path, self._catalog, deep=deep)

    # --- Inside -------------------------------------------------------------------------------------------------

    def _export(self, write: Callable[[Path], None]) -> None:
        """Write copies that `rebuild` reads, if disk and catalog let us: what was committed stands without them."""
        scratch = self.path / "tmp" / f"export-{scratch_name()}"
        with suppress(Exception):
            try:
                write(scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
