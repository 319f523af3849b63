"""Points that stay with the pieces of a view, wherever these are held: what k-center asks of them, in rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import Held, View
from curate.errors import SchemaError
from curate.fitting import read_vectors, without_lists
from curate.selectors.coreset.centres import Points
from curate.selectors.coreset.rows import Floats, Ints, prepare

__all__ = ["HeldCloud", "PiecePoints", "centre", "finite"]

Mask = npt.NDArray[np.bool_]


class PiecePoints(Points):
    """The vectors of one piece as points: a state of `contracts.Held`. Those that are null or not finite lie anywhere."""

    def __init__(self, piece: View, first: int, column: str) -> None:
        if without_lists(piece, column):
            x: npt.NDArray[Any] = np.empty((len(piece), 0), np.float32)
            self._known = np.zeros(len(piece), bool)
        else:
            x = read_vectors(piece, column, np.arange(len(piece)))
            self._known = finite_rows(x)
            x = prepare(np.where(self._known[:, None], x, 0))
        super().__init__(x)

    def finite(self) -> npt.NDArray[np.uint8]:
        """Which rows are finite, as bits."""
        return np.packbits(self._known)

    def total(self) -> npt.NDArray[np.float64]:
        """The sum of all rows that are."""
        return np.asarray(self.z.sum(0, dtype=np.float64))

    def move(self, mean: Floats) -> None:
        """Lie about this point from now on."""
        self.z = self.z - mean if self.z.shape[1] else np.zeros((len(self.z), len(mean)), np.float32)

    def at(self, rows: Ints) -> Floats:
        """Copies of these rows of the piece."""
        return self.z[rows]


class HeldCloud:
    """A `Cloud` of the rows `rows` of a view, in this order, of which `held` are the `PiecePoints`."""

    def __init__(self, held: Held, rows: Ints, width: int) -> None:
        self.held, self.rows, self.width = held, rows, width
        self.firsts = np.asarray(held.firsts, np.int64)

    def take(self, rows: Ints) -> Floats:
        asked = self.rows[rows]
        of = np.searchsorted(self.firsts, asked, side="right") - 1
        own = {piece: (asked[of == piece] - self.firsts[piece],) for piece in np.unique(of).tolist()}
        out = np.empty((len(rows), self.width), np.float32)
        for piece, found in self.held.ask_some("at", own).items():
            out[of == piece] = found
        return out

    def nearest(self, centres: Floats) -> Floats:
        squared: Floats = np.concatenate(self.held.ask("nearest", centres))
        return squared[self.rows]


def finite(held: Held, n: int) -> Mask:
    """Which of the n rows are finite."""
    sizes = np.diff([*held.firsts, n]).tolist()
    bits = zip(held.ask("finite"), sizes, strict=True)
    return np.concatenate([np.unpackbits(some, count=size) for some, size in bits]).astype(bool)


def centre(held: Held, count: int, column: str) -> int:
    """Let all points lie about the mean of the `count` that are finite, and tell how many dimensions there are.

    Raises SchemaError where pieces are of several widths.
    """
    sums = [total for total in held.ask("total") if len(total)]
    widths = sorted({len(total) for total in sums})
    if len(widths) != 1:
        raise SchemaError(f"column {column!r} holds lists of {widths[:5]} numbers: one length is meant")
    held.tell("move", (np.sum(sums, axis=0) / count).astype(np.float32))
    return widths[0]
