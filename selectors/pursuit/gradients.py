"""A column of gradients of a view as a pursuit reads it: by pieces, in place, without the rows that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import Held, Vectors, View
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.fitting import (
    Blanked,
    open_vectors,
    order_by_id,
    piece_rows,
    read_labels,
    read_vectors,
    without_lists,
)
from curate.selectors.pursuit.sources import Shard
from curate.selectors.pursuit.trajectory import Trajectory, usual_product

__all__ = ["Aims", "PieceShard", "hold_column", "open_column", "read_aims"]

Doubles = npt.NDArray[np.float64]
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
                f"none of {counted(len(view), 'item')} has finite {column!r}: there is nothing to choose from"
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


class Aims(NamedTuple):
    """The items (t,) of a target: `gradients` (t, D), of which the target is the mean, and `as_pool` (t, D), of the pool's
    kind; `of` (t,) the number of the task of each among `names`."""

    gradients: Doubles
    as_pool: Doubles
    of: Ints
    names: tuple[str, ...]

    def means(self) -> Doubles:
        """The target (m, D) of each task."""
        return np.stack([self.gradients[self.of == j].mean(axis=0) for j in range(len(self.names))])

    def least(self, path: Trajectory, share: float) -> list[float]:
        """Which product with each task's target, as gradients count, a `share` of its items do not exceed."""
        rows, own = path.bring(self.gradients), path.bring(self.as_pool)
        tasks = [self.of == j for j in range(len(self.names))]
        return [usual_product(rows[mine], share, as_pool=own[mine]) for mine in tasks]


def read_aims(view: View, rows: Ints, as_pool: Doubles, columns: tuple[str | None, str | None]) -> Aims:
    """The target's items `rows`, whose gradients of the pool's kind are `as_pool`. `columns` hold what they have as a target,
    None for the same, and their tasks, None for one; items without a task (null) are one, named "".

    Raises InputError where no item is left that has finite gradients, or these are not as wide as the pool's.
    """
    apart, tasks = columns
    gradients = as_pool
    if apart is not None:
        gradients = np.asarray(read_vectors(view, apart, rows), np.float64)
        if gradients.shape[1] != as_pool.shape[1]:
            raise InputError(
                f"{apart!r} is {gradients.shape[1]} wide, gradients of the pool {as_pool.shape[1]}: one projection of the same "
                "parameters at the same checkpoints is meant"
            )
        kept = np.isfinite(gradients).all(axis=1)
        rows, gradients, as_pool = rows[kept], gradients[kept], as_pool[kept]
    if not len(rows):
        raise InputError(
            "no item of the target has finite gradients: say which items stand for what is to be learnt"
        )
    if tasks is None:
        return Aims(gradients, as_pool, np.zeros(len(rows), np.int64), ("",))
    labels = np.array(read_labels(view, tasks, rows).fill_null("").to_pylist(), str)
    names, codes = np.unique(labels, return_inverse=True)
    return Aims(gradients, as_pool, codes, tuple(str(name) for name in names))
