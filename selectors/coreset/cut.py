"""Graph cut: items that stand for all, and not for one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, at_random, generator
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.rounds import Rivals, contest
from curate.vectors.rows import Floats, unit
from curate.vectors.sources import Source, along, mean, rows_of, squares

__all__ = ["graph_cut"]

Doubles = npt.NDArray[np.float64]


def graph_cut(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    redundancy: float = 1.0,
) -> Selection:
    """Choose rows S of `x` (n, d) greedily by sum over i in V, j in S of s_ij - lambda sum over i, j in S of s_ij, with
    s = (1 + cosine) / 2: in each group of `within` by itself.

    `redundancy` sets lambda = redundancy n / 2 k for k = the budget (of cost: as many as could fit): at 1 what the
    chosen have in common weighs as much as what they have in common with all. 0 takes the most typical items, copies
    and all; beyond k / n (lambda above 1/2) gains may become negative, and the budget is filled all the same.

    Sums of s are products with sums of rows, so no pair is ever formed: time n k d, memory a copy of x. Returns a
    Selection: `gain` (k,) falls; `random` the objective over n k, here and at random. Equal gains go to the lower row.
    Raises InputError for a redundancy below 0, as `Constraints.terms` does, and for rows that are not finite.
    """
    meter, rng = Meter(), generator(rng)
    if not redundancy >= 0:
        raise InputError(f"redundancy {redundancy}: 0 or more")
    cutting = partial(_cut, redundancy)
    return dataclasses.replace(in_classes(cutting, rows_of(x), (budget, rng), within), **meter.read())


@dataclass(frozen=True)
class _Worth:
    """What rows would add to `count` rows, where lambda is `lam`."""

    lam: float
    count: int = 0

    def of(self, typical: Doubles, squares: Floats, product: Floats) -> Doubles:
        """By how like all rows they are, their squared lengths, and their products with the sum of those chosen."""
        alike = (self.count + product) / 2
        return np.asarray(typical - self.lam * (2 * alike + (1 + squares) / 2), np.float64)

    def __call__(self, rivals: Rivals, product: Floats) -> Doubles:
        now = self.of(rivals.noted, rivals.squares, product)
        return np.where(now > 0, now / rivals.cost, now * rivals.cost)


def _typical(n: int, whole: Doubles, z: Floats) -> Doubles:
    """How like all n rows, whose sum is `whole`, each is in all."""
    sums = [along(z[low : low + 4096].astype(np.float64), whole) for low in range(0, len(z), 4096)]
    return np.asarray((n + np.concatenate([np.empty(0), *sums])) / 2)


def _cut(
    redundancy: float, source: Source, within: Constraints, how: tuple[Budget, np.random.Generator]
) -> Selection:
    terms, rng, n = within.terms(len(source), how[0]), how[1], len(source)
    z, lam = source.mapped(unit), redundancy * n / (2 * max(1, terms.most))
    rows: list[int] = []
    gains: list[float] = []
    with contest(z, terms) as race:
        centre = mean(race, 1.001)
        typical, total = partial(_typical, n, centre * n), np.zeros(len(centre))

        def add(row: int, vector: Floats) -> None:
            nonlocal total
            product = along(vector[None], total.astype(np.float32))
            own = squares(vector[None])[:, 0]
            gains.append(float(_Worth(lam, len(rows)).of(typical(vector[None]), own, product)[0]))
            rows.append(row)
            total = total + vector

        race.note(typical)
        for row, vector in zip(terms.first.tolist(), race.at(terms.first), strict=True):
            add(row, vector)
        while found := race.best(_Worth(lam, len(rows)), total):
            race.take(found[0])
            add(found[0], found[2])
        sets = (("objective", np.array(rows, np.int64)), ("random", at_random(terms, rng)))
        values = {name: _value(race.at(some), typical, lam) / (n * max(1, len(some))) for name, some in sets}
    return Selection(
        sets[0][1], weight=np.ones(len(rows), np.float32), gain=np.array(gains, np.float32), random=values
    )


def _value(z: Floats, typical: Callable[[Floats], Doubles], lam: float) -> float:
    """How like all the rows z are, in all, less lambda times how like one another."""
    total = z.sum(0, dtype=np.float64)
    return float(typical(z).sum()) - lam * (len(z) ** 2 + float(total @ total)) / 2
