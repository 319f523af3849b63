"""How alike rows are, a block of rows at a time: never all pairs at once."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.vectors.rows import Floats, Ints, unit
from curate.vectors.sources import (
    AtHand,
    Source,
    Squared,
    blocks,
    largest,
    mean,
    rows_of,
    shifted,
    squares,
)

__all__ = ["Likeness", "Metric", "Side", "Similarity"]

Similarity = Literal["cosine", "euclidean"]
Array = npt.NDArray[Any]

_TILE = 512


class Side(NamedTuple):
    """Rows that are ready to be compared, and for distances their squared lengths."""

    z: Floats
    squares: Floats | None

    def some(self, rows: slice) -> Side:
        """These of them."""
        return Side(self.z[rows], None if self.squares is None else self.squares[rows])


@dataclass(frozen=True)
class Metric:
    """Which similarity of rows that lie as it wants them; `top` is that of a row to itself."""

    similarity: Similarity
    top: float

    def side(self, z: Floats) -> Side:
        return Side(z, squares(z)[:, 0] if self.similarity == "euclidean" else None)

    def between(self, left: Side, right: Side) -> Floats:
        """(left, right) similarities."""
        tile: Floats = left.z @ right.z.T
        if left.squares is not None and right.squares is not None:
            tile *= -2
            tile += left.squares[:, None]
            tile += right.squares
            np.maximum(tile, 0, out=tile)
            np.sqrt(tile, out=tile)
            np.subtract(np.float32(self.top), tile, out=tile)
        return tile


class Likeness:
    """Similarities of rows to rows, each at least 0 where it counts.

    "cosine": of unlike directions it is 0 or less, which covers nothing. "euclidean": c - |x_i - x_j|, with c twice the
    greatest distance from the mean, so that none is negative (CRAIG).
    """

    def __init__(self, rows: Source | Array, similarity: Similarity = "cosine") -> None:
        if similarity not in ("cosine", "euclidean"):
            raise InputError(f"similarity {similarity!r}: 'cosine' or 'euclidean'")
        source = rows_of(rows)
        if similarity == "cosine":
            self.rows, self.metric = source.mapped(unit), Metric(similarity, 1.0)
            return
        self.rows = source.mapped(partial(shifted, mean(source).astype(np.float32)))
        self.metric = Metric(similarity, 2 * largest(Squared(self.rows)) ** 0.5)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(self.rows.take(slice(0, 1)).shape[1])

    def brought(self) -> Likeness:
        """The same with all rows in memory."""
        if isinstance(self.rows, AtHand):
            return self
        found = copy(self)
        found.rows = AtHand(self.rows.take(slice(None)))
        return found

    def side(self, rows: Ints | slice) -> Side:
        """These rows, ready to be compared with many times."""
        return self.metric.side(self.rows.take(rows))

    def block(self, rows: Ints | slice, others: Ints | slice) -> Floats:
        """(rows, others) similarities."""
        return self.metric.between(self.side(rows), self.side(others))

    def columns(self, rows: Ints) -> Floats:
        """(rows, n) similarities of these rows to all."""
        return self.block(rows, slice(None))

    def upper_tiles(self, size: int = _TILE) -> Iterator[tuple[int, int, Floats]]:
        """Tiles of pairs each of which is in one of them: those at and above the diagonal."""
        n = len(self)
        for low in range(0, n, size):
            rows = self.side(slice(low, low + size))
            for left in range(low, n, size):
                yield low, left, self.metric.between(rows, self.side(slice(left, left + size)))

    def coverage(self, chosen: Ints, items: Ints | None = None) -> tuple[Floats, Ints]:
        """How like the most like of the chosen rows is to each item, at least 0, and which of them that is."""
        items = np.arange(len(self)) if items is None else items
        tasks = (items[some] for some in blocks(len(items)))
        found = list(self.rows.share(partial(_most_like, self.metric, self.side(chosen)), tasks))
        return np.concatenate([best for best, _ in found]), np.concatenate([which for _, which in found])

    def covered(
        self, rows: Ints, weight: Floats | None = None, before: Floats | None = None
    ) -> tuple[npt.NDArray[np.float64], Floats]:
        """What these rows, one after the other, add to how like each item is to the most like of them, times its weight: (m,)
        in all; and how like that then is (n,). `before` (n,) is where that begins: 0 by default."""
        cover = np.zeros(len(self), np.float32) if before is None else before
        if not len(rows):
            return np.empty(0), cover
        tasks = ((some, cover[some], None if weight is None else weight[some]) for some in blocks(len(self)))
        found = list(self.rows.share(partial(_added, self.metric, self.side(rows)), tasks))
        return np.sum([gains for gains, _ in found], axis=0), np.concatenate([after for _, after in found])


def _most_like(metric: Metric, chosen: Side, source: Source, items: Ints) -> tuple[Floats, Ints]:
    best, which = np.empty(len(items), np.float32), np.empty(len(items), np.int64)
    for low in range(0, len(items), 4 * _TILE):
        tile = metric.between(metric.side(source.take(items[low : low + 4 * _TILE])), chosen)
        which[low : low + len(tile)] = tile.argmax(1)
        best[low : low + len(tile)] = tile.max(1)
    return np.maximum(best, 0), which


def _added(
    metric: Metric, chosen: Side, source: Source, task: tuple[slice, Floats, Floats | None]
) -> tuple[npt.NDArray[np.float64], Floats]:
    rows, cover, weight = task
    items, cover = metric.side(source.take(rows)), cover.copy()
    gains = np.empty(len(chosen.z))
    for at in range(0, len(gains), _TILE):
        for place, column in enumerate(metric.between(chosen.some(slice(at, at + _TILE)), items), at):
            if weight is not None:
                column = column * weight
            gains[place] = np.maximum(column - cover, 0).sum(dtype=np.float64)
            np.maximum(cover, column, out=cover)
    return gains, cover
