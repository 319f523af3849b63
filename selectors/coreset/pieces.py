"""Points that stay with the pieces of a view, wherever these are held: what k-center asks of them, in rounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import Held, View
from curate.fitting import by_piece, read_vectors, without_lists
from curate.selectors.coreset.centres import Points
from curate.vectors.rows import Floats, Ints

__all__ = ["HeldCloud", "PiecePoints"]


class PiecePoints(Points):
    """The vectors of one piece as points about a mean (d,): a state of `contracts.Held`. Those that are null or not finite lie
    anywhere."""

    def __init__(self, piece: View, first: int, column: str, mean: Floats) -> None:
        if without_lists(piece, column):
            x: npt.NDArray[Any] = np.zeros((len(piece), len(mean)), np.float32)
        else:
            x = read_vectors(piece, column, np.arange(len(piece)))
            x = np.where(finite_rows(x)[:, None], x, 0).astype(np.float32)
        super().__init__(x - mean)

    def at(self, rows: Ints) -> Floats:
        """Copies of these rows of the piece."""
        return self.z[rows]


class HeldCloud:
    """A `Cloud` of the rows `rows` of a view, in this order, of which `held` are the `PiecePoints`."""

    def __init__(self, held: Held, rows: Ints, width: int) -> None:
        self.held, self.rows, self.width = held, rows, width

    def take(self, rows: Ints) -> Floats:
        asked = self.rows[rows]
        firsts = self.held.firsts
        own = by_piece(firsts, asked)
        given = {piece: (asked[at] - firsts[piece],) for piece, at in own.items()}
        out = np.empty((len(rows), self.width), np.float32)
        for piece, found in self.held.ask_some("at", given).items():
            out[own[piece]] = found
        return out

    def nearest(self, centres: Floats) -> Floats:
        squared: Floats = np.concatenate(self.held.ask("nearest", centres))
        return squared[self.rows]
