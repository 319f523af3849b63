"""Who must, may and must not be chosen, at what cost and out of which group: the same for every selector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing.budgets import Balance, allot, capacity, cost_budget, level
from curate.contracts import Budget
from curate.counting import counted
from curate.errors import InputError

__all__ = ["Account", "Constraints", "Terms", "at_random", "highest", "in_order"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Constraints:
    """What a choice among the rows 0 ... n - 1 of an array must hold to. Without any, it is the budget alone.

    `mandatory` (m,) rows that are chosen before all others and in this order; they count in the budget. An earlier
                selection is continued by giving it here.
    `forbidden` (f,) rows that are never chosen.
    `cost`      (n,) positive: the budget is then in its units (a fraction or a percentage: of the whole cost), and
                greedy selectors go by gain per cost.
    `group`     (n,) codes from 0 on: each group gets its own share of the budget, by `balance`: "proportional" to how
                much it holds, or "equal", what a small one cannot use going to the others.
    `quota`     (groups,) shares of the budget given outright instead.
    """

    mandatory: npt.NDArray[Any] | None = None
    forbidden: npt.NDArray[Any] | None = None
    cost: npt.NDArray[Any] | None = None
    group: npt.NDArray[Any] | None = None
    balance: Balance = "proportional"
    quota: npt.NDArray[Any] | None = None

    def terms(self, n: int, budget: Budget | None) -> Terms:
        """These constraints and a budget as plain arrays. Raises InputError where nothing could hold to them."""
        if not n:
            raise InputError(f"budget {budget!r}: 0 items are there to choose from, so none can be chosen")
        first = _rows(self.mandatory, n, "mandatory")
        banned = np.zeros(n, bool)
        banned[_rows(self.forbidden, n, "forbidden")] = True
        clash = first[banned[first]]
        if len(clash):
            raise InputError(
                f"{counted(len(clash), 'row is', 'rows are')} both mandatory and forbidden, as {_some(clash)}: each "
                "can be only one of the two"
            )
        group = _codes(self.group, n)
        cost = np.ones(n) if self.cost is None else _costs(self.cost, n)
        if self.cost is None:
            spend: float = capacity(budget, n, int(n - banned.sum()), "leave to be chosen")
        else:
            spend = min(cost_budget(budget, float(cost.sum())), float(cost[~banned].sum()))
        used = float(cost[first].sum())
        if used > spend * (1 + 1e-12):
            raise InputError(
                f"the {counted(len(first), 'mandatory row takes', 'mandatory rows take')} {used:g} and the budget is "
                f"{spend:g}: raise it, or ask for fewer"
            )
        left = self._shares(cost, group, ~banned, spend)
        spent = _held(group[first], cost[first], len(left))
        over = np.flatnonzero(spent > left * (1 + 1e-12))
        if len(over):
            if self.quota is not None:
                raise InputError(
                    f"the mandatory rows of group {over[0]} take {spent[over[0]]:g}, its quota is {left[over[0]]:g}"
                )
            left = _make_room(left, spent)
        banned[first] = True
        return Terms(first, ~banned, cost, group, np.maximum(left - spent, 0.0), spend)

    def _shares(self, cost: Floats, group: Ints, allowed: npt.NDArray[np.bool_], spend: float) -> Floats:
        count = int(group.max(initial=0)) + 1
        if self.quota is not None:
            quota = np.asarray(self.quota, np.float64)
            if quota.shape != (count,) or not (quota >= 0).all():
                raise InputError(
                    f"quota {quota.tolist()}: one number from 0 on for each of {counted(count, 'group')}"
                )
            if quota.sum() > spend * (1 + 1e-12):
                raise InputError(f"the quotas come to {quota.sum():g} and the budget is {spend:g}")
            return quota
        if count == 1:
            return np.array([spend])
        held = _held(group[allowed], cost[allowed], count)
        if self.cost is None:
            return allot(held.astype(np.int64), round(spend), self.balance).astype(np.float64)
        return held * (spend / held.sum()) if self.balance == "proportional" else level(held, spend)


class Terms(NamedTuple):
    """Constraints and a budget as plain arrays, ready for a loop.

    `first` (m,) mandatory rows in order. `open` (n,) what else may be chosen. `cost` (n,), all 1 where none was given.
    `group` (n,) codes. `left` (groups,) what each group may still spend after the mandatory rows. `spend` the budget.
    """

    first: Ints
    open: npt.NDArray[np.bool_]
    cost: Floats
    group: Ints
    left: Floats
    spend: float

    @property
    def plain(self) -> bool:
        """Whether every item costs 1 and there are no groups: the budget is a count, and nothing closes before it."""
        return len(self.left) == 1 and bool((self.cost == 1).all())

    @property
    def most(self) -> int:
        """No choice holds more rows than that: for the room of answers."""
        fits = np.zeros(len(self.left), np.int64)
        for g in range(len(self.left)):
            costs = np.sort(self.cost[self.open & (self.group == g)])
            fits[g] = np.searchsorted(np.cumsum(costs), self.left[g] * (1 + 1e-9), side="right")
        return len(self.first) + int(fits.sum())


class Account:
    """What may still be chosen, as a choice grows: `open` (n,) bool."""

    def __init__(self, terms: Terms) -> None:
        self.left = terms.left.copy()
        self._free, self._terms = terms.open.copy(), terms
        self._slack = 1e-9 * max(terms.spend, 1.0)
        self._dearest = float(terms.cost.max(initial=0.0))

    @property
    def open(self) -> npt.NDArray[np.bool_]:
        """Rows that are free, and cost no more than their group has left."""
        left = self.left + self._slack
        if (left >= self._dearest).all():
            return self._free
        return self._free & (self._terms.cost <= left[self._terms.group])

    def take(self, row: int) -> None:
        """This row, which was open, is chosen."""
        self._free[row] = False
        self.left[self._terms.group[row]] -= self._terms.cost[row]

    def give_back(self, row: int) -> None:
        """This row, which was taken, is free again."""
        self._free[row] = True
        self.left[self._terms.group[row]] += self._terms.cost[row]

    def __bool__(self) -> bool:
        return bool(self.open.any())


def in_order(terms: Terms, rows: Ints) -> Ints:
    """The mandatory rows, then of `rows`, best first, those open ones that fit one after the other.

    A row that costs more than its group has left then is passed over.
    """
    places, left = np.flatnonzero(terms.open[rows]), terms.left + 1e-9 * max(terms.spend, 1.0)
    taken = np.zeros(len(rows), bool)
    while len(places):
        places = places[np.argsort(terms.group[rows[places]], kind="stable")]
        cost, group = terms.cost[rows[places]], terms.group[rows[places]]
        spent = np.cumsum(cost)
        starts = np.searchsorted(group, np.arange(len(left)))
        spent -= np.concatenate([[0.0], spent])[starts][group]  # within the group
        fits = spent <= left[group]
        taken[places[fits]] = True
        left = left - np.bincount(group[fits], cost[fits], len(left))
        places = np.sort(places[~fits & (cost <= left[group])])
    return np.concatenate([terms.first, rows[taken]])


def highest(terms: Terms, keys: npt.NDArray[Any]) -> Ints:
    """The rows of the highest keys (n,) that the terms allow, equal ones by row, mandatory ones first.

    The order is that of the keys alone: where items have costs, divide by them first if that is meant.
    """
    return in_order(terms, np.argsort(-as_floats(keys, "keys"), kind="stable"))


def at_random(terms: Terms, rng: np.random.Generator) -> Ints:
    """Rows chosen at random under the same terms, the mandatory ones first: what any objective is held against."""
    return in_order(terms, rng.permutation(len(terms.open)))


def _rows(rows: npt.NDArray[Any] | None, n: int, what: str) -> Ints:
    if rows is None:
        return np.empty(0, np.int64)
    rows = np.asarray(rows)
    if rows.dtype == bool and rows.shape == (n,):
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise InputError(
            f"{what} rows {rows.dtype}, shape {rows.shape}: row numbers are meant, or a truth value for each of {n}"
        )
    wrong = rows[(rows < 0) | (rows >= n)]
    if len(wrong):
        raise InputError(f"{what} rows {_some(wrong)} are not among the {counted(n, 'row')} there are")
    named = np.zeros(n, np.bool_)
    named[rows] = True
    if np.count_nonzero(named) != len(rows):
        raise InputError(f"{what} rows name a row twice")
    return rows.astype(np.int64)


def _codes(group: npt.NDArray[Any] | None, n: int) -> Ints:
    if group is None:
        return np.zeros(n, np.int64)
    group = np.asarray(group)
    if group.shape != (n,) or group.dtype.kind not in "iu" or (n and group.min() < 0):
        raise InputError(
            f"group {group.dtype}, shape {group.shape}: a code from 0 on for each of {counted(n, 'row')}"
        )
    return group.astype(np.int64)


def _costs(cost: npt.NDArray[Any], n: int) -> Floats:
    cost = as_floats(cost, "cost")
    if cost.shape != (n,):
        raise InputError(f"cost has shape {cost.shape}: one for each of {counted(n, 'row')}")
    bad = np.flatnonzero(~(np.isfinite(cost) & (cost > 0)))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'cost is no positive number', 'costs are not positive numbers')}, as {cost[bad[0]]} "
            f"of row {bad[0]}"
        )
    return cost


def _held(group: Ints, cost: Floats, count: int) -> Floats:
    return np.bincount(group, cost, count).astype(np.float64)


def _make_room(left: Floats, spent: Floats) -> Floats:
    """Shares of at least what mandatory rows take of each group, the rest giving way in proportion."""
    over = spent > left
    short = float((spent - left)[over].sum())
    free = np.where(over, 0.0, left - spent)
    scaled = free * (1 - short / free.sum()) if free.sum() > 0 else free
    if (left == np.floor(left)).all():  # whole numbers stay whole: the largest remainders get the last ones
        whole = np.floor(scaled + 1e-9)
        extra = round(float(scaled.sum() - whole.sum()))
        whole[np.argsort(whole - scaled, kind="stable")[:extra]] += 1
        scaled = whole
    return spent + scaled


def _some(rows: npt.NDArray[Any]) -> str:
    return ", ".join(map(str, rows[:5].tolist())) + (", ..." if len(rows) > 5 else "")
