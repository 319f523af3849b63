"""Graph cut: items that stand for all, and not for one another."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Account, Constraints, Meter, Terms, at_random
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.rows import Floats, Ints, generator, prepare, unit

__all__ = ["graph_cut"]


def graph_cut(
    x: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: np.random.Generator | None = None,
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
    z = unit(prepare(x))

    def choose(rows: Ints, own: Constraints, share: Budget) -> Selection:
        part = z if len(rows) == len(z) else z[rows]
        return _cut(part, own.terms(len(rows), share), redundancy, rng)

    return dataclasses.replace(in_classes(choose, len(z), budget, within), **meter.read())


def _cut(z: Floats, terms: Terms, redundancy: float, rng: np.random.Generator) -> Selection:
    n = len(z)
    lam = redundancy * n / (2 * max(1, terms.most))
    own = (1 + np.einsum("ij,ij->i", z, z)) / 2
    typical = (n + z @ z.sum(0, dtype=np.float64)) / 2
    account, total = Account(terms), np.zeros(z.shape[1])
    rows: list[int] = []
    gains: list[float] = []

    def worth() -> npt.NDArray[np.float64]:
        alike = (len(rows) + z @ total.astype(np.float32)) / 2
        return np.asarray(typical - lam * (2 * alike + own), np.float64)

    def add(row: int, gain: float) -> None:
        nonlocal total
        rows.append(row)
        gains.append(gain)
        total = total + z[row]

    for row in terms.first.tolist():
        add(row, float(worth()[row]))
    while account:
        now = worth()
        keys = np.where(now > 0, now / terms.cost, now * terms.cost)
        row = int(np.where(account.open, keys, -np.inf).argmax())
        account.take(row)
        add(row, float(now[row]))
    chosen = np.array(rows, np.int64)
    sets = (("objective", chosen), ("random", at_random(terms, rng)))
    return Selection(
        chosen,
        weight=np.ones(len(rows), np.float32),
        gain=np.array(gains, np.float32),
        random={name: _value(z, typical, lam, s) for name, s in sets},
    )


def _value(z: npt.NDArray[Any], typical: npt.NDArray[Any], lam: float, rows: Ints) -> float:
    total = z[rows].sum(0, dtype=np.float64)
    alike = (len(rows) ** 2 + float(total @ total)) / 2
    return (float(typical[rows].sum()) - lam * alike) / (len(z) * max(1, len(rows)))
