"""Making the catalog anew from manifests/, when it is lost or damaged."""

from __future__ import annotations

import base64
import itertools
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from curate.counting import counted
from curate.errors import CorruptionError, InputError, StoreError, StoreFormatError
from curate.store import catalog, filesystem, folder, gc, history, manifest, records
from curate.store.catalog import Catalog, dump
from curate.store.parts import ColumnSet, NewPart, SelectionInfo
from curate.store.writer import scratch_name


def rebuild(root: Path) -> int:
    """Write a new catalog; the newest version in it. The old file is kept as damaged-N.sqlite.

    Raises CorruptionError if a manifest is missing or damaged, or if the catalog knows versions that none describes.
    """
    contents = _read_manifests(root)
    _refuse_loss(root, len(contents))
    store_uuid = contents[0]["store"] if contents else folder.read_format(root)["uuid"]
    scratch = root / "tmp" / f"rebuild-{scratch_name()}"
    scratch.mkdir(parents=True)
    try:
        fresh = scratch / "catalog.sqlite"
        catalog.create(fresh, {"uuid": store_uuid, "format": str(folder.FORMAT)})
        _fill(root, fresh, contents)
        _set_aside(root)
        filesystem.publish(fresh, root / "catalog.sqlite", "rebuild")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    path = root / "STORE.json"
    if not path.is_file() or path.read_bytes() != folder.format_bytes(store_uuid):
        folder.write_format(root, store_uuid)
    return len(contents)


def _read_manifests(root: Path) -> list[dict[str, Any]]:
    paths = sorted(p for p in (root / "manifests").glob("*.json") if p.stem.isdigit())
    contents, damaged = [], []
    for path in paths:
        try:
            contents.append(manifest.decode(path.read_bytes(), path))
        except CorruptionError:
            damaged.append(path.name)
    missing = sorted(set(range(1, int(paths[-1].stem) + 1)) - {int(p.stem) for p in paths}) if paths else []
    if damaged or missing:
        what = [*damaged, *(manifest.path_of(root, v).name + " (missing)" for v in missing)]
        raise CorruptionError(
            f"cannot rebuild the catalog of {root}: manifests/{', manifests/'.join(what[:5])} damaged or missing. "
            "Restore them from a copy, or move them and all later ones away to rebuild the versions before them"
        )
    if not paths and any((root / "parts").glob("*/*")):
        raise CorruptionError(
            f"cannot rebuild the catalog of {root}: there are parts, but manifests/ is empty. Restore manifests/ or "
            "catalog.sqlite from a copy"
        )
    newer = [c["format"] for c in contents if c["format"] != manifest.FORMAT]
    if newer:
        raise StoreFormatError(f"manifests of {root} have format {newer[0]}: use the curate that wrote them")
    return contents


def _refuse_loss(root: Path, described: int) -> None:
    """A catalog that still answers may know more than the manifests do."""
    old = Catalog(root / "catalog.sqlite")
    known = 0
    with suppress(StoreError, sqlite3.Error), old.read() as con:
        known = records.head(con)
    old.close()
    if known > described:
        raise CorruptionError(
            f"the catalog of {root} knows {counted(known, 'version')}, manifests/ describe {described}: to rebuild "
            "those and lose the rest, move catalog.sqlite away first"
        )


def _set_aside(root: Path) -> None:
    """Keep the old catalog under another name. Its journal goes first: SQLite would apply it to the new one."""
    number = next(n for n in itertools.count(1) if not (root / f"damaged-{n}.sqlite").exists())
    for suffix in ("-journal", ""):
        old = root / f"catalog.sqlite{suffix}"
        if old.exists():
            filesystem.publish(old, root / f"damaged-{number}.sqlite{suffix}", "rebuild")


def _fill(root: Path, path: Path, contents: list[dict[str, Any]]) -> None:
    fresh = Catalog(path)
    try:
        with fresh.write() as con:
            for content in contents:
                replay(con, content)
            mark_deleted(root, con)
            _copy_tags(root, con)
            _copy_runs(root, con)
    finally:
        fresh.close()


