"""`top`: the items with the highest value of an expression."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curate.contracts import Budget, Selection, View
from curate.selectors.threshold.order import Ids, ViewIds, capacity, columns_of, number_pieces
from curate.selectors.threshold.ranking import leading, ranked

__all__ = ["Top", "top_rows"]


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

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", *columns_of(self.by))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        start = time.perf_counter()
        pieces = number_pieces(view.compute(self.by), self.by, compact=True)
        known = sum(len(piece) - int(np.count_nonzero(np.isnan(piece))) for piece in pieces)
        count = capacity(budget, len(view), known, f"a value of {self.by!r}")
        random = {}
        with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
            chance = float(sum(np.nansum(piece, dtype=np.float64) for piece in pieces)) / max(known, 1)
        best = leading(pieces, count, self.lowest)
        del pieces  # the values of all rows: the largest thing here
        rows, values = best.in_order(ViewIds(view))
        del best
        gain = values.astype(np.float32, copy=False)
        end = "lowest" if self.lowest else "highest"
        if count and np.isfinite(chance):
            random = {"objective": float(gain.mean(dtype=np.float64)), "random": chance}
        return Selection(
            rows,
            gain=gain if np.isfinite(gain).all() else None,
            reason=f"among the {count} {end} of {len(view)} by {self.by}",
            seconds=time.perf_counter() - start,
            random=random,
        )


def top_rows(values: npt.NDArray[Any], ids: Ids, count: int, lowest: bool = False) -> npt.NDArray[np.int64]:
    """The `count` rows with the highest (or lowest) values, best first, ties by id; NaN never.

    `values` (n,) numbers, `ids` (n,) unique strings (an Arrow array, or `ViewIds`). Returns (at most count,) int64.
    """
    values = values if values.dtype.kind == "f" and values.itemsize >= 4 else values.astype(np.float64)
    return ranked([values], ids, count, lowest)[0]
