"""Leases: who is writing, and which version someone is reading. Garbage collection spares what a live one needs.

A lease belongs to a process and dies with it, however it dies: nothing has to be renewed. A process is known by
boot, process id space (containers have their own), process id, and the time it started (ids are used again).
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from curate.errors import StoreError
from curate.store.catalog import Catalog

FOREIGN_SECONDS = 86400.0
"""A lease of another container or host, which cannot be looked at from here, counts as live for this long."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """The process that holds a lease."""

    host: str
    boot_id: str
    pid_space: str
    pid: int
    pid_start: str


def this_process() -> Owner:
    """The owner that leases of this process bear."""
    return Owner(
        socket.gethostname(), _boot_id(), _pid_space(), os.getpid(), process_start(os.getpid()) or ""
    )


def take(con: sqlite3.Connection, version: int | None = None) -> str:
    """Record a lease inside the caller's transaction: a writer's, or a pin of `version`. Returns its id."""
    lease_id, owner = uuid.uuid4().hex, this_process()
    con.execute(
        "INSERT INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            lease_id,
            version,
            owner.host,
            owner.boot_id,
            owner.pid_space,
            owner.pid,
            owner.pid_start,
            time.time(),
        ),
    )
    return lease_id


def release(con: sqlite3.Connection, lease_id: str) -> None:
    """Drop a lease inside the caller's transaction."""
    con.execute("DELETE FROM lease WHERE lease_id = ?", (lease_id,))


@contextmanager
def held(
    catalog: Catalog, version: Callable[[sqlite3.Connection], int] | None = None
) -> Iterator[tuple[str, int | None]]:
    """A lease while the block runs: (its id, the version it pins). `version` works that out in the transaction.

    A child made by a fork inside the block does not end its parent's lease.
    """
    owner = os.getpid()
    with catalog.write() as con:
        number = version(con) if version else None
        lease_id = take(con, number)
    try:
        yield lease_id, number
    finally:
        if os.getpid() == owner:
            with suppress(StoreError), catalog.write() as con:  # gc drops it when this process has ended
                release(con, lease_id)


@contextmanager
def scratch(root: Path, catalog: Catalog) -> Iterator[str]:
    """A writer's lease; its folder under tmp/ is removed at the end."""
    owner = os.getpid()
    with held(catalog) as (lease_id, _):
        try:
            yield lease_id
        finally:
            if os.getpid() == owner:
                shutil.rmtree(root / "tmp" / lease_id, ignore_errors=True)


def live(con: sqlite3.Connection) -> list[tuple[str, int | None, float]]:
    """(id, pinned version, taken at) of every lease whose process may still be running."""
    rows = con.execute("SELECT lease_id, version, taken, host, boot_id, pid_space, pid, pid_start FROM lease")
    return [(r[0], r[1], r[2]) for r in rows if is_live(Owner(*r[3:]), r[2])]


def writers(con: sqlite3.Connection) -> list[str]:
    """Who is writing: "process 123 on host", one for each live writer's lease."""
    rows = con.execute(
        "SELECT taken, host, boot_id, pid_space, pid, pid_start FROM lease WHERE version IS NULL"
    )
    owners = [(Owner(*row[1:]), row[0]) for row in rows]
    return sorted({f"process {o.pid} on {o.host}" for o, taken in owners if is_live(o, taken)})


def is_live(owner: Owner, taken: float) -> bool:
    """Whether the process that took a lease at `taken` (seconds since 1970) can still be running."""
    here = this_process()
    if owner.boot_id == here.boot_id and owner.pid_space == here.pid_space:
        return process_start(owner.pid) == owner.pid_start
    if owner.boot_id != here.boot_id and owner.host == here.host:
        return False  # this machine was started again since
    return abs(time.time() - taken) < FOREIGN_SECONDS


def process_start(pid: int) -> str | None:
    """When the process started, in the kernel's own unit; None if there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        if _PROC.joinpath("self").exists():
            return None
        return _running(pid)
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return None if state in "ZX" else fields[18]


def _running(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


@cache
def _boot_id() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


@cache
def _pid_space() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return "unknown"
