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
        values = numbers(view.compute(self.by), self.by)
        known = ~np.isnan(values)
        count = capacity(budget, len(view), int(known.sum()), f"a value of {self.by!r}")
        rows = top_rows(values, ViewIds(view), count, self.lowest)
        gain = values[rows].astype(np.float32)
        end = "lowest" if self.lowest else "highest"
        random = {}
        if count and np.isfinite(values[known]).all():
            random = {"objective": float(values[rows].mean()), "random": float(values[known].mean())}
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
    keys = values.astype(np.float64) if lowest else -values.astype(np.float64)
    rows = np.flatnonzero(~np.isnan(keys))
    return rows[ascending(keys[rows], ids if len(rows) == len(keys) else some(ids, rows), count)]
