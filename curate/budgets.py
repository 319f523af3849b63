"""What a budget says: a count, a fraction or a percentage, however it is written, and how many of so many items that is."""

from __future__ import annotations

import math
from typing import Any, Literal

from curate.counting import counted
from curate.errors import InputError

__all__ = ["Budget", "BudgetUnit", "read_budget", "resolve_budget"]

Budget = int | float | str
"""A count (an int), a fraction in (0, 1] (a float), or a percentage ("10%"); as text, what it would be if typed."""

BudgetUnit = Literal["count", "fraction", "percentage"]


def read_budget(budget: Budget | None, *, whole: bool = True) -> tuple[float, BudgetUnit]:
    """A budget as a number, and what it is a number of: items (or cost), the fraction of all, or the percentage.

    Text is read as if it were typed: "500" a count, "0.1" a fraction, "10%" a percentage. With `whole` an amount is a count
    of items, else it may be any, of cost say. Of how much it is a budget nobody knows here: an amount may be too high.
    Raises InputError for what no budget can be.
    """
    kinds = f"{'a count (500)' if whole else 'an amount (2.5)'}, a fraction (0.1) or a percentage ('10%')"
    if budget is None:
        raise InputError(f"a budget is needed: {kinds}")
    value, unit = _typed(budget)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        raise InputError(f"budget {budget!r} is not {kinds} above 0")
    if unit == "percentage" and value > 100:
        raise InputError(f"budget {budget!r}: a percentage lies above 0% and up to 100%")
    if unit != "percentage" and isinstance(value, float) and value <= 1:
        return value, "fraction"
    if unit != "percentage" and isinstance(value, float) and whole:
        raise InputError(f"budget {budget!r}: a fraction lies in (0, 1]; write a count as an integer")
    return value, unit


def _typed(budget: Any) -> tuple[Any, BudgetUnit]:
    """A budget as Python's number, if it is one, where it came as text or NumPy's."""
    if not isinstance(budget, str):
        return budget.item() if getattr(budget, "shape", None) == () else budget, "count"
    text = budget.strip()
    try:
        if text.endswith("%"):
            return float(text[:-1]), "percentage"
        return float(text) if "." in text or "e" in text.lower() else int(text), "count"
    except ValueError:
        return None, "count"


def resolve_budget(budget: Budget | None, n: int) -> int:
    """How many of `n` items a budget means, rounding fractions to the nearest, at least one.

    Raises InputError as `read_budget`, and for a count above `n`.
    """
    value, unit = read_budget(budget)
    if unit != "count":
        share = value / 100 if unit == "percentage" else value
        return max(1, min(n, round(share * n))) if n else 0
    if value > n:
        reach = f"so 1 to {n} can be chosen" if n else "so none can be chosen"
        raise InputError(
            f"budget {value}: {counted(n, 'item is', 'items are')} there to choose from, {reach}"
        )
    return int(value)
