"""Publishing: what the newest version needs, then the manifests, each created only where there is none.

    STORE/parts/... blobs/...  ->  URL/parts/... blobs/...      content-named, uploaded where missing or cut short
    manifests, oldest first    ->  URL/manifests/<version>.json  two publishers can never both make version N
    tags, records of runs      ->  URL/manifests/                copies, replaced

Parts go first, so a manifest that can be seen can be read: a clone takes the newest version of which everything is
there. Nothing is deleted. A publisher that was killed is simply run again.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.counting import counted
from curate.errors import ConflictError, CorruptionError
from curate.store import failpoints, gc, history, manifest, records
from curate.store.parts import TABLES, NewPart
from curate.store.remote import Remote, open_remote

if TYPE_CHECKING:
    from curate.store.store import PartStore

_PART = re.compile(rf"parts/(?:{'|'.join(TABLES)})/[0-9a-f]{{32}}\.(?:parquet|arrow)")
_PACK = re.compile(r"[0-9a-f]{32}")


@dataclass
class PublishReport:
    """What was published: the newest version, manifests and files written, their bytes, files that were there."""

    version: int = 0
    manifests: int = 0
    files: int = 0
    bytes: int = 0
    there: int = 0

    def __str__(self) -> str:
        if not self.manifests and not self.files:
            return f"version {self.version} is published already"
        return (
            f"published version {self.version}: {counted(self.manifests, 'manifest')}, {counted(self.files, 'file')} "
            f"({self.bytes / 1e6:,.1f} MB); {self.there:,} {'was' if self.there == 1 else 'were'} there"
        )


@dataclass(frozen=True)
class Needed:
    """One file that a version needs: its key, its bytes (None: not known), and the hash of its content."""

    key: str
    bytes: int | None
    blake3: str


def publish(store: PartStore, url: str) -> PublishReport:
    """Publish the newest version; see `PartStore.publish`."""
    remote = open_remote(url)
    with store.pin() as version:
        report = PublishReport(version)
        newest = check_common(store, remote, behind_is_conflict=True)
        with store._catalog.read() as con:
            tagged = [v for v in history.tags(con).values() if v <= version]
            files = {f.key: f for v in {version, *tagged} for f in needed_files(con, v)}
        _upload(store, remote, files.values(), report)
        for number in range(newest + 1, version + 1):
            failpoints.hit("publish.manifest")
            _create_manifest(store, remote, number)
            report.manifests += 1
    _copy_records(store, remote)
    return report


def key_of(version: int) -> str:
    """Where the manifest of a version is published."""
    return f"manifests/{version:010d}.json"


def published(remote: Remote) -> list[int]:
    """Versions that are published. Raises CorruptionError if one of them is missing."""
    keys = remote.listed("manifests/")
    found = sorted(int(Path(k).stem) for k in keys if re.fullmatch(r"manifests/\d{10}\.json", k))
    if found != list(range(1, len(found) + 1)):
        missing = sorted(set(range(1, found[-1] + 1)) - set(found))
        raise CorruptionError(
            f"{remote.url}: {key_of(missing[0])} is missing, but {key_of(found[-1])} is there. Restore it, or publish to "
            "another place"
        )
    return found


def read_manifest(remote: Remote, version: int) -> dict[str, Any]:
    """A published manifest. Raises CorruptionError if it is damaged."""
    key = key_of(version)
    return manifest.decode(remote.read(key), Path(remote.url, key))


def check_common(store: PartStore, remote: Remote, *, behind_is_conflict: bool) -> int:
    """The newest version that is published, if its history is the store's own as far as both go. ConflictError."""
    versions = published(remote)
    if not versions:
        return 0
    with store._catalog.read() as con:
        mine, own = records.head(con), con.execute("SELECT value FROM meta WHERE key = 'uuid'").fetchone()[0]
    common = min(mine, versions[-1])
    theirs = read_manifest(remote, max(common, 1))
    if theirs["store"] != own:
        raise ConflictError(
            f"{remote.url} holds another store ({theirs['store']}), not that of {store.path} ({own}). Choose another place"
        )
    if common and theirs != _described(store, common):
        raise ConflictError(
            f"{remote.url} and {store.path} went different ways: version {common} there is {told(theirs)}. Clone it to "
            "a new place and do there what this store has more"
        )
    if behind_is_conflict and versions[-1] > mine:
        newest = read_manifest(remote, versions[-1])
        raise ConflictError(
            f"{remote.url} has version {versions[-1]} already, {told(newest)}; this store ends at {mine}. Clone it "
            "again to catch up"
        )
    return versions[-1]


