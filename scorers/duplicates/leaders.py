"""Which items to keep when some resemble others: each dropped item resembles a kept one.

Items come in order of preference and are taken greedily: an item is kept unless it is within the threshold of an item
kept before it. Chains do not pull together what is not alike: if a ~ b and b ~ c but not a ~ c, then a and c stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Leaders", "Neighbours", "Pairs", "Rows", "choose_leaders", "restore_copies"]

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Pairs = tuple[Rows, Rows, npt.NDArray[np.float32]]
"""Pairs of rows within the threshold, and how similar they are."""

_FEW = 1024
_ROUNDS = 64


class Neighbours(Protocol):
    """Finds what is within the threshold. Rows are positions in the order of preference."""

    def __len__(self) -> int: ...
    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        """Pairs (i of left, j of right); or, without `right`, (i, j) of left with i < j. Repeats are allowed.

        Whether two rows are a pair must depend on nothing but the two.
        """
        ...


@dataclass(frozen=True, eq=False)
class Leaders:
    """`leader` (n,) int64: the kept item that each item is like; its own row if it is kept.

    `similarity` (n,) float32: to the leader; NaN for kept items.
    """

    leader: Rows
    similarity: npt.NDArray[np.float32]

    @property
    def kept(self) -> Mask:
        return np.asarray(self.leader == np.arange(len(self.leader)))


def choose_leaders(neighbours: Neighbours, limit: int = 20_000_000) -> Leaders:
    """Choose greedily in row order; the leader of a dropped item is the nearest kept one, ties to the first.

    `limit` bounds memory: at most about so many pairs (20 bytes each) are held at a time. Beyond it rows are taken in
    halves, which changes the time and nothing else.
    """
    rows = np.arange(len(neighbours), dtype=np.int64)
    kept = np.zeros(len(rows), np.bool_)
    found = _collect(neighbours.pairs(rows), limit)
    if found is None:
        _decide_halves(neighbours, rows, kept, limit)
        return _nearest(kept, neighbours.pairs(rows[~kept], rows[kept]))
    i, j, similarity = found
    kept[:] = _first_come(len(rows), i, j)
    return _nearest(kept, [(i, j, similarity), (j, i, similarity)])


def restore_copies(first: Rows, chosen: Leaders) -> Leaders:
    """The choice among all rows from the choice among those that copy no earlier one.

    `first` (n,) is the first row that each row copies (its own if none). Copies have the same neighbours, so choosing
    among the first ones alone gives the same answer and spares the pairs among many copies.
    """
    rows = np.arange(len(first))
    own = np.flatnonzero(first == rows)
    place = np.searchsorted(own, first)
    similarity = chosen.similarity[place]
    similarity[(first != rows) & chosen.kept[place]] = 1.0
    return Leaders(own[chosen.leader[place]], similarity)


def _decide(neighbours: Neighbours, rows: Rows, kept: Mask, limit: int) -> None:
    """Decide ascending `rows`, everything before them being decided."""
    before = np.flatnonzero(kept)
    if len(before):
        struck = np.zeros(len(neighbours), np.bool_)
        for i, _, _ in neighbours.pairs(rows, before):
            struck[i] = True
        rows = rows[~struck[rows]]
    found = _collect(neighbours.pairs(rows), limit if len(rows) > _FEW else None)
    if found is None:
        _decide_halves(neighbours, rows, kept, limit)
    else:
        i, j = np.searchsorted(rows, found[0]), np.searchsorted(rows, found[1])
        kept[rows] = _first_come(len(rows), i, j)


def _decide_halves(neighbours: Neighbours, rows: Rows, kept: Mask, limit: int) -> None:
    middle = len(rows) // 2
    _decide(neighbours, rows[:middle], kept, limit)
    _decide(neighbours, rows[middle:], kept, limit)


def _collect(pairs: Iterable[Pairs], limit: int | None) -> Pairs | None:
    """All pairs in one, or None once there are more than `limit`."""
    parts: list[Pairs] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
    total = 0
    for part in pairs:
        total += len(part[0])
        if limit is not None and total > limit:
            return None
        parts.append(part)
    i, j, similarity = (np.concatenate(column) for column in zip(*parts, strict=True))
    return i, j, similarity


def _first_come(n: int, i: Rows, j: Rows) -> Mask:
    """The greedy choice among `n` items in order, given pairs i < j: kept unless paired with one kept before."""
    kept, open_ = np.zeros(n, np.bool_), np.ones(n, np.bool_)
    for _ in range(_ROUNDS):
        if not len(i):
            break
        waits = np.zeros(n, np.bool_)
        waits[j] = True
        kept |= open_ & ~waits
        open_ &= waits
        open_[j[kept[i]]] = False
        both = open_[i] & open_[j]
        i, j = i[both], j[both]
    kept |= open_
    if len(i):  # a long chain of dependence: one by one, in order of the second, so that the first is decided
        order = np.argsort(j, kind="stable")
        chosen = kept.tolist()
        for first, second in zip(i[order].tolist(), j[order].tolist(), strict=True):
            if chosen[first]:
                chosen[second] = False
        kept = np.array(chosen, np.bool_)
    return kept


def _nearest(kept: Mask, links: Iterable[Pairs]) -> Leaders:
    """For each dropped item the most similar kept one, the earliest of equals, from pairs (dropped, kept)."""
    leader = np.arange(len(kept), dtype=np.int64)
    best = np.full(len(kept), -np.inf, np.float32)
    for i, j, similarity in links:
        useful = ~kept[i] & kept[j]
        i, j, similarity = i[useful], j[useful], similarity[useful]
        order = np.lexsort((j, -similarity, i))
        i, j, similarity = i[order], j[order], similarity[order]
        first = np.ones(len(i), np.bool_)
        first[1:] = i[1:] != i[:-1]
        i, j, similarity = i[first], j[first], similarity[first]
        better = (similarity > best[i]) | ((similarity == best[i]) & (j < leader[i]))
        leader[i[better]], best[i[better]] = j[better], similarity[better]
    return Leaders(leader, np.where(kept, np.float32(np.nan), best).astype(np.float32))
