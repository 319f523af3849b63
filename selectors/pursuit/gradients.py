"""A column of gradients of a view as a pursuit reads it: by pieces, in place, without the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import Held, Vectors, View
from curate.errors import InputError, SchemaError
from curate.fitting import Blanked, open_vectors, order_by_id, piece_rows, read_labels, without_lists
from curate.selectors.pursuit.sources import Shard
from curate.selectors.pursuit.trajectory import Trajectory

__all__ = ["PieceShard", "hold_column", "open_column", "read_tasks"]

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def open_column(view: View, column: str) -> Blanked:
    """A column of vectors without reading it all, the rows that are null or not finite hidden.

    Plain lists of one length count, too. One pass over the rows.
    """
    inner, null = open_vectors(view, column)
    hidden = null.copy()
    start = 0
    for chunk in inner.chunks():
        step = max(1, (1 << 22) // max(1, chunk.shape[1]))
        for low in range(0, len(chunk), step):
            piece = chunk[low : low + step]
            wide = piece if piece.dtype.itemsize > 2 else piece.astype(np.float32)
            hidden[start : start + len(piece)] |= ~finite_rows(wide)
            start += len(piece)
    return Blanked(inner, hidden)


class PieceShard(Shard):
    """The gradients of one piece of a view, held where the piece is worked on. Of equal products the lower id goes first."""

    def __init__(self, piece: View, first: int, column: str) -> None:
        rank = np.empty(len(piece), np.int64)
        rank[order_by_id(piece)] = np.arange(len(piece))
        vectors, hidden = _opened(piece, column)
        super().__init__(vectors, first, first + len(piece), rank, first)
        self._hidden = np.packbits(hidden)

    def hidden(self) -> npt.NDArray[np.uint8]:
        """Which rows cannot be used, as bits."""
        return self._hidden

    def widen(self, width: int) -> None:
        """Be as wide as the others, where no row is known."""
        if not self.width:
            self.vectors = np.empty((0, width), np.float32)

    def take(self, rows: Ints) -> npt.NDArray[np.float64]:
        return super().take(rows) if len(self.vectors) else np.zeros((len(rows), self.width))

    def bring(self, path: Trajectory) -> None:
        """See rows from now on as they count."""
        self.vectors = path.brought(self.vectors)


@contextmanager
def hold_column(view: View, column: str) -> Iterator[tuple[Held, Mask]]:
    """A column as `PieceShard`s, while the block lasts, and (n,) which rows cannot be used.

    Raises InputError where there is no usable row.
    """
    with view.resident(partial(PieceShard, column=column), rows=piece_rows(view, column)) as held:
        sizes = np.diff([*held.firsts, len(view)])
        bits = zip(held.ask("hidden"), sizes.tolist(), strict=True)
        hidden = np.concatenate([np.unpackbits(packed, count=size) for packed, size in bits]).astype(bool)
        if hidden.all():
            raise InputError(
                f"none of {len(view)} items has finite {column!r}: there is nothing to choose from"
            )
        widths = {width for _, width in held.ask("extent")} - {0}
        if len(widths) > 1:
            raise SchemaError(
                f"column {column!r} holds lists of {sorted(widths)[:5]} numbers: one length is meant"
            )
        held.tell("widen", *widths)
        yield held, hidden


def _opened(piece: View, column: str) -> tuple[npt.NDArray[Any] | Vectors, Mask]:
    """A piece of a column, and which rows cannot be used. Lists of which none is there tell no width."""
    if without_lists(piece, column):
        return np.empty((0, 0), np.float32), np.ones(len(piece), bool)
    blanked = open_column(piece, column)
    return blanked, blanked.hidden


def read_tasks(view: View, rows: Ints, tasks: str | None) -> tuple[Ints, tuple[str, ...]]:
    """The number (t,) of the task of each of the target's items `rows`, and the tasks' names.

    Items without a task (null) are one, named "".
    """
    if tasks is None:
        return np.zeros(len(rows), np.int64), ("",)
    labels = np.array(read_labels(view, tasks, rows).fill_null("").to_pylist(), str)
    names, codes = np.unique(labels, return_inverse=True)
    return codes, tuple(str(name) for name in names)