def replay(con: sqlite3.Connection, content: Mapping[str, Any]) -> None:
    """Do again what a manifest says a commit did, inside the caller's transaction."""
    version = content["version"]
    head = [content[k] for k in ("op", "token", "run_id", "time", "message")]
    con.execute(
        "INSERT INTO snapshot VALUES (?, ?, ?, ?, ?, ?, ?, 1)", (version, *head, dump(content["stats"]))
    )
    _end(con, "part", "part_id", content["removed"], version)
    _end(con, "binding", "name", content["unbound"], version)
    _end(con, "selection", "name", content["unselected"], version)
    for row in content["added"]:
        part = _part(row, content["schemas"])
        _give_way(con, part, version)
        records.insert_part(con, part, row["seq_lo"], version)
    for digest, name, fields, scorer, scorer_version, params in content["column_sets"]:
        made = ColumnSet(name, digest, base64.b64decode(fields), scorer, scorer_version, params)
        records.insert_column_set(con, made, version)
    for name, digest in content["bound"]:
        con.execute("INSERT INTO binding VALUES (?, ?, ?, NULL)", (name, digest, version))
    for name, digest, rows, seed, at_version, stats in content["selected"]:
        info = SelectionInfo(name, digest, rows, None if seed is None else int(seed), at_version, stats)
        records.insert_selection(con, info, version)
    for digest, result in content["steps"]:
        con.execute("INSERT INTO step VALUES (?, ?, ?)", (digest, dump(result), version))


def _give_way(con: sqlite3.Connection, part: NewPart, version: int) -> None:
    """A part could be added where one was live only because gc had deleted that one: manifests do not tell."""
    place = (part.column_set, part.base, records.slot_of(part.table, part.schema))
    con.execute(
        "UPDATE part SET purged = ? WHERE removed IS NULL AND purged = 0"
        " AND (part_id = ? OR (column_set = ? AND base = ? AND slot = ?))",
        (version, part.part_id, *place),
    )


def _end(con: sqlite3.Connection, table: str, key: str, names: Iterable[str], version: int) -> None:
    rows = [(version, name) for name in names]
    con.executemany(f"UPDATE {table} SET removed = ? WHERE {key} = ? AND removed IS NULL", rows)


def _part(row: Mapping[str, Any], schemas: Mapping[str, str]) -> NewPart:
    values = {k: v for k, v in row.items() if k not in ("tbl", "seq_lo", "schema")}
    return NewPart(table=row["tbl"], schema=base64.b64decode(schemas[row["schema"]]), **values)


def mark_deleted(root: Path, con: sqlite3.Connection) -> None:
    """Files that are gone and that the newest version does not need were deleted by gc, not lost."""
    newest = records.head(con)
    paths = dict(con.execute("SELECT part_id, path FROM part"))
    gone = {part_id for part_id, path in paths.items() if not (root / path).exists()}
    for part_id, added, spans in list(gc.needed_spans(con, "purged = 0")):
        if part_id in gone and not gc.touches([newest], spans):
            row = (newest + 1, part_id, added)
            con.execute("UPDATE part SET purged = ? WHERE part_id = ? AND added = ?", row)
    for _, _, spans in list(gc.needed_spans(con, "purged <> 0")):
        for lo, hi in spans:
            con.execute("UPDATE snapshot SET available = 0 WHERE version >= ? AND version < ?", (lo, hi))


def _copy_tags(root: Path, con: sqlite3.Connection) -> None:
    path = root / "manifests" / "tags.json"
    with suppress(OSError, CorruptionError):
        for name, version in manifest.decode(path.read_bytes(), path)["tags"].items():
            with suppress(InputError):  # the version is not there any more
                history.tag(con, name, version)


def _copy_runs(root: Path, con: sqlite3.Connection) -> None:
    for path in sorted((root / "manifests" / "runs").glob("*.json")):
        with suppress(OSError, CorruptionError):
            insert_run(con, manifest.decode(path.read_bytes(), path))


def insert_run(con: sqlite3.Connection, content: Mapping[str, Any]) -> None:
    """Enter the record of a run, unless there is one of that name."""
    run_id, started, record = content["run"]
    row = (run_id, started, record, history.seal(run_id, started, record))
    if con.execute("INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?)", row).rowcount:
        for ordinal, text in content["steps"]:
            step = (run_id, ordinal, text, history.seal(run_id, ordinal, text))
            con.execute("INSERT INTO step_log VALUES (?, ?, ?, ?)", step)
