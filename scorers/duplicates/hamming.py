"""Near-duplicate images: all pairs of 64-bit hashes within a few bits of each other, found without comparing all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError
from curate.scorers.duplicates.buckets import crowds, expand, first_equal
from curate.scorers.duplicates.cosines import Alone, Source, Work
from curate.scorers.duplicates.leaders import Leaders, Pairs, Rows, choose_leaders, restore_copies

__all__ = ["HammingNeighbours", "Look", "choose_images", "near_duplicate_images"]

Hashes = npt.NDArray[np.uint64]

_BITS = 64
_PIECE = 1 << 16
"""Pairs whose colours are compared at once."""


def near_duplicate_images(
    hashes: npt.NDArray[np.uint64],
    colours: npt.NDArray[np.uint8] | None = None,
    distance: int = 4,
    tolerance: float = 32.0,
) -> Leaders:
    """Greedy choice, in row order, of images of which no two are near-duplicates.

    `hashes` (n,) uint64, as of `perceptual_hash`; two images are near-duplicates if at most `distance` bits differ (0 to
    16) and, where `colours` (n, k) uint8 are given, if these differ by at most `tolerance` grey levels on average.
    Similarity is 1 - bits / 64. Exact: every pair within the distance is found.

    Returns Leaders. Raises InputError for a distance out of range or shapes that do not match.
    """
    if colours is not None and len(colours) != len(hashes):
        raise InputError(
            f"{counted(len(colours), 'row')} of colours for {counted(len(hashes), 'hash', 'hashes')}"
        )
    work = None if colours is None else Alone(colours)
    return choose_images(hashes, Look(work, np.arange(len(hashes)), distance, tolerance))


@dataclass(frozen=True, eq=False)
class Look:
    """When two images are alike: the parameters of `near_duplicate_images`, and, if colours count, whoever looks at them (a
    `Work` over their vectors) and the row there of each image, `rows` (n,). Raises InputError for a distance out of range."""

    colours: Work | None
    rows: Rows
    distance: int = 4
    tolerance: float = 32.0

    def __post_init__(self) -> None:
        if not 0 <= self.distance <= 16:
            raise InputError(f"distance {self.distance}: bits of 64 that may differ, 0 to 16")


def choose_images(hashes: Hashes, look: Look) -> Leaders:
    """`near_duplicate_images` of images in the order of preference, whose colours may be anywhere."""
    first = _first_same(hashes, look)
    own = np.flatnonzero(first == np.arange(len(first)))
    chosen = choose_leaders(HammingNeighbours(hashes[own], replace(look, rows=look.rows[own])))
    return restore_copies(first, chosen)


def _first_same(hashes: Hashes, look: Look) -> Rows:
    """The first image with the same hash and the same colours."""
    if look.colours is None:
        return first_equal(hashes.reshape(-1, 1))
    first = np.arange(len(hashes), dtype=np.int64)
    crowded = list(crowds(hashes))
    tasks = ((hashes[places], look.rows[places]) for places in crowded)
    for places, same in zip(crowded, look.colours.share(_same, tasks), strict=True):
        first[places] = places[same]
    return first


def _same(colours: Source, images: tuple[Hashes, Rows]) -> Rows:
    """Of each image the first of these that equals it throughout."""
    hashes, rows = images
    taken = _taken(colours, rows)
    padded = np.zeros((len(hashes), -(-taken.shape[1] // 8) * 8), np.uint8)
    padded[:, : taken.shape[1]] = taken
    return first_equal(np.column_stack([hashes, padded.view(np.uint64)]))


def _taken(colours: Source, rows: Rows) -> npt.NDArray[np.uint8]:
    taken: npt.NDArray[np.uint8] = colours[rows] if isinstance(colours, np.ndarray) else colours.take(rows)
    return taken


@dataclass(frozen=True, eq=False)
class HammingNeighbours:
    """Pairs within `look.distance` bits: of m pieces of the hash, one differs by at most distance / m bits.

    Hashes are put into buckets by each piece in turn and compared with the buckets a few flips away. How many pieces
    is chosen by the count of hashes, so that the buckets stay small: a million hashes within 4 bits need about 20
    million comparisons instead of 500,000 million. Colours are looked at for the pairs that are left.
    """

    hashes: Hashes
    look: Look

    def __len__(self) -> int:
        return len(self.hashes)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        for i, j, bits in self._alike(self._near(left, right)):
            yield i, j, (1 - bits / np.float32(_BITS)).astype(np.float32)

    def _near(self, left: Rows, right: Rows | None) -> Iterator[_Near]:
        for shift, width, radius in _bands(len(left if right is None else right), self.look.distance):
            keys = _piece(self.hashes, shift, width)
            own = left[np.argsort(keys[left], kind="stable")]
            other = own if right is None else right[np.argsort(keys[right], kind="stable")]
            starts = np.searchsorted(keys[other], np.arange((1 << width) + 1))
            mine_hashed, other_hashed = self.hashes[own], self.hashes[other]
            for flips in _flips(width, radius):
                start, stop = _ranges(keys[own], flips, starts, within=right is None)
                for mine, theirs in expand(start, stop):
                    bits = np.bitwise_count(mine_hashed[mine] ^ other_hashed[theirs])
                    near = bits <= self.look.distance
                    if near.any():
                        i, j = own[mine[near]], other[theirs[near]]
                        least, most = (np.minimum(i, j), np.maximum(i, j)) if right is None else (i, j)
                        yield _Near(least, most, bits[near])

    def _alike(self, near: Iterator[_Near]) -> Iterator[_Near]:
        """Those whose colours are alike."""
        if self.look.colours is None:
            yield from near
            return
        for some in _lots(near):
            tasks = ((self.look.rows[one.i], self.look.rows[one.j]) for one in some)
            found = self.look.colours.share(partial(_close, self.look.tolerance), tasks)
            for one, alike in zip(some, found, strict=True):
                yield _Near(one.i[alike], one.j[alike], one.bits[alike])


class _Near(NamedTuple):
    """Pairs, and how many bits of their hashes differ."""

    i: Rows
    j: Rows
    bits: npt.NDArray[np.uint8]


def _lots(near: Iterator[_Near]) -> Iterator[list[_Near]]:
    """The same in lists of some hundred thousand pairs, cut into pieces."""
    lot: list[_Near] = []
    held = 0
    for one in near:
        for low in range(0, len(one.i), _PIECE):
            part = slice(low, low + _PIECE)
            lot.append(_Near(one.i[part], one.j[part], one.bits[part]))
        held += len(one.i)
        if held >= 16 * _PIECE:
            yield lot
            lot, held = [], 0
    if lot:
        yield lot


def _close(tolerance: float, colours: Source, pairs: tuple[Rows, Rows]) -> npt.NDArray[np.bool_]:
    """Whether the colours of each pair of rows differ by at most so many grey levels on average."""
    unique, at = np.unique(np.concatenate(pairs), return_inverse=True)
    taken, half = _taken(colours, unique), len(pairs[0])
    gap = np.abs(taken[at[:half]].astype(np.int16) - taken[at[half:]]).mean(axis=1)
    return np.asarray(gap <= tolerance)


def _ranges(keys: Rows, flips: int, starts: Rows, within: bool) -> tuple[Rows, Rows]:
    """The range of the other side's places whose key is `keys` with these bits flipped, each pair once if within."""
    wanted = keys ^ flips
    start, stop = starts[wanted], starts[wanted + 1]
    if within:
        stop = np.arange(len(keys)) if flips == 0 else np.where(keys < wanted, stop, start)
    return start, stop


def _bands(n: int, distance: int) -> list[tuple[int, int, int]]:
    """(shift, width, radius) of each piece, for the number of pieces that costs least at `n` hashes.

    Pigeonhole: if every piece differed by more than its radius, more than `distance` bits would differ, for the radii
    plus one add up to distance + 1.
    """
    best: list[tuple[int, int, int]] = []
    least = float("inf")
    for count in range(3, 17):
        ends = [_BITS * k // count for k in range(count + 1)]
        whole, extra = divmod(distance + 1, count)
        bands = [(ends[k], ends[k + 1] - ends[k], whole - (k >= extra)) for k in range(count)]
        bands = [band for band in bands if band[2] >= 0]
        cost = sum(
            (1 << width) / 8 + n * len(_flips(width, radius)) * (1 + 2 * n / (1 << width))
            for _, width, radius in bands
        )
        if cost < least:
            best, least = bands, cost
    return best


def _flips(width: int, radius: int) -> list[int]:
    """All patterns of at most `radius` of `width` bits."""
    places = [1 << bit for bit in range(width)]
    return [sum(chosen) for size in range(radius + 1) for chosen in combinations(places, size)]


def _piece(hashes: Hashes, shift: int, width: int) -> Rows:
    return ((hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)
