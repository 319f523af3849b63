"""Where gradients lie: what a pursuit asks of rows in memory, in a memory-mapped store, or spread over shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curate.contracts import Vectors
from curate.errors import InputError
from curate.selectors.pursuit.kernels import compiled, products

__all__ = ["Rows", "Shard", "Shards", "best_of", "shard_rows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_PIECE = 1 << 22
"""Numbers brought to float32 at a time: 16 MB."""


class Rows(Protocol):
    """Rows of gradients (n, D), or some of them, that know their own numbers.

    Three questions are all a pursuit asks, and none needs more than a few numbers sent: a `Shard` may well lie on another
    machine, behind a proxy with these methods.
    """

    @property
    def width(self) -> int: ...
    def total(self) -> tuple[Floats, int]:
        """The sum of all rows (D,) and how many there are."""
        ...

    def best(
        self, direction: Floats, count: int, taken: Ints, least: float = 0.0
    ) -> tuple[Ints, npt.NDArray[np.floating]]:
        """The `count` rows that lie most along `direction`: row and product, which is above `least`; none of `taken`."""
        ...

    def take(self, rows: Ints) -> Floats:
        """Copies of these rows."""
        ...


@dataclass(eq=False)
class Shard:
    """Rows `low` ... `high` of `vectors`, of which row i of all is row i - `offset` there.

    `rank` (high - low,) decides between equal products, lower first: by default the row's own number.
    """

    vectors: npt.NDArray[Any] | Vectors
    low: int
    high: int
    rank: Ints | None = None
    _whole: bool = field(default=False, init=False)

    @property
    def width(self) -> int:
        return int(self.vectors.shape[1])

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The number of the first row, and the rows as float32 or float64, of one block after the other."""
        start, step = 0, max(1, _PIECE // max(1, self.width))
        for chunk in [self.vectors] if isinstance(self.vectors, np.ndarray) else self.vectors.chunks():
            low, high = max(self.low, start), min(self.high, start + len(chunk))
            while low < high:
                until = high if chunk.dtype in (np.float32, np.float64) else min(high, low + step)
                piece = chunk[low - start : until - start]
                yield low, piece if piece.dtype in (np.float32, np.float64) else piece.astype(np.float32)
                low = until
            start += len(chunk)
            if start >= self.high:
                return

    def total(self) -> tuple[Floats, int]:
        sums = np.zeros(self.width)
        for _, piece in self.blocks():
            sums += piece.sum(axis=0, dtype=np.float64)
        return sums, self.high - self.low

    def best(
        self, direction: Floats, count: int, taken: Ints, least: float = 0.0
    ) -> tuple[Ints, npt.NDArray[np.floating]]:
        dtype = np.float64 if self.vectors.dtype == np.float64 else np.float32
        scores: npt.NDArray[np.floating] = np.empty(self.high - self.low, dtype)
        for low, piece in self.blocks():
            part = scores[low - self.low : low - self.low + len(piece)]
            compiled(products)(np.ascontiguousarray(piece), direction.astype(piece.dtype), part)
        if not self._whole:
            _check(scores, self.low)
            self._whole = True
        own = taken[(taken >= self.low) & (taken < self.high)]
        scores[own - self.low] = -np.inf
        places = np.flatnonzero(scores > least)
        rank = places if self.rank is None else self.rank[places]
        kept = places[best_of(scores[places], rank, count)]
        return kept + self.low, scores[kept]

    def take(self, rows: Ints) -> Floats:
        values = self.vectors[rows] if isinstance(self.vectors, np.ndarray) else self.vectors.take(rows)
        return np.asarray(values, np.float64)


class Shards:
    """Several `Rows` as one: each answers for its own rows, and the best of all their answers are the answer.

    Exact: a product is the same wherever its row lies, so the same rows come out as from one piece. What is sent is one
    direction there and `count` numbers back. Shards in this process are asked side by side.
    """

    def __init__(self, shards: Sequence[Rows], bounds: Sequence[int], rank: Ints | None = None) -> None:
        self.shards, self.bounds, self.rank = list(shards), np.asarray(bounds, np.int64), rank

    @property
    def width(self) -> int:
        return self.shards[0].width

    def total(self) -> tuple[Floats, int]:
        parts = [shard.total() for shard in self.shards]
        return np.sum([sums for sums, _ in parts], axis=0), sum(count for _, count in parts)

    def best(
        self, direction: Floats, count: int, taken: Ints, least: float = 0.0
    ) -> tuple[Ints, npt.NDArray[np.floating]]:
        with ThreadPoolExecutor(min(8, len(self.shards))) as pool:
            found = list(pool.map(lambda shard: shard.best(direction, count, taken, least), self.shards))
        rows = np.concatenate([rows for rows, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        kept = best_of(scores, rows if self.rank is None else self.rank[rows], count)
        return rows[kept], scores[kept]

    def take(self, rows: Ints) -> Floats:
        of = np.searchsorted(self.bounds, rows, side="right") - 1
        out = np.empty((len(rows), self.width))
        for shard in np.unique(of).tolist():
            out[of == shard] = self.shards[shard].take(rows[of == shard])
        return out


def best_of(scores: npt.NDArray[np.floating], rank: Ints, count: int) -> Ints:
    """Places of the `count` highest scores, of equal ones those of the lowest rank; in the order of rank."""
    if len(scores) > count:
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
        equal = equal[np.argsort(rank[equal], kind="stable")[: count - len(above)]]
        kept = np.concatenate([above, equal])
    else:
        kept = np.arange(len(scores))
    return kept[np.argsort(rank[kept], kind="stable")]


def shard_rows(vectors: npt.NDArray[Any] | Vectors, shards: int, rank: Ints | None = None) -> Rows:
    """`vectors` (n, D) cut into so many shards of equal size.

    Raises InputError for fewer than one shard, or more than rows.
    """
    n = vectors.shape[0]
    if not 1 <= shards <= n:
        raise InputError(f"{shards} shards: there are {n} rows, so 1 to {n} shards can be made")
    bounds = np.linspace(0, n, shards + 1).astype(np.int64)
    cut = [
        Shard(vectors, low, high, None if rank is None else rank[low:high])
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    return cut[0] if shards == 1 else Shards(cut, bounds[:-1].tolist(), rank)


def _check(scores: npt.NDArray[np.floating], low: int) -> None:
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise InputError(
            f"{len(bad)} gradients are not finite, or too long for their precision, as row {bad[0] + low}: leave them out"
        )
