"""GradMatch: few items whose weighted gradient is that of all, by orthogonal matching pursuit without negative weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Account, Constraints, Meter, Terms, at_random
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.rows import Floats, Ints, generator, prepare

__all__ = ["grad_match"]

_ROUNDS = 64
"""After so many fresh starts what is still free is left."""


def grad_match(
    x: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: np.random.Generator | None = None,
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
    if not ridge >= 0:
        raise InputError(f"ridge {ridge}: 0 or more")
    x = prepare(x)
    if target is not None:
        target = prepare(np.asarray(target)[None], "target")[0]
        if target.shape != x.shape[1:]:
            raise InputError(f"target has {len(target)} dimensions, x has {x.shape[1]}")

    def choose(rows: Ints, own: Constraints, share: Budget) -> Selection:
        return _match(
            x if len(rows) == len(x) else x[rows], target, ridge, (own.terms(len(rows), share), rng)
        )

    chosen = in_classes(choose, len(x), budget, within)
    assert chosen.weight is not None
    mean = float(chosen.weight.mean()) if len(chosen) else 1.0
    return dataclasses.replace(chosen, weight=(chosen.weight / mean).astype(np.float32), **meter.read())


def _match(
    x: Floats, target: Floats | None, ridge: float, how: tuple[Terms, np.random.Generator]
) -> Selection:
    """Rows and weights of one group; weights are such that n times the target is matched."""
    terms, rng = how
    b = (x.mean(0, dtype=np.float64) if target is None else target).astype(np.float64)
    length, power = float(np.linalg.norm(b)), float(np.einsum("ij,ij->i", x, x).mean(dtype=np.float64))
    if not power:
        raise InputError("all gradients are zero: there is nothing to match")
    if length <= 1e-6 * power**0.5:
        raise InputError("the target is zero: where gradients cancel out, give a target, or groups")
    account = Account(terms)
    rounds = [_Pursuit(x, b, ridge * power, account, terms.first)]
    rounds[0].run(terms.cost)
    while account and rounds[-1].rows and len(rounds) < _ROUNDS:
        rounds.append(_Pursuit(x, b, ridge * power, account, terms.first[:0]))
        rounds[-1].run(terms.cost)
    index = np.array([row for r in rounds for row in r.rows], np.int64)
    weight = np.concatenate([r.weights for r in rounds]) / sum(bool(r.rows) for r in rounds)
    mixed = weight @ x[index]
    other = x[at_random(terms, rng)].mean(0, dtype=np.float64)
    other *= max(0.0, float(other @ b)) / max(float(other @ other), 1e-30)
    weight = np.maximum(weight, 1e-6 * max(weight.max(initial=0), 1e-30))
    return Selection(
        index,
        weight=(weight * len(x)).astype(np.float32),
        gain=np.array([g / length for r in rounds for g in r.falls], np.float32),
        random={
            "objective": float(np.linalg.norm(mixed - b)) / length,
            "random": float(np.linalg.norm(other - b)) / length,
        },
    )


class _Pursuit:
    """One pursuit: `rows` in the order they entered for good, their `weights`, and how much the distance fell for each.

    The inverse of the active rows' Gram matrix is kept, and brought up to date as rows come and go.
    """

    def __init__(
        self, x: Floats, b: npt.NDArray[np.float64], ridge: float, account: Account, first: Ints
    ) -> None:
        self._x, self._b, self._ridge, self._account = x, b, ridge, account
        self._must = {row: i for i, row in enumerate(first.tolist())}
        self._idle: list[int] = []
        self.rows: list[int] = []
        self.falls: list[float] = []
        self.weights = np.empty(0)
        self._inverse = np.empty((0, 0))
        self._active = np.empty((0, x.shape[1]))
        for row in self._must:
            if not self._join(row):
                self._idle.append(row)

    def run(self, cost: npt.NDArray[np.float64]) -> None:
        """Let rows join until nothing fits, or nothing helps."""
        length = float(np.linalg.norm(self._b))
        tolerance = 1e-6 * length * float(np.sqrt(np.einsum("ij,ij->i", self._x, self._x).max(initial=0)))
        useless = np.zeros(len(self._x), bool)
        for _ in range(4 * len(self._x)):
            missing = self._b - self.weights @ self._active
            if np.linalg.norm(missing) <= 1e-6 * length:
                break
            along = np.where(self._account.open & ~useless, self._x @ missing.astype(np.float32), 0)
            row = int((along / cost).argmax())
            if along[row] <= tolerance:
                break
            if self._join(row):
                self._account.take(row)
            else:
                useless[row] = True
        idle = len(self._idle)
        rows, falls = [*self._idle, *self.rows], [*([0.0] * idle), *self.falls]
        order = sorted(range(len(rows)), key=lambda i: self._must.get(rows[i], len(self._must)))
        self.rows, self.falls = [rows[i] for i in order], [falls[i] for i in order]
        self.weights = np.concatenate([np.zeros(idle), self.weights])[order]

    def _join(self, row: int) -> bool:
        """Make a row active and find all weights anew; False if the active ones span it already."""
        new = self._x[row].astype(np.float64)
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
            self._account.give_back(row)
