"""The most like rows of each row, looked for in the nearest clusters: one matrix product for each cluster."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.selectors.coreset.kernels import Graph, best_of_rows, transpose
from curate.selectors.coreset.loops import compiled
from curate.selectors.coreset.similarity import Likeness, Metric, Side
from curate.vectors.clusters import Clusters, cluster
from curate.vectors.rows import Floats, Ints
from curate.vectors.sources import Source, blocks

__all__ = ["nearest_rows", "neighbour_graph"]

_EXACT = 4096
"""Up to so many rows are one cluster: every pair is looked at."""
_WORK = 1e13
"""Multiplications spent on products at most: one or two minutes of two cores."""
_TASK = 1 << 24
"""Similarities, about, that are formed for one task."""
_PILOT = 256

Array = npt.NDArray[Any]
Found = tuple[Array, Array]
"""Of each row the names of others, int32, and how like they are."""


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
    are missed, then, never invented. Clusters are searched wherever the rows are worked on. Memory: 8 bytes a neighbour.
    """
    n = len(likeness)
    count = min(count, n)
    if n <= _EXACT:
        whole = likeness.side(slice(None))
        return _search(likeness.metric, whole, (whole, np.arange(n, dtype=np.int32)), count)
    found = np.empty((n, count), np.int32), np.empty((n, count), np.float32)
    clusters = cluster(likeness.rows, max(2, round(1.4 * n**0.5)), rng)
    order, starts = clusters.members()
    nearby = _Nearby(clusters.centres, np.diff(starts))
    most = min(n, max(16 * count, round(_WORK / (n * likeness.width))))
    wanted = min(most, max(4 * count, _needed(likeness, count, clusters, nearby, rng)))
    searching = partial(_in_clusters, likeness.metric, count, (order.astype(np.int32), starts))
    # a batch of clusters is a run of `order`, as clusters are numbered
    low = 0
    for names, values in likeness.rows.share(searching, _batches(nearby, wanted)):
        rows = order[low : low + len(names)]
        found[0][rows], found[1][rows] = names, values
        low += len(names)
    return found


def _batches(nearby: _Nearby, wanted: int) -> Iterator[list[tuple[int, Ints]]]:
    """Clusters, each with those to be searched for it: as many as hold `wanted` rows."""
    batch: list[tuple[int, Ints]] = []
    size = 0
    for own in np.flatnonzero(nearby.sizes).tolist():
        near = nearby.ranked(own)[0]
        held = np.cumsum(nearby.sizes[near])
        last = min(int(np.searchsorted(held, wanted)), len(near) - 1)
        batch.append((own, near[: last + 1]))
        size += int(nearby.sizes[own] * held[last])
        if size >= _TASK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _in_clusters(
    metric: Metric, count: int, members: tuple[Array, Ints], source: Source, batch: list[tuple[int, Ints]]
) -> Found:
    """The neighbours of the rows of some clusters, one cluster after the other."""
    order, starts = members
    parts = []
    for own, near in batch:
        names = np.concatenate([order[starts[c] : starts[c + 1]] for c in near])
        others = metric.side(source.take(names.astype(np.int64)))
        size = int(starts[own + 1] - starts[own])  # its own rows come first
        parts.append(_search(metric, others.some(slice(size)), (others, names), count))
    return np.concatenate([names for names, _ in parts]), np.concatenate([values for _, values in parts])


def _search(metric: Metric, mine: Side, named: tuple[Side, Array], count: int) -> Found:
    """Of each of these rows the best among named others."""
    others, names = named
    found = np.empty((len(mine.z), count), np.int32), np.empty((len(mine.z), count), np.float32)
    pick = compiled(best_of_rows)
    step = max(16, (1 << 20) // max(1, len(names)))  # mostly 4 MB of similarities at a time
    for low in range(0, len(mine.z), step):
        part = mine.some(slice(low, low + step))
        pick(metric.between(part, others), names, np.arange(low, low + len(part.z)), found)
    return found


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
    rows = np.sort(rng.choice(n, min(n, _PILOT), replace=False))
    names, values = np.empty((len(rows), 0), np.int32), np.empty((len(rows), 0), np.float32)
    looking = partial(_in_block, likeness.metric, likeness.side(rows), count)
    for some, alike in likeness.rows.share(looking, blocks(n)):
        names, values = np.hstack([names, some]), np.hstack([values, alike])
        best = np.argsort(-values, axis=1, kind="stable")[:, :count]
        names, values = np.take_along_axis(names, best, 1), np.take_along_axis(values, best, 1)
    needed = [
        nearby.ranked(int(clusters.of[row]))[1][clusters.of[own]]
        for row, own in zip(rows, names, strict=True)
    ]
    return int(np.quantile(np.concatenate(needed), 0.95))


def _in_block(metric: Metric, mine: Side, count: int, source: Source, rows: slice) -> Found:
    """The best of one block of rows."""
    others = metric.side(source.take(rows))
    names = np.arange(rows.start, rows.stop, dtype=np.int32)
    return _search(metric, mine, (others, names), min(count, len(names)))
