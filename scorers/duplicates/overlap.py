"""How many members two sets share, for many pairs of sets at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Sets", "make_sets", "shared_members"]

Rows = npt.NDArray[np.int64]

_TABLE = 1 << 22
"""Bytes of the table in which members are ticked off: it stays in the cache."""
_MEMBERS = 1 << 16
"""Members that are looked up at once."""


class Sets(NamedTuple):
    """Set k has the members `codes[starts[k] : starts[k] + sizes[k]]`, each once; all are below `width`."""

    starts: Rows
    sizes: Rows
    codes: Rows
    width: int


def make_sets(offsets: Rows, hashes: npt.NDArray[np.uint64]) -> Sets:
    """The sets of hashes[offsets[k]:offsets[k + 1]], in which members may repeat."""
    coded = pa.array(hashes).dictionary_encode()
    width = max(1, len(coded.dictionary))
    count = len(offsets) - 1
    sets = np.repeat(np.arange(count) * width, np.diff(offsets)) + coded.indices.to_numpy()
    sets.sort()
    # np.unique of NumPy 2.3 and later hashes, which takes 50 times as long for numbers that are mostly different
    sets = sets[np.append(True, sets[1:] != sets[:-1])] if len(sets) else sets
    edges = np.searchsorted(sets, np.arange(count + 1) * width)
    sizes = np.diff(edges)
    return Sets(edges[:-1], sizes, sets - np.repeat(np.arange(count) * width, sizes), width)


def shared_members(sets: Sets, i: Rows, j: Rows) -> Rows:
    """(k,): how many members sets i[k] and j[k] share.

    The members of some left sets are ticked in a table, a row each, in which those of their partners are looked up:
    fastest where few left sets have many partners.
    """
    order = np.argsort(i, kind="stable")
    left, right = i[order], j[order]
    new = np.append(True, left[1:] != left[:-1])[: len(left)]
    number = np.cumsum(new) - 1
    heads = left[new]
    lines = max(1, _TABLE // sets.width)
    table = np.zeros(lines * sets.width, np.bool_)
    shared = np.zeros(len(i), np.int64)
    for low, high in _pieces(sets.sizes[right], number, lines):
        first = number[low]
        ticked = _members(sets, heads[first : number[high - 1] + 1], np.arange(number[high - 1] + 1 - first))
        table[ticked] = True
        found = table[_members(sets, right[low:high], number[low:high] - first)]
        ends = np.cumsum(sets.sizes[right[low:high]])
        shared[order[low:high]] = np.diff(np.searchsorted(np.flatnonzero(found), ends), prepend=0)
        table[ticked] = False
    return shared


def _pieces(sizes: Rows, number: Rows, lines: int) -> Iterator[tuple[int, int]]:
    """Pairs in their order, those of so many left sets at most, whose right sets have not too many members in all."""
    ends, low = np.cumsum(sizes), 0
    while low < len(sizes):
        budget = ends[low] - sizes[low] + _MEMBERS
        high = min(np.searchsorted(ends, budget, side="right"), np.searchsorted(number, number[low] + lines))
        high = max(low + 1, int(high))
        yield low, high
        low = high


def _members(sets: Sets, which: Rows, lines: Rows) -> Rows:
    """Where in the table the members of these sets stand, each set in its line."""
    sizes = sets.sizes[which]
    ends = np.cumsum(sizes)
    places = np.arange(ends[-1]) + np.repeat(sets.starts[which] - ends + sizes, sizes)
    return np.asarray(sets.codes[places] + np.repeat(lines * sets.width, sizes))
