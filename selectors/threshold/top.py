"""`top`: the items with the highest value of an expression."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curate.contracts import Budget, Selection, View
from curate.selectors.threshold.order import Ids, ViewIds, ascending, capacity, columns_of, numbers, some

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
        values = numbers(view.compute(self.by), self.by, compact=True)
        known = int(np.count_nonzero(~np.isnan(values)))
        count = capacity(budget, len(view), known, f"a value of {self.by!r}")
        rows = top_rows(values, ViewIds(view), count, self.lowest)
        gain = values[rows].astype(np.float32, copy=False)
        end = "lowest" if self.lowest else "highest"
        random = {}
        with np.errstate(invalid="ignore"):  # infinities of both signs have no mean
            chance = float(np.nansum(values, dtype=np.float64)) / max(known, 1)
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
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    known = len(values) - int(np.count_nonzero(np.isnan(values)))
    count = min(count, known)
    if not count:
        return np.empty(0, np.int64)
    place = count - 1 if lowest else known - count  # NaN is partitioned to the end
    last = np.partition(values, place)[place]
    rows = np.flatnonzero(values <= last if lowest else values >= last)
    keys = values[rows]
    return rows[ascending(keys if lowest else -keys, some(ids, rows), count)]