def _described(store: PartStore, version: int) -> dict[str, Any]:
    with store._catalog.read() as con:
        encoded = manifest.encode(manifest.describe(con, version))
    return manifest.decode(encoded, Path(key_of(version)))


def told(content: dict[str, Any]) -> str:
    """Who made a version, and when."""
    when = datetime.fromtimestamp(content["time"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    run = f" of run {content['run_id']}" if content["run_id"] else ""
    return f"{content['op']!r}{run}, committed {when}"


def needed_files(con: sqlite3.Connection, version: int) -> list[Needed]:
    """Files that a version needs: parts, and the packs that its items point into. CorruptionError for odd names."""
    where = f"purged = 0 AND {records.live_at(version)}"
    wanted = {(i, added) for i, added, spans in gc.needed_spans(con, where) if gc.touches([version], spans)}
    query = f"SELECT part_id, added, tbl, path, bytes, blake3, stats FROM part WHERE {where}"
    found: dict[str, Needed] = {}
    for part_id, added, table, path, size, blake3, stats in con.execute(query):
        if (part_id, added) not in wanted:
            continue
        packs = gc.packs_in(stats) if table == "items" else []
        found.update({f.key: f for f in _files(part_id, table, Needed(path, size, blake3), packs)})
    return list(found.values())


def needed(part: NewPart) -> list[Needed]:
    """Files that a part needs: its own, and the packs that its items point into. CorruptionError for odd names."""
    packs = part.stats.get("packs", ()) if part.table == "items" else ()
    return _files(part.part_id, part.table, Needed(part.path, part.bytes, part.blake3), packs)


def _files(part_id: str, table: str, own: Needed, packs: Iterable[Any]) -> list[Needed]:
    path = own.key
    if not _PART.fullmatch(path) or path.split("/")[1:] != [table, f"{part_id}{Path(path).suffix}"]:
        raise CorruptionError(f"part {part_id} is said to lie at {path!r}, where no part lies")
    files = [own]
    for name in packs:
        if not _PACK.fullmatch(str(name)):
            raise CorruptionError(f"part {part_id} points into {name!r}, which is no name of a pack")
        files.append(Needed(f"blobs/{name}.pack", None, name))
    return files


def _upload(store: PartStore, remote: Remote, files: Iterable[Needed], report: PublishReport) -> None:
    there = remote.listed("parts/") | remote.listed("blobs/")
    for file in sorted(files, key=lambda f: f.key):
        path = store.path / file.key
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = -1
        if size != (size if file.bytes is None and size >= 0 else file.bytes):
            raise CorruptionError(
                f"{file.key} is not what was committed, so version {report.version} was not published. Run "
                "`curate verify` to list what is damaged"
            )
        if there.get(file.key) == size:
            report.there += 1
            continue
        failpoints.hit("publish.part")
        remote.upload(file.key, path)
        report.files += 1
        report.bytes += size


def _create_manifest(store: PartStore, remote: Remote, version: int) -> None:
    with store._catalog.read() as con:
        data = manifest.encode(manifest.describe(con, version))
    key = key_of(version)
    for _ in range(3):  # S3 answers "conflict" too while another PUT is under way that may yet fail
        if remote.create(key, data):
            return
        try:
            theirs = remote.read(key)
        except FileNotFoundError:
            continue
        if theirs == data:
            return  # we were here before, and did not hear of it
        content = manifest.decode(theirs, Path(remote.url, key))
        raise ConflictError(
            f"another publisher was faster: version {version} at {remote.url} is {told(content)}. Nothing of it was "
            "changed. Clone it to a new place and do there what this store has more"
        )
    raise ConflictError(f"{remote.url}: {key} could not be created, and is not there either. Run again")


def _copy_records(store: PartStore, remote: Remote) -> None:
    """Tags, and records of runs: copies that nothing depends on."""
    with store._catalog.read() as con:
        tags = manifest.encode({"tags": history.tags(con)})
    there = remote.listed("manifests/")
    if "manifests/tags.json" not in there or remote.read("manifests/tags.json") != tags:
        remote.put("manifests/tags.json", tags)
    for path in sorted((store.path / "manifests" / "runs").glob("*.json")):
        data = path.read_bytes()
        if there.get(f"manifests/runs/{path.name}") != len(data):
            remote.put(f"manifests/runs/{path.name}", data)
