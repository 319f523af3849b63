"""One pursuit of a target: items are let in along the residual, better ones swapped in, all ranked at the end."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.selectors.pursuit.active import ActiveSet
from curate.selectors.pursuit.kernels import compiled, eliminate
from curate.selectors.pursuit.sources import Rows

__all__ = ["Course", "Round", "run_round"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_MORE = 64
"""So many candidates are looked at beside sixteen for each row that is let in: with fewer some of the best come too late."""


class Course(NamedTuple):
    """How a pursuit goes about it (see `pursue`)."""

    passes: int = 128
    swaps: int = 4
    tolerance: float = 1e-5
    ridge: float = 0.0


class Round(NamedTuple):
    """`rows` (k,) best first, `weight` (k,) so that sum of w a comes to b, `residual` (k,) |sum of w a - b| / |b| of each
    head with its own best weights, `image` (D,) the weighted sum."""

    rows: Ints
    weight: Floats
    residual: Floats
    image: Floats


class _Pursuit:
    """The items that are in, by slot, and the state of their fit."""

    def __init__(self, source: Rows, target: Floats, capacity: int, course: Course) -> None:
        self.source, self.target, self.course = source, target, course
        self.capacity = capacity
        self.square = float(target @ target)
        self.fit = ActiveSet(capacity, course.ridge)
        self.vectors = np.zeros((capacity + 1, len(target)))
        self.rows = np.full(capacity + 1, -1, np.int64)

    @property
    def weight(self) -> Floats:
        """Weights by slot, 0 where a slot is free: products need no vectors to be gathered first."""
        weight = np.zeros(len(self.rows))
        weight[self.fit.slots] = self.fit.weight
        return weight

    @property
    def residual(self) -> Floats:
        return np.asarray(self.target - self.weight @ self.vectors)

    @property
    def objective(self) -> float:
        return max(0.0, self.square - self.fit.explained)

    def fill(self, count: int, steps: int, taken: Ints) -> bool:
        """Let items in until there are `count`; whether there are. Stops early where nothing brings the target nearer."""
        while self.fit.size < count:
            residual = self.residual
            length = float(np.linalg.norm(residual))
            if length <= self.course.tolerance * np.sqrt(self.square):
                return False
            held = np.concatenate([taken, self.rows[self.fit.slots]])
            before = self.objective
            rows, scores = self.source.best(residual / length, 16 * steps + _MORE, held)
            if not len(rows):
                return False
            self._enter(rows, length * float(scores.min()), min(count - self.fit.size, steps))
            if before - self.objective <= 1e-10 * before:
                return False
        return True

    def _enter(self, rows: Ints, least: float, steps: int) -> None:
        """Let in up to `steps` of these rows, each time that which lies most along what is then the residual.

        All but the first only while its product is at least `least`: below that, a row that is not here may be better.
        """
        vectors = self.source.take(rows)
        aims, own = vectors @ self.target, np.einsum("ij,ij->i", vectors, vectors)
        cross = self.vectors @ vectors.T
        barred = np.zeros(len(rows), bool)
        entered = 0
        while entered < steps and self.fit.size < self.capacity:
            scores = np.where(barred, -np.inf, aims - self.weight @ cross)
            best = float(scores.max())
            if best <= 1e-13 * np.sqrt(self.square * own.max()) or (entered and best < least):
                return
            item = int(np.flatnonzero(scores >= best * (1 - 1e-12))[0])  # rounding decides no tie
            barred[item] = True
            slot = self.fit.add(cross[self.fit.slots, item], float(own[item]), float(aims[item]))
            if slot < 0:
                continue
            self.vectors[slot], self.rows[slot] = vectors[item], rows[item]
            cross[slot] = vectors @ vectors[item]
            self.fit.settle()
            entered += 1

    def swap(self, count: int, taken: Ints, must: Ints) -> bool:
        """Let in a fifth more items than `count`, then drop those that are missed least; whether that was of use."""
        before = self.objective
        state = self.fit.slots.copy(), self.rows.copy(), self.vectors[self.fit.slots].copy()
        self.fill(self.capacity, max(1, (self.capacity - count) // 4), taken)
        places, _, _ = self._dropped(count, must)
        self._restrict(np.sort(places))
        if self.objective < before * (1 - 1e-12):
            return self.objective < before * 0.99
        self._restore(*state)
        return False

    def trim(self, count: int, must: Ints) -> None:
        """Drop what is missed least until at most `count` items are left beside those of `must`."""
        while (free := int((~np.isin(self.rows[self.fit.slots], must)).sum())) > count:
            places, _, _ = self._dropped(self.fit.size - (free - count), must)
            self._restrict(np.sort(places))

    def _dropped(self, count: int | None, must: Ints) -> tuple[Ints, Floats, Floats]:
        """Places of the `count` items that are missed most (None: of all, most first), and what each was worth."""
        weight = self.fit.weight.copy()
        order, loss, square = np.empty(len(weight), np.int64), np.zeros(len(weight)), np.zeros(len(weight))
        kept = np.isin(self.rows[self.fit.slots], must)
        left = compiled(eliminate)(self.fit.inverse(), weight, count or 0, kept, (order, loss, square))
        return (order if count is None else order[:left]), loss, square

    def _restrict(self, places: Ints) -> None:
        vectors = self.vectors[self.fit.slots[places]]
        self.fit.restrict(places, vectors @ vectors.T, vectors @ self.target)

    def _restore(self, slots: Ints, rows: Ints, vectors: Floats) -> None:
        self.fit = ActiveSet(self.capacity, self.course.ridge)
        gram, aims = vectors @ vectors.T, vectors @ self.target
        kept = rows[slots]
        for i in range(len(kept)):
            slot = self.fit.add(gram[i, :i], float(gram[i, i]), float(aims[i]))
            self.vectors[slot], self.rows[slot] = vectors[i], kept[i]
        self.fit.settle()

    def ranked(self, must: Ints) -> Round:
        """The items in the order in which they are missed most."""
        places, loss, square = self._dropped(None, must)
        slots = self.fit.slots[places]
        weight = self.fit.weight[places]
        objective = self.objective + np.append(np.cumsum(loss[:0:-1])[::-1], 0.0)
        residual = np.sqrt(np.maximum(objective - self.course.ridge * square, 0) / self.square)
        return Round(self.rows[slots].copy(), weight.copy(), residual, weight @ self.vectors[slots])


def run_round(source: Rows, target: Floats, count: int, course: Course, taken: Ints, must: Ints) -> Round:
    """Pursue the target with at most `count` rows, none of those `taken`; of `must` those first that are of use.

    All of `must` count, of use or not. Fewer come back where they reach the target already, or no other brings it nearer.
    """
    most = min(count, len(target)) if course.ridge == 0 else count
    pursuit = _Pursuit(source, target, most + max(8, most // 5), course)
    if len(must):
        pursuit._enter(must, 0.0, len(must))
    steps = max(1, -(-most // course.passes))
    full = pursuit.fill(most, steps, taken)
    for _ in range(course.swaps if full else 0):
        if not pursuit.swap(most, taken, must):
            break
    pursuit.trim(count - len(must), must)
    return pursuit.ranked(must)
