"""Making bytes durable on a local disk: write, fsync, rename, fsync the folder. Every write of the store is here.

What libraries write is not on the disk until someone asks: Arrow, Polars and DuckDB make no fsync at all. A rename
is on the disk only when its folder is synced too.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

from curate.errors import StoreError, StoreFormatError
from curate.store import failpoints

# SQLite's locks and our renames are not dependable there: https://www.sqlite.org/lockingv3.html section 6.
_NETWORK = "nfs nfs4 cifs smb smb2 smb3 smbfs ncpfs 9p afs ceph lustre gpfs beegfs glusterfs davfs"
_FUSE = (
    "sshfs s3fs gcsfuse rclone glusterfs ceph ceph-fuse juicefs davfs davfs2 smbnetfs curlftpfs goofys mount-s3 "
    "blobfuse blobfuse2"
)
NETWORK_FILESYSTEMS = frozenset([*_NETWORK.split(), *(f"fuse.{name}" for name in _FUSE.split())])
_MOUNTS = Path("/proc/self/mounts")


def write_file(path: Path, data: Any, point: str) -> None:
    """Create `path` (or empty it), write all of the buffer `data`, and fsync it."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, data, point)
        sync_file(fd, point)
    finally:
        os.close(fd)


def write_all(fd: int, data: Any, point: str) -> None:
    """Write the whole buffer, however few bytes the system takes at a time."""
    view = memoryview(data).cast("B")
    while len(view):
        view = view[failpoints.write(fd, view, f"{point}.write") :]


def sync_file(fd: int, point: str) -> None:
    """Wait until the bytes of an open file are on the disk."""
    failpoints.hit(f"{point}.fsync")
    os.fsync(fd)


def move(source: Path, target: Path, point: str) -> None:
    """Give a synced file its final name, replacing what was there. The name is durable once the folder is synced."""
    if not target.parent.is_dir():
        make_folder(target.parent)
    failpoints.hit(f"{point}.rename")
    source.rename(target)


def publish(source: Path, target: Path, point: str) -> None:
    """`move`, and make the name durable at once."""
    move(source, target, point)
    failpoints.hit(f"{point}.folder")
    sync_folder(target.parent)


def make_folder(path: Path) -> None:
    """Create a folder, and those above it, durably."""
    missing = [p for p in (path, *path.parents) if not p.is_dir()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(target: Path, data: bytes, scratch: Path, point: str) -> None:
    """Write a small file whole or not at all: beside, read back, then renamed over."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    write_file(scratch, data, point)
    if scratch.read_bytes() != data:
        raise OSError(errno.EIO, f"{scratch} is not what was written to it")
    publish(scratch, target, point)


def remove_file(path: Path, point: str) -> int:
    """Delete a file; its size, or 0 if it was not there."""
    failpoints.hit(f"{point}.unlink")
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


def write_failure(path: Path, error: OSError) -> StoreError:
    """The error for a write that the system refused: nothing was committed."""
    return StoreError(
        f"cannot write {path}: {error.strerror or error}. Nothing was committed and what was committed "
        "before is intact; free space or mend the disk, and run again"
    )


def filesystem_of(path: Path, mounts: str) -> str:
    """Type of the file system that holds `path` (absolute, resolved), by the text of /proc/mounts."""
    best, kind = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1])
        inside = path == Path(point) or point == "/" or str(path).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # a later mount on the same point hides the earlier
            best, kind = point, fields[2]
    return kind


def refuse_network(path: Path, mounts: str | None = None) -> None:
    """Raise StoreFormatError if `path` lies on a network file system. `mounts` stands in for /proc/mounts."""
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(errors="surrogateescape")
        except OSError:
            return  # not Linux: nothing to go by
    kind = filesystem_of(path, mounts)
    if kind in NETWORK_FILESYSTEMS:
        raise StoreFormatError(
            f"{path} is on a network file system ({kind}), where file locks cannot be relied on and a store "
            "would be damaged sooner or later. Keep the store on a local disk of the machine that runs curate; "
            "media may stay where they are, and `export` can write there"
        )
