"""manifests/<version>.json: what each commit did, outside the catalog, so that the catalog can be made anew.

A manifest is worked out from the catalog alone, so a missing one can be written later; it bears a hash of itself.
They are written oldest first: what is missing is always the newest, and never one between two others. Records of
runs (manifests/runs/) and tags (manifests/tags.json) are copied as well, but nothing depends on them.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import blake3

from curate.errors import CorruptionError
from curate.store import filesystem, history, records
from curate.store.catalog import Catalog, dump
from curate.store.writer import scratch_name

FORMAT = 1


def path_of(root: Path, version: int) -> Path:
    """Where the manifest of a version lies."""
    return root / "manifests" / f"{version:010d}.json"


def encode(content: Mapping[str, Any]) -> bytes:
    """The file of a manifest: its content and the hash of it."""
    return (dump({"content": content, "hash": _hash(content)}) + "\n").encode()


def decode(data: bytes, path: Path) -> dict[str, Any]:
    """The content of a manifest file. Raises CorruptionError unless every byte is as it was written."""
    try:
        content: dict[str, Any] = json.loads(data)["content"]
        intact = encode(content) == data
    except (ValueError, KeyError, TypeError):
        intact = False
    if not intact:
        raise CorruptionError(f"{path} is damaged: it is not what was written")
    return content


def _hash(content: Mapping[str, Any]) -> str:
    return str(blake3.blake3(dump(content).encode()).hexdigest())


def describe(con: sqlite3.Connection, version: int) -> dict[str, Any]:
    """What the commit of `version` did, by the catalog."""
    keys = ("op", "token", "run_id", "time", "message", "stats")
    row = con.execute(f"SELECT {', '.join(keys)} FROM snapshot WHERE version = ?", (version,)).fetchone()
    store = con.execute("SELECT value FROM meta WHERE key = 'uuid'").fetchone()[0]
    content = {**dict(zip(keys, row, strict=True)), "format": FORMAT, "version": version, "store": store}
    content["stats"] = json.loads(content["stats"])
    return content | _parts(con, version) | _bindings(con, version)


def _parts(con: sqlite3.Connection, version: int) -> dict[str, Any]:
    names = records.PART_COLUMNS.split(", ")
    rows = con.execute(
        f"SELECT {records.PART_COLUMNS} FROM part WHERE added = ? ORDER BY seq_lo, part_id", (version,)
    )
    added = [dict(zip(names, row, strict=True)) for row in rows]
    for part in added:
        part["stats"] = json.loads(part["stats"])
        del part["added"], part["removed"]
    used = sorted({part["schema"] for part in added})
    gone = con.execute("SELECT part_id FROM part WHERE removed = ? ORDER BY part_id", (version,))
    return {
        "added": added,
        "removed": [r[0] for r in gone],
        "schemas": {
            key: _text(con.execute("SELECT arrow FROM schema WHERE fingerprint = ?", (key,)).fetchone()[0])
            for key in used
        },
    }


def _bindings(con: sqlite3.Connection, version: int) -> dict[str, Any]:
    def rows(query: str) -> list[list[Any]]:
        return [list(r) for r in con.execute(query, (version,))]

    sets = rows(
        "SELECT digest, name, fields, scorer, scorer_version, params FROM column_set WHERE added = ? ORDER BY 1"
    )
    selections = (
        "SELECT name, digest, rows, seed, at_version, stats FROM selection WHERE added = ? ORDER BY 1"
    )
    return {
        "column_sets": [[d, n, _text(f), s, v, json.loads(p)] for d, n, f, s, v, p in sets],
        "bound": rows("SELECT name, digest FROM binding WHERE added = ? ORDER BY 1"),
        "unbound": [r[0] for r in rows("SELECT name FROM binding WHERE removed = ? ORDER BY 1")],
        "selected": [[*r[:5], json.loads(r[5])] for r in rows(selections)],
        "unselected": [r[0] for r in rows("SELECT name FROM selection WHERE removed = ? ORDER BY 1")],
        "steps": [
            [d, json.loads(r)]
            for d, r in rows("SELECT digest, result FROM step WHERE version = ? ORDER BY 1")
        ],
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def write_missing(root: Path, catalog: Catalog, scratch: Path, *, everywhere: bool = False) -> None:
    """Write the manifests that are not there yet, oldest first, back from the newest version to the first that is.

    `everywhere` looks at all versions, not only at the newest ones. Raises OSError.
    """
    with catalog.read() as con:
        version = records.head(con)
        missing = []
        while version > 0 and (everywhere or not path_of(root, version).exists()):
            if not path_of(root, version).exists():
                missing.append((version, encode(describe(con, version))))
            version -= 1
    for version, data in reversed(missing):
        target = path_of(root, version)
        filesystem.replace_file(target, data, scratch / f"{scratch_name()}.json", "manifest")


def write_tags(root: Path, catalog: Catalog, scratch: Path) -> None:
    """Copy the tags to manifests/tags.json. Raises OSError."""
    with catalog.read() as con:
        data = encode({"tags": history.tags(con)})
    filesystem.replace_file(
        root / "manifests/tags.json", data, scratch / f"{scratch_name()}.json", "manifest"
    )


def write_run(root: Path, catalog: Catalog, run_id: str, scratch: Path) -> None:
    """Copy the record of a run to manifests/runs/. Raises OSError."""
    with catalog.read() as con:
        run = con.execute("SELECT run_id, started, record FROM run WHERE run_id = ?", (run_id,)).fetchone()
        steps = con.execute(
            "SELECT ordinal, record FROM step_log WHERE run_id = ? ORDER BY 1", (run_id,)
        ).fetchall()
    data = encode({"run": list(run), "steps": [list(s) for s in steps]})
    name = blake3.blake3(run_id.encode("utf-8", "surrogatepass")).hexdigest(length=16)
    target = root / "manifests" / "runs" / f"{name}.json"
    filesystem.replace_file(target, data, scratch / f"{scratch_name()}.json", "manifest")
