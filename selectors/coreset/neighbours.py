"""The most like rows of each row, looked for in the nearest clusters: one matrix product for each cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.selectors.coreset.kernels import Graph, best_of_rows, transpose
from curate.selectors.coreset.rows import Clusters, Floats, Ints, cluster, compiled
from curate.selectors.coreset.similarity import Likeness

__all__ = ["nearest_rows", "neighbour_graph"]

_EXACT = 4096
"""Up to so many rows are one cluster: every pair is looked at."""
_WORK = 1e13
"""Multiplications spent on products at most: one or two minutes of two cores."""

Array = npt.NDArray[Any]


def neighbour_graph(likeness: Likeness, count: int, rng: np.random.Generator) -> Graph:
    """For each row those that count it among the `count` most like them: whom it would cover. As `nearest_rows`.

    Similarities of 0 and less are left out. Memory: 16 bytes a neighbour, half of it for good.
    """
    names, values = nearest_rows(likeness, count, rng)
    names[values <= 0] = -1
    pairs = names.reshape(-1), np.empty(0, np.int32), values.reshape(-1)
    return compiled(transpose)(pairs, names.shape[1], len(names))  # type: ignore[no-any-return]


def nearest_rows(likeness: Likeness, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """For each row the `count` rows most like it, itself among them: int32 names and similarities, in no order.

    Beyond 4,096 rows a row is compared with those of the clusters nearest to its own, as many as a pilot needs to find
    95 % of its neighbours: few where there are clusters, all in a cloud without form, if time allows. Some neighbours
    are missed, then, never invented. Memory: 8 bytes a neighbour.
    """
    n = len(likeness)
    count = min(count, n)
    found = np.empty((n, count), np.int32), np.empty((n, count), np.float32)
    if n <= _EXACT:
        _search(likeness, np.arange(n), None, found)
    else:
        clusters = cluster(likeness.z, max(2, round(1.4 * n**0.5)), rng)
        order, starts = clusters.members()
        nearby = _Nearby(clusters.centres, np.diff(starts))
        most = min(n, max(16 * count, round(_WORK / (n * likeness.z.shape[1]))))
        wanted = min(most, max(4 * count, _needed(likeness, count, clusters, nearby, rng)))
        for own in range(len(clusters.centres)):
            rows = order[starts[own] : starts[own + 1]]
            if len(rows):
                near = nearby.ranked(own)[0]
                near = near[: 1 + np.searchsorted(np.cumsum(nearby.sizes[near]), wanted)]
                others = np.concatenate([order[starts[c] : starts[c + 1]] for c in near])
                _search(likeness, rows, others, found)
    return found


def _search(likeness: Likeness, rows: Ints, others: Ints | None, found: tuple[Array, Array]) -> None:
    """The rows' best among the others, or among all, into `found`."""
    pick = compiled(best_of_rows)
    near = likeness.part(slice(None) if others is None else others)
    names = np.arange(len(likeness), dtype=np.int32) if others is None else others.astype(np.int32)
    step = max(16, (1 << 20) // max(1, len(names)))  # mostly 4 MB of similarities at a time
    for low in range(0, len(rows), step):
        part = rows[low : low + step]
        pick(likeness.against(part, near), names, part, found)


class _Nearby:
    """Which clusters are near to which."""

    def __init__(self, centres: Floats, sizes: Ints) -> None:
        self.centres, self.sizes = centres, sizes
        self._half = np.einsum("ij,ij->i", centres, centres) / 2

    def ranked(self, own: int) -> tuple[Ints, Ints]:
        """All clusters, the nearest to `own` first and itself before all; and how many rows they hold up to each,
        by cluster."""
        near = self._half - self.centres @ self.centres[own]
        near[own] = -np.inf
        order = np.argsort(near, kind="stable")
        held = np.empty(len(order), np.int64)
        held[order] = np.cumsum(self.sizes[order])
        return order, held


def _needed(
    likeness: Likeness, count: int, clusters: Clusters, nearby: _Nearby, rng: np.random.Generator
) -> int:
    """How many rows of the nearest clusters hold 95 % of the true neighbours, by a pilot of 256 rows."""
    n = len(likeness)
    rows = np.sort(rng.choice(n, min(n, 256), replace=False))
    found = np.empty((n, count), np.int32), np.empty((n, count), np.float32)
    _search(likeness, rows, None, found)
    needed = [nearby.ranked(int(clusters.of[row]))[1][clusters.of[found[0][row]]] for row in rows]
    return int(np.quantile(np.concatenate(needed), 0.95))
