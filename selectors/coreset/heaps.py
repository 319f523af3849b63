"""Greedy loops over a heap of stale bounds; compiled (`rows.compiled`), each complete in itself."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.selectors.coreset.kernels import Graph, Purse

__all__ = ["lazy_greedy", "pass_messages"]

Array = npt.NDArray[Any]


def lazy_greedy(graph: Graph, cover: Array, purse: Purse, chosen: Array, gains: Array) -> int:
    """Choose by the highest gain per cost, sum over a candidate's items of max(0, value - cover), until nothing fits.

    Gains only fall, so a stale one is a bound: the candidate on top of the heap is brought up to date, and chosen if
    it is still on top (Minoux 1978). Those that differ by rounding alone go by row: two items that cover nothing but
    each other gain the same in exact numbers. Changes `cover` and `purse`; returns how many were chosen.
    """
    starts, items, values = graph
    open_, cost, group, left, slack = purse
    n, count = len(open_), 0
    heap, keys, fresh = np.arange(n), np.full(n, -np.inf), np.zeros(n, np.int64)
    tied, waiting = np.empty(64, np.int64), np.empty(192, np.int64)

    def gain_of(j: int) -> float:
        total = 0.0
        for e in range(starts[j], starts[j + 1]):
            total += max(values[e] - cover[items[e]], np.float32(0))
        return total

    def sink(place: int) -> None:
        j = heap[place]
        while 2 * place + 1 < n:
            child = 2 * place + 1
            if child + 1 < n:
                a, b = heap[child], heap[child + 1]
                if keys[b] > keys[a] or (keys[b] == keys[a] and b < a):
                    child += 1
            c = heap[child]
            if keys[j] > keys[c] or (keys[j] == keys[c] and j < c):
                break
            heap[place] = c
            place = child
        heap[place] = j

    for j in range(n):
        if open_[j]:
            keys[j] = gain_of(j) / cost[j]
    for place in range(n // 2 - 1, -1, -1):
        sink(place)
    while n and count < len(chosen) and keys[heap[0]] > -np.inf:
        # places in the heap of all that may be as good as the one on top: they hang together
        level = keys[heap[0]] * (1 - 1e-5)
        found, size, stale = 0, 1, -1
        waiting[0] = 0
        while size and found < len(tied):
            size -= 1
            place = waiting[size]
            j = heap[place]
            if keys[j] < level or (place and keys[j] <= 0):
                continue
            if fresh[j] < count or cost[j] > left[group[j]] + slack:
                stale = place
                break
            tied[found] = place
            found += 1
            for child in (2 * place + 2, 2 * place + 1):
                if child < n:
                    waiting[size] = child
                    size += 1
        if stale >= 0:
            j = heap[stale]
            fits = cost[j] <= left[group[j]] + slack
            keys[j], fresh[j] = gain_of(j) / cost[j] if fits else -np.inf, count
            sink(stale)
            continue
        best = tied[0]
        for i in range(1, found):
            if heap[tied[i]] < heap[best]:
                best = tied[i]
        j = heap[best]
        chosen[count], gains[count] = j, keys[j] * cost[j]
        count += 1
        left[group[j]] -= cost[j]
        open_[j] = False
        for e in range(starts[j], starts[j + 1]):
            cover[items[e]] = max(cover[items[e]], values[e])
        keys[j] = -np.inf
        sink(best)
    return count


def pass_messages(
    graph: Graph, scores: Array, purse: Purse, plan: tuple[Array, int, Array]
) -> tuple[Array, Array]:
    """Choose the highest score per cost again and again; each time its neighbours lose graph value times that score.

    `plan`: rows chosen first in any case, how many at most, and, if it is not empty, the rows to take instead of the
    highest. Returns rows and the scores they were chosen at, none of which is below 0.
    """
    starts, items, values = graph
    open_, cost, group, left, slack = purse
    first, most, given = plan
    n, count = len(scores), 0
    chosen, gains = np.empty(most, np.int64), np.empty(most)
    heap = [(-(scores[j] / cost[j]) if open_[j] else np.inf, j) for j in range(n)]
    heapq.heapify(heap)
    while count < most:
        if len(given):
            if count == len(given):
                break
            j = given[count]
        elif count < len(first):
            j = first[count]
        else:
            noted, j = heap[0]
            if noted == np.inf:
                break
            fits = open_[j] and cost[j] <= left[group[j]] + slack
            now = -(max(scores[j], 0.0) / cost[j]) if fits else np.inf
            if now > noted:  # scores only fall, so what is noted in the heap is a bound
                heapq.heapreplace(heap, (now, j))
                continue
            open_[j] = False
            left[group[j]] -= cost[j]
        own = max(scores[j], 0.0)
        chosen[count], gains[count] = j, own
        count += 1
        for e in range(starts[j], starts[j + 1]):
            scores[items[e]] -= values[e] * own
        scores[j] = -np.inf
    return chosen[:count], gains[:count]
