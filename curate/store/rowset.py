"""A set of rows of a snapshot, as one flag per item sequence number.

Row sets carry what SQL need not do again: removed items, a stored selection, the survivors of a deduplication.
DuckDB gets them as one bit per row, which filters a scan without a join, so without disturbing its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import blake3
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.spool import blocks
from curate.store.parts import Part

Flags = npt.NDArray[np.bool_]
Seqs = npt.NDArray[np.int64]

_BLOCK = 1 << 18


@dataclass(frozen=True, eq=False)
class RowSet:
    """`flags[i]` says whether the item with seq `start + i` is in the set."""

    start: int
    flags: Flags

    @classmethod
    def spanning(cls, parts: Sequence[Part], full: bool) -> RowSet:
        """All rows of these parts, or none of them."""
        start, stop = span(parts)
        flags = np.zeros(stop - start, np.bool_)
        if full:
            for part in parts:
                flags[part.seq_lo - start : part.seq_lo - start + part.rows] = True
        return cls(start, flags)

    @classmethod
    def of_seqs(cls, parts: Sequence[Part], seqs: Seqs) -> RowSet:
        """These of the rows of these parts."""
        found = cls.spanning(parts, full=False)
        found.mark(seqs)
        return found

    def mark(self, seqs: Seqs, value: bool = True) -> None:
        """Set the flag of each seq; seqs outside the span are ignored. Only while the set is being built."""
        for block in blocks(seqs):
            place = block - self.start
            inside = (place >= 0) & (place < len(self.flags))
            self.flags[place if inside.all() else place[inside]] = value

    def of(self, start: int, stop: int) -> Flags:
        """Flags of seq `start` to `stop`, not to be written to; rows outside the span are not in the set."""
        if start >= self.start and stop - self.start <= len(self.flags):
            return self.flags[start - self.start : stop - self.start]
        out = np.zeros(stop - start, np.bool_)
        lo, hi = max(start, self.start), min(stop, self.start + len(self.flags))
        if lo < hi:
            out[lo - start : hi - start] = self.flags[lo - self.start : hi - self.start]
        return out

    def among(self, parts: Sequence[Part]) -> RowSet:
        """What of the set lies between the first and the last of these parts, without a copy where all of that is known."""
        start, stop = span(parts)
        return RowSet(start, self.of(start, stop))

    def inside(self, parts: Sequence[Part]) -> RowSet:
        """What of the set is a row of one of these parts: itself where no rows lie between them that are none's."""
        start, stop = span(parts)
        if (start, stop) == (self.start, self.start + len(self.flags)) and sum(
            p.rows for p in parts
        ) == stop - start:
            return self
        return RowSet.spanning(parts, full=True) & self

    def count(self, start: int, stop: int) -> int:
        """How many of seq `start` to `stop` are in the set."""
        lo, hi = max(start - self.start, 0), max(stop - self.start, 0)
        return int(np.count_nonzero(self.flags[lo:hi]))

    def seqs(self) -> Seqs:
        """The members, ascending."""
        return np.flatnonzero(self.flags).astype(np.int64, copy=False) + self.start

    def hexdigest(self) -> str:
        """Hash of the members, ascending, as eight bytes each."""
        hasher = blake3.blake3()
        for first in range(0, len(self.flags), _BLOCK):
            found = np.flatnonzero(self.flags[first : first + _BLOCK]).astype(np.int64, copy=False)
            hasher.update((found + (self.start + first)).view(np.uint8).data)
        return str(hasher.hexdigest())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.flags))

    def __and__(self, other: RowSet) -> RowSet:
        return RowSet(self.start, self.flags & other.of(self.start, self.start + len(self.flags)))

    def spans(self, seqs: Seqs) -> bool:
        """Whether the set knows of each of these, as a member or not."""
        stop = self.start + len(self.flags)
        if not len(seqs):
            return True
        low, high = extent(seqs)
        return low >= self.start and high < stop

    def touches(self, part: Part) -> bool:
        """Whether any row of the part is in the set."""
        lo = part.seq_lo - self.start
        return bool(self.flags[max(lo, 0) : max(lo + part.rows, 0)].any())


def span(parts: Sequence[Part]) -> tuple[int, int]:
    """First seq, and one past the last, of these parts."""
    if not parts:
        return 0, 0
    return min(p.seq_lo for p in parts), max(p.seq_lo + p.rows for p in parts)


def extent(values: Seqs) -> tuple[int, int]:
    """The least of these and the greatest; there is one at least."""
    low, high = zip(*((int(some.min()), int(some.max())) for some in blocks(values)), strict=True)
    return min(low), max(high)


def distinct(seqs: Seqs) -> Seqs:
    """The same, each once, ascending. Sorting beats `np.unique`, which hashes integers, some fifteen times over."""
    ordered = np.array(seqs, np.int64)
    ordered.sort()
    if len(ordered) < 2 or (fresh := ordered[1:] != ordered[:-1]).all():
        return ordered
    once: Seqs = ordered[np.append(True, fresh)]
    return once


def int64_values(column: pa.ChunkedArray | pa.Array) -> Seqs:
    """An int64 column without nulls as NumPy, without pyarrow's `to_numpy`, which imports pandas where it can."""
    chunks: Iterable[pa.Array] = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    pieces = [np.frombuffer(c.buffers()[1], np.int64, len(c), c.offset * 8) for c in chunks if len(c)]
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces) if pieces else np.empty(0, np.int64)


def int64_array(values: Seqs) -> pa.Array:
    """The way back, again without pandas."""
    data = np.ascontiguousarray(values, np.int64)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])
