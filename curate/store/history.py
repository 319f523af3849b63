"""Runs, their steps, tags and finished work, as the catalog remembers them.

Rows that no manifest repeats carry a seal, a digest of the row, so that `verify` notices a flipped bit in them.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from curate.contracts import digest
from curate.errors import InputError, UnknownNameError
from curate.store import records
from curate.store.catalog import dump

_TAG = re.compile(r"[^\W\d][\w.\-]{0,99}")


def seal(*values: Any) -> str:
    """Digest that a row carries about itself."""
    return digest(*values)


def begin_run(
    con: sqlite3.Connection, run_id: str, recipe: Mapping[str, Any] | None, recipe_digest: str, seed: int
) -> None:
    """Record that a run has started. A run_id is used once: InputError otherwise."""
    if con.execute("SELECT 1 FROM run WHERE run_id = ?", (run_id,)).fetchone():
        raise InputError(f"run {run_id!r} exists already: every run needs an id of its own")
    started = time.time()
    record = {
        "status": "running",
        "seconds": 0.0,
        "recipe": recipe,
        "recipe_digest": recipe_digest,
        "seed": seed,
    }
    text = dump(record)
    con.execute("INSERT INTO run VALUES (?, ?, ?, ?)", (run_id, started, text, seal(run_id, started, text)))


def end_run(con: sqlite3.Connection, run_id: str, status: str, seconds: float) -> None:
    """Record how a run ended: `done`, `failed`, `interrupted`."""
    started, text = _run(con, run_id)
    text = dump({**json.loads(text), "status": status, "seconds": seconds})
    row = (text, seal(run_id, started, text), run_id)
    con.execute("UPDATE run SET record = ?, seal = ? WHERE run_id = ?", row)


def log_step(con: sqlite3.Connection, run_id: str, ordinal: int, record: Mapping[str, Any]) -> None:
    """Record a step of a run; a second record for the same ordinal replaces the first."""
    _run(con, run_id)
    text = dump(record)
    row = (run_id, ordinal, text, seal(run_id, ordinal, text))
    con.execute("INSERT OR REPLACE INTO step_log VALUES (?, ?, ?, ?)", row)


def runs(con: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every run, newest first."""
    rows = con.execute("SELECT run_id, started, record FROM run ORDER BY started DESC, rowid DESC")
    return [{"run_id": r[0], "started": r[1], **json.loads(r[2])} for r in rows]


def steps(con: sqlite3.Connection, run_id: str) -> list[dict[str, Any]]:
    """The step records of a run, in order. Raises UnknownNameError."""
    _run(con, run_id)
    rows = con.execute("SELECT record FROM step_log WHERE run_id = ? ORDER BY ordinal", (run_id,))
    return [json.loads(r[0]) for r in rows]


def _run(con: sqlite3.Connection, run_id: str) -> tuple[float, str]:
    row = con.execute("SELECT started, record FROM run WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        known = [r[0] for r in con.execute("SELECT run_id FROM run ORDER BY started DESC LIMIT 20")]
        raise UnknownNameError("run", run_id, known)
    return row[0], row[1]


def recall(con: sqlite3.Connection, step: str) -> dict[str, Any] | None:
    """What the newest step with that digest gave, or None."""
    row = con.execute(
        "SELECT result FROM step WHERE digest = ? ORDER BY version DESC LIMIT 1", (step,)
    ).fetchone()
    result: dict[str, Any] | None = json.loads(row[0]) if row else None
    return result


def tag(con: sqlite3.Connection, name: str, version: int | str | None) -> int:
    """Give a version a name, which keeps it from garbage collection; the name may move. Returns the version."""
    if not isinstance(name, str) or not _TAG.fullmatch(name):
        raise InputError(
            f"tag {name!r}: a tag starts with a letter and holds letters, digits, '.', '_' and '-'"
        )
    found = records.resolve_version(con, version)
    con.execute("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", (name, found, seal(name, found)))
    return found


def untag(con: sqlite3.Connection, name: str) -> None:
    """Take a tag away. Raises UnknownNameError."""
    if con.execute("DELETE FROM tag WHERE name = ?", (name,)).rowcount == 0:
        raise UnknownNameError("tag", name, tags(con))


def tags(con: sqlite3.Connection) -> dict[str, int]:
    """Tags and the versions they name, by name."""
    return dict(con.execute("SELECT name, version FROM tag ORDER BY name"))


def history(con: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every version, newest first: version, op, token, run_id, time, message, stats, available, tags."""
    names: dict[int, list[str]] = {}
    for name, version in tags(con).items():
        names.setdefault(version, []).append(name)
    keys = ("version", "op", "token", "run_id", "time", "message", "stats", "available")
    rows = con.execute(f"SELECT {', '.join(keys)} FROM snapshot ORDER BY version DESC")
    entries = [dict(zip(keys, row, strict=True)) for row in rows]
    for entry in entries:
        entry |= {"stats": json.loads(entry["stats"]), "available": bool(entry["available"])}
        entry["tags"] = names.get(entry["version"], [])
    return entries
