"""Herding: the mean of those chosen should be the mean of all."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Account, Constraints, Meter, Terms, at_random
from curate.contracts import Budget, Selection
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.rows import Floats, Ints, generator, prepare

__all__ = ["herding"]


def herding(
    x: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: np.random.Generator | None = None,
    within: Constraints | None = None,
) -> Selection:
    """Choose rows of `x` (n, d) one at a time, each bringing the mean of those chosen nearest to the mean of all: in each
    group of `within` by itself.

    After t rows S the next is the i not in S with the least |(t + 1) mean - sum of S - x_i| (Welling 2009). A well-known
    library takes the greatest by mistake. With costs it is the greatest lowering of that per cost.

    Returns a Selection: `index` (k,) in the order chosen; `gain` (k,) by how much each brought the means nearer, which
    may be negative, the first against the root mean square distance of an item from the mean; `random` the distance of
    the means, lower is better, here and for a random choice (drawn with `rng`, which is used for nothing else). Equal
    ones go to the lower row. Time n k d, memory a copy of x. Raises InputError as `Constraints.terms` does, and for
    rows that are not finite.
    """
    meter, rng = Meter(), generator(rng)
    x = prepare(x)

    def choose(rows: Ints, own: Constraints, share: Budget) -> Selection:
        return _herd(x if len(rows) == len(x) else x[rows], own.terms(len(rows), share), rng)

    return dataclasses.replace(in_classes(choose, len(x), budget, within), **meter.read())


def _herd(x: Floats, terms: Terms, rng: np.random.Generator) -> Selection:
    z = x - x.mean(0, dtype=np.float64).astype(np.float32)
    squares = np.einsum("ij,ij->i", z, z)
    account = Account(terms)
    total = np.zeros(z.shape[1])
    rows: list[int] = []
    errors = [float(np.sqrt(squares.mean(dtype=np.float64)))]

    def add(row: int) -> None:
        nonlocal total
        rows.append(row)
        total = total + z[row]
        errors.append(float(np.linalg.norm(total)) / len(rows))

    for row in terms.first.tolist():
        add(row)
    plain = bool((terms.cost == 1).all())
    while account:
        # |total + z_i|^2 without what all share: the sum is of differences from the mean, which is 0
        farther = squares + 2 * (z @ total.astype(np.float32))
        if not plain:
            now = float(np.linalg.norm(total)) / max(1, len(rows)) if rows else errors[0]
            then = np.sqrt(np.maximum(farther + float(total @ total), 0)) / (len(rows) + 1)
            farther = -_per_cost(now - then, terms.cost)
        row = int(np.where(account.open, farther, np.inf).argmin())
        account.take(row)
        add(row)
    chosen = np.array(rows, np.int64)
    other = z[at_random(terms, rng)].mean(0, dtype=np.float64)
    return Selection(
        chosen,
        weight=np.ones(len(chosen), np.float32),
        gain=-np.diff(errors).astype(np.float32),
        random={"objective": errors[-1], "random": float(np.linalg.norm(other))},
    )


def _per_cost(gain: npt.NDArray[np.float64], cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gain per cost; a loss weighs more, not less, the more it costs."""
    return np.where(gain > 0, gain / cost, gain * cost)
