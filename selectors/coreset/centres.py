"""k-center: no item should be far from those chosen."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, Terms, at_random, generator
from curate.contracts import Budget, Selection
from curate.selectors.coreset.exact import purse_of
from curate.selectors.coreset.kernels import Purse
from curate.selectors.coreset.loops import compiled
from curate.selectors.coreset.radii import farthest, nearer
from curate.vectors.rows import Floats, Ints, prepare
from curate.vectors.sources import AtHand, mean

__all__ = ["Cloud", "Points", "choose_centres", "k_center"]

_ACTIVE = 4096


def k_center(
    x: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    start: Ints | None = None,
) -> Selection:
    """Choose rows S of `x` (n, d) so that the farthest item is near: max over i of min over j in S of |x_i - x_j|.

    Farthest first (Gonzalez 1985; the core-set of Sener and Savarese 2018): at most twice the best radius. It begins with
    the item nearest to the mean, or with the mandatory rows of `within`. With costs the largest distance per cost
    comes next. `start` (m, d): vectors that count as chosen already (a labelled set), and are not returned.

    Returns a Selection: `index` (k,) in the order chosen, so that every head of it is a k-center too; `gain` (k,) the
    distance to those before it, falling, and of the first the radius that it leaves; `random` the radius, lower is
    better, here and for a random choice (drawn with `rng`, which is used for nothing else). Equal distances go to
    the lower row. Time n k d at the speed of matrix products; memory a copy of x and 16 MB. Raises InputError as
    `Constraints.terms` does, and for rows that are not finite. Needs the extra `select`.
    """
    meter, rng = Meter(), generator(rng)
    x = prepare(x)
    terms = (within or Constraints()).terms(len(x), budget)
    middle = mean(AtHand(x)).astype(np.float32)
    given = np.empty((0, x.shape[1]), np.float32) if start is None else prepare(start, "start") - middle
    return dataclasses.replace(choose_centres(Points(x - middle), given, terms, rng), **meter.read())


class Cloud(Protocol):
    """Points about their mean, wherever they lie, and how far they are from others."""

    def take(self, rows: Ints) -> Floats:
        """Copies of these (m, d)."""
        ...

    def nearest(self, centres: Floats) -> Floats:
        """The squared distance of each point (n,) to the nearest of the centres; infinite if there are none."""
        ...


class Points:
    """A `Cloud` in memory: `z` (n, d)."""

    def __init__(self, z: Floats) -> None:
        self.z = z

    def take(self, rows: Ints) -> Floats:
        return self.z[rows]

    def nearest(self, centres: Floats) -> Floats:
        squared = np.full(len(self.z), np.inf, np.float32)
        run = compiled(nearer)
        for low in range(0, len(self.z), 2048):
            part = self.z[low : low + 2048]
            for at in range(0, len(centres), 256):
                some = np.ascontiguousarray(centres[at : at + 256])
                run((-2 * some) @ part.T, part, some, squared[low : low + 2048])
        return squared


def choose_centres(cloud: Cloud, given: Floats, terms: Terms, rng: np.random.Generator) -> Selection:
    """`k_center` of a cloud, with vectors `given` that count as chosen already."""
    purse = purse_of(terms)
    squared = cloud.nearest(given)
    rows, gains = terms.first.tolist(), []
    if not rows and not len(given):
        rows = [_most_central(cloud.nearest(np.zeros((1, given.shape[1]), np.float32)), purse)]
    for row in rows:
        before = squared[row]
        squared = np.minimum(squared, cloud.nearest(cloud.take(np.array([row]))))
        gains.append(float(before if np.isfinite(before) else squared.max()))
    more, distances = _farthest_first(cloud, squared, purse, terms.most - len(rows))
    index, gain = np.array(rows + more, np.int64), np.sqrt(np.array(gains + distances))
    random = np.concatenate([given, cloud.take(at_random(terms, rng))])
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=gain.astype(np.float32),
        random={
            "objective": float(np.sqrt(squared.max())),
            "random": float(np.sqrt(cloud.nearest(random).max())),
        },
    )


def _most_central(away: Floats, purse: Purse) -> int:
    """The row nearest to the mean, of those that differ by rounding alone the first; it is then chosen."""
    away = np.where(_fits(purse), away, np.inf)
    row = int((away <= away.min() * (1 + 1e-6)).argmax())
    purse.open[row] = False
    purse.left[purse.group[row]] -= purse.cost[row]
    return row


def _farthest_first(cloud: Cloud, squared: Floats, purse: Purse, most: int) -> tuple[list[int], list[float]]:
    """In rounds: the farthest rows compete among themselves until none is farther than all others were, and only then
    is every row told of the new centres, in one matrix product. Lowers `squared`."""
    rows: list[int] = []
    gains: list[float] = []
    run = compiled(farthest)
    while len(rows) < most:
        keys = np.where(_fits(purse), squared / purse.cost**2, -1.0)
        active = np.argsort(-keys, kind="stable")[:_ACTIVE] if len(keys) <= _ACTIVE else _highest(keys)
        outside = keys.copy()
        outside[active] = -1
        floor = float(outside.max(initial=-1))
        active = np.sort(active[keys[active] >= 0])
        if not len(active):
            break
        chosen, distances = np.empty(most - len(rows), np.int64), np.empty(most - len(rows), np.float32)
        own = Purse(purse.open[active], purse.cost[active], purse.group[active], purse.left, purse.slack)
        rivals = cloud.take(active)
        count = run(rivals, squared[active], own, floor, (chosen, distances))
        new = active[chosen[:count]]
        purse.open[new] = False
        rows += new.tolist()
        gains += distances[:count].tolist()
        np.minimum(squared, cloud.nearest(rivals[chosen[:count]]), out=squared)
    return rows, gains


def _highest(keys: npt.NDArray[np.float64]) -> Ints:
    """The rows of the highest keys, of equal ones the lower rows."""
    last = np.partition(keys, len(keys) - _ACTIVE)[len(keys) - _ACTIVE]
    above, level = np.flatnonzero(keys > last), np.flatnonzero(keys == last)
    return np.concatenate([above, level[: _ACTIVE - len(above)]])


def _fits(purse: Purse) -> npt.NDArray[np.bool_]:
    return np.asarray(purse.open & (purse.cost <= purse.left[purse.group] + purse.slack))
