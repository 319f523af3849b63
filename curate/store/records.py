"""Catalog rows as records, and records as catalog rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import blake3
import pyarrow as pa

from curate.errors import UnknownNameError
from curate.store.catalog import SCHEMA, dump
from curate.store.parts import ColumnSet, NewPart, Part, SelectionInfo
from curate.store.snapshot import Snapshot

PART_COLUMNS = "part_id, tbl, path, rows, bytes, blake3, schema, kind, base, column_set, owner, stats, seq_lo, added, removed"
MERGED_TABLES = ("items", "deleted", "rejected", "answers")
"""Tables whose parts anybody may bring again: the table `merged` says where theirs went."""
_MERGED = next(s for s in SCHEMA.split(";\n") if "EXISTS merged(" in s)
_SHARED = ("table", "rows", "kind", "base", "column_set", "owner", "seq_lo", "added", "removed")
"""What many parts have in common. `base` is the `part_id` of an item part."""


def head(con: sqlite3.Connection) -> int:
    """The newest version; 0 for a store in which nothing was committed."""
    return int(con.execute("SELECT coalesce(max(version), 0) FROM snapshot").fetchone()[0])


def next_seq(con: sqlite3.Connection) -> int:
    """The seq after the last that was ever given, removed items included: none is used twice."""
    row = con.execute(
        "SELECT seq_lo + rows FROM part WHERE tbl = 'items' ORDER BY seq_lo DESC, rows DESC LIMIT 1"
    )
    return int((row.fetchone() or (0,))[0])


def schema_fingerprint(schema: bytes) -> str:
    """Key of a serialised Arrow schema in the table `schema`."""
    return str(blake3.blake3(schema).hexdigest(length=16))


def slot_of(table: str, schema: bytes) -> str | None:
    """Which columns an aligned part gives: one live part per column set, base and slot."""
    if table not in ("column", "vector"):
        return None
    return dump([table, *pa.ipc.read_schema(pa.py_buffer(schema)).names])


def insert_part(con: sqlite3.Connection, part: NewPart, seq_lo: int, version: int) -> None:
    """Make a part live from `version` on."""
    fingerprint = schema_fingerprint(part.schema)
    con.execute("INSERT OR IGNORE INTO schema VALUES (?, ?)", (fingerprint, part.schema))
    con.execute(
        "INSERT INTO part(part_id, tbl, path, rows, bytes, blake3, schema, kind, base, column_set, owner, stats,"
        " slot, seq_lo, added) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(
                part.part_id,
                part.table,
                part.path,
                part.rows,
                part.bytes,
                part.blake3,
                fingerprint,
                part.kind,
            ),
            *(
                part.base,
                part.column_set,
                part.owner,
                dump(part.stats),
                slot_of(part.table, part.schema),
                seq_lo,
                version,
            ),
        ),
    )

    if "of" in part.stats and part.table in MERGED_TABLES:
        con.execute(_MERGED)
        con.executemany(
            "INSERT OR IGNORE INTO merged VALUES (?, ?)", [(i, part.part_id) for i in part.originals]
        )


def is_live(con: sqlite3.Connection, part_id: str) -> bool:
    """Whether a part is live, itself or as one of those that compaction merged into a live part."""
    live = "p.removed IS NULL AND p.purged = 0"
    if con.execute(f"SELECT 1 FROM part p WHERE p.part_id = ? AND {live}", (part_id,)).fetchone():
        return True
    if not has_merged(con):
        return False
    query = f"SELECT 1 FROM merged m JOIN part p ON p.part_id = m.part_id WHERE m.original = ? AND {live}"
    return con.execute(query, (part_id,)).fetchone() is not None


def has_merged(con: sqlite3.Connection) -> bool:
    """Whether the catalog lists which parts were merged: those made before there was compaction may not."""
    return con.execute("SELECT 1 FROM sqlite_master WHERE name = 'merged'").fetchone() is not None


def insert_column_set(con: sqlite3.Connection, s: ColumnSet, version: int) -> None:
    """Remember a column set under its digest; one that is known stays as it was."""
    con.execute(
        "INSERT OR IGNORE INTO column_set VALUES (?, ?, ?, ?, ?, ?, ?)",
        (s.digest, s.name, s.fields, s.scorer, s.scorer_version, dump(s.params), version),
    )


def insert_selection(con: sqlite3.Connection, s: SelectionInfo, version: int) -> None:
    """Bind a selection to its name from `version` on."""
    seed = None if s.seed is None else str(s.seed)  # seeds may be wider than SQLite's 64 bits
    con.execute(
        "INSERT INTO selection VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (s.name, s.digest, s.rows, seed, s.at_version, dump(s.stats), version),
    )


def live_at(version: int, alias: str = "") -> str:
    """SQL: the row is live at that version."""
    dot = f"{alias}." if alias else ""
    return f"{dot}added <= {version:d} AND ({dot}removed IS NULL OR {dot}removed > {version:d})"


def load_snapshot(con: sqlite3.Connection, version: int) -> Snapshot:
    """The store at `version`, inside the caller's transaction."""
    current = version == head(con)
    where = "removed IS NULL" if current else live_at(version)  # the first can use a partial index
    rows = con.execute(
        f"SELECT {PART_COLUMNS} FROM part WHERE {where} AND purged = 0 ORDER BY seq_lo, added, rowid"
    )
    tables = group(make_parts(rows, schemas(con)), lambda p: p.table)
    aligned = group((*tables.get("column", ()), *tables.get("vector", ())), lambda p: (p.column_set, p.base))
    return Snapshot(
        version=version,
        items=tables.get("items", ()),
        deleted=tables.get("deleted", ()),
        aligned=aligned,
        sets=bound_sets(con, version),
        selections=bound_selections(con, version),
        selection_parts=group(tables.get("selection", ()), lambda p: p.owner),
        rejected=tables.get("rejected", ()),
        answers=tables.get("answers", ()),
    )


