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


def transpose(pairs: tuple[Array, Array, Array], each: int, count: int) -> Graph:
    """Pairs (candidate, item, similarity) in any order, by candidate; a negative candidate is none.

    Without items (an empty array) there are `each` pairs for every item, one item after the other.
    """
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
            sorted_items[place[j]] = items[e] if len(items) else e // each
            sorted_values[place[j]] = values[e]
            place[j] += 1
    return Graph(starts, sorted_items, sorted_values)


def best_of_rows(tile: Array, names: Array, queries: Array, out: tuple[Array, Array]) -> None:
    """The highest entries of each row of `tile`: row r's go to row queries[r] of `out` (names, values), in no order.

    A heap holds the best so far, the lowest of them on top.
    """
    rows, width = tile.shape
    size = out[0].shape[1]
    filled = min(size, width)

    def put(held: Array, value_of: Array, new: tuple[Any, Any, int]) -> None:
        """Let a name and its value sink from a place in the heap."""
        name, value, place = new
        while 2 * place + 1 < size:
            child = 2 * place + 1
            if child + 1 < size and value_of[child + 1] < value_of[child]:
                child += 1
            if value <= value_of[child]:
                break
            value_of[place], held[place] = value_of[child], held[child]
            place = child
        value_of[place], held[place] = value, name

    for r in range(rows):
        held, value_of = out[0][queries[r]], out[1][queries[r]]
        held[:filled], value_of[:filled] = names[:filled], tile[r, :filled]
        held[filled:], value_of[filled:] = -1, -np.inf
        if width <= size:
            continue
        for place in range(size // 2 - 1, -1, -1):
            put(held, value_of, (held[place], value_of[place], place))
        for i in range(size, width):
            if tile[r, i] > value_of[0]:
                put(held, value_of, (names[i], tile[r, i], 0))
