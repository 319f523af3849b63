"""A selector run in each class by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Terms, draw_seed
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.vectors.rows import Ints
from curate.vectors.sources import AtHand, Source

__all__ = ["in_classes"]

How = tuple[Budget, np.random.Generator]
Choose = Callable[[Source, Constraints, How], Selection]


class _Class(NamedTuple):
    """One group: its rows, what holds for them, and its share of the budget with a seed of its own."""

    rows: Ints
    within: Constraints
    how: How


def in_classes(choose: Choose, source: Source, how: How, within: Constraints | None) -> Selection:
    """`choose(rows, constraints, (budget, rng))` in each group of `within`, with its share of the budget, put together.

    Rows and constraints are a group's own; what `choose`, a module-level function or a partial of one, returns points into its
    rows. Each group is the work of one of those who work on the rows, which holds its vectors. Groups take turns in the
    result, in proportion to what was chosen of them, after the mandatory rows. The objectives are averaged, weighted by
    the groups' sizes, and weights keep their means. Without groups `choose` is called once, with all.
    """
    within, (budget, rng) = within or Constraints(), how
    terms = within.terms(len(source), budget)
    if within.group is None:
        return choose(source, within, how)
    classes = _classes(within, terms, rng)
    if not classes:
        raise InputError(f"budget {budget!r}: no group's share of it pays for any of its items")
    found = source.share(partial(_choose_in, choose), classes)
    return _together([(one.rows, chosen) for one, chosen in zip(classes, found, strict=True)], terms.first)


def _classes(within: Constraints, terms: Terms, rng: np.random.Generator) -> list[_Class]:
    """The groups whose share pays for any of their items."""
    n = len(terms.open)
    shares = terms.left + np.bincount(terms.group[terms.first], terms.cost[terms.first], len(terms.left))
    closed = ~terms.open
    closed[terms.first] = False
    order = np.argsort(terms.group, kind="stable")
    members = np.split(order, np.searchsorted(terms.group[order], np.arange(1, len(shares))))
    place, found = np.empty(n, np.int64), []
    place[order] = np.concatenate([np.arange(len(rows)) for rows in members])
    for g, (rows, share) in enumerate(zip(members, shares, strict=True)):
        if share < terms.cost[rows][~closed[rows]].min(initial=np.inf):
            continue
        own = Constraints(
            place[terms.first[terms.group[terms.first] == g]],
            np.flatnonzero(closed[rows]),
            None if within.cost is None else terms.cost[rows],
        )
        # as text an amount of cost is no fraction, however small
        amount: Budget = int(share) if within.cost is None else repr(float(share))
        found.append(_Class(rows, own, (amount, np.random.default_rng(draw_seed(rng)))))
    return found


def _choose_in(choose: Choose, source: Source, one: _Class) -> Selection:
    return choose(AtHand(source.take(one.rows)), one.within, one.how)


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
