"""What a budget says, wherever it is said: to a function, a component, a recipe or a command."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.budgets import read_budget, resolve_budget
from curate.choosing import capacity, cost_budget
from curate.console import amount
from curate.errors import InputError


@pytest.mark.parametrize(
    ("budget", "found", "of_forty"),
    [
        (5, (5, "count"), 5),
        (" 5 ", (5, "count"), 5),
        (np.int16(5), (5, "count"), 5),
        (0.25, (0.25, "fraction"), 10),
        ("0.25", (0.25, "fraction"), 10),
        (1.0, (1.0, "fraction"), 40),
        (1, (1, "count"), 1),
        ("25%", (25.0, "percentage"), 10),
        ("0.1%", (0.1, "percentage"), 1),
        ("7%", (7.0, "percentage"), 3),
        *((dtype(0.25), (0.25, "fraction"), 10) for dtype in (np.float16, np.float32, np.float64)),
    ],
    ids=repr,
)
def test_counts_fractions_and_percentages(budget: Any, found: tuple[float, str], of_forty: int) -> None:
    assert read_budget(budget) == read_budget(budget, whole=False) == found
    count = resolve_budget(budget, 40)
    assert count == of_forty and type(count) is int
    assert resolve_budget(budget, 0) == 0 if found[1] != "count" else True


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (None, r"a budget is needed: a count \(500\), a fraction \(0\.1\) or a percentage"),
        *(
            (wrong, r"is not a count \(500\), a fraction \(0\.1\) or a percentage \('10%'\) above 0")
            for wrong in (
                0,
                -3,
                "0",
                "0%",
                "-5%",
                -0.1,
                np.nan,
                np.inf,
                "nan%",
                "ten",
                "x%",
                "",
                True,
                [5],
                b"5",
            )
        ),
        (2.5, r"budget 2\.5: a fraction lies in \(0, 1\]; write a count as an integer"),
        ("2.5", "a fraction lies in"),
        ("101%", "a percentage lies above 0% and up to 100%"),
        (41, "budget 41: 40 items are there to choose from, so 1 to 40 can be chosen"),
    ],
    ids=repr,
)
def test_what_no_budget_can_be(budget: Any, message: str) -> None:
    for resolve in (lambda: resolve_budget(budget, 40), lambda: capacity(budget, 40, 40, "what it takes")):
        with pytest.raises(InputError, match=message):
            resolve()


def test_a_fraction_stops_at_what_is_there_and_a_count_does_not() -> None:
    assert capacity("0.25", 40, 5, "what it takes") == capacity("25%", 40, 5, "what it takes") == 5
    with pytest.raises(InputError, match="only 5 of 40 items have what it takes"):
        capacity("10", 40, 5, "what it takes")


def test_of_cost_an_amount_need_not_be_whole() -> None:
    budgets = (5, 2.5, "2.5", 0.5, "0.5", "20%", "7", np.float16(0.25))
    assert [cost_budget(budget, 10.0) for budget in budgets] == [5.0, 2.5, 2.5, 5.0, 5.0, 2.0, 7.0, 2.5]
    assert cost_budget("29%", 100.0) == 29.0  # what costs just that is paid for
    for wrong, message in (
        (None, "a budget is needed: an amount"),
        (0, r"budget 0 is not an amount \(2\.5\), a fraction"),
        ("much", "budget 'much' is not an amount"),
        (10.5, "budget 10.5: the cost of all items is 10, so above 0 and up to that"),
    ):
        with pytest.raises(InputError, match=message):
            cost_budget(wrong, 10.0)  # type: ignore[arg-type]


def test_commands_take_what_functions_do() -> None:
    assert [amount(text) for text in ("500", " 10% ", "0.5", "2.5", "2.5%")] == [
        "500",
        "10%",
        0.5,
        2.5,
        "2.5%",
    ]
    with pytest.raises(InputError, match="budget 'x' is not an amount"):
        amount("x")
