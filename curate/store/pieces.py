"""A view in pieces, and a view that is sent elsewhere: to another process, or to another machine that finds the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate import pieces
from curate.contracts import PIECE_ROWS
from curate.pieces import Piece
from curate.store.parts import Part
from curate.store.rows import LazyRows
from curate.store.rowset import RowSet
from curate.store.snapshot import Snapshot

if TYPE_CHECKING:
    from curate.store.view import StoreView

Steps = tuple[tuple[Any, ...], ...]
Bits = tuple[int, int, npt.NDArray[np.uint8]]
"""What a `RowSet` is made of."""


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
    return replace(view, query=query, sets=sets, steps=(*view.steps, ("rows", first)), crew=pieces.HERE)


def sent(view: StoreView, known: RowSet | None) -> tuple[Any, ...]:
    """How a view travels (`__reduce__`): what must be known of its parts to read them, and a bit for each row."""
    parts = view.query.parts
    bits = None if known is None else (known.start, known.stop, known.bits)
    names = tuple(part.part_id for part in parts)
    return _opened, (view.place or str(view.home.path), view.layout.excerpt(*parts), names, bits, view.steps)


def _opened(
    where: str, excerpt: Snapshot, names: tuple[str, ...], bits: Bits | None, steps: Steps
) -> StoreView:
    from curate.store.places import open_place
    from curate.store.view import StoreView

    whole, wanted = StoreView.over(open_place(where), excerpt), set(names)
    query = replace(whole.query, parts=tuple(p for p in excerpt.items if p.part_id in wanted))
    if bits is None:
        return replace(whole, query=query, steps=steps)
    known = RowSet(*bits)
    return replace(whole, query=query, sets=(LazyRows(lambda: known),), steps=steps)
