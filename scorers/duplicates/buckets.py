"""Joining rows by equal keys without a Python loop over them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["connect", "crowds", "expand", "first_equal"]

Rows = npt.NDArray[np.int64]


def expand(start: Rows, stop: Rows, budget: int = 1 << 21) -> Iterator[tuple[Rows, Rows]]:
    """All (k, p) with start[k] <= p < stop[k], in pieces of about `budget`: each left place with its right range."""
    counts = np.maximum(stop - start, 0)
    ends = np.cumsum(counts)
    low, n = 0, len(counts)
    while low < n:
        done = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, done + budget, side="right")))
        piece = counts[low:high]
        total = int(ends[high - 1]) - done
        if total:
            left = np.repeat(np.arange(low, high), piece)
            shift = start[low:high] - (ends[low:high] - piece - done)
            yield left, np.arange(total) + np.repeat(shift, piece)
        low = high


def first_equal(columns: npt.NDArray[np.uint64]) -> Rows:
    """(n,): the first row that equals each row of `columns` (n, k) throughout."""
    first = np.arange(len(columns), dtype=np.int64)
    if len(columns) > 1:
        order = np.lexsort(columns.T)
        ordered = columns[order]
        new = np.ones(len(order), np.bool_)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        starts = np.flatnonzero(new)
        first[order] = np.repeat(order[starts], np.diff(np.append(starts, len(order))))
    return first


def crowds(keys: npt.NDArray[np.uint64], rows: int = 1 << 20) -> Iterator[Rows]:
    """Where keys are that are there more than once: places, ascending, about so many at a time, equal keys together."""
    order = np.argsort(keys, kind="stable")
    again = keys[order][1:] == keys[order][:-1]
    order = order[np.append(again, False) | np.append(False, again)] if len(again) else order[:0]
    ordered, start = keys[order], 0
    while start < len(order):
        stop = int(np.searchsorted(ordered, ordered[min(start + rows, len(order)) - 1], side="right"))
        yield np.sort(order[start:stop])
        start = stop


def connect(i: Rows, j: Rows) -> Rows:
    """(k,): the least of all that pair (i[k], j[k]) hangs together with, be it over other pairs."""
    names, at = np.unique(np.concatenate([i, j]), return_inverse=True)
    left, right = at[: len(i)], at[len(i) :]
    least = np.arange(len(names))
    while (least[left] != least[right]).any():
        ours, theirs = least[left], least[right]
        np.minimum.at(least, np.maximum(ours, theirs), np.minimum(ours, theirs))
        while not np.array_equal(further := least[least], least):
            least = further
    return np.asarray(names[least[left]])
