"""Loops that are compiled (`rows.compiled`): plain functions of arrays, each complete in itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Graph",
    "Purse",
    "add_both_gains",
    "add_gains",
    "best_of_rows",
    "collect_above",
    "farthest",
    "lazy_greedy",
    "nearer",
    "pass_messages",
    "take_away",
    "transpose",
]

Array = npt.NDArray[Any]


class Graph(NamedTuple):
    """Sparse similarities by candidate: `items[starts[j] : starts[j + 1]]` are covered by j with these `values`."""

    starts: Array
    items: Array
    values: Array


class Purse(NamedTuple):
    """What may still be chosen: `open` (n,) bool, `cost` (n,), `group` (n,), `left` (groups,), and rounding's `slack`."""

    open: Array
    cost: Array
    group: Array
    left: Array
    slack: float


def add_gains(tile: Array, cover: Array, gains: Array) -> None:
    """gains[r] += sum over i of max(0, tile[r, i] - cover[i])."""
    rows, width = tile.shape
    for r in range(rows):
        for low in range(0, width, 512):
            total = np.float32(0)
            for i in range(low, min(low + 512, width)):
                total += max(tile[r, i] - cover[i], np.float32(0))
            gains[r] += total


def add_both_gains(tile: Array, covers: tuple[Array, Array], gains: tuple[Array, Array]) -> None:
    """As `add_gains` for two blocks of rows and one tile of their similarities: each gains from covering the other."""
    rows, width = tile.shape
    sums = np.zeros(width, np.float32)
    for r in range(rows):
        own, total = covers[0][r], np.float32(0)
        for i in range(width):
            total += max(tile[r, i] - covers[1][i], np.float32(0))
            sums[i] += max(tile[r, i] - own, np.float32(0))
        gains[0][r] += total
    for i in range(width):
        gains[1][i] += sums[i]


def take_away(tile: Array, before: Array, rise: Array, gains: Array) -> None:
    """gains[j] -= sum over r of min(rise[r], max(0, tile[r, j] - before[r])): covers of items r rose by so much."""
    rows, width = tile.shape
    sums = np.zeros(width, np.float32)
    for r in range(rows):
        low, most = before[r], rise[r]
        for j in range(width):
            sums[j] += min(max(tile[r, j] - low, np.float32(0)), most)
    for j in range(width):
        gains[j] -= sums[j]


def collect_above(
    tile: Array,
    covers: tuple[Array, Array],
    offsets: tuple[int, int],
    out: tuple[Array, Array, Array],
    used: int,
) -> int:
    """Append (candidate, item, similarity) for the pairs of two blocks of rows that are above the item's cover.

    `tile` (a, b) holds rows offsets[0] ... against rows offsets[1] ...; where both are the same block each pair is
    there twice already. Returns how much of `out` is then used.
    """
    rows, width = tile.shape
    first, second = covers
    twice = offsets[0] == offsets[1]
    candidates, items, values = out
    for r in range(rows):
        own = np.float32(np.inf) if twice else first[r]
        for low in range(0, width, 32):
            high = min(low + 32, width)
            hits = 0
            for i in range(low, high):
                hits += (tile[r, i] > second[i]) | (tile[r, i] > own)
            if not hits:
                continue
            for i in range(low, high):
                value = tile[r, i]
                if value > second[i]:
                    candidates[used], items[used], values[used] = offsets[0] + r, offsets[1] + i, value
                    used += 1
                if value > own:
                    candidates[used], items[used], values[used] = offsets[1] + i, offsets[0] + r, value
                    used += 1
    return used


def transpose(pairs: tuple[Array, Array, Array], count: int) -> Graph:
    """Pairs (candidate, item, similarity) in any order, by candidate; a negative candidate is none."""
    candidates, items, values = pairs
    starts = np.zeros(count + 1, np.int64)
    for e in range(len(candidates)):
        if candidates[e] >= 0:
            starts[candidates[e] + 1] += 1
    for j in range(count):
        starts[j + 1] += starts[j]
    place = starts[:-1].copy()
    sorted_items = np.empty(starts[count], np.int32)
    sorted_values = np.empty(starts[count], np.float32)
    for e in range(len(candidates)):
        j = candidates[e]
        if j >= 0:
            sorted_items[place[j]], sorted_values[place[j]] = items[e], values[e]
            place[j] += 1
    return Graph(starts, sorted_items, sorted_values)


