"""Budgets, costs, groups, and who must or must not be chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.choosing import Account, Constraints, at_random, highest
from curate.errors import InputError
from curate.selectors.coreset import facility_location

COST = np.array([1.0, 2.0, 3.0, 4.0])


def test_without_constraints_a_budget_is_a_count() -> None:
    terms = Constraints().terms(10, "30%")
    assert terms.plain and terms.most == 3
    assert terms.left.tolist() == [3.0]
    assert terms.open.all()


def test_mandatory_rows_count_and_forbidden_rows_are_closed() -> None:
    terms = Constraints(mandatory=np.array([4, 1]), forbidden=np.array([0])).terms(5, 3)
    assert terms.first.tolist() == [4, 1]
    assert terms.left.tolist() == [1.0]
    assert terms.open.tolist() == [False, False, True, True, False]
    assert terms.most == 3


def test_truth_values_name_rows_too() -> None:
    terms = Constraints(mandatory=np.array([False, True, False])).terms(3, 2)
    assert terms.first.tolist() == [1]


@pytest.mark.parametrize(
    ("constraints", "budget", "match"),
    [
        (Constraints(np.array([1]), np.array([1])), 2, "both mandatory and forbidden, as 1"),
        (Constraints(np.array([0, 1, 2])), 2, "mandatory rows take 3 and the budget is 2"),
        (Constraints(forbidden=np.array([0, 1])), 3, "only 2 of 4"),
        (Constraints(np.array([4])), 2, "rows 4 are not among the 4"),
        (Constraints(np.array([1, 1])), 2, "twice"),
        (Constraints(np.array([0.5])), 2, "row numbers are meant"),
        (Constraints(cost=np.array([1.0, 0.0, 2.0, 1.0])), 2, "1 cost is no positive number, as 0.0 of row 1"),
        (Constraints(cost=COST), 11, "the cost of all items is 10"),
        (Constraints(cost=COST), 0, "is not an amount"),
        (Constraints(cost=COST), True, "is not an amount"),
        (Constraints(cost=COST), "much", "is not an amount"),
        (Constraints(cost=COST[:2]), 1, "one for each of 4 rows"),
        (Constraints(group=np.array([0, 0, -1, 0])), 1, "a code from 0 on"),
        (Constraints(group=np.array([0, 0, 1, 1]), quota=np.array([2])), 2, "each of 2 groups"),
        (Constraints(group=np.array([0, 0, 1, 1]), quota=np.array([2, 1])), 2, "quotas come to 3"),
        (
            Constraints(np.array([0, 1]), group=np.array([0, 0, 1, 1]), quota=np.array([1, 1])),
            2,
            "group 0 take 2, its quota is 1",
        ),
        (Constraints(), 0, "budget 0"),
        (Constraints(), 5, "budget 5"),
        (Constraints(), None, "a budget is needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_to_is_an_error(constraints: Constraints, budget: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        constraints.terms(4, budget)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [1, 0.5, "10%"])
def test_of_nothing_nothing_can_be_chosen(budget: Any) -> None:
    with pytest.raises(InputError, match="0 items are there to choose from, so none can be chosen"):
        Constraints().terms(0, budget)
    with pytest.raises(InputError, match="0 items are there to choose from"):
        facility_location(np.zeros((0, 3)), budget)


def test_a_budget_of_cost_is_an_amount_or_a_share_of_the_whole() -> None:
    budgets = [(Constraints(cost=COST).terms(4, b).spend) for b in (5, 2.5, 0.5, "20%", "7")]
    assert budgets == [5.0, 2.5, 5.0, 2.0, 7.0]


def test_costs_are_shared_by_groups() -> None:
    cost, group = np.array([1.0, 1.0, 8.0]), np.array([0, 0, 1])
    assert Constraints(cost=cost, group=group).terms(3, 5).left.tolist() == [1.0, 4.0]
    assert Constraints(cost=cost, group=group, balance="equal").terms(3, 6).left.tolist() == [2.0, 4.0]
    assert Constraints(cost=cost, group=group, balance="equal").terms(3, 2).left.tolist() == [1.0, 1.0]


def test_groups_give_way_to_mandatory_rows() -> None:
    group = np.repeat([0, 1], 10)
    terms = Constraints(mandatory=np.arange(4), group=group).terms(20, 6)
    assert terms.left.tolist() == [0.0, 2.0]  # 3 and 3 by right; four of group 0 are set


def test_an_account_closes_what_no_longer_fits() -> None:
    terms = Constraints(cost=COST, group=np.array([0, 0, 1, 1])).terms(4, 10)
    account = Account(terms)
    assert account.open.all()  # 3 and 7
    account.take(0)
    assert account.open.tolist() == [False, True, True, True]
    account.take(3)
    assert account.open.tolist() == [False, True, True, False]
    account.take(2)
    account.take(1)
    assert not account
    account.give_back(1)
    assert account.open.tolist() == [False, True, False, False]


def test_the_highest_that_fit_by_hand() -> None:
    keys = np.array([1.0, 5, 5, 3, 4])
    assert highest(Constraints().terms(5, 3), keys).tolist() == [1, 2, 4]
    must = Constraints(np.array([0]), np.array([1]))
    assert highest(must.terms(5, 3), keys).tolist() == [0, 2, 4]
    groups = Constraints(group=np.array([0, 1, 1, 1, 0]), balance="equal")
    assert highest(groups.terms(5, 2), keys).tolist() == [1, 4]
    dear = Constraints(cost=np.array([1.0, 2, 3, 1, 1]))
    assert highest(dear.terms(5, 4), keys).tolist() == [1, 4, 3]  # 3 more do not fit, two of 1 do


@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.booleans())
def test_random_choices_hold_to_the_terms(n: int, seed: int, costs: bool, groups: bool, must: bool) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(1, 5, n).astype(float) if costs else None
    group = rng.integers(0, 3, n) if groups else None
    banned = np.flatnonzero(rng.random(n) < 0.2)
    free = np.setdiff1d(np.arange(n), banned)
    first = free[:1] if must else np.empty(0, np.int64)
    whole = float((np.ones(n) if cost is None else cost).sum())
    least = float((np.ones(n) if cost is None else cost)[first].sum())
    budget = int(rng.integers(max(1, least), max(2, (whole if costs else max(1, len(free))) + 1)))
    if not len(free) or (not costs and budget > len(free)):
        return
    terms = Constraints(first, banned, cost, group).terms(n, budget)
    rows = at_random(terms, rng)
    assert len(np.unique(rows)) == len(rows) <= terms.most
    assert rows[: len(first)].tolist() == first.tolist()
    assert not np.isin(rows, banned).any()
    assert terms.cost[rows].sum() <= terms.spend + 1e-6
    if not costs:
        assert len(rows) == budget
    spent = np.bincount(terms.group[rows[len(first) :]], terms.cost[rows[len(first) :]], len(terms.left))
    assert (spent <= terms.left + 1e-6).all()
    account = Account(terms)
    for row in rows[len(first) :]:
        assert account.open[row]
        account.take(int(row))
