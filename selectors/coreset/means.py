"""A plain k-means over rows, wherever they lie."""

from __future__ import annotations

from functools import partial

import numpy as np

from curate.selectors.coreset.rows import Floats, Ints
from curate.selectors.coreset.sources import BLOCK, Source, blocks

__all__ = ["Clusters", "cluster"]


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
) -> Clusters:
    """k-means with `count` centres trained on at most `sample` rows for each, every row then given to the nearest, a block
    of rows at a time, by whoever works on them.

    Two matrix products a round are all there is to it. It begins with rows drawn at random; with `spread`, by the squared
    distance to those drawn before (k-means++), one product of the sample for each. A centre that nothing is near stays
    where it was.
    """
    n = len(rows)
    count = min(count, n)
    size = min(n, max(4096, sample * count))
    known = rows.take(np.sort(rng.choice(n, size, replace=False)) if size < n else slice(None))
    centres = _spread(known, count, rng) if spread else known[np.sort(rng.choice(size, count, replace=False))]
    for _ in range(rounds):
        of = _nearest(known, centres)
        order = np.argsort(of, kind="stable")
        used, starts = np.unique(of[order], return_index=True)
        sums = np.add.reduceat(known[order], starts, axis=0, dtype=np.float64)
        before, centres = centres, centres.copy()
        centres[used] = (sums / np.diff(np.append(starts, len(of)))[:, None]).astype(np.float32)
        if np.array_equal(before, centres):
            break
    found = list(rows.share(partial(_assigned, centres), blocks(n)))
    return Clusters(
        centres, np.concatenate([of for of, _ in found]), np.concatenate([distance for _, distance in found])
    )


def _assigned(centres: Floats, source: Source, rows: slice) -> tuple[Ints, Floats]:
    """The nearest centre of each row of a block, and how far it is."""
    x = source.take(rows)
    of = _nearest(x, centres)
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


def _nearest(x: Floats, centres: Floats) -> Ints:
    """The nearest centre of each row, (n,) int64; of equally near ones the first."""
    half = np.einsum("ij,ij->i", centres, centres) / 2
    of = np.empty(len(x), np.int64)
    for low in range(0, len(x), BLOCK):
        near = x[low : low + BLOCK] @ centres.T
        near -= half
        of[low : low + len(near)] = near.argmax(1)
    return of
