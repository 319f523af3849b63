"""The catalog: one SQLite file that says which parts are live at which version.

Rows are never changed but for `removed` (the version that ended them), `purged` (the first version after garbage
collection deleted the file, else 0) and `available` (every file of that version is still there).

Journal mode is DELETE with synchronous=EXTRA, not WAL: no slower here, no shared memory file, and free of the
WAL-reset bug fixed in SQLite 3.51.3. Nothing in this package may `open()` the catalog file: closing any descriptor of
it drops the POSIX locks that SQLite holds in the whole process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from curate.errors import BusyError, CorruptionError, StoreError

BUSY_SECONDS = 30.0

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot(
  version INTEGER PRIMARY KEY, op TEXT NOT NULL, token TEXT NOT NULL UNIQUE, run_id TEXT, time REAL NOT NULL,
  message TEXT NOT NULL, stats TEXT NOT NULL, available INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS schema(fingerprint TEXT PRIMARY KEY, arrow BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS part(
  part_id TEXT NOT NULL, tbl TEXT NOT NULL, path TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  blake3 TEXT NOT NULL, schema TEXT NOT NULL REFERENCES schema, kind TEXT, base TEXT, column_set TEXT, owner TEXT,
  stats TEXT NOT NULL, slot TEXT, seq_lo INTEGER NOT NULL, added INTEGER NOT NULL REFERENCES snapshot,
  removed INTEGER REFERENCES snapshot, purged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(part_id, added));
CREATE UNIQUE INDEX IF NOT EXISTS part_live ON part(part_id) WHERE removed IS NULL AND purged = 0;
CREATE UNIQUE INDEX IF NOT EXISTS part_slot ON part(column_set, base, slot)
  WHERE removed IS NULL AND purged = 0 AND slot IS NOT NULL;
CREATE INDEX IF NOT EXISTS part_span ON part(tbl, added, removed);
CREATE INDEX IF NOT EXISTS part_added ON part(added);
CREATE INDEX IF NOT EXISTS part_removed ON part(removed) WHERE removed IS NOT NULL;
CREATE INDEX IF NOT EXISTS part_seq ON part(tbl, seq_lo, rows);
CREATE INDEX IF NOT EXISTS part_base ON part(base) WHERE base IS NOT NULL AND removed IS NULL;
CREATE TABLE IF NOT EXISTS merged(
  original TEXT NOT NULL, part_id TEXT NOT NULL, PRIMARY KEY(original, part_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS column_set(
  digest TEXT PRIMARY KEY, name TEXT NOT NULL, fields BLOB NOT NULL, scorer TEXT NOT NULL,
  scorer_version INTEGER NOT NULL, params TEXT NOT NULL, added INTEGER NOT NULL REFERENCES snapshot);
CREATE TABLE IF NOT EXISTS binding(
  name TEXT NOT NULL, digest TEXT NOT NULL REFERENCES column_set, added INTEGER NOT NULL REFERENCES snapshot,
  removed INTEGER REFERENCES snapshot, PRIMARY KEY(name, added));
CREATE TABLE IF NOT EXISTS selection(
  name TEXT NOT NULL, digest TEXT NOT NULL, rows INTEGER NOT NULL, seed TEXT, at_version INTEGER NOT NULL,
  stats TEXT NOT NULL, added INTEGER NOT NULL REFERENCES snapshot, removed INTEGER REFERENCES snapshot,
  PRIMARY KEY(name, added));
CREATE TABLE IF NOT EXISTS step(
  digest TEXT NOT NULL, result TEXT NOT NULL, version INTEGER NOT NULL REFERENCES snapshot,
  PRIMARY KEY(digest, version));
CREATE INDEX IF NOT EXISTS step_version ON step(version);
CREATE TABLE IF NOT EXISTS tag(name TEXT PRIMARY KEY, version INTEGER NOT NULL, seal TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run(
  run_id TEXT PRIMARY KEY, started REAL NOT NULL, record TEXT NOT NULL, seal TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS step_log(
  run_id TEXT NOT NULL REFERENCES run, ordinal INTEGER NOT NULL, record TEXT NOT NULL, seal TEXT NOT NULL,
  PRIMARY KEY(run_id, ordinal));
CREATE TABLE IF NOT EXISTS lease(
  lease_id TEXT PRIMARY KEY, version INTEGER, host TEXT NOT NULL, boot_id TEXT NOT NULL, pid_space TEXT NOT NULL,
  pid INTEGER NOT NULL, pid_start TEXT NOT NULL, taken REAL NOT NULL);
"""

