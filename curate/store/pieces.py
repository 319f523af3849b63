"""A view in pieces, and a view that is sent elsewhere: to another process, or to another machine that sees the same folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate import pieces
from curate.contracts import PIECE_ROWS
from curate.pieces import Piece
from curate.store.parts import Part
from curate.store.rows import LazyRows
from curate.store.rowset import RowSet

if TYPE_CHECKING:
    from curate.store.store import PartStore
    from curate.store.view import StoreView

Steps = tuple[tuple[Any, ...], ...]
Bits = tuple[int, int, npt.NDArray[np.uint8]]
"""First seq, how many there are, and a bit for each."""


def cut(view: StoreView, known: RowSet | None, asked: int | None) -> list[Piece]:
    """Runs of parts with about so many of the view's rows each; `known` are these rows, None all of its parts."""
    parts = view.query.parts
    sizes = [p.rows if known is None else known.count(p.seq_lo, p.seq_lo + p.rows) for p in parts]
    found, first = [], 0
    for start, stop in pieces.cut(sizes, asked or PIECE_ROWS):
        rows = sum(sizes[start:stop])
        found.append(Piece(settled(view, known, parts[start:stop], first), first, rows))
        first += rows
    return found


def settled(view: StoreView, known: RowSet | None, parts: Sequence[Part], first: int = 0) -> StoreView:
    """The view's rows that lie in these of its parts, which nobody has to look for again."""
    query = replace(view.query, parts=tuple(parts), predicates=(), limit=None)
    sets = () if known is None else (LazyRows(lambda: known.among(parts)),)
    return type(view)(view.home, view.layout, query, sets, (*view.steps, ("rows", first)))


def packed(known: RowSet | None) -> Bits | None:
    """A row set, small enough to be sent."""
    return None if known is None else (known.start, len(known.flags), np.packbits(known.flags))


def reopened(path: str, version: int, parts: tuple[str, ...], chosen: Bits | None, steps: Steps) -> StoreView:
    """A view that was sent here: the names of its parts, and which of their rows are in it."""
    whole, wanted = _opened(path).view(version), set(parts)
    query = replace(whole.query, parts=tuple(p for p in whole.query.parts if p.part_id in wanted))
    if chosen is None:
        return replace(whole, query=query, sets=(), steps=steps)
    start, size, bits = chosen
    known = RowSet(start, np.unpackbits(bits, count=size).astype(np.bool_))
    return replace(whole, query=query, sets=(LazyRows(lambda: known),), steps=steps)


@lru_cache(maxsize=4)
def _opened(path: str) -> PartStore:
    from curate.store.store import PartStore

    return PartStore.open(path)
