"""`manifest.json`: what an export is, how it came about and the checksum of every file in it.

It holds no time stamp: the same input gives the same bytes, so that a second export can be compared with the first.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import blake3
import pyarrow as pa

from curate.contracts import digest, role_of
from curate.counting import counted
from curate.errors import InputError
from curate.formats.writers.draft import FileRecord

__all__ = [
    "MANIFEST",
    "VERSION",
    "check_export",
    "compose",
    "damage",
    "identity",
    "plain",
    "read_manifest",
    "versions",
]

MANIFEST = "manifest.json"
VERSION = 1

_OURS = (
    "manifest_version",
    "curate_version",
    "digest",
    "format",
    "kind",
    "media",
    "columns",
    "files",
    "notes",
)
_VOLATILE = ("seconds", "memory", "reused", "version", "started", "run_id", "error")
_STABLE_COUNTS = ("kept", "dropped", "rejected", "failed", "not_applicable", "rows", "read")
_LIBRARIES = ("duckdb", "numpy", "pillow", "polars", "pyarrow", "soundfile")
_EDITABLE = ("README.md",)


def identity(settings: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The digest of what an export is made from: its settings and what the caller says about the rows.

    What may differ between two runs of the same thing (seconds, what was re-used, the store's version) has no part.
    """
    stable = {key: value for key, value in plain_manifest(given).items() if key != "store_version"}
    return digest("export", VERSION, dict(settings), stable)


def plain_manifest(given: Mapping[str, Any]) -> dict[str, Any]:
    """The caller's part of the manifest as JSON values, steps without what differs from run to run.

    Raises InputError for keys that the export itself fills in.
    """
    clash = sorted(set(given) & {*_OURS, "checksum", "versions"})
    if clash:
        raise InputError(f"manifest keys {clash} are written by the export itself; use other names")
    out: dict[str, Any] = plain(dict(given))
    if isinstance(out.get("steps"), list):
        out["steps"] = [_plain_step(step) for step in out["steps"]]
    if isinstance(out.get("selection"), dict):
        out["selection"] = {key: value for key, value in out["selection"].items() if key not in _VOLATILE}
    return out


def _plain_step(step: Any) -> Any:
    if not isinstance(step, dict):
        return step
    kept = {key: value for key, value in step.items() if key not in _VOLATILE}
    if isinstance(kept.get("counts"), dict):
        kept["counts"] = {key: kept["counts"][key] for key in _STABLE_COUNTS if key in kept["counts"]}
    return kept


def compose(
    settings: Mapping[str, Any],
    given: Mapping[str, Any],
    schema: pa.Schema,
    counts: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The manifest but for its `digest` and `files`, which `seal` adds."""
    mine = plain_manifest(given)
    given_counts = mine.pop("counts", None) or {}
    mine.pop("columns", None)  # names alone: below they are described in full
    return {
        "manifest_version": VERSION,
        "curate_version": versions()["curate"],
        "digest": "",
        "format": settings["format"],
        "kind": settings["kind"],
        "media": settings["media"],
        "shards": {"rows": settings["shard_rows"], "bytes": settings["shard_bytes"]},
        **mine,
        "counts": {**given_counts, **counts},
        "columns": [{"name": f.name, "type": str(f.type), "role": role_of(f)} for f in schema],
        "notes": list(notes),
        "versions": versions(),
    }


def seal(manifest: Mapping[str, Any], digest_: str, files: Iterable[FileRecord]) -> bytes:
    """The bytes of `manifest.json`: complete with digest, files and the checksum of itself."""
    full = {
        **manifest,
        "digest": digest_,
        "files": [f.to_dict() for f in sorted(files, key=lambda f: f.path)],
    }
    full["checksum"] = _checksum(full)
    return (json.dumps(full, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of the export at this folder (or of this `manifest.json`).

    Raises InputError if there is none, if it cannot be read, or if a later version of curate wrote it.
    """
    file = Path(path)
    file = file / MANIFEST if file.is_dir() else file
    try:
        loaded = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{file} does not exist: {Path(path)} is not an export of curate") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as a manifest: {error}") from error
    if (
        not isinstance(loaded, dict)
        or "manifest_version" not in loaded
        or not isinstance(loaded.get("files"), list)
    ):
        raise InputError(
            f"{file} is not a manifest of curate: it has no manifest_version or no list of files"
        )
    if not isinstance(loaded["manifest_version"], int) or loaded["manifest_version"] > VERSION:
        raise InputError(
            f"{file} has version {loaded['manifest_version']!r}; this curate reads up to {VERSION}: update curate"
        )
    return loaded


def check_export(path: str | Path) -> list[str]:
    """Everything at this export that is not as its manifest says; empty = intact. Reads every byte."""
    root = Path(path)
    manifest = read_manifest(root)
    problems = damage(root, manifest, deep=True, edits=True)
    if manifest.get("checksum") != _checksum(manifest):
        problems.insert(0, f"{MANIFEST}: its own checksum does not match: it was edited or damaged")
    return problems + [f"{name}: not in the manifest" for name in strangers(root, manifest)]


def damage(root: Path, manifest: Mapping[str, Any], *, deep: bool, edits: bool = False) -> list[str]:
    """Files that are missing or differ: by size, and by checksum if `deep`. `edits` counts an edited README.md too."""
    problems = []
    for entry in manifest["files"]:
        name = str(entry.get("path", ""))
        if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            problems.append(f"{name!r}: the manifest points outside of the export")
        elif name not in _EDITABLE or edits:
            problems += _compare(root / name, entry, deep)
    return problems


def _compare(file: Path, entry: Mapping[str, Any], deep: bool) -> list[str]:
    name = entry["path"]
    if not file.is_file():
        return [f"{name}: missing"]
    size = file.stat().st_size
    if size != entry["bytes"]:
        return [f"{name}: {counted(size, 'byte')}, the manifest says {entry['bytes']:,}"]
    if deep and blake3.blake3().update_mmap(file).hexdigest() != entry["blake3"]:
        return [f"{name}: its content is not what was exported (checksum differs)"]
    return []


def strangers(root: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Files at the export that the manifest does not list, hidden ones aside."""
    known = {MANIFEST, *(str(entry.get("path")) for entry in manifest["files"])}
    found = (p.relative_to(root) for p in sorted(root.rglob("*")) if not p.is_dir() or p.is_symlink())
    return [
        p.as_posix()
        for p in found
        if p.as_posix() not in known and not any(x.startswith(".") for x in p.parts)
    ]


@cache
def versions() -> dict[str, str]:
    """Versions of curate, Python and the libraries that write files."""
    found = {"curate": _version("curate"), "python": platform.python_version()}
    return found | {name: _version(name) for name in _LIBRARIES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def plain(value: Any) -> Any:
    """JSON values: NaN and infinities as null, NumPy scalars as numbers, anything unknown as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(inner) for inner in value), key=str)
    if hasattr(value, "item") and callable(value.item):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no bytes


def _checksum(manifest: Mapping[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return str(blake3.blake3(text.encode("utf-8", "replace")).hexdigest())
