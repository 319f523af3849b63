"""Where gradients lie: what a pursuit asks of rows in memory, in a memory-mapped store, or spread over shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curate.contracts import Held, Vectors
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import by_piece
from curate.selectors.pursuit.kernels import add_exactly, compiled, products

__all__ = ["Beside", "Few", "Rows", "Shard", "Shards", "best_of", "shard_rows"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_PIECE = 1 << 22
"""Numbers brought to float32 at a time: 16 MB."""


class Rows(Protocol):
    """Rows of gradients (n, D) that know their own numbers: three questions are all a pursuit asks.

    `rank` (n,) decides between equal products, lower first; by default the row's own number.
    """

    rank: Ints | None

    def __len__(self) -> int: ...
    @property
    def width(self) -> int: ...
    def total(self, rows: Ints | None = None) -> tuple[Floats, int]:
        """The sum of these rows, or of all, and how many there are: (2, D), what it is and what that is too large by rounding
        (`add_exactly`), so that sums of sums are the same in whatever order."""
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
    """Rows `low` ... `high` of all, of which row i is row i - `offset` of `vectors`: a state for `contracts.Held`.

    `rank` (high - low,) decides between equal products, lower first: by default the row's own number. Rows that are asked
    for may be anyone's, and be told as truth values of all rows, packed: each shard finds its own.
    """

    vectors: npt.NDArray[Any] | Vectors
    low: int
    high: int
    rank: Ints | None = None
    offset: int = 0
    _whole: bool = field(default=False, init=False)

    def __len__(self) -> int:
        return self.high - self.low

    @property
    def width(self) -> int:
        return int(self.vectors.shape[1])

    def extent(self) -> tuple[int, int]:
        """How many rows, and how wide they are."""
        return len(self), self.width

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The number of the first row, and the rows as float32 or float64, of one block after the other."""
        start, step = self.offset, max(1, _PIECE // max(1, self.width))
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

    def total(self, rows: Ints | None = None) -> tuple[Floats, int]:
        sums = np.zeros((2, self.width))
        add = compiled(add_exactly, exactly=True)
        if rows is None:
            for _, piece in self.blocks():
                add(piece, sums)
            return sums, len(self)
        own = self._own(rows)
        for low in range(0, len(own), 8192):
            add(self.take(own[low : low + 8192]), sums)
        return sums, len(own)

    def best(
        self, direction: Floats, count: int, taken: Ints, least: float = 0.0
    ) -> tuple[Ints, npt.NDArray[np.floating]]:
        dtype = np.float64 if self.vectors.dtype == np.float64 else np.float32
        scores: npt.NDArray[np.floating] = np.zeros(len(self), dtype)
        for low, piece in self.blocks():
            part = scores[low - self.low : low - self.low + len(piece)]
            compiled(products)(np.ascontiguousarray(piece), direction.astype(piece.dtype), part)
        if not self._whole:
            _check(scores, self.low)
            self._whole = True
        scores[self._own(taken) - self.low] = -np.inf
        places = np.flatnonzero(scores > least)
        rank = places if self.rank is None else self.rank[places]
        kept = places[best_of(scores[places], rank, count)]
        return kept + self.low, scores[kept]

    def take(self, rows: Ints) -> Floats:
        at = rows - self.offset
        values = self.vectors[at] if isinstance(self.vectors, np.ndarray) else self.vectors.take(at)
        return np.asarray(values, np.float64)

    def _own(self, rows: npt.NDArray[Any]) -> Ints:
        if rows.dtype != np.uint8:
            return np.asarray(rows[(rows >= self.low) & (rows < self.high)], np.int64)
        first = self.low // 8
        bits = np.unpackbits(rows[first : (self.high + 7) // 8])[self.low - 8 * first :][: len(self)]
        return np.flatnonzero(bits) + self.low


class Shards:
    """Several shards as one: each answers for its own rows, and the best of all their answers are the answer.

    Exact: a product is the same wherever its row lies, so the same rows come out as from one piece. What is sent is one
    direction there and `count` numbers back, then the few rows that may be let in. `held` are the shards of a view's pieces, wherever they
    are (`View.resident`), or those of this process (`Beside`). `rank` (n,) as in `Shard`, of all rows.
    """

    def __init__(self, held: Held, rank: Ints | None = None) -> None:
        self.held, self.rank = held, rank
        extents = held.ask("extent")
        self._rows: int = sum(rows for rows, _ in extents)
        widths: set[int] = {width for rows, width in extents if rows}
        if len(widths) != 1:
            raise InputError(f"shards of {sorted(widths)} columns: all rows are to be of one width")
        (self._width,) = widths

    def __len__(self) -> int:
        return self._rows

    @property
    def width(self) -> int:
        return self._width

    def total(self, rows: Ints | None = None) -> tuple[Floats, int]:
        parts = self.held.ask("total", None if rows is None else self._packed(rows))
        sums = np.zeros((2, self.width))
        compiled(add_exactly, exactly=True)(np.concatenate([part for part, _ in parts]), sums)
        return sums, sum(count for _, count in parts)

    def best(
        self, direction: Floats, count: int, taken: Ints, least: float = 0.0
    ) -> tuple[Ints, npt.NDArray[np.floating]]:
        found = self.held.ask("best", direction, count, self._packed(taken), least)
        rows = np.concatenate([rows for rows, _ in found])
        scores = np.concatenate([scores for _, scores in found])
        kept = best_of(scores, rows if self.rank is None else self.rank[rows], count)
        return rows[kept], scores[kept]

    def take(self, rows: Ints) -> Floats:
        own = by_piece(self.held.firsts, rows)
        out = np.empty((len(rows), self.width))
        for shard, values in self.held.ask_some("take", {i: (rows[at],) for i, at in own.items()}).items():
            out[own[shard]] = values
        return out

    def _packed(self, rows: Ints) -> npt.NDArray[Any]:
        """Many rows as bits: to be sent often."""
        if 64 * len(rows) <= len(self):
            return rows
        mask = np.zeros(len(self), bool)
        mask[rows] = True
        return np.packbits(mask)


class Few:
    """Some rows of others, read once and held here: what is asked of them is asked of no other."""

    def __init__(self, source: Rows, rows: Ints) -> None:
        rank = rows if source.rank is None else source.rank[rows]
        self.rows, self.rank = rows[np.argsort(rank, kind="stable")], source.rank
        self._sorter = np.argsort(self.rows)
        self._shard = Shard(source.take(self.rows), 0, len(rows))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return self._shard.width

    def total(self, rows: Ints | None = None) -> tuple[Floats, int]:
        return self._shard.total(None if rows is None else self._own(rows))

    def best(
        self, direction: Floats, count: int, taken: Ints, least: float = 0.0
    ) -> tuple[Ints, npt.NDArray[np.floating]]:
        held = self._own(taken[np.isin(taken, self.rows)])
        rows, scores = self._shard.best(direction, count, held, least)
        return self.rows[rows], scores

    def take(self, rows: Ints) -> Floats:
        return self._shard.take(self._own(rows))

    def _own(self, rows: Ints) -> Ints:
        return np.asarray(self._sorter[np.searchsorted(self.rows, rows, sorter=self._sorter)], np.int64)


@dataclass(frozen=True, eq=False)
class Beside:
    """Shards in this process, asked side by side by threads: `contracts.Held` of what begins with the rows `firsts`."""

    shards: Sequence[Shard]
    firsts: Sequence[int]

    def ask(self, method: str, *args: Any) -> list[Any]:
        with ThreadPoolExecutor(min(8, len(self.shards))) as pool:
            return list(pool.map(lambda shard: getattr(shard, method)(*args), self.shards))

    def ask_some(self, method: str, given: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        return {number: getattr(self.shards[number], method)(*args) for number, args in given.items()}

    tell = ask


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
    if not isinstance(shards, (int, np.integer)):
        raise InputError(f"shards {shards!r}: how many pieces is a whole number")
    if not 1 <= shards <= n:
        raise InputError(
            f"{counted(shards, 'shard')}: {counted(n, 'row is', 'rows are')} there, so 1 to {counted(n, 'shard')} can "
            "be made"
        )
    bounds = np.linspace(0, n, shards + 1).astype(np.int64)
    cut = [
        Shard(vectors, low, high, None if rank is None else rank[low:high])
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    return cut[0] if shards == 1 else Shards(Beside(cut, bounds[:-1].tolist()), rank)


def _check(scores: npt.NDArray[np.floating], low: int) -> None:
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'gradient is', 'gradients are')} not finite, or too long for their precision, as row "
            f"{bad[0] + low}: leave them out"
        )
