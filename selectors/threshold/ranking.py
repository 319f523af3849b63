"""The rows with the highest values out of many pieces, best first, in little more memory than the answer takes.

A value becomes a number without sign whose order is the one asked for; the last one chosen is found by counting its digits,
so nothing is copied or sorted but what is chosen, and that as one number for value and row together. What is asked of the
pieces is counts and, once, what is chosen: they may lie with the workers of a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.selectors.threshold.order import Ids, by_key_and_id

__all__ = ["Leading", "Ranks", "leading", "ranked"]

_DIGIT = 13
"""Bits counted at once: 64 kB of counts a piece."""

Keys = npt.NDArray[Any]
Pieces = Sequence[npt.NDArray[np.floating]]


def ranked(
    pieces: Pieces, ids: Ids, count: int, lowest: bool = False
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
    """The `count` rows with the highest (or lowest) values, best first, ties by id, and their values; NaN never.

    `pieces` are one list of float32 or float64 values, cut anywhere; `ids` one unique string for each. Returns rows
    (at most count,) int64 and their values, of the type of the pieces.
    """
    starts = np.cumsum([0, *map(len, pieces)])
    ranks = [Ranks([piece], first, lowest) for piece, first in zip(pieces, starts.tolist(), strict=False)]
    count = min(count, sum(one.total()[0] for one in ranks))
    return leading(
        lambda method, *args: [getattr(one, method)(*args) for one in ranks], int(starts[-1]), count, lowest
    ).in_order(ids)


class Ranks:
    """The values of one piece, whose row 0 is row `first` of all, as numbers in the order asked for."""

    def __init__(self, values: Pieces, first: int, lowest: bool = False) -> None:
        self.first = first
        with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
            self.sum = float(sum(np.nansum(one, dtype=np.float64) for one in values))
        known = sum(len(one) - int(np.count_nonzero(np.isnan(one))) for one in values)
        self.keys: Keys = np.concatenate([_keys(one, lowest) for one in values])
        self.known = known

    def total(self) -> tuple[int, float, int]:
        """How many are numbers, what they add up to, and how many bytes each has."""
        return self.known, self.sum, self.keys.itemsize

    def digits(self, shift: int, width: int, head: int | None) -> npt.NDArray[np.int64]:
        """How often each digit of `width` bits, `shift` bits from the right, is found after this `head`."""
        keys, type_ = self.keys, self.keys.dtype.type
        if head is not None:
            keys = keys[keys >> type_(shift + width) == head]
        digits = (keys >> type_(shift)).astype(np.uint16) & np.uint16((1 << width) - 1)
        return np.bincount(digits, minlength=1 << width)

    def upto(self, bound: int, packed: bool) -> tuple[Keys, Keys]:
        """Keys up to `bound` and their rows among all, in the order of rows; `packed`: both in one, and no rows."""
        at = np.flatnonzero(self.keys <= bound)
        keys = self.keys[at]
        at += self.first
        if not packed:
            return keys, at
        both = keys.astype(np.uint64)
        both <<= np.uint64(32)
        both |= at.astype(np.uint64)
        return both, np.empty(0, np.int64)


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


def leading(ask: Callable[..., list[Any]], rows: int, count: int, lowest: bool = False) -> Leading:
    """What `ranked` puts in order, `count` and ties of the last. `ask(method, *args)` asks the `Ranks` of each piece; there
    are `rows` in all, of which `count` at least are numbers."""
    size = next((size for _, _, size in ask("total")), 4)
    if not count:
        return Leading(np.empty(0, f"u{size}"), np.empty(0, np.int64), 0, lowest)
    packed = size == 4 and rows <= 1 << 32
    found = ask("upto", _bound(ask, 8 * size, count), packed)
    return Leading(*_sorted(found, size, packed), count, lowest)


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


def _bound(ask: Callable[..., list[Any]], bits: int, count: int) -> int:
    """The `count`-th lowest key."""
    head, left = None, count
    while bits:
        width = min(_DIGIT, bits)
        bits -= width
        upto = np.cumsum(sum(ask("digits", bits, width, head)))
        digit = int(np.searchsorted(upto, left))
        left -= int(upto[digit - 1]) if digit else 0
        head = (head or 0) << width | digit
    return head or 0


def _sorted(found: list[tuple[Keys, Keys]], size: int, packed: bool) -> tuple[Keys, Keys]:
    """Keys and their rows, lowest first; equal ones by row. `found` is emptied on the way."""
    keys: Keys = np.empty(sum(len(some) for some, _ in found), np.uint64 if packed else f"u{size}")
    rows: Keys = np.empty(0 if packed else len(keys), np.int64)
    done = len(keys)
    while found:
        some, at = found.pop()
        keys[done - len(some) : done] = some
        if not packed:
            rows[done - len(some) : done] = at
        done -= len(some)
    if packed:
        keys.sort()
        halves = keys.astype("<u8", copy=False).view("<u4")
        return halves[1::2], halves[0::2]
    order = np.argsort(keys, kind="stable")
    return keys[order], rows[order]