def best_of_rows(tile: Array, names: Array, queries: Array, out: tuple[Array, Array]) -> None:
    """The highest entries of each row of `tile`: row r's go to row queries[r] of `out` (names, values), in no order.

    A heap holds the best so far, the lowest of them on top.
    """
    rows, width = tile.shape
    found, values = out
    size = found.shape[1]
    for r in range(rows):
        at, value_of = found[queries[r]], values[queries[r]]
        filled = min(size, width)
        for i in range(filled):
            at[i], value_of[i] = names[i], tile[r, i]
        for i in range(filled, size):
            at[i], value_of[i] = -1, -np.inf
        if width <= size:
            continue
        for start in range(size // 2 - 1, -1, -1):
            _value, _name, place = value_of[start], at[start], start
            while 2 * place + 1 < size:
                child = 2 * place + 1
                if child + 1 < size and value_of[child + 1] < value_of[child]:
                    child += 1
                if _value <= value_of[child]:
                    break
                value_of[place], at[place] = value_of[child], at[child]
                place = child
            value_of[place], at[place] = _value, _name
        for i in range(size, width):
            value = tile[r, i]
            if value <= value_of[0]:
                continue
            place = 0
            while 2 * place + 1 < size:
                child = 2 * place + 1
                if child + 1 < size and value_of[child + 1] < value_of[child]:
                    child += 1
                if value <= value_of[child]:
                    break
                value_of[place], at[place] = value_of[child], at[child]
                place = child
            value_of[place], at[place] = value, names[i]


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


def nearer(tile: Array, x: Array, centres: Array, squared: Array) -> None:
    """squared[i] = min(squared[i], |x_i - c|^2) over the centres, the best found in `tile` (c, n): -2 c x.

    Only the nearest's distance is taken from differences, so that copies have none.
    """
    n = len(x)
    least, best = np.full(n, np.inf, np.float32), np.zeros(n, np.int32)
    for c in range(len(centres)):
        length = np.float32(0)
        for k in range(x.shape[1]):
            length += centres[c, k] * centres[c, k]
        for i in range(n):
            value = tile[c, i] + length
            best[i] = c if value < least[i] else best[i]
            least[i] = value if value < least[i] else least[i]
    for i in range(n):
        length = np.float32(0)
        for k in range(x.shape[1]):
            length += x[i, k] * x[i, k]
        if least[i] + length > squared[i] + np.float32(1e-4) * length:
            continue
        total = np.float32(0)
        for k in range(x.shape[1]):
            gap = x[i, k] - centres[best[i], k]
            total += gap * gap
        squared[i] = min(squared[i], total)


def farthest(x: Array, squared: Array, purse: Purse, floor: float, out: tuple[Array, Array]) -> int:
    """Choose the row of `x` that is farthest (by distance per cost) from those chosen, until none is above `floor`.

    The first is chosen even so. `out` gets the rows and their squared distances.
    Brings `squared` and `purse` up to date. Returns how many were chosen.
    """
    open_, cost, group, left, slack = purse
    chosen, distances = out
    count = 0
    while count < len(chosen):
        best, most = -1, -1.0
        for i in range(len(x)):
            if open_[i] and squared[i] > most * cost[i] * cost[i] and cost[i] <= left[group[i]] + slack:
                best, most = i, squared[i] / (cost[i] * cost[i])
        if best < 0 or (count and most <= floor):
            break
        chosen[count], distances[count] = best, squared[best]
        count += 1
        open_[best] = False
        left[group[best]] -= cost[best]
        for i in range(len(x)):
            total = np.float32(0)
            for k in range(x.shape[1]):
                gap = x[i, k] - x[best, k]
                total += gap * gap
            squared[i] = min(squared[i], total)
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
    heap, keys = np.arange(n), np.empty(n)

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
        keys[j] = scores[j] / cost[j] if open_[j] else -np.inf
    for place in range(n // 2 - 1, -1, -1):
        sink(place)
    while count < most:
        if len(given):
            if count == len(given):
                break
            j = given[count]
        elif count < len(first):
            j = first[count]
        else:
            j = heap[0]
            if keys[j] == -np.inf:
                break
            fits = open_[j] and cost[j] <= left[group[j]] + slack
            now = max(scores[j], 0.0) / cost[j] if fits else -np.inf
            if now < keys[j]:  # scores only fall, so what is noted in the heap is a bound
                keys[j] = now
                sink(0)
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
