"""Deleted items: each tombstone marks one live item, and no item is marked twice. Counts of live items rely on it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from curate.counting import counted
from curate.errors import ConflictError, InputError
from curate.store import records

_TOUCHING = (
    "SELECT part_id, path FROM part WHERE tbl = 'deleted' AND removed IS NULL AND purged = 0"
    " AND json_extract(stats, '$.min') < ? AND json_extract(stats, '$.max') >= ?"
)


def check(root: Path, con: sqlite3.Connection, version: int) -> None:
    """Check what the commit of `version`, still open, did to items and tombstones.

    Raises ConflictError if another process deleted or replaced the same items, InputError for seqs never given.
    """
    query = "SELECT part_id, path FROM part WHERE tbl = 'deleted' AND added = ?"
    for part_id, path in con.execute(query, (version,)).fetchall():
        seqs = _read_seqs(root / path)
        _check_there(con, seqs)
        _check_once(root, con, part_id, seqs)
    _check_homes(root, con, version)


def _check_homes(root: Path, con: sqlite3.Connection, version: int) -> None:
    """Tombstones of items whose part was removed must be gone too, unless another part holds the items now."""
    query = (
        "SELECT seq_lo, seq_lo + rows, part_id FROM part WHERE tbl = 'items' AND removed = ? ORDER BY seq_lo"
    )
    gone = con.execute(query, (version,)).fetchall()
    if not gone:
        return
    for _, path in con.execute(_TOUCHING, (max(hi for _, hi, _ in gone), gone[0][0])).fetchall():
        lost = _homeless(con, _read_seqs(root / path))
        for lo, hi, part_id in gone if len(lost) else []:
            held = int(((lost >= lo) & (lost < hi)).sum())
            if held:
                raise ConflictError(
                    f"item part {part_id} is to be removed, but "
                    f"{counted(held, 'tombstone of its items stays', 'tombstones of its items stay')} live: another "
                    "process deleted items meanwhile, or this commit does not replace the parts of tombstones. "
                    "Nothing was changed; run again"
                )


def _check_there(con: sqlite3.Connection, seqs: npt.NDArray[np.int64]) -> None:
    following = records.next_seq(con)
    if seqs[0] < 0 or seqs[-1] >= following:
        raise InputError(
            f"seqs {seqs[0]} to {seqs[-1]} cannot be deleted: seqs 0 to {following - 1} were given"
            if following
            else f"seqs {seqs[0]} to {seqs[-1]} cannot be deleted: there are no items"
        )
    lost = _homeless(con, seqs)
    if len(lost):
        raise ConflictError(
            f"{len(lost)} of {counted(len(seqs), 'item')} to delete, the first with seq {lost[0]}, are in no live "
            "part: another process replaced or removed it. Nothing was changed; run again"
        )


def _homeless(con: sqlite3.Connection, seqs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of the seqs that lie in no live item part."""
    if not len(seqs):
        return seqs
    rows = con.execute(
        "SELECT seq_lo, rows FROM part WHERE tbl = 'items' AND removed IS NULL AND rows > 0 ORDER BY seq_lo"
    ).fetchall()
    live = np.array(rows, dtype=np.int64).reshape(-1, 2)
    home = np.searchsorted(live[:, 0], seqs, side="right") - 1
    return seqs[(home < 0) | (seqs >= (live[home, 0] + live[home, 1] if len(live) else 0))]


def _check_once(root: Path, con: sqlite3.Connection, part_id: str, seqs: npt.NDArray[np.int64]) -> None:
    for other, path in con.execute(_TOUCHING, (int(seqs[-1]) + 1, int(seqs[0]))).fetchall():
        if other == part_id:
            continue
        both = np.intersect1d(seqs, _read_seqs(root / path), assume_unique=True)
        if len(both):
            raise ConflictError(
                f"{len(both)} of {counted(len(seqs), 'item')} are deleted already, the first with seq {both[0]}. "
                "Nothing was changed; run again"
            )


def _read_seqs(path: Path) -> npt.NDArray[np.int64]:
    with pa.OSFile(str(path)) as source:
        return np.asarray(pq.read_table(source)["seq"].to_numpy(), dtype=np.int64)
