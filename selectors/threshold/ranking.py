"""The rows with the highest values out of many pieces, best first, in memory that does not grow with them.

A value becomes a number without sign whose order is the one asked for; the last one chosen is found by counting its digits.
Each piece sorts what is chosen of it, and these are merged in runs: whatever is longer than a run is set aside in files
(`curate.spool`). Pieces may lie with the workers of a cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.selectors.threshold.order import Ids, by_key_and_id, heads_of
from curate.spool import MANY, Spool, blocks, forget

__all__ = ["Leading", "Ranks", "leading", "ranked"]

_DIGIT = 13
"""Bits counted at once: 64 kB of counts a piece."""
_STEP = 1 << 12
"""Of so many keys of a piece one is known to all."""
_RUN = 1 << 17
"""Rows, about, that are merged at once."""

_PACKED = np.dtype([("row", "<u4"), ("key", "<u4")])
"""One number whose order is that of keys, and of rows where keys are equal."""
_WIDE = np.dtype([("row", "<u8"), ("key", "<u8")])

Keys = npt.NDArray[Any]
Pieces = Sequence[npt.NDArray[np.floating]]


def ranked(
    pieces: Pieces, ids: Ids, count: int, lowest: bool = False, *, scratch: Path | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
    """The `count` rows with the highest (or lowest) values, best first, ties by id, and their values; NaN never.

    `pieces` are one list of float32 or float64 values, cut anywhere; `ids` one unique string for each. Returns rows
    (at most count,) int64 and their values, of the type of the pieces; do not write to them. What is long lies in the
    folder `scratch` meanwhile, and what is returned is mapped from there; None: all is in memory.
    """
    starts = np.cumsum([0, *map(len, pieces)]).tolist()
    ranks = [
        Ranks([piece], first, _Part(ids, first), lowest, scratch=scratch)
        for piece, first in zip(pieces, starts, strict=False)
    ]
    count = min(count, sum(one.total()[0] for one in ranks))
    return leading(_All(ranks), starts[-1], count, lowest).in_order(ids, scratch)


class Ranks:
    """The values of one piece, whose row 0 is row `first` of all, as numbers in the order asked for. `ids` are those of its
    rows; what is long lies in the folder `scratch`."""

    def __init__(
        self, values: Pieces, first: int, ids: Ids, lowest: bool = False, *, scratch: Path | None = None
    ) -> None:
        self.first, self.ids, self.scratch = first, ids, scratch
        with np.errstate(invalid="ignore"):  # infinities of both signs have no sum
            self.sum = float(sum(np.nansum(one, dtype=np.float64) for one in values))
        self.known = sum(len(one) - int(np.count_nonzero(np.isnan(one))) for one in values)
        keys = Spool(f"u{values[0].itemsize}", scratch)
        for one in values:
            keys.append(_keys(one, lowest))
        self.keys: Keys = keys.array()

    def total(self) -> tuple[int, float, int]:
        """How many are numbers, what they add up to, and how many bytes each has."""
        return self.known, self.sum, self.keys.itemsize

    def digits(self, shift: int, width: int, head: int | None) -> npt.NDArray[np.int64]:
        """How often each digit of `width` bits, `shift` bits from the right, is found after this `head`."""
        type_ = self.keys.dtype.type
        found = np.zeros(1 << width, np.int64)
        for keys in blocks(self.keys):
            if head is not None:
                keys = keys[keys >> type_(shift + width) == head]
            digits = (keys >> type_(shift)).astype(np.uint16) & np.uint16((1 << width) - 1)
            found += np.bincount(digits, minlength=1 << width)
        return found

    def keep(self, bound: int, packed: bool) -> Keys:
        """Forget all but the keys up to `bound`, which are put in order, with their rows among all; `packed`: as one number.
        Gives every `_STEP`-th of them."""
        found, start = [np.empty(0, _PACKED if packed else _WIDE)], self.first
        for keys in blocks(self.keys):
            at = np.flatnonzero(keys <= bound)
            pairs = np.empty(len(at), found[0].dtype)
            pairs["key"], pairs["row"] = keys[at], at + start
            found.append(pairs)
            start += len(keys)
        kept = np.concatenate(found)
        kept = kept[_order(kept)]
        spool = Spool(kept.dtype, self.scratch)
        spool.append(kept)
        self.marks, self.kept = np.array(kept["key"][_STEP - 1 :: _STEP]), spool.array()
        self.keys, self.places = np.empty(0, self.keys.dtype), Spool(np.uint32, self.scratch)
        return self.marks

    def between(self, low: int | None, high: int) -> Keys:
        """The keys above `low` (None: all) and up to `high`, with their rows."""
        found = np.array(self.kept[slice(*self._span(low, high))])
        forget(self.kept)
        return found

    def tie(self, low: int | None, high: int, keys: Keys) -> None:
        """These `keys` between the two, ascending, are those of several rows. Keys are told of in their order."""
        start, _ = self._span(low, high)
        mine = self.between(low, high)["key"]
        place = np.minimum(np.searchsorted(keys, mine), max(len(keys) - 1, 0))
        self.places.append(start + np.flatnonzero(keys[place] == mine) if len(keys) else place[:0])

    def read_ids(self) -> None:
        """Read the ids of rows whose keys others have, too: after all ties were told."""
        self.at = self.places.array()
        rows = self.kept["row"][self.at].astype(np.int64) - self.first
        forget(self.kept)
        forget(self.at)
        order = np.argsort(rows)
        heads = np.empty(len(rows), np.uint64)
        heads[order] = heads_of(rows[order], self.ids)
        spool = Spool(np.uint64, self.scratch)
        spool.append(heads)
        self.heads = spool.array()

    def heads_between(self, low: int | None, high: int) -> npt.NDArray[np.uint64]:
        """The first bytes of the ids of what lies `between`; 0 where no other row has the key."""
        start, stop = self._span(low, high)
        found = np.zeros(stop - start, np.uint64)
        first, last = np.searchsorted(self.at, np.array([start, stop], np.uint32))
        found[self.at[first:last] - np.uint32(start)] = self.heads[first:last]
        forget(self.at)
        forget(self.heads)
        return found

    def _span(self, low: int | None, high: int) -> tuple[int, int]:
        found = 0 if low is None else self._upto(low), self._upto(high)
        forget(self.kept)
        return found

    def _upto(self, key: int) -> int:
        """How many keys are no higher than `key`."""
        typed = self.marks.dtype.type(key)
        near = int(np.searchsorted(self.marks, typed, side="right")) * _STEP
        return near + int(np.searchsorted(self.kept["key"][near : near + _STEP], typed, side="right"))


@dataclass(frozen=True, eq=False)
class _Part:
    """Ids of a piece that begins with row `first`."""

    ids: Ids
    first: int

    def take(self, indices: pa.Array) -> Any:
        return self.ids.take(pc.add(indices, self.first))


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
    """The first `count` rows and those that tie with the last of them, as `held` keeps them: between one of the `cuts` and the
    next lie no more than can be merged at once. `size` is that of a value in bytes."""

    held: _Asked
    cuts: Sequence[int]
    size: int
    count: int
    lowest: bool

    def in_order(
        self, ids: Ids, scratch: Path | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.floating]]:
        """Rows (count,) int64 and their values, ties by id; what is long lies in the folder `scratch`."""
        spans = list(zip([None, *self.cuts], self.cuts, strict=False))
        for low, high in spans:
            keys = np.sort(np.concatenate([some["key"] for some in self.held.ask("between", low, high)]))
            equal = keys[1:] == keys[:-1]
            first = equal & np.append(True, ~equal)[: len(equal)]
            self.held.tell("tie", low, high, keys[1:][first])
        if spans:
            self.held.tell("read_ids")
        index, values = Spool(np.int64, scratch, MANY), Spool(f"f{self.size}", scratch, MANY)
        for low, high in spans:
            keys, rows = self._run(low, high, ids)
            left = self.count - len(index)
            index.append(rows[:left])
            values.append(_values(keys[:left], self.lowest))
        return index.array(), values.array()

    def _run(self, low: int | None, high: int, ids: Ids) -> tuple[Keys, Keys]:
        """Keys between the two and their rows, in order."""
        found = np.concatenate(self.held.ask("between", low, high))
        heads = np.concatenate(self.held.ask("heads_between", low, high))
        order = _order(found)
        keys, rows, heads = found["key"][order], found["row"][order], heads[order]
        del found, order  # where one key is that of many rows, a run is as long as they are
        by_key_and_id(keys, rows, heads, ids)
        return keys, rows


def leading(held: _Asked, rows: int, count: int, lowest: bool = False) -> Leading:
    """What `ranked` puts in order, `count` and ties of the last. `held` are the `Ranks` of each piece, which forget the rest;
    there are `rows` in all, of which `count` at least are numbers."""
    size = next((size for _, _, size in held.ask("total")), 4)
    if not count:
        return Leading(held, [], size, 0, lowest)
    bound = _bound(held, 8 * size, count)
    marks = np.sort(np.concatenate(held.tell("keep", bound, size == 4 and rows <= 1 << 32)))
    every = max(1, _RUN // _STEP)
    return Leading(held, sorted({*marks[every - 1 :: every].tolist(), bound}), size, count, lowest)


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


def _order(pairs: Keys) -> npt.NDArray[np.int64]:
    """Where the lowest keys are, of equal ones the lowest rows; given rows in order where keys are equal."""
    if pairs.dtype == _PACKED:
        return np.argsort(pairs.view("<u8"))
    return np.argsort(pairs["key"], kind="stable")
