"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from curate.errors import InputError

__all__ = ["check_writable", "publish", "sync", "write_whole"]


def check_writable(target: Path) -> None:
    """Raises InputError where no file of this name can be made: of its folders, the nearest that is there must take it."""
    place = next(folder for folder in target.absolute().parents if folder.exists())
    if not place.is_dir():
        raise InputError(f"{target} cannot be written: {place} is a file")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{target} cannot be written: {place} takes no new files from this user")


def sync(path: Path) -> None:
    """Wait until the bytes of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(draft: Path, final: Path) -> None:
    """Give a file that is written its name, in the place of what had it: whoever reads finds the old one or the new one."""
    sync(draft)
    draft.replace(final)
    sync(final.parent)


def write_whole(path: Path, data: str | bytes) -> None:
    """Write a file, text as UTF-8: beside it, and then under its name."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data.encode() if isinstance(data, str) else data)
        publish(draft, path)
    finally:
        draft.unlink(missing_ok=True)
