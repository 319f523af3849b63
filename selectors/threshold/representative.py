"""`representative`: one item of each group of duplicates, and every item that has none."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Budget, Selection, View
from curate.errors import UnknownNameError
from curate.selectors.threshold.order import capacity, columns_of, numbers
from curate.selectors.threshold.top import top_rows
from curate.selectors.threshold.uniform import draw_seed, random_rows

__all__ = ["Representative"]


@dataclass(frozen=True)
class Representative:
    """Chooses one item of each group of duplicates, and every item that has none.

    Those are the items whose duplicate `flag` is false.
    Items without a verdict (null) are left out. Without a budget all are chosen; with one, those with the highest
    `by` (an expression), or a random draw if there is none. `group` names the column with the group's
    identity for the reasons; by default `<flag>_group`, where it exists.
    """

    flag: str = "near_duplicate"
    by: str | None = None
    group: str | None = None

    name: ClassVar[str] = "representative"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        by = columns_of(self.by) if self.by else ()
        return ("id", self.flag, *by, *((self.group,) if self.group else ()))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        start, seed = time.perf_counter(), draw_seed(rng)
        if self.flag not in view.columns:
            raise UnknownNameError("column", self.flag, view.columns, "Run the scorer that writes it first.")
        flags = numbers(view.to_arrow([self.flag]).column(0), self.flag)
        ids = view.to_arrow(["id"]).column("id")
        values = numbers(view.compute(self.by), self.by) if self.by else None
        usable = flags == 0 if values is None else (flags == 0) & ~np.isnan(values)
        rows = np.flatnonzero(usable)
        count = (
            len(rows) if budget is None else capacity(budget, len(view), len(rows), f"{self.flag} = false")
        )
        kept = ids.take(pa.array(rows))
        order = random_rows(kept, count, seed) if values is None else top_rows(values[rows], kept, count)
        rows = rows[order]
        known = ~np.isnan(flags)
        return Selection(
            rows,
            gain=values[rows].astype(np.float32) if values is not None else None,
            reason=self._reasons(view, rows),
            seed=seed,
            seconds=time.perf_counter() - start,
            random={"objective": 1.0, "random": float((flags[known] == 0).mean())} if len(rows) else {},
        )

    def _reasons(self, view: View, rows: npt.NDArray[np.int64]) -> list[str] | str:
        import polars as pl

        column = self.group or f"{self.flag}_group"
        if column not in view.columns:
            return f"not {self.flag}"
        group = pl.Series("group", view.take(rows, [column]).column(0))
        told = pl.format("representative of group {}", pl.col("group")).fill_null(f"not {self.flag}")
        return pl.DataFrame({"group": group}).select(reason=told)["reason"].to_list()
