"""A set of rows of a snapshot, as one bit per item sequence number.

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
    """Which of the items with seq `start` to `stop` (not counted) are in the set: a bit each, eight to a byte, the lowest bit
    first. The first byte begins with the last multiple of eight up to `start`; bits of seqs out of the span are 0."""

    start: int
    stop: int
    bits: npt.NDArray[np.uint8]

    @classmethod
    def spanning(cls, parts: Sequence[Part], full: bool) -> RowSet:
        """All rows of these parts, or none of them."""
        found = cls._none(*span(parts))
        if full:
            edges = [np.empty(0, np.int64)]
            for part in parts:
                low, high = part.seq_lo, part.seq_lo + part.rows
                first, last = -(-low // 8), high // 8  # whole bytes
                found.bits[first - found._byte : max(first, last) - found._byte] = 255
                edges += [np.arange(low, min(8 * first, high)), np.arange(max(8 * last, low), high)]
            found.mark(np.concatenate(edges))
        return found

    @classmethod
    def of_flags(cls, start: int, flags: Flags) -> RowSet:
        """Those for which `flags` is true, of the seqs from `start` on."""
        found = cls._none(start, start + len(flags))
        found.mark(np.flatnonzero(flags) + start)
        return found

    @classmethod
    def of_seqs(cls, parts: Sequence[Part], seqs: Seqs) -> RowSet:
        """These of the rows of these parts."""
        found = cls.spanning(parts, full=False)
        found.mark(seqs)
        return found

    @classmethod
    def _none(cls, start: int, stop: int) -> RowSet:
        return cls(start, stop, np.zeros(-(-stop // 8) - start // 8, np.uint8))

    @property
    def _byte(self) -> int:
        return self.start // 8

    def mark(self, seqs: Seqs, value: bool = True) -> None:
        """Take these in, or out; seqs outside the span are ignored. Only while the set is being built."""
        for block in blocks(seqs):
            inside = (block >= self.start) & (block < self.stop)
            known = block if inside.all() else block[inside]
            if not len(known):
                continue
            if (known[1:] < known[:-1]).any():
                known = np.sort(known)
            at = (known >> 3) - self._byte
            first = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
            new = np.bitwise_or.reduceat(_BIT[known & 7], first)
            at = at[first]
            self.bits[at] = self.bits[at] | new if value else self.bits[at] & ~new

    def of(self, start: int, stop: int) -> Flags:
        """A flag for each seq from `start` to `stop`; rows outside the span are not in the set."""
        low, high = max(start, self.start), min(stop, self.stop)
        if low >= high:
            return np.zeros(stop - start, np.bool_)
        held = np.unpackbits(self.bits[low // 8 - self._byte : -(-high // 8) - self._byte], bitorder="little")
        found = held[low % 8 : low % 8 + high - low].view(np.bool_)
        return found if high - low == stop - start else np.pad(found, (low - start, stop - high))

    def among(self, parts: Sequence[Part]) -> RowSet:
        """What of the set lies between the first and the last of these parts."""
        return self._cut(*span(parts))

    def inside(self, parts: Sequence[Part]) -> RowSet:
        """What of the set is a row of one of these parts: itself where no rows lie between them that are none's."""
        start, stop = span(parts)
        if (start, stop) == (self.start, self.stop) and sum(p.rows for p in parts) == stop - start:
            return self
        return RowSet.spanning(parts, full=True) & self

    def count(self, start: int, stop: int) -> int:
        """How many of seq `start` to `stop` are in the set."""
        return int(np.count_nonzero(self.of(start, stop)))

    def seqs(self) -> Seqs:
        """The members, ascending."""
        return np.flatnonzero(self.of(self.start, self.stop)).astype(np.int64, copy=False) + self.start

    def hexdigest(self) -> str:
        """Hash of the members, ascending, as eight bytes each."""
        hasher = blake3.blake3()
        for first in range(self.start, self.stop, _BLOCK):
            found = np.flatnonzero(self.of(first, min(first + _BLOCK, self.stop))).astype(
                np.int64, copy=False
            )
            hasher.update((found + first).view(np.uint8).data)
        return str(hasher.hexdigest())

    def __len__(self) -> int:
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    def __and__(self, other: RowSet) -> RowSet:
        return RowSet(self.start, self.stop, self.bits & other._cut(self.start, self.stop).bits)

    def _cut(self, start: int, stop: int) -> RowSet:
        if (start, stop) == (self.start, self.stop):
            return self
        found = RowSet._none(start, stop)
        low, high = max(start, self.start), min(stop, self.stop)
        if low < high:
            first, last = low // 8, -(-high // 8)
            bits = found.bits[first - found._byte : last - found._byte]
            bits[:] = self.bits[first - self._byte : last - self._byte]
            bits[0] &= 255 << low % 8 & 255
            bits[-1] &= 255 >> -high % 8
        return found

    def spans(self, seqs: Seqs) -> bool:
        """Whether the set knows of each of these, as a member or not."""
        if not len(seqs):
            return True
        low, high = extent(seqs)
        return low >= self.start and high < self.stop

    def touches(self, part: Part) -> bool:
        """Whether any row of the part is in the set."""
        return bool(self.of(part.seq_lo, part.seq_lo + part.rows).any())


_BIT = np.left_shift(1, np.arange(8)).astype(np.uint8)


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
