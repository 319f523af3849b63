"""GradMatch: few items whose weighted gradient is that of all, by orthogonal matching pursuit without negative weights."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.choosing import Constraints, Meter, Rng, at_random, generator
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.rounds import Contest, Rivals, contest
from curate.vectors.rows import Floats, Ints, prepare
from curate.vectors.sources import Source, Squared, largest, mean, rows_of

__all__ = ["grad_match"]

_ROUNDS = 64
"""After so many fresh starts what is still free is left."""


def grad_match(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    target: npt.NDArray[Any] | None = None,
    ridge: float = 0.0,
) -> Selection:
    """Choose rows of `x` (n, d), gradients, and weights w >= 0 so that sum of w_i x_i is near `target`.

    `target` (d,); default the mean of x, in each group of `within` (its classes) that of the group.
    `ridge`  times the mean squared length of a row, times |w|^2, is added to the squared distance: it spreads weight over
             more items, over copies too, and makes the match worse.

    Orthogonal matching pursuit: the row that points most along what is missing joins, then all weights are found anew;
    one whose weight would be negative leaves (the active set of Lawson and Hanson). When no row points along what is
    missing and the budget is not spent, the pursuit starts afresh among the rows that are left, and rounds weigh alike.

    Returns a Selection: `weight` (k,) mean 1, that of a mandatory row that does not help next to nothing; `gain` (k,) by
    how much the distance fell when each entered, over the target's length; `random` that relative distance, lower is
    better, here and for as many rows at random, weighing alike. Fewer rows than the budget only if none is left that
    points along the target. Time n k d + k^3. Raises InputError as `Constraints.terms` does, for rows that are not
    finite or all zero, and for a target of zero.
    Source: Killamsetty et al. (2021), arXiv 2103.00123; its code solves each step from scratch, and pads at random.
    """
    meter, rng = Meter(), generator(rng)
    if not 0 <= ridge < np.inf:
        raise InputError(f"ridge {ridge}: 0 or more, and finite")
    rows = rows_of(x)
    if target is not None:
        target = prepare(as_numbers(target, "target")[None], "target")[0]
        width = rows.take(slice(0, 1)).shape[1]
        if len(target) != width:
            raise InputError(f"target has {counted(len(target), 'dimension')}, x has {width}")
    chosen = in_classes(partial(_match, (target, ridge)), rows, (budget, rng), within)
    assert chosen.weight is not None
    mean = float(chosen.weight.mean()) if len(chosen) else 1.0
    return dataclasses.replace(chosen, weight=(chosen.weight / mean).astype(np.float32), **meter.read())


def _per_cost(rivals: Rivals, product: Floats) -> npt.NDArray[np.floating]:
    """How far rows point along a direction, per cost."""
    return np.asarray(product if rivals.plain else product / rivals.cost)


def _match(
    asked: tuple[Floats | None, float],
    source: Source,
    within: Constraints,
    how: tuple[Budget, np.random.Generator],
) -> Selection:
    """Rows and weights of one group; weights are such that n times the target is matched."""
    (target, ridge), (budget, rng) = asked, how
    terms = within.terms(len(source), budget)
    with contest(source, terms) as race:
        b = (mean(race).astype(np.float32) if target is None else target).astype(np.float64)
        long = largest(Squared(race))
        length, power = float(np.linalg.norm(b)), float(mean(Squared(race), long)[0])
        if not power:
            raise InputError("all gradients are zero: there is nothing to match")
        if length <= 1e-6 * power**0.5:
            raise InputError("the target is zero: where gradients cancel out, give a target, or groups")
        account, least = race.account, 1e-6 * length * long**0.5
        rounds = [_Pursuit(race, b, ridge * power, terms.first)]
        rounds[0].run(least)
        while account and rounds[-1].rows and len(rounds) < _ROUNDS:
            rounds.append(_Pursuit(race, b, ridge * power, terms.first[:0]))
            rounds[-1].run(least)
        index = np.array([row for r in rounds for row in r.rows], np.int64)
        mixed, other = race.at(index), race.at(at_random(terms, rng)).mean(0, dtype=np.float64)
    weight = np.concatenate([r.weights for r in rounds]) / sum(bool(r.rows) for r in rounds)
    off = float(np.linalg.norm(weight @ mixed - b)) / length
    other *= max(0.0, float(other @ b)) / max(float(other @ other), 1e-30)
    weight = np.maximum(weight, 1e-6 * max(weight.max(initial=0), 1e-30))
    return Selection(
        index,
        weight=(weight * len(source)).astype(np.float32),
        gain=np.array([g / length for r in rounds for g in r.falls], np.float32),
        random={"objective": off, "random": float(np.linalg.norm(other - b)) / length},
    )


class _Pursuit:
    """One pursuit: `rows` in the order they entered for good, their `weights`, and how much the distance fell for each.

    The inverse of the active rows' Gram matrix is kept, and brought up to date as rows come and go.
    """

    def __init__(self, race: Contest, b: npt.NDArray[np.float64], ridge: float, first: Ints) -> None:
        self._race, self._b, self._ridge = race, b, ridge
        self._must = {row: i for i, row in enumerate(first.tolist())}
        self._idle: list[int] = []
        self.rows: list[int] = []
        self.falls: list[float] = []
        self.weights = np.empty(0)
        self._inverse = np.empty((0, 0))
        self._active = np.empty((0, len(b)))
        for row, vector in zip(self._must, race.at(first), strict=True):
            if not self._join(row, vector):
                self._idle.append(row)

    def run(self, least: float) -> None:
        """Let rows join until nothing fits, or nothing points along what is missing by more than `least`."""
        race, length = self._race, float(np.linalg.norm(self._b))
        for _ in range(4 * len(race.rows)):
            missing = self._b - self.weights @ self._active
            found = race.best(_per_cost, missing) if np.linalg.norm(missing) > 1e-6 * length else None
            if found is None or found[1] * float(race.terms.cost[found[0]]) <= least:
                break
            row, _, vector = found
            if self._join(row, vector):
                race.take(row)
            else:
                race.ban(row)
        race.lift()
        idle = len(self._idle)
        rows, falls = [*self._idle, *self.rows], [*([0.0] * idle), *self.falls]
        order = sorted(range(len(rows)), key=lambda i: self._must.get(rows[i], len(self._must)))
        self.rows, self.falls = [rows[i] for i in order], [falls[i] for i in order]
        self.weights = np.concatenate([np.zeros(idle), self.weights])[order]

    def _join(self, row: int, vector: Floats) -> bool:
        """Make a row active and find all weights anew; False if the active ones span it already."""
        new = vector.astype(np.float64)
        before = float(np.linalg.norm(self._b - self.weights @ self._active))
        known = self._active @ new
        solved = self._inverse @ known
        own = float(new @ new)
        rest = own + self._ridge - float(known @ solved)
        if rest <= 1e-9 * own or not own:
            return False
        m = len(known)
        grown = np.empty((m + 1, m + 1))
        grown[:m, :m] = self._inverse + np.outer(solved, solved) / rest
        grown[:m, m] = grown[m, :m] = -solved / rest
        grown[m, m] = 1 / rest
        self._inverse, self._active = grown, np.vstack([self._active, new])
        self.rows.append(row)
        self.falls.append(0.0)
        self.weights = np.append(self.weights, 0.0)
        self._settle()
        if self.rows and self.rows[-1] == row:
            self.falls[-1] = before - float(np.linalg.norm(self._b - self.weights @ self._active))
        return True

    def _settle(self) -> None:
        """Weights of least distance, none negative: from the last ones straight there, until one would be."""
        aims = self._active @ self._b
        while len(self.rows):
            best = self._inverse @ aims
            if (best > 0).all():
                self.weights = best
                return
            down = best <= 0
            step = float((self.weights[down] / np.maximum(self.weights[down] - best[down], 1e-300)).min())
            self.weights = self.weights + step * (best - self.weights)
            gone = int(np.where(down, self.weights, np.inf).argmin())
            self._leave(gone)
            aims = np.delete(aims, gone)

    def _leave(self, place: int) -> None:
        rest = np.delete(np.arange(len(self.rows)), place)
        column = self._inverse[rest, place]
        self._inverse = (
            self._inverse[np.ix_(rest, rest)] - np.outer(column, column) / self._inverse[place, place]
        )
        self._active, self.weights = self._active[rest], self.weights[rest]
        row = self.rows.pop(place)
        self.falls.pop(place)
        if row in self._must:
            self._idle.append(row)
        else:
            self._race.give_back(row)
