"""Row sets that are read from parts: live items, stored selections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curate.store.engine import Engine, quote_text
from curate.store.parts import Part
from curate.store.rowset import RowSet, extent, int64_values
from curate.store.snapshot import Snapshot


class LazyRows:
    """A row set that is found when it is first needed, and kept."""

    def __init__(self, find: Callable[[], RowSet]) -> None:
        self._find = find

    @cached_property
    def rows(self) -> RowSet:
        """The set."""
        return self._find()


def live(engine: Engine, snapshot: Snapshot) -> RowSet:
    """Items that were not removed."""
    found = RowSet.spanning(snapshot.items, full=True)
    _mark(engine, snapshot.deleted, found, value=False)
    return found


def listed(engine: Engine, snapshot: Snapshot, files: Sequence[Part], inside: bool) -> RowSet:
    """Items whose `seq` the files list, or, with `inside=False`, all others."""
    found = RowSet.spanning(snapshot.items, full=not inside)
    _mark(engine, files, found, value=inside)
    return found


def _mark(engine: Engine, files: Sequence[Part], found: RowSet, value: bool) -> None:
    paths = ", ".join(quote_text(str(engine.root / f.path)) for f in files if f.rows)
    if not paths:
        return
    with engine.cursor() as cursor:
        for batch in cursor.sql(f"SELECT seq FROM read_parquet([{paths}])").to_arrow_reader(1 << 17):
            found.mark(int64_values(batch.column(0)), value)


def around(parts: Sequence[Part], seqs: npt.NDArray[np.int64]) -> tuple[Part, ...]:
    """The parts between the least of these seqs, in any order, and the greatest."""
    if not len(seqs):
        return ()
    low, high = extent(seqs)
    return tuple(p for p in parts if p.seq_lo + p.rows > low and p.seq_lo <= high)


def holding(parts: Sequence[Part], seqs: npt.NDArray[np.int64]) -> tuple[Part, ...]:
    """Those of the parts that hold any of these ascending seqs."""
    first = np.searchsorted(seqs, [p.seq_lo for p in parts])
    last = np.searchsorted(seqs, [p.seq_lo + p.rows for p in parts])
    return tuple(p for p, lo, hi in zip(parts, first, last, strict=True) if hi > lo)
