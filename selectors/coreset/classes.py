"""A selector run in each class by itself, and gradients of a last layer that need no backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.selectors.coreset.rows import Ints

__all__ = ["in_classes"]

Choose = Callable[[Ints, Constraints, Budget], Selection]


def in_classes(choose: Choose, n: int, budget: Budget, within: Constraints | None) -> Selection:
    """`choose(rows, constraints, budget)` in each group of `within`, with its share of the budget, put together.

    Rows and constraints are a group's own; what `choose` returns points into its rows. Groups take turns in the
    result, in proportion to what was chosen of them, after the mandatory rows. The objectives are averaged, weighted by
    the groups' sizes, and weights keep their means. Without groups `choose` is called once, with all.
    """
    within = within or Constraints()
    terms = within.terms(n, budget)
    if within.group is None:
        return choose(np.arange(n), within, budget)
    shares = terms.left + np.bincount(terms.group[terms.first], terms.cost[terms.first], len(terms.left))
    closed = ~terms.open
    closed[terms.first] = False
    parts: list[tuple[Ints, Selection]] = []
    for g, share in enumerate(shares):
        rows = np.flatnonzero(terms.group == g)
        if share < terms.cost[rows][~closed[rows]].min(initial=np.inf):
            continue
        place = np.full(n, -1)
        place[rows] = np.arange(len(rows))
        own = Constraints(
            place[terms.first[terms.group[terms.first] == g]],
            np.flatnonzero(closed[rows]),
            None if within.cost is None else terms.cost[rows],
        )
        # as text an amount of cost is no fraction, however small
        amount: Budget = int(share) if within.cost is None else repr(float(share))
        parts.append((rows, choose(rows, own, amount)))
    if not parts:
        raise InputError(f"budget {budget!r}: no group's share of it pays for any of its items")
    return _together(parts, terms.first)


def _together(parts: list[tuple[Ints, Selection]], first: Ints) -> Selection:
    index = np.concatenate([rows[chosen.index] for rows, chosen in parts])
    turn = np.concatenate([(np.arange(len(c)) + 0.5) / max(1, len(c)) for _, c in parts])
    rank = np.full(int(index.max(initial=0)) + 1, len(first))
    rank[first] = np.arange(len(first))
    order = np.lexsort((turn, rank[index]))
    sizes = np.array([len(rows) for rows, _ in parts], np.float64)
    names = parts[0][1].random
    return Selection(
        index[order],
        weight=_joined([c.weight for _, c in parts], order),
        gain=_joined([c.gain for _, c in parts], order),
        random={name: float(np.average([c.random[name] for _, c in parts], weights=sizes)) for name in names},
    )


def _joined(columns: list[Any], order: Ints) -> npt.NDArray[np.float32] | None:
    return None if columns[0] is None else np.concatenate(columns)[order]
