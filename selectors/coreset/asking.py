"""Which items to ask people about next: uncertain ones, each standing for many, none that is answered already."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.choosing import Constraints, Meter, Rng, at_random, generator
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.coreset.exact import Picks, finish_sparse
from curate.selectors.coreset.neighbours import neighbour_graph
from curate.selectors.coreset.similarity import Likeness
from curate.vectors.rows import Floats, Ints
from curate.vectors.sources import Source

__all__ = ["query"]


def query(
    x: npt.NDArray[Any] | Source,
    uncertainty: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    known: Ints | None = None,
    neighbours: int = 64,
) -> Selection:
    """Choose rows S of `x` (n, d) to be labelled: greedily by sum over i of u_i (max over j in S and known of s_ij), the
    facility location of cosines in which item i weighs as much as it is uncertain.

    `uncertainty` (n,) 0 or more: one minus the highest probability, an entropy, a disagreement. `known` (m,) rows that
    are labelled: they are not chosen, and what is like them needs no asking. `neighbours`: each item counts only so many
    that are most like it, found as in `facility_location`'s "sparse".

    Taking the most uncertain asks for copies and for strange items; k-center asks for strange items whatever they are.
    Here an item like no other is worth its own uncertainty and no more, and copies are asked for once: the choice is
    robust to both. Returns a Selection: `gain` (k,) falls; `random` the objective over the sum of uncertainties, here
    and at random. Raises InputError as `Constraints.terms` does, and for uncertainties below 0 or not finite.
    """
    meter, rng, within = Meter(), generator(rng), within or Constraints()
    likeness = Likeness(x)
    n = len(likeness)
    weight = np.asarray(as_numbers(uncertainty, "uncertainty"), np.float32)
    if weight.shape != (n,) or not (np.isfinite(weight) & (weight >= 0)).all():
        raise InputError(f"uncertainty {weight.shape}: a number from 0 on for each of {counted(n, 'row')}")
    if neighbours < 1:
        raise InputError(f"neighbours {neighbours}: at least 1, the item itself")
    labelled = np.empty(0, np.int64) if known is None else as_numbers(known, "known").astype(np.int64)
    banned = np.zeros(n, bool)
    for rows in (labelled, within.forbidden):
        if rows is not None:
            banned[rows] = True
    terms = Constraints(
        within.mandatory, banned, within.cost, within.group, within.balance, within.quota
    ).terms(n, budget)
    graph = neighbour_graph(likeness, neighbours, rng)
    graph = graph._replace(values=graph.values * weight[graph.items])
    picks = Picks(likeness, terms._replace(first=terms.first[:0]))
    start = _covered(likeness, labelled) * weight
    gains, picks.cover = likeness.covered(terms.first, weight, start)
    picks.rows, picks.gains = terms.first.tolist(), gains.tolist()
    index, gains = finish_sparse(graph, picks, terms.most)
    whole = max(float(weight.sum(dtype=np.float64)), 1e-30)

    def value(rows: Ints) -> float:
        return float(_covered(likeness, np.append(labelled, rows)) @ weight.astype(np.float64)) / whole

    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=gains.astype(np.float32),
        random={"objective": value(index), "random": value(at_random(terms, rng))},
        **meter.read(),
    )


def _covered(likeness: Likeness, rows: Ints) -> Floats:
    return likeness.coverage(rows)[0] if len(rows) else np.zeros(len(likeness), np.float32)
