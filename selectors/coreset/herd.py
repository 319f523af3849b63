"""Herding: the mean of those chosen should be the mean of all."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, at_random, generator
from curate.contracts import Budget, Selection
from curate.selectors.coreset.classes import in_classes
from curate.selectors.coreset.rounds import Rivals, contest
from curate.vectors.rows import Floats
from curate.vectors.sources import Source, Squared, mean, rows_of, shifted

__all__ = ["herding"]


def herding(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
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
    return dataclasses.replace(in_classes(_herd, rows_of(x), (budget, rng), within), **meter.read())


@dataclass(frozen=True)
class _Nearer:
    """How near the means would be. There are `count` rows, whose sum is sqrt(`own`) long and whose mean is `now` away."""

    count: int
    own: float
    now: float

    def __call__(self, rivals: Rivals, product: Floats) -> npt.NDArray[np.floating]:
        # |total + z_i|^2 without what all share: the sum is of differences from the mean, which is 0
        farther = rivals.squares + 2 * product
        if rivals.plain:
            return np.asarray(-farther)
        then = np.sqrt(np.maximum(farther + self.own, 0)) / (self.count + 1)
        return _per_cost(self.now - then, rivals.cost)


def _herd(source: Source, within: Constraints, how: tuple[Budget, np.random.Generator]) -> Selection:
    terms, rng = within.terms(len(source), how[0]), how[1]
    rows: list[int] = []
    with contest(source, terms) as race:
        centre = mean(race)
        race.bring(partial(shifted, centre.astype(np.float32)))
        total, errors = np.zeros(len(centre)), [float(np.sqrt(mean(Squared(race))[0]))]

        def add(row: int, vector: Floats) -> None:
            nonlocal total
            rows.append(row)
            total = total + vector
            errors.append(float(np.linalg.norm(total)) / len(rows))

        for row, vector in zip(terms.first.tolist(), race.at(terms.first), strict=True):
            add(row, vector)
        while found := race.best(_Nearer(len(rows), float(total @ total), errors[-1]), total):
            race.take(found[0])
            add(found[0], found[2])
        other = race.at(at_random(terms, rng)).mean(0, dtype=np.float64)
    chosen = np.array(rows, np.int64)
    return Selection(
        chosen,
        weight=np.ones(len(chosen), np.float32),
        gain=-np.diff(errors).astype(np.float32),
        random={"objective": errors[-1], "random": float(np.linalg.norm(other))},
    )


def _per_cost(gain: npt.NDArray[np.float64], cost: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Gain per cost; a loss weighs more, not less, the more it costs."""
    return np.where(gain > 0, gain / cost, gain * cost)
