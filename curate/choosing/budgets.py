"""How many items, or how much cost, a budget means, and how it is shared among groups."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from curate.budgets import Budget, read_budget, resolve_budget
from curate.counting import counted
from curate.errors import InputError

__all__ = ["Balance", "allot", "capacity", "cost_budget", "level"]

Balance = Literal["proportional", "equal"]
Floats = npt.NDArray[np.float64]


def capacity(budget: Budget | None, total: int, available: int, what: str) -> int:
    """How many to choose where only `available` of `total` items have what it takes.

    A fraction is one of all items and stops at what is available; a count must be filled.
    Raises InputError as `resolve_budget` does, and for a count above `available`.
    """
    count = resolve_budget(budget, total)
    if count > available and read_budget(budget)[1] == "count":
        raise InputError(
            f"budget {count}: only {available} of {counted(total, 'item')} have {what}; ask for at most that"
        )
    return min(count, available)


def allot(
    sizes: npt.NDArray[np.int64], count: int, balance: Balance = "proportional"
) -> npt.NDArray[np.int64]:
    """How many to take of each stratum: (h,) int64, at most `sizes`, summing to `count`.

    Proportional: the method of largest remainders (Hamilton), in whole numbers; "equal": the same for each, what a
    small one cannot use shared by the rest, and the last few to the largest. Ties go to the earlier stratum.
    Raises InputError if `count` is more than there are.
    """
    sizes = np.asarray(sizes, np.int64)
    total = int(sizes.sum())
    if count > total:
        raise InputError(f"{counted(count, 'item')} asked for, the strata hold {total}")
    if count == 0:
        return np.zeros(len(sizes), np.int64)
    if balance == "proportional":
        floors, remainders = np.divmod(sizes * count, total)
        last = np.argsort(-remainders, kind="stable")[: count - int(floors.sum())]
        floors[last] += 1
        return floors
    levels = np.sort(
        sizes
    )  # the level L with sum(min(size, L)) <= count < sum(min(size, L + 1)), by bisection
    low, high = 0, int(levels[-1])
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= count else (low, middle - 1)
    quotas = np.minimum(sizes, low)
    open_ = np.argsort(-(sizes - quotas), kind="stable")[: count - int(quotas.sum())]
    quotas[open_] += 1
    return quotas


def cost_budget(budget: Budget | None, total: float) -> float:
    """How much a budget means in units of cost. A float up to 1 is a fraction, as elsewhere.

    Raises InputError as `read_budget`, and for more than the `total` of all items.
    """
    value, unit = read_budget(budget, whole=False)
    spend = {"count": value, "fraction": value * total, "percentage": value * (total / 100)}[unit]
    if spend > total * (1 + 1e-12):
        raise InputError(
            f"budget {budget!r}: the cost of all items is {total:g}, so above 0 and up to that can be spent"
        )
    return float(spend)


def level(held: Floats, spend: float) -> Floats:
    """Equal shares of `spend`, none above what is held: min(held, level) with the level that spends it all."""
    order = np.sort(held)
    before = np.concatenate([[0.0], np.cumsum(order)[:-1]])
    levels = (spend - before) / np.arange(len(held), 0, -1)
    fits = np.flatnonzero(levels <= order)
    level_: float = levels[fits[0]] if len(fits) else order[-1]
    return np.minimum(held, level_)
