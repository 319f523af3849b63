"""Reading the items of a view for a selector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from curate.choosing import Constrained, Constraints, Meter, Pool
from curate.contracts import Selection
from curate.errors import InputError
from curate.testing import ArrayView

VIEW = ArrayView(
    {
        "id": ["d", "c", "b", "a", "e"],
        "rank": [None, 2, 0, None, 1],
        "gold": [True, False, None, False, True],
        "tokens": [1.0, 2.0, None, 4.0, 5.0],
        "label": ["x", "y", "x", "y", "y"],
    },
    {"v": np.array([[0.0, 1], [1, 2], [2, 3], [np.nan, np.nan], [4, np.inf]])},
)


@dataclass(frozen=True)
class Some(Constrained):
    """A selector's fields."""

    by: str = "v"


def read(budget: object = 2, **fields: Any) -> Pool:
    return Some(**fields).pool(VIEW, budget, "v")  # type: ignore[arg-type]


def test_items_without_a_finite_vector_are_left_out_and_counted() -> None:
    pool = read()
    assert pool.rows.tolist() == [2, 1, 0]  # b, c, d
    assert pool.vectors.tolist() == [[2, 3], [1, 2], [0, 1]]
    assert (pool.unusable, pool.budget) == (2, 2)
    with pytest.raises(InputError, match="only 3 of 5 items have a finite 'v'"):
        read(4)
    assert read(1.0).budget == 3


def test_expressions_become_rows_in_the_order_of_ids() -> None:
    within = read(mandatory="gold and id <> 'e'", forbidden="label = 'y'", group="label").within
    assert within.mandatory is not None and within.forbidden is not None and within.group is not None
    assert within.mandatory.tolist() == [2]  # "d"
    assert within.forbidden.tolist() == [1]
    assert within.group.tolist() == [0, 1, 0]


def test_the_ranks_of_an_earlier_selection_give_its_order() -> None:
    within = read(mandatory="case when rank < 5 and id <> 'e' then -rank end").within
    assert within.mandatory is not None
    assert within.mandatory.tolist() == [1, 0]  # c, then b


def test_a_mandatory_item_without_a_vector_is_an_error() -> None:
    with pytest.raises(InputError, match="1 mandatory item cannot be chosen, as 'e'"):
        read(mandatory="gold")


def test_an_item_both_mandatory_and_forbidden_is_named_by_its_id() -> None:
    with pytest.raises(InputError, match="1 item is both mandatory and forbidden, as 'd'"):
        read(mandatory="gold and id <> 'e'", forbidden="label = 'x'")


def test_costs_count_and_items_without_one_are_left_out() -> None:
    pool = read("50%", cost="tokens")
    assert pool.rows.tolist() == [1, 0]
    assert pool.within.terms(2, pool.budget).spend == 1.5


def test_needs_are_all_columns_that_constraints_read() -> None:
    some = Some(mandatory="rank", forbidden="gold and rank > 1", cost="tokens", group=("label", "site"))
    assert some.constraint_columns == ("rank", "gold", "rank", "tokens", "label", "site")


def test_a_selection_points_at_the_view_and_says_what_was_left_out() -> None:
    pool = read(mandatory="rank < 1")
    chosen = pool.selection(Selection(np.array([0, 2])), "near the middle", Meter(), 7)
    assert chosen.index.tolist() == [2, 0]
    assert chosen.seed == 7 and chosen.seconds is not None and chosen.memory is not None
    note = "near the middle; 2 items without a finite 'v' could not be chosen"
    assert chosen.reason == ["mandatory", note]


def test_nothing_to_choose_from_is_an_error() -> None:
    with pytest.raises(InputError, match="none of 5 items"):
        Some().pool(VIEW, 1, values=("rank * null",))


def test_fields_are_plain_constraints_by_default() -> None:
    assert vars(read().within) == vars(Constraints())
