"""How alike rows are, a block of rows at a time: never all pairs at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.selectors.coreset.rows import Floats, Ints, prepare, unit

__all__ = ["Likeness", "Similarity"]

Similarity = Literal["cosine", "euclidean"]

_TILE = 512


class Likeness:
    """Similarities of rows to rows, each at least 0 where it counts.

    "cosine": of unlike directions it is 0 or less, which covers nothing. "euclidean": c - |x_i - x_j|, with c twice the
    greatest distance from the mean, so that none is negative (CRAIG).
    """

    def __init__(self, x: npt.NDArray[Any], similarity: Similarity = "cosine") -> None:
        if similarity not in ("cosine", "euclidean"):
            raise InputError(f"similarity {similarity!r}: 'cosine' or 'euclidean'")
        x = prepare(x)
        self.similarity = similarity
        if similarity == "cosine":
            self.z, self.top = unit(x), 1.0
            return
        self.z = x - x.mean(0, dtype=np.float64).astype(np.float32) if len(x) else x
        self.squares = np.einsum("ij,ij->i", self.z, self.z)
        self.top = 2 * float(np.sqrt(self.squares.max(initial=0)))

    def __len__(self) -> int:
        return len(self.z)

    def part(self, rows: Ints | slice) -> tuple[Floats, Floats | None]:
        """These rows, ready to be compared with many times."""
        return self.z[rows], self.squares[rows] if self.similarity == "euclidean" else None

    def against(self, rows: Ints | slice, others: tuple[Floats, Floats | None]) -> Floats:
        """(rows, others) similarities to what `part` gave."""
        tile: Floats = self.z[rows] @ others[0].T
        if others[1] is not None:
            tile *= -2
            tile += self.squares[rows][:, None]
            tile += others[1]
            np.maximum(tile, 0, out=tile)
            np.sqrt(tile, out=tile)
            np.subtract(np.float32(self.top), tile, out=tile)
        return tile

    def block(self, rows: Ints | slice, others: Ints | slice) -> Floats:
        """(rows, others) similarities."""
        return self.against(rows, self.part(others))

    def columns(self, rows: Ints) -> Floats:
        """(rows, n) similarities of these rows to all."""
        return self.block(rows, slice(None))

    def upper_tiles(self, size: int = _TILE) -> Iterator[tuple[int, int, Floats]]:
        """Tiles of pairs each of which is in one of them: those at and above the diagonal."""
        n = len(self)
        for low in range(0, n, size):
            rows = slice(low, low + size)
            for left in range(low, n, size):
                yield low, left, self.block(rows, slice(left, left + size))

    def coverage(self, chosen: Ints, items: Ints | slice = slice(None)) -> tuple[Floats, Ints]:
        """How like the most like of the chosen rows is to each item, at least 0, and which of them that is."""
        count = len(self.z[items]) if isinstance(items, slice) else len(items)
        best, which = np.zeros(count, np.float32), np.zeros(count, np.int64)
        places = np.arange(len(self))[items]
        for low in range(0, count, 4 * _TILE):
            tile = self.block(places[low : low + 4 * _TILE], chosen)
            which[low : low + len(tile)] = tile.argmax(1)
            best[low : low + len(tile)] = tile.max(1)
        return np.maximum(best, 0), which
