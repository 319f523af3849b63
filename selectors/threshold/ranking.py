"""The rows with the highest values out of many pieces, best first, in little more memory than the answer takes.

A value becomes a number without sign whose order is the one asked for; the last one chosen is found by counting its digits,
so nothing is copied or sorted but what is chosen, and that as one number for value and row together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.selectors.threshold.order import Ids, by_key_and_id

__all__ = ["Leading", "leading", "ranked"]

_DIGIT = 16
"""Bits counted at once."""

Keys = npt.NDArray[Any]
Pieces = Sequence[npt.NDArray[np.floating]]


def ranked(
    pieces: Pieces, ids: Ids, count: int, lowest: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
    """The `count` rows with the highest (or lowest) values, best first, ties by id, and their values; NaN never.

    `pieces` are one list of float32 or float64 values, cut anywhere; `ids` one unique string for each. Returns rows
    (at most count,) int64 and their values, of the type of the pieces.
    """
    return leading(pieces, count, lowest).in_order(ids)


@dataclass(frozen=True, eq=False)
class Leading:
    """The first `count` rows and those that tie with the last of them: `keys` (m,) ascending, `rows` (m,) theirs.

    The values are not needed any more: what is left to do is to bring equal ones into the order of their ids.
    """

    keys: Keys
    rows: Keys
    count: int
    lowest: bool

    def in_order(self, ids: Ids) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
        """Rows (count,) int64 and their values, ties by id."""
        keys, rows = self.keys, self.rows
        equal = keys[1:] == keys[:-1]
        if equal.any():
            tied = np.append(equal, False)
            tied[1:] |= equal
            del equal
            by_key_and_id(keys, rows, tied, ids)
        return rows[: self.count].astype(np.int64), _values(keys[: self.count], self.lowest)


def leading(pieces: Pieces, count: int, lowest: bool = False) -> Leading:
    """What `ranked` puts in order, at most `count` (fewer where fewer values are numbers) and ties of the last."""
    count = min(count, sum(len(piece) - int(np.count_nonzero(np.isnan(piece))) for piece in pieces))
    if not count:
        dtype = f"u{pieces[0].itemsize if pieces else 4}"
        return Leading(np.empty(0, dtype), np.empty(0, np.int64), 0, lowest)
    return Leading(*_sorted(pieces, lowest, _bound(pieces, lowest, count)), count, lowest)


def _keys(values: npt.NDArray[np.floating], lowest: bool) -> Keys:
    """Numbers without sign, lower for what goes first; 0 and -0 are one, NaN comes after all others."""
    bits = (values + values.dtype.type(0)).view(f"u{values.itemsize}")
    sign = bits.dtype.type(1 << (8 * values.itemsize - 1))
    keys = np.where(bits & sign, ~bits, bits | sign)
    keys = keys if lowest else ~keys
    keys[np.isnan(values)] = ~bits.dtype.type(0)
    return keys


def _values(keys: Keys, lowest: bool) -> npt.NDArray[np.floating]:
    """The way back."""
    keys = keys if lowest else ~keys
    sign = keys.dtype.type(1 << (8 * keys.itemsize - 1))
    bits = np.where(keys & sign, keys ^ sign, ~keys)
    return bits.view(f"f{keys.itemsize}")


def _bound(pieces: Sequence[npt.NDArray[np.floating]], lowest: bool, count: int) -> int:
    """The `count`-th lowest key."""
    bits = 8 * pieces[0].itemsize
    head, left = 0, count
    for shift in range(bits - _DIGIT, -1, -_DIGIT):
        counts = np.zeros(1 << _DIGIT, np.int64)
        for piece in pieces:
            keys = _keys(piece, lowest)
            if shift + _DIGIT < bits:
                keys = keys[keys >> keys.dtype.type(shift + _DIGIT) == head]
            digits = (keys >> keys.dtype.type(shift)).astype(np.uint16)
            counts += np.bincount(digits, minlength=1 << _DIGIT)
        upto = np.cumsum(counts)
        digit = int(np.searchsorted(upto, left))
        left -= int(upto[digit - 1]) if digit else 0
        head = head << _DIGIT | digit
    return head


def _sorted(pieces: Sequence[npt.NDArray[np.floating]], lowest: bool, bound: int) -> tuple[Keys, Keys]:
    """Keys up to `bound` and their rows, lowest first; equal ones by row."""
    found = [np.flatnonzero(_keys(piece, lowest) <= bound).astype(np.uint32) for piece in pieces]
    size, starts = sum(map(len, found)), np.cumsum([0, *map(len, pieces)])
    packed = pieces[0].itemsize == 4 and starts[-1] <= 1 << 32
    both = np.empty(size, np.uint64)
    rows: Keys = np.empty(0 if packed else size, np.int64)
    done = 0
    for piece, at, start in zip(pieces, found, starts[:-1], strict=True):
        here = slice(done, done + len(at))
        both[here] = _keys(piece[at], lowest)
        if packed:
            both[here] <<= np.uint64(32)
            both[here] |= at + np.uint64(start)
        else:
            rows[here] = at + start
        done += len(at)
    if packed:
        both.sort()
        halves = both.astype("<u8", copy=False).view("<u4")
        return halves[1::2], halves[0::2]
    order = np.argsort(both, kind="stable")
    return both[order].astype(f"u{pieces[0].itemsize}"), rows[order]
