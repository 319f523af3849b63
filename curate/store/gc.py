"""Garbage collection: delete files that no kept version needs.

Kept are the newest `keep_versions` versions, tagged and pinned ones, and every version that was the newest within the
grace period. A part is needed by a version at which it is live and, if it belongs to a column set or a selection that
was ever bound to a name, bound.

First the catalog says, durably, which files are given up and which versions can no longer be read; then, in a second
transaction, the files go. Both hold the write lock, so no commit can bring a file back in between. A crash leaves
files too many, never too few. Files that were written and never committed go when they are older than the grace
period and than every live writer.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from curate.counting import counted
from curate.errors import InputError, StoreError
from curate.store import failpoints, filesystem, lease, records
from curate.store.catalog import Catalog
from curate.store.parts import TABLES

_FOREVER = 1 << 62
_CLOCK_SLACK = 2.0  # file times are coarser than the clock
Span = tuple[int, int]


@dataclass
class GcReport:
    """What was deleted (or, in a dry run, would be).

    `parts` files that only versions now given up needed; `orphans` files never committed; `packs`; `folders` left in
    tmp/ by writers that died; `bytes` freed in all; `expired` versions that cannot be read any more.
    """

    parts: int = 0
    orphans: int = 0
    packs: int = 0
    folders: int = 0
    bytes: int = 0
    expired: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{counted(self.parts, 'part')}, {counted(self.packs, 'pack')}, {counted(self.orphans, 'orphan')} and "
            f"{counted(self.folders, 'folder')} of dead writers, "
            f"{self.bytes / 1e6:.1f} MB; {counted(len(self.expired), 'version')} can be read no more"
        )


def collect(root: Path, catalog: Catalog, grace: float, keep_versions: int, *, dry_run: bool) -> GcReport:
    """Run one collection. Raises InputError for a negative grace period or nothing to keep, BusyError."""
    if grace < 0 or keep_versions < 1:
        raise InputError(
            f"gc(grace_seconds={grace}, keep_versions={keep_versions}): the grace period is 0 or more seconds, and at "
            "least the newest version is kept"
        )
    report = GcReport()
    try:
        _collect(root, catalog, (grace, keep_versions, dry_run), report)
    except OSError as error:
        raise StoreError(
            f"garbage collection in {root} stopped: {error}. Nothing that is needed was deleted; run it again"
        ) from error
    return report


def _collect(root: Path, catalog: Catalog, how: tuple[float, int, bool], report: GcReport) -> None:
    grace, keep_versions, dry_run = how
    failpoints.hit("gc.begin")
    with catalog.read() if dry_run else catalog.write() as con:
        doomed = _doomed(con, kept_versions(con, grace, keep_versions))
        report.expired = _expired(con, doomed)
        if not dry_run:
            _mark(con, doomed, report.expired)
        failpoints.hit("gc.mark")
    failpoints.hit("gc.marked")
    with catalog.read() if dry_run else catalog.write() as con:
        sweep = _Sweep(root, grace, dry_run, report)
        sweep.files(con, {part_id for part_id, _, _ in doomed})
        sweep.folders(con)


def kept_versions(con: sqlite3.Connection, grace: float, keep_versions: int) -> list[int]:
    """Versions that must stay readable, ascending."""
    newest, now = records.head(con), time.time()
    kept = set(range(max(1, newest - keep_versions + 1), newest + 1))
    kept |= {int(r[0]) for r in con.execute("SELECT version FROM tag")}
    kept |= {version for _, version, _ in lease.live(con) if version is not None}
    recent = con.execute("SELECT version - 1 FROM snapshot WHERE time > ?", (now - grace,))
    return sorted(kept | {int(r[0]) for r in recent})


def needed_spans(con: sqlite3.Connection, where: str) -> Iterator[tuple[str, int, list[Span]]]:
    """(part id, version it was added, [from, to) spans of versions that need it) of the parts that `where` selects."""
    bound: dict[str, list[Span]] = {}
    for table in ("binding", "selection"):
        for digest, added, removed in con.execute(f"SELECT digest, added, removed FROM {table}"):
            bound.setdefault(digest, []).append((added, _FOREVER if removed is None else removed))
    ends = f"min(coalesce(removed, {_FOREVER}), iif(purged, purged, {_FOREVER}))"
    since = "coalesce(json_extract(stats, '$.since'), added)"  # older than the part, where parts were merged
    query = f"SELECT part_id, added, {since}, {ends}, coalesce(column_set, owner) FROM part WHERE {where}"
    for part_id, added, made, end, digest in con.execute(query):
        spans = bound.get(digest, [])
        if made >= max((hi for _, hi in spans), default=0):
            yield part_id, added, [(added, end)]  # not bound yet: a run may be about to do so
        else:
            clipped = ((max(added, lo), min(end, hi)) for lo, hi in spans)
            yield part_id, added, [(lo, hi) for lo, hi in clipped if lo < hi]


def touches(versions: Sequence[int], spans: Iterable[Span]) -> bool:
    """Whether one of the ascending `versions` lies in one of the spans."""
    return any((i := bisect_left(versions, lo)) < len(versions) and versions[i] < hi for lo, hi in spans)


def _doomed(con: sqlite3.Connection, kept: list[int]) -> list[tuple[str, int, list[Span]]]:
    where = "purged = 0 AND (removed IS NOT NULL OR column_set IS NOT NULL OR owner IS NOT NULL)"
    return [part for part in needed_spans(con, where) if not touches(kept, part[2])]


def _expired(con: sqlite3.Connection, doomed: list[tuple[str, int, list[Span]]]) -> list[int]:
    spans = {span for _, _, spans in doomed for span in spans}
    available = [r[0] for r in con.execute("SELECT version FROM snapshot WHERE available ORDER BY version")]
    gone: set[int] = set()
    for lo, hi in spans:
        gone.update(available[bisect_left(available, lo) : bisect_left(available, hi)])
    return sorted(gone)


def _mark(con: sqlite3.Connection, doomed: list[tuple[str, int, list[Span]]], expired: list[int]) -> None:
    following = records.head(con) + 1
    rows = [(following, part_id, added) for part_id, added, _ in doomed]
    con.executemany("UPDATE part SET purged = ? WHERE part_id = ? AND added = ?", rows)
    con.executemany("UPDATE snapshot SET available = 0 WHERE version = ?", [(v,) for v in expired])


@dataclass
class _Sweep:
    """The second half: what lies in the folders against what the catalog needs."""

    root: Path
    grace: float
    dry_run: bool
    report: GcReport

    def files(self, con: sqlite3.Connection, doomed: set[str]) -> None:
        """Delete part files and packs that nothing needs."""
        writers = [taken for _, version, taken in lease.live(con) if version is None]
        limit = min([time.time() - self.grace, *(taken - _CLOCK_SLACK for taken in writers)])
        known = {r[0] for r in con.execute("SELECT path FROM part")}
        rows = con.execute("SELECT part_id, path, tbl = 'items', stats FROM part WHERE purged = 0").fetchall()
        needed = {path for part_id, path, _, _ in rows if part_id not in doomed or not self.dry_run}
        packs = {
            n for part_id, path, items, stats in rows if items and path in needed for n in packs_in(stats)
        }
        for table in TABLES:
            for path in self._stale(self.root / "parts" / table, limit):
                name = path.relative_to(self.root).as_posix()
                if name not in needed:
                    self._delete(path, "parts" if name in known else "orphans")
        for path in self._stale(self.root / "blobs", limit):
            if path.stem not in packs:
                self._delete(path, "packs")

    def _stale(self, folder: Path, limit: float) -> list[Path]:
        if not folder.is_dir():
            return []
        return sorted(p for p in folder.iterdir() if (newest(p) or limit + 1) <= limit)

    def _delete(self, path: Path, count: str) -> None:
        size = path.stat().st_size if self.dry_run else filesystem.remove_file(path, "gc")
        self.report.bytes += size
        setattr(self.report, count, getattr(self.report, count) + 1)

    def folders(self, con: sqlite3.Connection) -> None:
        """Delete what dead writers left in tmp/, and their leases."""
        live = {lease_id for lease_id, _, _ in lease.live(con)}
        dead = {r[0] for r in con.execute("SELECT lease_id FROM lease")} - live
        for folder in sorted((self.root / "tmp").iterdir()):
            written = newest(folder)
            fresh = folder.name not in dead and time.time() - (written or 0.0) < self.grace
            if written is None or folder.name in live or fresh:
                continue
            self.report.folders += 1
            self.report.bytes += sum(size_of(p) for p in files_in(folder))
            if not self.dry_run:
                shutil.rmtree(folder, ignore_errors=True)
        if not self.dry_run:
            con.executemany("DELETE FROM lease WHERE lease_id = ?", [(d,) for d in dead])


def newest(path: Path) -> float | None:
    """When a file, or something in a folder, was last written, in seconds since 1970.

    None if it is not there any more: writers come and go in tmp/ while gc looks.
    """
    times = []
    for each in (path, *files_in(path)):
        with suppress(FileNotFoundError):
            times.append(each.stat().st_mtime)
    return max(times, default=None)


def files_in(folder: Path) -> list[Path]:
    """Files in a folder and those below it; none if it is a file, or not there any more."""
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]


def size_of(path: Path) -> int:
    """Bytes of a file; 0 for anything else, and for one that is not there any more."""
    with suppress(FileNotFoundError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def packs_in(stats: str) -> list[str]:
    """Names of the packs that an item part points into, by its `stats`."""
    return list(json.loads(stats).get("packs", ())) if '"packs"' in stats else []
