"""The one transaction that makes durable files part of the store.

First the folders of the new files are synced: with that their names are on the disk too. Then, inside BEGIN
IMMEDIATE, so that neither another commit nor garbage collection can come between: a known token is answered with its
version; what is to be removed must still be live; every new file must be there in full length; then the rows are
written. If COMMIT fails its outcome is looked up by the token. Files are never deleted here.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from curate.counting import counted
from curate.errors import ConflictError, InputError, SchemaError, StoreError
from curate.store import failpoints, filesystem, records, tombstones
from curate.store.catalog import Catalog, CommitUnknown, dump
from curate.store.changes import Changes, Commit
from curate.store.packs import pack_path
from curate.store.parts import NewPart

_LIVE = "removed IS NULL AND purged = 0"


def commit(root: Path, catalog: Catalog, changes: Changes) -> Commit:
    """Apply `changes` as one new version. Raises ConflictError, InputError, BusyError; nothing was changed then."""
    if not changes.token:
        raise InputError("a commit needs a token that names its work, so that a retry can be recognised")
    _check_names(changes)
    try:
        failpoints.hit("commit.begin")
        for folder in sorted({(root / part.path).parent for part in changes.add}):
            failpoints.hit("commit.folder")
            filesystem.sync_folder(folder)
        with catalog.write() as con:
            done = _version_of(con, changes.token)
            if done is not None:
                return Commit(done, replayed=True)
            version = _apply(root, con, changes)
            failpoints.hit("commit.commit")
        failpoints.hit("commit.after")
    except (CommitUnknown, OSError) as error:
        return _look_up(catalog, changes, error)
    return Commit(version)


def _check_names(changes: Changes) -> None:
    columns = [*(s.name for s in changes.columns), *changes.drop_columns]
    selections = [*(s.name for s in changes.selections), *changes.drop_selections]
    for names in (columns, selections):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"one commit binds or drops {', '.join(twice)} more than once")


def _look_up(catalog: Catalog, changes: Changes, error: Exception) -> Commit:
    try:
        with catalog.read() as con:
            done = _version_of(con, changes.token)
    except StoreError as again:
        raise StoreError(
            f"whether {changes.op!r} was committed is unknown: {error}, and then {again}. Run it again: it is "
            "applied exactly once"
        ) from error
    if done is None:
        raise StoreError(
            f"{changes.op!r} was not committed: {error}. Nothing was changed; run it again"
        ) from error
    return Commit(done)


def _version_of(con: sqlite3.Connection, token: str) -> int | None:
    row = con.execute("SELECT version FROM snapshot WHERE token = ?", (token,)).fetchone()
    return int(row[0]) if row else None


def _apply(root: Path, con: sqlite3.Connection, changes: Changes) -> int:
    version = records.head(con) + 1
    if changes.items_at is not None:
        _check_since(con, ("items", "deleted"), changes.items_at)
    if changes.answers_at is not None:
        _check_since(con, ("answers",), changes.answers_at)
    con.execute(
        "INSERT INTO snapshot(version, op, token, run_id, time, message, stats) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            version,
            changes.op,
            changes.token,
            changes.run_id,
            time.time(),
            changes.message,
            dump(changes.stats),
        ),
    )
    _remove(con, changes, version)
    _add(root, con, changes, version)
    tombstones.check(root, con, version)
    for column_set in changes.columns:
        records.insert_column_set(con, column_set, version)
        if _unbind(con, "binding", column_set.name, version, unless=column_set.digest):
            row = (column_set.name, column_set.digest, version)
            con.execute("INSERT INTO binding VALUES (?, ?, ?, NULL)", row)
    for selection in changes.selections:
        if _unbind(con, "selection", selection.name, version, unless=selection.digest):
            records.insert_selection(con, selection, version)
    for name in changes.drop_columns:
        _unbind(con, "binding", name, version)
    for name in changes.drop_selections:
        _unbind(con, "selection", name, version)
    if changes.step is not None:
        step, result = changes.step
        con.execute("INSERT INTO step VALUES (?, ?, ?)", (step, dump(result), version))
    return version


def _unbind(con: sqlite3.Connection, table: str, name: str, version: int, unless: str | None = None) -> bool:
    """End the name's binding, unless it is to that digest already; whether the name is free now."""
    row = con.execute(
        f"SELECT digest, added FROM {table} WHERE name = ? AND removed IS NULL", (name,)
    ).fetchone()
    if row is None:
        return True
    if row[0] == unless:
        return False
    con.execute(f"UPDATE {table} SET removed = ? WHERE name = ? AND removed IS NULL", (version, name))
    return True


