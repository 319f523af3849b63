"""What we remember of a server: which task stands for which item, what was sent, and how far answers were read.

One SQLite file inside the store's folder. It is a memory, not the truth: what is on the server is listed again before
anything is sent, and what was answered is in the store. Lost, it is made anew by the next push; only which tasks were
deleted over there, and whether their data was edited, cannot be known then.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.durable import sync
from curate.errors import AnnotatorError, BusyError

__all__ = ["Ledger", "Project", "Sent", "exclusive"]

FOLDER = "annotate"
RECORD = 128
"""Bytes of a flight: always the same, so that there is nothing to write but them."""
_to_disk = getattr(os, "fdatasync", os.fsync)
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS project(
  source TEXT PRIMARY KEY, url TEXT NOT NULL, id INTEGER NOT NULL, dataset TEXT NOT NULL, round INTEGER NOT NULL,
  template TEXT NOT NULL, spec TEXT NOT NULL, config TEXT NOT NULL, watermark TEXT NOT NULL DEFAULT '',
  gone INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS task(
  source TEXT NOT NULL REFERENCES project, key TEXT NOT NULL, id INTEGER NOT NULL, item TEXT NOT NULL,
  hash TEXT NOT NULL, sent TEXT NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(source, key)) WITHOUT ROWID;
COMMIT;
"""


@dataclass(frozen=True)
class Project:
    """One project of a server: the tasks of one round. `source` names it for good, in every answer that comes from it.

    `spec` are the template's parameters, by which `pull` builds it again; `config` is the digest of the template.
    `watermark` is the server's time of the last pull, "" before it; `gone`: it was deleted there.
    """

    source: str
    url: str
    id: int
    dataset: str
    round: int
    template: str
    spec: Mapping[str, Any]
    config: str
    watermark: str = ""
    gone: bool = False

    @property
    def page(self) -> str:
        """Where a person opens it."""
        return f"{self.url}/projects/{self.id}/data"


@dataclass(frozen=True)
class Sent:
    """A task as it was sent: its id there, the hash of what it shows, and the digest of its whole data."""

    key: str
    id: int
    item: str
    hash: str
    sent: str
    deleted: bool = False


class Ledger:
    """The memory of one store about Label Studio. Every method is one transaction."""

    def __init__(self, store_path: Path) -> None:
        self.path = store_path / FOLDER / "label-studio.sqlite"
        self.path.parent.mkdir(exist_ok=True)
        try:
            self._con = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._con.execute("PRAGMA synchronous=FULL")
            if not self._con.execute("SELECT 1 FROM sqlite_master WHERE name = 'task'").fetchone():
                self._con.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise AnnotatorError(
                f"the ledger {self.path} cannot be used: {error}. It holds nothing that cannot be found again: move it "
                "away and push again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._con.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        self._con.execute("BEGIN IMMEDIATE")
        try:
            yield self._con
        except BaseException:
            self._con.execute("ROLLBACK")
            raise
        self._con.execute("COMMIT")

    # --- Projects -----------------------------------------------------------------------------------------------

    def projects(self, url: str, dataset: str) -> list[Project]:
        """The projects on this server with tasks of this data set, in order of rounds."""
        rows = self._con.execute(
            "SELECT source, url, id, dataset, round, template, spec, config, watermark, gone FROM project"
            " WHERE url = ? AND dataset = ? ORDER BY round, template, rowid",
            (url, dataset),
        )
        return [_project(r) for r in rows]

    def remember_project(self, project: Project) -> None:
        """Enter a project; one that is known keeps its watermark, and its template's parameters where none are given."""
        row = (project.source, project.url, project.id, project.dataset, project.round, project.template)
        with self._write() as con:
            con.execute(
                "INSERT INTO project(source, url, id, dataset, round, template, spec, config)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(source) DO UPDATE SET url = excluded.url,"
                " id = excluded.id, gone = 0, spec = CASE excluded.spec WHEN '{}' THEN spec ELSE excluded.spec END",
                (*row, json.dumps(project.spec, sort_keys=True), project.config),
            )

    def mark_gone(self, source: str) -> None:
        """The project is not on the server any more."""
        with self._write() as con:
            con.execute("UPDATE project SET gone = 1 WHERE source = ?", (source,))

    def move_watermark(self, source: str, watermark: str) -> None:
        """Answers up to this moment are in the store."""
        with self._write() as con:
            con.execute("UPDATE project SET watermark = ? WHERE source = ?", (watermark, source))

    # --- Tasks --------------------------------------------------------------------------------------------------

    def tasks(self, source: str) -> dict[str, Sent]:
        """Everything that was sent to a project, by key."""
        rows = self._con.execute(
            "SELECT key, id, item, hash, sent, deleted FROM task WHERE source = ?", (source,)
        )
        return {r[0]: Sent(r[0], r[1], r[2], r[3], r[4], bool(r[5])) for r in rows}

    def remember_tasks(self, source: str, tasks: Iterable[Sent]) -> None:
        """Enter tasks that are on the server."""
        rows = [(source, t.key, t.id, t.item, t.hash, t.sent, t.deleted) for t in tasks]
        with self._write() as con:
            con.executemany("INSERT OR REPLACE INTO task VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def mark_deleted(self, source: str, keys: Iterable[str], deleted: bool = True) -> None:
        """These tasks were deleted on the server (or, with `deleted=False`, are there)."""
        with self._write() as con:
            con.executemany(
                "UPDATE task SET deleted = ? WHERE source = ? AND key = ?",
                [(deleted, source, k) for k in keys],
            )

    # --- What is under way --------------------------------------------------------------------------------------

    def take_off(self, source: str, key: str) -> None:
        """An import of this task and others is about to be sent: if we die now, it may still arrive.

        Said in a file of its own, written in place: the server waits for this, and a transaction takes ten times as long.
        """
        path, said = self._flight(source), json.dumps([time.time(), key]).encode().ljust(RECORD)
        new = not path.exists()
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, said, 0)
            _to_disk(file)
        finally:
            os.close(file)
        if new:  # once a push: its name is to outlast a power cut, too
            sync(path.parent)

    def flight(self, source: str) -> tuple[float, str] | None:
        """(when it began, the key of its first task) of an import whose end we did not see."""
        try:
            began, key = json.loads(self._flight(source).read_bytes())
        except (FileNotFoundError, ValueError):  # half written: what comes after it never left
            return None
        return float(began), str(key)

    def land(self, source: str) -> None:
        """What was under way is there, or will never be."""
        self._flight(source).unlink(missing_ok=True)

    def _flight(self, source: str) -> Path:
        return self.path.with_name(f"{source.replace('/', '-')}.flight")


@contextmanager
def exclusive(store_path: Path, what: str) -> Iterator[None]:
    """One process at a time does `what` (push, pull) for a store; the lock ends with the process.

    Raises BusyError naming who does it now.
    """
    path = store_path / FOLDER / f"{what}.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            who = lock.read().strip() or "another process"
            raise BusyError(
                f"{who} is in a {what} for {store_path} already. Nothing was changed; run again when it is done"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield


def _project(row: tuple[Any, ...]) -> Project:
    spec = json.loads(row[6])
    return Project(row[0], row[1], row[2], row[3], row[4], row[5], spec, row[7], row[8], bool(row[9]))
