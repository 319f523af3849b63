"""`stratified`: a draw that keeps, or evens out, the shares of groups."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.choosing import Balance, allot, capacity, draw_seed, strata
from curate.contracts import Budget, Selection, View
from curate.errors import InputError
from curate.selectors.threshold.grouped import PIECE, GroupedPiece, Merged, SomeIds, drawn_groups, lowest_rows
from curate.selectors.threshold.order import Ids, ascending, columns_of

__all__ = ["Balance", "Stratified", "allot", "stratified_rows"]


@dataclass(frozen=True)
class Stratified:
    """Chooses so many of each stratum at random, or the best of each.

    A stratum is the items that agree in the column or columns `by`; null is a value of its own.
    `balance` "proportional" keeps the strata's shares (largest remainders); "equal" gives each the same number,
    and what a small stratum cannot use goes to the others. Within a stratum items are drawn at random, or, with
    `prefer` (an expression), the highest are taken: items for which it is null are then out of the question.
    `reweight` gives each item the weight that undoes the sampling: its stratum's share before, divided by its
    share after, mean 1. Ranks run through the strata in turn, so that every head of the selection is balanced too.
    """

    by: str | tuple[str, ...]
    balance: Balance = "proportional"
    prefer: str | None = None
    reweight: bool = False

    name: ClassVar[str] = "stratified"
    version: ClassVar[int] = 1
    budgeted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.by:
            raise InputError("stratified: `by` is empty: name a column or several, such as 'label'")

    @property
    def strata(self) -> tuple[str, ...]:
        """The columns whose values make a stratum."""
        return (self.by,) if isinstance(self.by, str) else tuple(self.by)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id", *self.strata, *(columns_of(self.prefer) if self.prefer else ()))

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        start, seed = time.perf_counter(), draw_seed(rng)
        with view.resident(partial(GroupedPiece, self.strata, seed, self.prefer), PIECE) as held:
            held.tell("group", {})
            names: list[str] = []

            def code(table: pa.Table) -> npt.NDArray[np.int64]:
                codes, found = strata(table, self.strata)
                names.extend(found)
                return codes

            merged = Merged.of(held.ask("groups"), code)
            sizes = merged.sizes
            count = capacity(budget, len(view), int(sizes.sum()), f"a value of {self.prefer!r}")
            quotas = allot(sizes, count, self.balance)
            found = lowest_rows(held, merged, quotas)
            drawn = drawn_groups(held, merged, count, view)
        at = stratified_rows(found.groups, found.keys, SomeIds(view, found.rows), quotas)
        codes = found.groups[at]
        target = sizes / max(1, sizes.sum()) if self.balance == "proportional" else quotas / max(1, count)
        return Selection(
            found.rows[at],
            weight=_weights(codes, sizes, quotas) if self.reweight else None,
            gain=(-found.keys[at]).astype(np.float32) if self.prefer else None,
            reason=_reasons(codes, names, quotas, sizes),
            seed=seed,
            seconds=time.perf_counter() - start,
            random={"objective": _agreement(codes, target), "random": _agreement(drawn, target)},
        )


def stratified_rows(
    codes: npt.NDArray[np.int64],
    keys: npt.NDArray[Any],
    ids: Ids,
    quotas: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Of each stratum the `quotas[code]` rows with the lowest keys, ties by id; strata take turns in the result.

    `codes` (n,) stratum of each row, `keys` (n,) numbers, `ids` (n,) unique strings. Returns int64 rows.
    """
    rows = ascending(keys, ids)
    rows = rows[np.argsort(codes[rows].astype(np.min_scalar_type(len(quotas))), kind="stable")]
    ordered = codes[rows]
    starts = np.searchsorted(ordered, np.arange(len(quotas)))
    place = np.arange(len(ordered)) - starts[ordered]
    kept = place < quotas[ordered]
    turn = (place[kept] + 0.5) / quotas[ordered[kept]]
    result: npt.NDArray[np.int64] = rows[kept][np.lexsort((ordered[kept], turn))]
    return result


def _weights(
    codes: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], quotas: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    weight = (sizes / np.maximum(quotas, 1))[codes]
    return (weight / weight.mean()).astype(np.float32) if len(weight) else weight.astype(np.float32)


def _reasons(
    codes: npt.NDArray[np.int64],
    names: Sequence[str],
    quotas: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
) -> list[str]:
    texts = [f"one of {q} of {n} with {name}" for name, q, n in zip(names, quotas, sizes, strict=True)]
    return np.array(texts, object)[codes].tolist() if len(codes) else []


def _agreement(codes: npt.NDArray[np.int64], target: npt.NDArray[np.float64]) -> float:
    """1 - total variation distance between the strata's shares and those aimed at: 1 is exact, 0 is disjoint."""
    shares = np.bincount(codes, minlength=len(target)) / max(1, len(codes))
    return float(1 - 0.5 * np.abs(shares - target).sum())
