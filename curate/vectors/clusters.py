"""k-means over rows, wherever they lie: whoever has them says what they add to which centre, and that adds up exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from curate.vectors import sources
from curate.vectors.rows import Doubles, Floats, Ints
from curate.vectors.sources import Source, blocks
from curate.vectors.sums import to_units, unit_for

__all__ = ["Clusters", "Sums", "cluster", "learn_centres", "nearest", "runs", "summed"]

_LEAST = 4096
"""From so many rows centres are learnt at least."""


class Clusters:
    """`centres` (c, d) float32, and for every row the nearest, `of` (n,) int64, and how far it is, `distance` (n,) float32."""

    def __init__(self, centres: Floats, of: Ints, distance: Floats) -> None:
        self.centres, self.of, self.distance = centres, of, distance

    def members(self) -> tuple[Ints, Ints]:
        """Rows ordered by cluster, and where each cluster begins in them (c + 1,)."""
        order = np.argsort(self.of, kind="stable")
        starts = np.searchsorted(self.of[order], np.arange(len(self.centres) + 1))
        return order, starts


def cluster(
    rows: Source,
    count: int,
    rng: np.random.Generator,
    *,
    rounds: int = 8,
    sample: int = 64,
    spread: bool = False,
    starts: int = 1,
) -> Clusters:
    """k-means with `count` centres that learn from at most `sample` rows for each, or with 0 from all; every row is then given
    to the nearest. Both are done in blocks of rows, by whoever works on them, and come out the same however many do.

    Two matrix products a round are all there is to it. It begins with rows drawn at random; with `spread`, by the squared
    distance to those drawn before (k-means++), one product of 32 rows a centre for each. A centre that nothing is near
    stays where it was. Of several `starts` the centres count that those rows are nearest to.
    """
    n = len(rows)
    count = min(count, n)
    size = min(n, max(_LEAST, sample * count)) if sample else n
    known = rows.part(np.sort(rng.choice(n, size, replace=False))) if size < n else rows
    unit = unit_for(size, max(known.share(_largest, blocks(size)), default=0.0))

    def ask(centres: Floats) -> Iterator[Sums]:
        return known.share(partial(_sums, centres, unit), runs(size, count, sources.BLOCK))

    learnt = [learn_centres(_begin(known, count, rng, spread), ask, rounds) for _ in range(starts)]
    centres = learnt[0] if starts == 1 else min(learnt, key=partial(_apart, known))
    found = list(rows.share(partial(_assigned, centres), blocks(n)))
    return Clusters(
        centres, np.concatenate([of for of, _ in found]), np.concatenate([distance for _, distance in found])
    )


def _begin(known: Source, count: int, rng: np.random.Generator, spread: bool) -> Floats:
    """The first centres."""
    n = len(known)
    if not spread:
        return known.take(np.sort(rng.choice(n, count, replace=False)))
    few = max(_LEAST, 32 * count)
    drawn = np.sort(rng.choice(n, few, replace=False)) if few < n else slice(None)
    return _spread(known.take(drawn), count, rng)


def _largest(source: Source, rows: slice) -> float:
    x = source.take(rows)
    return max(float(x.max(initial=0)), -float(x.min(initial=0)))


def _sums(centres: Floats, unit: float, source: Source, rows: slice) -> Sums:
    """What some rows, blocks one after the other, add to their nearest centres."""
    x = source.take(rows)
    return summed(x, nearest(x, centres, sources.BLOCK), unit)


def _apart(rows: Source, centres: Floats) -> float:
    """The sum of the squared distances of all rows to their nearest centres."""
    found = rows.share(partial(_assigned, centres), blocks(len(rows)))
    return sum(float(np.square(distance, dtype=np.float64).sum()) for _, distance in found)


def _assigned(centres: Floats, source: Source, rows: slice) -> tuple[Ints, Floats]:
    """The nearest centre of each row of a block, and how far it is."""
    x = source.take(rows)
    of = nearest(x, centres, sources.BLOCK)
    gap = x - centres[of]
    return of, np.asarray(np.sqrt(np.einsum("ij,ij->i", gap, gap)))


def _spread(x: Floats, count: int, rng: np.random.Generator) -> Floats:
    squares = np.einsum("ij,ij->i", x, x)
    rows = [int(rng.integers(len(x)))]
    far = np.full(len(x), np.inf)
    while len(rows) < count:
        last = x[rows[-1]]
        far = np.minimum(far, np.maximum(squares - 2 * (x @ last) + float(last @ last), 0))
        far[rows[-1]] = 0
        total = np.cumsum(far)
        drawn = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        if total[-1] <= 0 or drawn >= len(x):  # copies alone are left
            drawn = int(np.setdiff1d(np.arange(len(x)), rows)[0])
        rows.append(drawn)
    return x[rows]


# --- Rounds of Lloyd ----------------------------------------------------------------------------------------------------


class Sums(NamedTuple):
    """What some rows add up to: `used` (c,) the centres that they are nearest to, `totals` (c, d) and how many each, `sizes` (c,)."""

    used: Ints
    totals: Doubles
    sizes: Ints


def learn_centres(
    centres: Floats, ask: Callable[[Floats], Iterable[Sums]], rounds: int, *, spherical: bool = False
) -> Floats:
    """Centres (k, d) after `rounds` steps of Lloyd, or fewer where they stay.

    `ask(centres)` gives the `Sums` of all rows, in any portions: added up in whole units they are the same whatever the
    portions. A centre moves to the mean of what is nearest to it, or with `spherical` to its direction; one that nothing is
    near, or that has no direction, stays.
    """
    for _ in range(rounds):
        totals, sizes = np.zeros(centres.shape), np.zeros(len(centres), np.int64)
        for part in ask(centres):
            totals[part.used] += part.totals
            sizes[part.used] += part.sizes
        by = np.sqrt(np.einsum("ij,ij->i", totals, totals)) if spherical else sizes
        moves = (sizes > 0) & (by > 0)
        before, centres = centres, centres.copy()
        centres[moves] = totals[moves] / by[moves, None]
        if np.array_equal(before, centres):
            break
    return centres


def summed(x: Floats, of: Ints, unit: float) -> Sums:
    """What the rows `x` (n, d), of which `of` (n,) are the centres, add up to, in units of `unit`."""
    order = np.argsort(of, kind="stable")
    used, starts = np.unique(of[order], return_index=True)
    totals = np.add.reduceat(to_units(x[order], unit), starts, axis=0) if len(of) else np.empty(x.shape)
    return Sums(used, totals, np.diff(np.append(starts, len(of))))


def nearest(x: Floats, centres: Floats, block: int) -> Ints:
    """The nearest centre of each row, (n,) int64, `block` rows at a time; of equally near ones the first."""
    half = np.einsum("ij,ij->i", centres, centres) / 2
    of = np.empty(len(x), np.int64)
    for low in range(0, len(x), block):
        near = x[low : low + block] @ centres.T
        near -= half
        of[low : low + len(near)] = near.argmax(1)
    return of


def runs(n: int, count: int, block: int) -> list[slice]:
    """n rows in runs of whole blocks, so long that the sums for `count` centres are shorter than the rows."""
    size = block * -(-max(1, 4 * count) // block)
    return [slice(low, min(low + size, n)) for low in range(0, n, size)]
