"""The most like rows of each row, looked for in the nearest clusters: one matrix product for each cluster."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from curate.selectors.coreset.kernels import Graph, best_of_rows, transpose
from curate.selectors.coreset.rows import Floats, Ints, cluster, compiled
from curate.selectors.coreset.similarity import Likeness

__all__ = ["neighbour_graph"]

_EXACT = 4096
"""Up to so many rows are one cluster: every pair is looked at."""


def neighbour_graph(
    likeness: Likeness, count: int, rng: np.random.Generator, *, candidates: int | None = None
) -> Graph:
    """For each row the `count` rows most like it, itself among them, as lists of whom each row is near to.

    Beyond 4,096 rows a row is compared with those of the clusters nearest to its own, some `candidates` of them
    (default: 16 for each neighbour asked for, and at least 1,024), so that some neighbours are missed, never invented.
    Similarities of 0 and less are left out. Memory: 16 bytes a neighbour, and a copy of the rows.
    """
    n = len(likeness)
    count = min(count, n)
    names, values = np.empty((n, count), np.int32), np.empty((n, count), np.float32)
    pick = compiled(best_of_rows)
    if n <= _EXACT:
        for low in range(0, n, 512):
            rows = np.arange(low, min(low + 512, n))
            tile = likeness.block(rows, slice(None))
            pick(tile, np.arange(n, dtype=np.int32), rows, (names, values))
    else:
        wanted = candidates or max(16 * count, 1024)
        size = max(64, round(0.7 * n**0.5))
        clusters = cluster(likeness.z, max(2, n // size), rng)
        order, starts = clusters.members()
        for own, near in _nearby(clusters.centres, np.diff(starts), max(wanted, count)):
            rows = order[starts[own] : starts[own + 1]]
            others = np.concatenate([order[starts[c] : starts[c + 1]] for c in near])
            for low in range(0, len(rows), 512):
                part = rows[low : low + 512]
                pick(likeness.block(part, others), others.astype(np.int32), part, (names, values))
    names[values <= 0] = -1
    items = np.repeat(np.arange(n, dtype=np.int32), count)
    return compiled(transpose)((names.reshape(-1), items, values.reshape(-1)), n)  # type: ignore[no-any-return]


def _nearby(centres: Floats, sizes: Ints, wanted: int) -> Iterator[tuple[int, Ints]]:
    """Each cluster that holds anything, and the nearest ones that together hold `wanted` rows, its own first."""
    half = np.einsum("ij,ij->i", centres, centres) / 2
    for low in range(0, len(centres), 512):
        near = half - centres[low : low + 512] @ centres.T
        for own in range(low, low + len(near)):
            if sizes[own]:
                near[own - low, own] = -np.inf
                order = np.argsort(near[own - low], kind="stable")
                yield own, order[: np.searchsorted(np.cumsum(sizes[order]), wanted) + 1]