def _check_since(con: sqlite3.Connection, tables: tuple[str, ...], seen: int) -> None:
    """Nothing was added to these tables, or removed from them, after the version that was seen."""
    what = tables[0]
    later = con.execute(
        f"SELECT max(max(added), max(coalesce(removed, 0))) FROM part WHERE tbl IN ({', '.join('?' * len(tables))})",
        tables,
    ).fetchone()[0]
    if later is not None and later > seen:
        raise ConflictError(
            f"this change was worked out from the {what} of version {seen}, but version {later} added or removed "
            f"{what}. Nothing was changed; run again"
        )


def _remove(con: sqlite3.Connection, changes: Changes, version: int) -> None:
    for part_id in changes.remove:
        where = f"WHERE part_id = ? AND {_LIVE}"
        if con.execute(f"UPDATE part SET removed = ? {where}", (version, part_id)).rowcount == 0:
            raise ConflictError(
                f"part {part_id}, which this commit replaces, is not live any more: another process replaced or "
                "removed it. Nothing was changed; run again"
            )
        con.execute(f"UPDATE part SET removed = ? WHERE base = ? AND {_LIVE}", (version, part_id))
    if changes.replaces:
        gone = {r[0] for r in con.execute("SELECT part_id FROM part WHERE removed = ?", (version,))}
        late = sorted(gone.difference(changes.remove))
        if late:
            raise ConflictError(
                f"this commit does not know {counted(len(late), 'part')} of items that it replaces, the first "
                f"{late[0]}: another process scored them meanwhile. Nothing was changed; run again"
            )


def _add(root: Path, con: sqlite3.Connection, changes: Changes, version: int) -> None:
    seq = records.next_seq(con)
    for part in changes.add:
        _check_file(root, part)
        if records.is_live(con, part.part_id):
            continue
        if part.table in ("column", "vector"):
            _check_base(con, part)
            if _slot_taken(con, part):
                continue  # another process scored the same items with the same scorer: the first stays
        if part.table != "items":
            records.insert_part(con, part, 0, version)
        elif part.part_id in changes.replaces:
            _check_place(con, part, changes.replaces[part.part_id], version)
            records.insert_part(con, part, changes.replaces[part.part_id], version)
        else:
            records.insert_part(con, part, seq, version)
            seq += part.rows


def _check_place(con: sqlite3.Connection, part: NewPart, seq: int, version: int) -> None:
    """A part may take seqs that were given before only from item parts that end with this very commit."""
    query = "SELECT seq_lo, rows FROM part WHERE tbl = 'items' AND removed = ? AND rows > 0 ORDER BY seq_lo"
    at = seq
    for lo, rows in con.execute(query, (version,)).fetchall():
        at = lo + rows if lo <= at < lo + rows else at
    if at < seq + part.rows:
        raise InputError(
            f"item part {part.part_id} is to hold seqs {seq} to {seq + part.rows - 1}, but this commit removes no item "
            f"part with seq {at}"
        )


def _check_file(root: Path, part: NewPart) -> None:
    """The file may have been swept since it was written, if someone collected garbage without a grace period."""
    sizes = {root / part.path: part.bytes}
    for path in (*sizes, *(pack_path(root, name) for name in part.stats.get("packs", ()))):
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = -1
        if size != sizes.get(path, size) or size < 0:
            found = "is gone" if size < 0 else f"holds {counted(size, 'byte')}, not {part.bytes}"
            raise ConflictError(
                f"{path} {found}: it was swept or damaged before it could be committed (gc with too short a "
                "grace_seconds?). Nothing was changed; run again"
            )


def _check_base(con: sqlite3.Connection, part: NewPart) -> None:
    row = con.execute(
        f"SELECT rows FROM part WHERE part_id = ? AND tbl = 'items' AND {_LIVE}", (part.base,)
    ).fetchone()
    if row is None:
        raise ConflictError(
            f"item part {part.base}, which {part.table} part {part.part_id} belongs to, is not live: another "
            "process replaced or removed it. Nothing was changed; run again"
        )
    if row[0] != part.rows:
        raise SchemaError(
            f"{part.table} part {part.part_id} has {counted(part.rows, 'row')}, item part {part.base} has {row[0]}"
        )


def _slot_taken(con: sqlite3.Connection, part: NewPart) -> bool:
    row = (part.column_set, part.base, records.slot_of(part.table, part.schema))
    found = con.execute(f"SELECT 1 FROM part WHERE column_set = ? AND base = ? AND slot = ? AND {_LIVE}", row)
    return found.fetchone() is not None
