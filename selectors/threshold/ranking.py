"""The rows with the highest values out of many pieces, best first, in little more memory than the answer takes.

A value becomes a number without sign whose order is the one asked for; the last one chosen is found by counting its digits,
so nothing is copied or sorted but what is chosen, and that as one number for value and row together. What is asked of the
pieces is counts and, once, what is chosen; all else they forget before that. They may lie with the workers of a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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
    return leading(_All(ranks), int(starts[-1]), count, lowest).in_order(ids)


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

    def keep(self, bound: int, packed: bool) -> None:
        """Forget all but the keys up to `bound`; `packed`: keep them in one number with their rows among all."""
        at = np.flatnonzero(self.keys <= bound)
        keys = self.keys[at]
        at += self.first
        if packed:
            keys = keys.astype(np.uint64)
            keys <<= np.uint64(32)
            keys |= at.astype(np.uint64)
            if 2 * len(at) <= len(self.keys):
                # Where the keys were: that goes back to the system as one, what small arrays leave behind does not.
                room = self.keys[: 2 * len(at)].view(np.uint64)
                room[:] = keys
                keys = room
        self.keys, self.rows = keys, np.empty(0, np.int64) if packed else at

    def kept(self) -> tuple[Keys, Keys]:
        """These keys and their rows, in the order of rows; no rows where they are packed."""
        return self.keys, self.rows


class _All:
    """Pieces that all lie here (`contracts.Held`)."""

    def __init__(self, ranks: Sequence[Ranks]) -> None:
        self._ranks = ranks

    def ask(self, method: str, *args: Any) -> list[Any]:
        return [getattr(one, method)(*args) for one in self._ranks]

    tell = ask


class _Asked(Protocol):
    def ask(self, method: str, *args: Any) -> list[Any]: ...
    def tell(self, method: str, *args: Any) -> list[Any]: ...


@dataclass(frozen=True, eq=False)
class Leading:
    """The first `count` rows and those that tie with the last of them, `found` in each piece as `Ranks.kept` gives them.

    The values are not needed any more: what is left to do is to sort, and to bring equal ones into the order of their ids.
    """

    found: list[tuple[Keys, Keys]]
    packed: bool
    count: int
    lowest: bool

    def in_order(self, ids: Ids) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
        """Rows (count,) int64 and their values, ties by id. Only once: `found` is emptied on the way."""
        keys, rows, both = _packed(self.found) if self.packed else _paired(self.found)
        equal = keys[1:] == keys[:-1]
        if equal.any():
            tied = np.append(equal, False)
            tied[1:] |= equal
            del equal
            by_key_and_id(keys, rows, tied, ids)
            del tied
        values = _values(keys[: self.count], self.lowest)
        keys[:] = 0  # what was key and row in one number is the row alone
        return both.view("<i8")[: self.count].astype(np.int64, copy=False), values


def leading(held: _Asked, rows: int, count: int, lowest: bool = False) -> Leading:
    """What `ranked` puts in order, `count` and ties of the last. `held` are the `Ranks` of each piece, which forget the rest;
    there are `rows` in all, of which `count` at least are numbers."""
    size = next((size for _, _, size in held.ask("total")), 4)
    packed = size == 4 and rows <= 1 << 32
    if not count:
        return Leading([(np.empty(0, f"u{size}"), np.empty(0, np.int64))], False, 0, lowest)
    held.tell("keep", _bound(held, 8 * size, count), packed)
    return Leading(held.ask("kept"), packed, count, lowest)


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
    bits = np.array(keys) if lowest else ~keys
    sign = bits.dtype.type(1 << (8 * bits.itemsize - 1))
    negative = bits < sign
    np.invert(bits, out=bits, where=negative)
    np.bitwise_xor(bits, sign, out=bits, where=~negative)
    return bits.view(f"f{bits.itemsize}")


def _bound(held: _Asked, bits: int, count: int) -> int:
    """The `count`-th lowest key."""
    head, left = None, count
    while bits:
        width = min(_DIGIT, bits)
        bits -= width
        upto = np.cumsum(sum(held.ask("digits", bits, width, head)))
        digit = int(np.searchsorted(upto, left))
        left -= int(upto[digit - 1]) if digit else 0
        head = (head or 0) << width | digit
    return head or 0


def _packed(found: list[tuple[Keys, Keys]]) -> tuple[Keys, Keys, Keys]:
    """Keys and their rows, lowest first, equal ones by row, and the numbers whose halves they are. Empties `found`."""
    both = _joined(found)
    both.sort()
    both = both.astype("<u8", copy=False)
    halves = both.view("<u4")
    return halves[1::2], halves[0::2], both


def _paired(found: list[tuple[Keys, Keys]]) -> tuple[Keys, Keys, Keys]:
    """The same for keys that have their rows beside them; these come twice."""
    rows = np.concatenate([at for _, at in found])
    keys = _joined(found)
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    return keys, rows, rows


def _joined(found: list[tuple[Keys, Keys]]) -> Keys:
    """The keys in one array. `found` is emptied on the way, so that little is held twice."""
    keys: Keys = np.empty(sum(len(some) for some, _ in found), found[0][0].dtype)
    done = len(keys)
    while found:
        some, _ = found.pop()
        keys[done - len(some) : done] = some
        done -= len(some)
    return keys
