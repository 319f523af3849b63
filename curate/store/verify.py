"""Is the store what was committed? Every check, every file, nothing repaired.

`deep` reads and hashes every file that a readable version needs. The hash is made while a part is written; the
writer itself only checks size, footer and row count, so that what the disk gives back is compared here.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3
import pyarrow as pa

from curate.contracts import digest
from curate.counting import counted
from curate.errors import BusyError, CorruptionError, StoreError
from curate.store import folder, gc, history, manifest, records
from curate.store.catalog import Catalog
from curate.store.packs import pack_path
from curate.store.parts import Part
from curate.store.writer import check_file

_REDO = "restore it from a copy, or commit without it and make it again"
_AGAIN = "curate.store.PartStore.rebuild(path) makes the catalog anew"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `kind`: store, catalog, versions, manifest, missing, size, damaged, rows, pack. `path` is relative to the store,
    and empty where no single file is meant.
    """

    kind: str
    path: str
    message: str

    def __str__(self) -> str:
        where = "" if self.path in self.message else f"{self.path}: "
        return f"{self.kind}: {where}{self.message}"


def verify(root: Path, catalog: Catalog, *, deep: bool) -> list[Problem]:
    """Everything that is wrong with a store, most general first; [] if it is healthy."""
    problems: list[Problem] = []
    try:
        with catalog.read() as con:
            problems += _check_meta(root, con)
            problems += _check_catalog(catalog.path, con)
            problems += _check_manifests(root, con)
            problems += _check_rows(con)
            parts = _needed_parts(con)
            packs = _needed_packs(con)
    except BusyError:
        raise
    except Exception as error:  # values that no commit wrote make anything fail
        said = str(error) if isinstance(error, StoreError) else f"it cannot be read: {error!r}"
        return [
            *problems,
            _of_catalog(said),
        ]
    for part in parts:
        problems += _check_part(root, part, deep)
    for name in packs:
        problems += _check_pack(root, name, deep)
    return problems


def _of_catalog(what: str) -> Problem:
    """Something wrong with the catalog, and what mends it."""
    return Problem("catalog", "catalog.sqlite", f"{what}. {_AGAIN}")


def _check_meta(root: Path, con: sqlite3.Connection) -> Iterator[Problem]:
    meta = dict(con.execute("SELECT key, value FROM meta"))
    path = root / "STORE.json"
    if meta != {"format": str(folder.FORMAT), "uuid": meta.get("uuid")}:
        yield _of_catalog(f"the table meta holds {meta}")
    elif not path.is_file() or path.read_bytes() != folder.format_bytes(meta["uuid"]):
        yield Problem(
            "store",
            "STORE.json",
            "STORE.json is not what was written. curate.store.PartStore.rebuild(path) writes it anew",
        )


