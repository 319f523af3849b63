"""`top`: the items with the highest value of an expression."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curate.contracts import Budget, Selection, View
from curate.selectors.threshold.order import Ids, ViewIds, capacity, columns_of, number_pieces
from curate.selectors.threshold.ranking import Ranks, leading, ranked
from curate.spool import blocks

__all__ = ["Top", "top_rows"]

_PIECE = 1 << 20
"""Rows, about, whose values are read at once."""
_MOST = 128
"""Pieces at most: each may have a few files open."""


@dataclass(frozen=True)
class Top:
    """Chooses the items with the highest value of an expression.

    `by` is an expression over columns; with `lowest`, the lowest are chosen.
    An item for which `by` is null or NaN is never chosen. Equal values go by id. The gain is the value itself.
    A fraction is one of all items; a count that fewer items can fill is an error.
    """

    by: str
    lowest: bool = False

    name: ClassVar[str] = "top"
    version: ClassVar[int] = 1
    budgeted: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", *columns_of(self.by))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        start = time.perf_counter()
        with view.resident(partial(_read, self.by, self.lowest), max(_PIECE, len(view) // _MOST)) as held:
            totals = held.ask("total")
            known = sum(count for count, _, _ in totals)
            count = capacity(budget, len(view), known, f"a value of {self.by!r}")
            best = leading(held, len(view), count, self.lowest)
            rows, values = best.in_order(ViewIds(view), view.scratch)
        chance = sum(total for _, total, _ in totals) / max(known, 1)
        gain, random = values.astype(np.float32, copy=False), {}
        end = "lowest" if self.lowest else "highest"
        if count and np.isfinite(chance):
            random = {"objective": float(gain.mean(dtype=np.float64)), "random": chance}
        finite = all(np.isfinite(some).all() for some in blocks(gain))
        return Selection(
            rows,
            gain=gain if finite else None,
            reason=f"among the {count} {end} of {len(view)} by {self.by}",
            seconds=time.perf_counter() - start,
            random=random,
        )


def _read(by: str, lowest: bool, piece: View, first: int) -> Ranks:
    values = number_pieces(piece.compute(by), by, compact=True)
    return Ranks(values, first, ViewIds(piece), lowest, scratch=piece.scratch)


def top_rows(values: npt.NDArray[Any], ids: Ids, count: int, lowest: bool = False) -> npt.NDArray[np.int64]:
    """The `count` rows with the highest (or lowest) values, best first, ties by id; NaN never.

    `values` (n,) numbers, `ids` (n,) unique strings (an Arrow array, or `ViewIds`). Returns (at most count,) int64.
    """
    values = values if values.dtype.kind == "f" and values.itemsize >= 4 else values.astype(np.float64)
    return ranked([values], ids, count, lowest)[0]
