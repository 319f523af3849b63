"""Cloning: a published store as a local one, and what is new of it later.

Files are downloaded and hashed first; then one catalog transaction replays the manifests, just as `rebuild` does. What
others published is not trusted: names are checked before anything is written, contents against their hashes.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.counting import counted
from curate.errors import (
    ConflictError,
    CorruptionError,
    InputError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
)
from curate.store import failpoints, filesystem, folder, gc, history, manifest, rebuild, records, streams
from curate.store.publish import Needed, check_common, needed_files, published, read_manifest
from curate.store.remote import Remote, open_remote

if TYPE_CHECKING:
    from curate.store.store import PartStore


@dataclass
class CloneReport:
    """What came: the version the store has now, manifests replayed, files downloaded and their bytes; `later` versions
    are published of which files are missing: somebody is publishing them, or was interrupted."""

    version: int = 0
    manifests: int = 0
    files: int = 0
    bytes: int = 0
    later: int = 0

    def __str__(self) -> str:
        later = (
            f"; {self.later:,} later {'one is' if self.later == 1 else 'ones are'} not whole yet"
            if self.later
            else ""
        )
        if not self.manifests and not self.files:
            return f"version {self.version}: nothing new{later}"
        came = f"{counted(self.manifests, 'new version')}, {counted(self.files, 'file')} ({self.bytes / 1e6:,.1f} MB)"
        return f"version {self.version}: {came}{later}"


class _Planned(Exception):
    """Leaves a transaction that only asked what would be needed."""


def clone(url: str, path: str | Path) -> tuple[PartStore, CloneReport]:
    """Make a local store of what is published at `url`, or bring one that was cloned from there up to date."""
    from curate.store.store import PartStore

    remote, root = open_remote(url), folder.absolute(path)
    filesystem.refuse_network(root)
    versions = published(remote)
    if not versions:
        raise StoreNotFoundError(
            f"nothing is published at {url}: there is no manifest. `curate publish STORE {url}` does"
        )
    if not (root / "STORE.json").exists():
        first = read_manifest(remote, 1)
        _check_uuid(first["store"])
        folder.create(root, first["store"])
    store = PartStore.open(root)
    try:
        return store, pull(store, remote)
    except BaseException:
        store.close()
        raise


def _check_uuid(text: Any) -> None:
    if not re.fullmatch(r"[0-9a-f]{32}", str(text)):
        raise CorruptionError(
            f"a published manifest names the store {text!r}, which is no identity of a store"
        )


def pull(store: PartStore, remote: Remote) -> CloneReport:
    """Bring a store up to the newest version of which everything is published. ConflictError if it went its own way."""
    newest = check_common(store, remote, behind_is_conflict=False)
    with store._catalog.read() as con:
        mine = records.head(con)
    contents = [read_manifest(remote, v) for v in range(mine + 1, newest + 1)]
    _check_contents(store, remote, contents)
    tags = _tags(remote)
    with store.writer() as writer:
        there = remote.listed("parts/") | remote.listed("blobs/")
        count, files = _complete(store, remote, contents, there, tags)
        report = CloneReport(mine + count, count, later=len(contents) - count)
        for file in files:
            if not have(store.path, file):
                failpoints.hit("clone.part")
                report.bytes += download(store.path, remote, file, writer.scratch(file.key.split("/")[1]))
                report.files += 1
        for place in {(store.path / f.key).parent for f in files}:
            filesystem.sync_folder(place)
        runs = _runs(store, remote)
        failpoints.hit("clone.commit")
        with store._catalog.write() as con:
            if records.head(con) != mine:
                raise ConflictError(
                    f"{store.path} was changed by another process while it was cloned. Run again"
                )
            _replay(store.path, con, contents[:count], files)
            _copy(con, tags, runs)
    store._snapshots.clear()
    write = manifest.write_missing
    store._export(lambda scratch: write(store.path, store._catalog, scratch))
    store._export(lambda scratch: _export_records(store, runs, scratch))
    return report


def _check_contents(store: PartStore, remote: Remote, contents: Sequence[dict[str, Any]]) -> None:
    for content in contents:
        if content["format"] != manifest.FORMAT:
            raise StoreFormatError(
                f"{remote.url} has format {content['format']}: use the curate that published it"
            )
    known = {c["store"] for c in contents}
    if known and known != {folder.read_format(store.path)["uuid"]}:
        raise ConflictError(f"{remote.url} holds another store than {store.path}: clone it to another place")


def _complete(
    store: PartStore,
    remote: Remote,
    contents: Sequence[dict[str, Any]],
    there: dict[str, int],
    tags: dict[str, int],
) -> tuple[int, list[Needed]]:
    """How many of the manifests to replay, and the files needed then. Somebody may be publishing right now."""
    first = ""
    for count in range(len(contents), -1, -1):
        files, tagged = _plan(store, contents[:count], tags)
        lacking = [f.key for f in files if not _published(f, there) and not have(store.path, f)]
        if not lacking and (files or count == len(contents)):
            whole = [some for some in tagged if all(_published(f, there) for f in some)]
            return count, list({f.key: f for some in (files, *whole) for f in some}.values())
        first = first or next(iter(lacking), "")
    raise StoreError(
        f"{remote.url}: no published version is whole; {first} is missing. Publish again from the store"
    )


def _plan(
    store: PartStore, contents: Sequence[dict[str, Any]], tags: dict[str, int]
) -> tuple[list[Needed], list[list[Needed]]]:
    """Files that the newest version needs once these manifests are replayed, and those of each tagged one."""
    files: list[Needed] = []
    tagged: list[list[Needed]] = []
    with suppress(_Planned), store._catalog.write() as con:
        for content in contents:
            rebuild.replay(con, content)
        _revive(con)
        newest = records.head(con)
        files = needed_files(con, newest)
        tagged = [needed_files(con, v) for v in sorted(set(tags.values())) if 0 < v <= newest]
        raise _Planned
    return files, tagged


def _revive(con: sqlite3.Connection) -> None:
    """What gc here had given up may be needed again: what is not will be given up again."""
    con.execute("UPDATE OR IGNORE part SET purged = 0 WHERE removed IS NULL AND purged <> 0")


def _published(file: Needed, there: dict[str, int]) -> bool:
    return file.key in there and file.bytes in (None, there[file.key])


def have(root: Path, file: Needed) -> bool:
    """Whether the file is there, as long as it must be."""
    return (
        gc.size_of(root / file.key) == file.bytes if file.bytes is not None else (root / file.key).is_file()
    )


def download(root: Path, remote: Remote, file: Needed, scratch: Path) -> int:
    """Bring a file under `root`, by way of `scratch`; its bytes. Raises StoreError where it does not come, CorruptionError unless it has its hash."""
    with streams.hashed_file(scratch) as sink:
        try:
            for chunk in remote.chunks(file.key):
                sink.write(chunk)
        except FileNotFoundError:
            raise StoreError(f"{file.key} is not at {remote.url}. Publish again from the store") from None
    found = sink.hexdigest(len(file.blake3) // 2)
    if found != file.blake3:
        scratch.unlink()
        raise CorruptionError(
            f"{file.key} at {remote.url} is not what was published. Delete it there and publish again from the store"
        )
    try:
        filesystem.move(scratch, root / file.key, "part")
    except OSError as error:
        raise filesystem.write_failure(root / file.key, error) from error
    return sink.size


def _replay(
    root: Path, con: sqlite3.Connection, contents: Sequence[dict[str, Any]], files: Iterable[Needed]
) -> None:
    for file in files:
        if not have(root, file):
            raise ConflictError(
                f"{file.key} was swept while the store was cloned (gc with too short a grace?). Run again"
            )
    for content in contents:
        rebuild.replay(con, content)
    _revive(con)
    con.execute("UPDATE snapshot SET available = 1")  # those of which something is gone are marked right away
    rebuild.mark_deleted(root, con)


# --- Copies that nothing depends on -----------------------------------------------------------------------------


def _tags(remote: Remote) -> dict[str, int]:
    with suppress(FileNotFoundError, CorruptionError, TypeError, ValueError, AttributeError):
        content = manifest.decode(remote.read("manifests/tags.json"), Path("manifests/tags.json"))
        return {str(name): int(version) for name, version in content["tags"].items()}
    return {}


def _runs(store: PartStore, remote: Remote) -> list[dict[str, Any]]:
    """Records of runs that this store does not have."""
    mine = {path.name for path in (store.path / "manifests" / "runs").glob("*.json")}
    runs = []
    for key in sorted(remote.listed("manifests/runs/")):
        if Path(key).name not in mine:
            with suppress(FileNotFoundError, CorruptionError):
                runs.append(manifest.decode(remote.read(key), Path(key)))
    return runs


def _export_records(store: PartStore, runs: Iterable[dict[str, Any]], scratch: Path) -> None:
    manifest.write_tags(store.path, store._catalog, scratch)
    for content in runs:
        manifest.write_run(store.path, store._catalog, content["run"][0], scratch)


def _copy(con: sqlite3.Connection, tags: dict[str, int], runs: Iterable[dict[str, Any]]) -> None:
    known = history.tags(con)
    for name, version in tags.items():
        if name not in known:
            with suppress(InputError):  # its files are not there
                history.tag(con, name, version)
    for content in runs:
        rebuild.insert_run(con, content)
