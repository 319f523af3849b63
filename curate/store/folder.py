"""The folder of a store: STORE.json, catalog.sqlite, parts/, blobs/, manifests/, tmp/.

STORE.json is written last: a folder without it is not a store yet, and making it may be begun again.
"""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from curate.errors import InputError, StoreError, StoreFormatError, StoreNotFoundError
from curate.store import catalog, filesystem
from curate.store.parts import TABLES
from curate.store.writer import scratch_name

FORMAT = 1
_OURS = ("parts", "blobs", "manifests", "tmp", "catalog.sqlite", "catalog.sqlite-journal")


def absolute(path: str | Path) -> Path:
    """The path with `~` and links resolved, and absolute. Raises InputError for an empty one."""
    if not str(path):
        raise InputError("the path of a store is empty")
    return Path(path).expanduser().resolve()


def create(root: Path, store_uuid: str | None = None) -> None:
    """Make an empty store in a new or empty folder, with an identity of its own or that of a published one.

    Two processes may do so at once: the result is one store.
    """
    strange = sorted(p.name for p in root.iterdir() if p.name not in _OURS) if root.is_dir() else []
    if strange or (root.exists() and not root.is_dir()):
        what = f"holds {', '.join(strange[:3])}" if strange else "is a file"
        raise StoreError(f"{root} {what}: a store needs a new or empty folder")
    try:
        for name in ("blobs", "manifests", "tmp", *(f"parts/{table}" for table in TABLES)):
            filesystem.make_folder(root / name)
        catalog.create(
            root / "catalog.sqlite", {"uuid": store_uuid or uuid.uuid4().hex, "format": str(FORMAT)}
        )
        filesystem.sync_folder(root)
        write_format(root, catalog.read_meta(root / "catalog.sqlite", "uuid"))
    except OSError as error:
        raise filesystem.write_failure(root, error) from error


def write_format(root: Path, store_uuid: str) -> None:
    """Write STORE.json, which makes the folder a store."""
    scratch = root / "tmp" / f"create-{scratch_name()}"
    filesystem.replace_file(root / "STORE.json", format_bytes(store_uuid), scratch / "STORE.json", "store")
    shutil.rmtree(scratch, ignore_errors=True)


def format_bytes(store_uuid: str) -> bytes:
    """What STORE.json holds."""
    content = {"format": FORMAT, "uuid": store_uuid, "is": "a curate store"}
    return (json.dumps(content, indent=1) + "\n").encode()


def read_format(root: Path) -> dict[str, Any]:
    """What STORE.json says. Raises StoreNotFoundError, StoreFormatError."""
    try:
        text = (root / "STORE.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        near = []
        with suppress(OSError):
            near = sorted(str(p.parent) for p in root.parent.glob("*/STORE.json"))[:5]
        there = f" Stores beside it: {', '.join(near)}." if near else ""
        raise StoreNotFoundError(
            f"no store at {root}: there is no STORE.json.{there} Give another path, or make one: "
            "`curate add STORE SOURCE`, or curate.open(path, create=True)"
        ) from None
    try:
        content: dict[str, Any] = json.loads(text)
        number, _ = int(content["format"]), str(content["uuid"])
    except (ValueError, KeyError, TypeError):
        raise StoreFormatError(
            f"{root / 'STORE.json'} is damaged: it is not what curate writes. curate.store.PartStore.rebuild(path) writes it anew"
        ) from None
    if number != FORMAT:
        what = "newer" if number > FORMAT else "older"
        raise StoreFormatError(
            f"the store at {root} has format {number}; this curate reads format {FORMAT}. Use a {what} curate "
            f"({'pip install -U curate' if number > FORMAT else 'the one that wrote it'}), or export the items with it"
        )
    return content
