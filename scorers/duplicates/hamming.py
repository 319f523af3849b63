"""Near-duplicate images: all pairs of 64-bit hashes within a few bits of each other, found without comparing all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.duplicates.buckets import expand, first_equal
from curate.scorers.duplicates.leaders import Leaders, Pairs, Rows, choose_leaders, restore_copies

__all__ = ["HammingNeighbours", "near_duplicate_images"]

_BITS = 64


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
    if not 0 <= distance <= 16:
        raise InputError(f"distance {distance}: bits of 64 that may differ, 0 to 16")
    if colours is not None and len(colours) != len(hashes):
        raise InputError(f"{len(colours)} rows of colours for {len(hashes)} hashes")
    first = first_equal(_as_columns(hashes, colours))
    own = np.flatnonzero(first == np.arange(len(first)))
    chosen = choose_leaders(
        HammingNeighbours(hashes[own], None if colours is None else colours[own], distance, tolerance)
    )
    return restore_copies(first, chosen)


def _as_columns(
    hashes: npt.NDArray[np.uint64], colours: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint64]:
    if colours is None:
        return hashes.reshape(-1, 1)
    padded = np.zeros((len(hashes), -(-colours.shape[1] // 8) * 8), np.uint8)
    padded[:, : colours.shape[1]] = colours
    return np.column_stack([hashes, padded.view(np.uint64)])


@dataclass(frozen=True, eq=False)
class HammingNeighbours:
    """Pairs within `distance` bits: of m pieces of the hash, one differs by at most distance / m bits.

    Hashes are put into buckets by each piece in turn and compared with the buckets a few flips away. How many pieces
    is chosen by the count of hashes, so that the buckets stay small: a million hashes within 4 bits need about 20
    million comparisons instead of 500,000 million.
    """

    hashes: npt.NDArray[np.uint64]
    colours: npt.NDArray[np.uint8] | None
    distance: int
    tolerance: float

    def __len__(self) -> int:
        return len(self.hashes)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        for shift, width, radius in _bands(len(left if right is None else right), self.distance):
            keys = _piece(self.hashes, shift, width)
            own = left[np.argsort(keys[left], kind="stable")]
            other = own if right is None else right[np.argsort(keys[right], kind="stable")]
            starts = np.searchsorted(keys[other], np.arange((1 << width) + 1))
            for flips in _flips(width, radius):
                start, stop = _ranges(keys[own], flips, starts, within=right is None)
                for mine, theirs in expand(start, stop):
                    yield from self._verify(own, other, mine, theirs, right is None)

    def _verify(self, own: Rows, other: Rows, mine: Rows, theirs: Rows, within: bool) -> Iterator[Pairs]:
        bits = np.bitwise_count(self.hashes[own][mine] ^ self.hashes[other][theirs])
        near = bits <= self.distance
        i, j, bits = own[mine[near]], other[theirs[near]], bits[near]
        if self.colours is not None:
            gap = np.abs(self.colours[i].astype(np.int16) - self.colours[j]).mean(axis=1)
            alike = gap <= self.tolerance
            i, j, bits = i[alike], j[alike], bits[alike]
        if within:
            i, j = np.minimum(i, j), np.maximum(i, j)
        if len(i):
            yield i, j, (1 - bits / np.float32(_BITS)).astype(np.float32)


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


def _piece(hashes: npt.NDArray[np.uint64], shift: int, width: int) -> Rows:
    return ((hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)