_catalogs: weakref.WeakSet[Catalog] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


class CommitUnknown(StoreError):
    """COMMIT itself failed: whether the transaction is in the catalog must be looked up."""


class Catalog:
    """Connections to one catalog file: one per thread and process, opened when first used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections: dict[int, sqlite3.Connection] = {}
        _catalogs.add(self)

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode. Raises CorruptionError if the file is gone."""
        found = self._connections.get(threading.get_ident())
        if found is None:
            found = self._connections[threading.get_ident()] = self._connect()
        return found

    def _connect(self) -> sqlite3.Connection:
        if not self.path.is_file():
            raise CorruptionError(
                f"the catalog {self.path} is missing: curate.store.PartStore.rebuild(path) recreates it from manifests/"
            )
        uri = f"file:{quote(os.fsencode(self.path))}?mode=rw"  # never create an empty catalog by opening one
        with translated(self.path):
            con = sqlite3.connect(
                uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            con.execute("PRAGMA synchronous=EXTRA")
            con.execute("PRAGMA foreign_keys=ON")
        return con

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """One consistent state for several queries."""
        con = self.connection()
        with translated(self.path):
            con.execute("BEGIN")
            try:
                yield con
            finally:
                _roll_back(con)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """The only writer, until the end: commits, or rolls back if the body raises.

        Raises BusyError after 30 s, CommitUnknown if COMMIT fails.
        """
        con = self.connection()
        with translated(self.path):
            con.execute("BEGIN IMMEDIATE")
            try:
                yield con
            except BaseException:
                _roll_back(con)
                raise
            try:
                con.execute("COMMIT")
            except sqlite3.Error as error:
                _roll_back(con)
                raise CommitUnknown(f"the catalog {self.path} failed at COMMIT: {error}") from error

    def close(self) -> None:
        """Close the connections of this process."""
        while self._connections:
            self._connections.popitem()[1].close()

    def forget(self) -> None:
        """After a fork: keep the parent's connections open and untouched, for closing one would break its locks."""
        _inherited.extend(self._connections.values())
        self._connections = {}


def create(path: Path, meta: dict[str, str]) -> None:
    """Make the tables, unless they exist. Safe when two processes do it at once; `meta` of the first one stays."""
    with translated(path):
        con = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            con.execute("PRAGMA journal_mode=DELETE")
            con.execute("PRAGMA synchronous=EXTRA")
            con.execute("BEGIN IMMEDIATE")
            for statement in filter(str.strip, SCHEMA.split(";\n")):
                con.execute(statement)
            con.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())
            con.execute("COMMIT")
        finally:
            con.close()


def read_meta(path: Path, key: str) -> str:
    """A value of the table `meta`."""
    catalog = Catalog(path)
    try:
        with catalog.read() as con:
            return str(con.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])
    finally:
        catalog.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise BusyError(
                f"another process has held the catalog {path} for {BUSY_SECONDS:.0f} s; nothing was changed. "
                "Wait for it to finish, then run again"
            ) from error
        raise StoreError(
            f"the catalog {path} cannot be used: {text}. Nothing was changed; check free space and "
            "permissions, then run again"
        ) from error
    except sqlite3.IntegrityError:
        raise
    except (
        sqlite3.DatabaseError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:  # also texts in the file
        raise CorruptionError(
            f"the catalog {path} is damaged: {error}. curate.store.PartStore.rebuild(path) recreates it from manifests/"
        ) from error


def dump(value: Any) -> str:
    """JSON, always the same text for the same value; NumPy scalars become numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _roll_back(con: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):
        if con.in_transaction:
            con.execute("ROLLBACK")


def _after_fork() -> None:
    for catalog in list(_catalogs):
        catalog.forget()


os.register_at_fork(after_in_child=_after_fork)