def schemas(con: sqlite3.Connection) -> dict[str, bytes]:
    """Every serialised Arrow schema by its fingerprint."""
    return dict(con.execute("SELECT fingerprint, arrow FROM schema"))


def make_parts(rows: Iterable[tuple[Any, ...]], known: Mapping[str, bytes]) -> Iterable[Part]:
    """Records for rows of PART_COLUMNS, what is the same in many held once. Sidesteps the frozen dataclass's slow
    constructor: there may be 100,000."""
    names = PART_COLUMNS.replace("tbl", "table").split(", ")
    put = [getattr(Part, name).__set__ for name in names]
    shared: dict[Any, Any] = {}
    told: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        part, values = object.__new__(Part), dict(zip(names, row, strict=True))
        values["schema"], stats = known[values["schema"]], values["stats"]
        values["stats"] = told[stats] if stats in told else told.setdefault(stats, json.loads(stats))
        for name in (*_SHARED, "part_id") if values["table"] == "items" else _SHARED:
            values[name] = shared.setdefault(values[name], values[name])
        for set_, value in zip(put, values.values(), strict=True):
            set_(part, value)
        yield part


def bound_sets(con: sqlite3.Connection, version: int) -> dict[str, ColumnSet]:
    """Column sets by the name they are bound to at `version`, in order of binding."""
    rows = con.execute(
        "SELECT b.name, s.digest, s.fields, s.scorer, s.scorer_version, s.params FROM binding b"
        f" JOIN column_set s ON s.digest = b.digest WHERE {live_at(version, 'b')} ORDER BY b.added, b.name"
    )
    return {r[0]: ColumnSet(r[0], r[1], r[2], r[3], r[4], json.loads(r[5])) for r in rows}


def bound_selections(con: sqlite3.Connection, version: int) -> dict[str, SelectionInfo]:
    """Selections by the name they are bound to at `version`, in order of binding."""
    rows = con.execute(
        "SELECT name, digest, rows, seed, at_version, stats FROM selection"
        f" WHERE {live_at(version)} ORDER BY added, name"
    )
    return {
        r[0]: SelectionInfo(r[0], r[1], r[2], None if r[3] is None else int(r[3]), r[4], json.loads(r[5]))
        for r in rows
    }


def group(parts: Iterable[Part], key: Any) -> dict[Any, tuple[Part, ...]]:
    """Parts by key, in the order they came."""
    groups: dict[Any, list[Part]] = {}
    for part in parts:
        groups.setdefault(key(part), []).append(part)
    return {k: tuple(v) for k, v in groups.items()}


def resolve_version(con: sqlite3.Connection, version: int | str | None) -> int:
    """The number that None (newest), a number or a tag means. Raises UnknownNameError."""
    newest = head(con)
    if version is None:
        return newest
    if isinstance(version, str):
        tags = dict(con.execute("SELECT name, version FROM tag"))
        if version not in tags:
            raise UnknownNameError("tag", version, tags, "Versions are numbers, see `history`.")
        version = int(tags[version])
    gone = con.execute("SELECT available = 0 FROM snapshot WHERE version = ?", (version,)).fetchone()
    if not 0 <= version <= newest or (gone and gone[0]):
        kept = [
            str(r[0]) for r in con.execute("SELECT version FROM snapshot WHERE available ORDER BY version")
        ]
        why = "Its files were deleted by gc; tag or pin versions to keep them." if gone else ""
        raise UnknownNameError("version", str(version), kept, why)
    return version