def _check_catalog(path: Path, con: sqlite3.Connection) -> Iterator[Problem]:
    pages, page = (con.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
    if path.stat().st_size != pages * page:
        text = (
            f"the file holds {counted(path.stat().st_size, 'byte')}, not {counted(pages, 'page')} of {page}"
        )
        yield _of_catalog(text)
    for (said,) in con.execute("PRAGMA integrity_check(20)").fetchall():
        if said != "ok":
            yield _of_catalog(f"SQLite finds: {said}")
    for row in con.execute("PRAGMA foreign_key_check").fetchall():
        yield _of_catalog(f"a row of {row[0]!r} points at no row of {row[2]!r}")
    seals = {
        "tag": "SELECT name, version, seal FROM tag",
        "run": "SELECT run_id, started, record, seal FROM run",
        "step_log": "SELECT run_id, ordinal, record, seal FROM step_log",
    }
    for table, query in seals.items():
        for *values, seal in con.execute(query):
            if history.seal(*values) != seal:
                yield _of_catalog(f"{table} {values[0]!r} is not as it was written")
    count, newest, tokens = con.execute(
        "SELECT count(*), coalesce(max(version), 0), count(DISTINCT token) FROM snapshot WHERE version > 0"
    ).fetchone()
    if count != newest or tokens != newest:
        text = f"{counted(count, 'version')} and {counted(tokens, 'token')}, but the newest version is {newest}: they run from 1 without gaps"
        yield Problem("versions", "catalog.sqlite", f"{text}. {_AGAIN}")


def _check_manifests(root: Path, con: sqlite3.Connection) -> Iterator[Problem]:
    """Manifests repeat the catalog: a difference is damage in one of them. The newest ones may not be there yet."""
    there = sorted((root / "manifests").glob("*.json")) if (root / "manifests").is_dir() else []
    numbers = [int(p.stem) for p in there if p.stem.isdigit()]
    last = min(max(numbers, default=0), records.head(con))
    again = "delete it and run gc, which writes it anew from the catalog"
    for version in range(1, last + 1):
        path = manifest.path_of(root, version)
        name = path.relative_to(root).as_posix()
        try:
            content = manifest.decode(path.read_bytes(), path)
        except FileNotFoundError:
            yield Problem(
                "manifest", name, f"{name} is missing: run gc, which writes it anew from the catalog"
            )
        except CorruptionError as error:
            yield Problem("manifest", name, f"{error}: {again}")
        else:
            if content != json.loads(json.dumps(manifest.describe(con, version))):
                text = f"{name} is intact but the catalog tells another story of version {version}"
                yield _of_catalog(text)
    extras = [root / "manifests/tags.json", *sorted((root / "manifests/runs").glob("*.json"))]
    for path in extras:
        try:
            manifest.decode(path.read_bytes(), path)
        except FileNotFoundError:
            continue
        except CorruptionError as error:
            text = f"{error}: it is a copy that only rebuild reads; delete it"
            yield Problem("manifest", path.relative_to(root).as_posix(), text)


def _check_rows(con: sqlite3.Connection) -> Iterator[Problem]:
    yield from _check_seqs(con)
    yield from _check_merged(con)
    query = (
        "SELECT c.part_id, c.path, c.rows, c.base, b.rows FROM part c LEFT JOIN part b ON b.part_id = c.base AND"
        " b.tbl = 'items' AND b.removed IS NULL WHERE c.tbl IN ('column', 'vector') AND c.removed IS NULL AND c.purged = 0"
    )
    for part_id, path, rows, base, found in con.execute(query):
        if rows != found:
            text = f"part {part_id} has {counted(rows, 'row')}, its item part {base} {'is not live' if found is None else found}"
            yield Problem("rows", path, f"{text}: rebuild the catalog")
    arrow = records.schemas(con)
    for table, fingerprint, slot in con.execute("SELECT DISTINCT tbl, schema, slot FROM part").fetchall():
        if slot != records.slot_of(table, arrow[fingerprint]):
            text = f"parts of table {table!r} are listed as giving {slot}, which they do not"
            yield _of_catalog(text)
    yield from _check_deleted(con)


def _check_seqs(con: sqlite3.Connection) -> Iterator[Problem]:
    """Imported parts follow one another without a gap; merged ones lie over some of them, and live ones apart."""
    seq, edges = 0, {0}
    query = "SELECT part_id, path, seq_lo, rows, stats, removed FROM part WHERE tbl = 'items' ORDER BY seq_lo, rows"
    rows = con.execute(query).fetchall()
    merged = [row for row in rows if "of" in json.loads(row[4])]
    for part_id, path, seq_lo, count, stats, _ in rows:
        if "of" not in json.loads(stats):
            if seq_lo != seq:
                text = f"item part {part_id} begins at seq {seq_lo}, not {seq}: rebuild the catalog"
                yield Problem("rows", path, text)
            seq = seq_lo + count
            edges.add(seq)
    for part_id, path, seq_lo, count, _, _ in merged:
        if not {seq_lo, seq_lo + count} <= edges:
            text = f"merged item part {part_id} holds seqs {seq_lo} to {seq_lo + count - 1}, which are not those of whole parts"
            yield Problem("rows", path, f"{text}: rebuild the catalog")
    live = [(row[2], row[3], row[0], row[1]) for row in rows if row[5] is None and row[3]]
    for (lo, count, _, _), (following, _, part_id, path) in itertools.pairwise(live):
        if lo + count > following:
            text = f"item part {part_id} begins at seq {following}, inside the part before it"
            yield Problem("rows", path, f"{text}: rebuild the catalog")


def _check_merged(con: sqlite3.Connection) -> Iterator[Problem]:
    """The table of what was merged repeats the stats of the parts."""
    tables = ", ".join(repr(table) for table in records.MERGED_TABLES)
    query = f"SELECT part_id, stats FROM part WHERE tbl IN ({tables}) AND instr(stats, '\"of\":')"
    wanted = {(i, part_id) for part_id, stats in con.execute(query) for i in json.loads(stats).get("of", ())}
    known = records.has_merged(con)
    found = set(con.execute("SELECT original, part_id FROM merged")) if known else set()
    if found != wanted:
        text = f"{counted(len(found ^ wanted), 'entry about merged parts is', 'entries about merged parts are')} not as they were written"
        yield _of_catalog(text)


def _check_deleted(con: sqlite3.Connection) -> Iterator[Problem]:
    """A version is readable if and only if gc deleted none of its files."""
    available = [r[0] for r in con.execute("SELECT version FROM snapshot WHERE available ORDER BY version")]
    purged = list(gc.needed_spans(con, "purged <> 0"))
    for (version,) in con.execute("SELECT version FROM snapshot WHERE NOT available").fetchall():
        if not any(gc.touches([version], spans) for _, _, spans in purged):
            text = f"version {version} is marked as deleted, but none of its parts is"
            yield _of_catalog(text)
    for part_id, added, spans in purged:
        if gc.touches(available, spans):
            text = f"part {part_id} of version {added} is marked as deleted, but a readable version needs it"
            yield _of_catalog(text)


def _needed_parts(con: sqlite3.Connection) -> list[Part]:
    query = f"SELECT {records.PART_COLUMNS} FROM part WHERE purged = 0 GROUP BY part_id ORDER BY tbl, added, part_id"
    return list(records.make_parts(con.execute(query), records.schemas(con)))


def _needed_packs(con: sqlite3.Connection) -> list[str]:
    rows = con.execute("SELECT stats FROM part WHERE tbl = 'items' AND purged = 0")
    return sorted({name for (stats,) in rows for name in gc.packs_in(stats)})


def _check_part(root: Path, part: Part, deep: bool) -> Iterator[Problem]:
    place: dict[str, Any] = {
        "kind": part.kind,
        "base": part.base,
        "column_set": part.column_set,
        "owner": part.owner,
    }
    place = {k: v for k, v in place.items() if v is not None}
    if digest(part.table, place, part.blake3) != part.part_id:
        text = f"the catalog's row of part {part.part_id} is not as it was written"
        yield _of_catalog(text)
    path = root / part.path
    try:
        size = path.stat().st_size
        if size != part.bytes:
            yield Problem(
                "size",
                part.path,
                f"{part.path} holds {counted(size, 'byte')}, {part.bytes} were committed: {_REDO}",
            )
        elif (
            deep
            and blake3.blake3(max_threads=blake3.blake3.AUTO).update_mmap(path).hexdigest() != part.blake3
        ):
            yield Problem("damaged", part.path, f"{part.path} is not what was committed: {_REDO}")
        elif deep:
            check_file(path, part.rows, part.bytes)
    except FileNotFoundError:
        yield Problem("missing", part.path, f"{part.path} is gone: {_REDO}")
    except CorruptionError as error:
        yield Problem("rows", part.path, str(error))
    except (OSError, pa.ArrowInvalid) as error:
        yield Problem("damaged", part.path, f"{part.path} cannot be read ({error}): {_REDO}")


def _check_pack(root: Path, name: str, deep: bool) -> Iterator[Problem]:
    path = pack_path(root, name)
    relative = path.relative_to(root).as_posix()
    try:
        hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
        if not path.is_file():
            yield Problem("missing", relative, f"{relative}, which items point into, is gone: {_REDO}")
        elif deep and path.stat().st_size and hasher.update_mmap(path).hexdigest(length=16) != name:
            yield Problem("pack", relative, f"{relative} is not what was written: {_REDO}")
        elif not path.stat().st_size and hasher.hexdigest(length=16) != name:
            yield Problem("pack", relative, f"{relative} is empty: {_REDO}")
    except OSError as error:
        yield Problem("pack", relative, f"{relative} cannot be read ({error}): {_REDO}")
