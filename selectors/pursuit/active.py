"""Non-negative least squares by an active set: a Cholesky factor that grows and shrinks an item at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.errors import InputError
from curate.selectors.pursuit.kernels import append_row, back_substitute, compiled, delete_row

__all__ = ["ActiveSet", "nonnegative_least_squares"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class ActiveSet:
    """Items with positive weights w that minimise |sum of w_i a_i - b|^2 + ridge |w|^2 (Lawson and Hanson 1974).

    It knows products alone: of items with each other and with the target b. Items are named by *slots*, small numbers that
    stay while the item does; `slots` (size,) lists those in use in the order of the factor.
    """

    def __init__(self, capacity: int, ridge: float = 0.0) -> None:
        self.size, self.ridge = 0, ridge
        self._factor = np.zeros((capacity + 1, capacity + 1))
        self._image, self._weight, self._new = (np.zeros(capacity + 1) for _ in range(3))
        self._slots = np.zeros(capacity + 1, np.int64)
        self._free = list(range(capacity, -1, -1))

    @property
    def slots(self) -> Ints:
        """Slots in use, in the order of the factor."""
        return self._slots[: self.size]

    @property
    def weight(self) -> Floats:
        """Weights along `slots`."""
        return self._weight[: self.size]

    @property
    def explained(self) -> float:
        """By how much |b|^2 exceeds the objective."""
        image = self._image[: self.size]
        return float(image @ image)

    def add(self, cross: Floats, own: float, aim: float) -> int:
        """Let an item in with weight 0, given its products with those in `slots`, itself and the target; its slot.

        -1 where it depends on those that are there: it could bring nothing new. `settle` finds the weights.
        """
        self._factor[self.size, : self.size] = cross
        if not compiled(append_row)(self._factor, self._image, self.size, own + self.ridge, aim):
            return -1
        slot = self._free.pop()
        self._slots[self.size], self._weight[self.size] = slot, 0.0
        self.size += 1
        return slot

    def settle(self) -> list[int]:
        """Find the weights; items that are better without go. Returns the slots that were left."""
        gone: list[int] = []
        while self.size:
            new, now = self._new[: self.size], self.weight
            compiled(back_substitute)(self._factor, self._image, self.size, self._new)
            falling = np.flatnonzero(new <= 0)
            if not len(falling):
                now[:] = new
                break
            steps = now[falling] / np.maximum(now[falling] - new[falling], 1e-300)
            step = float(steps.min())
            now += step * (new - now)
            out = falling[(steps <= step) | (now[falling] <= 1e-14 * now.max())]
            gone += self.slots[out].tolist()
            for place in out[::-1].tolist():
                self._remove(place)
        return gone

    def _remove(self, place: int) -> None:
        compiled(delete_row)(self._factor, self._image, self.size, place)
        self._free.append(int(self._slots[place]))
        for held in (self._slots, self._weight):
            held[place : self.size - 1] = held[place + 1 : self.size]
        self.size -= 1

    def inverse(self) -> Floats:
        """The inverse of the items' Gram matrix (with the ridge), (size, size)."""
        half = np.linalg.inv(self._factor[: self.size, : self.size])
        return np.asarray(half.T @ half)

    def restrict(self, places: Ints, gram: Floats, aims: Floats) -> None:
        """Keep the items at these places of `slots` alone, given their Gram matrix and products with the target.

        The factor is made anew, which also takes away what rounding has gathered. Their weights must come out positive.
        """
        size = len(places)
        kept = self.slots[places].copy()
        self._free += np.setdiff1d(self.slots, kept).tolist()[::-1]
        factor = np.linalg.cholesky(gram + self.ridge * np.eye(size))
        self._factor[:size, :size] = factor
        self._slots[:size], self.size = kept, size
        self._image[:size] = np.linalg.solve(factor, aims)
        compiled(back_substitute)(self._factor, self._image, size, self._weight)


def nonnegative_least_squares(
    a: npt.NDArray[Any], b: npt.NDArray[Any], *, ridge: float = 0.0, tolerance: float = 1e-10
) -> Floats:
    """Weights w >= 0 (k,) float64 that minimise |w a - b|^2 + ridge |w|^2, for items a (k, D) and a target b (D,).

    Active set (Lawson and Hanson 1974) on the Gram matrix: an item enters while its product with the residual is above
    `tolerance` |a_i| |b|. Of items that depend on each other one gets all the weight. Time k D steps and k^2 D once.
    Raises InputError for shapes that do not fit or values that are not finite.
    """
    a, b = as_floats(a, "a"), as_floats(b, "b")
    if a.ndim != 2 or b.shape != a.shape[1:]:
        raise InputError(f"items {a.shape} and a target {b.shape}: (k, D) and (D,) are meant")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("items or target are not finite")
    gram, aims = a @ a.T, a @ b
    own = np.diag(gram).copy()
    least = tolerance * np.sqrt(own) * np.linalg.norm(b)
    fit = ActiveSet(min(a.shape) if ridge == 0 else len(a), ridge)
    item = np.zeros(len(fit._slots), np.int64)
    weight, barred = np.zeros(len(a)), np.zeros(len(a), bool)
    while True:
        scores = aims - weight @ gram
        scores[barred | (weight > 0) | (scores <= least)] = -np.inf
        best = int(scores.argmax()) if len(scores) else 0
        if not len(scores) or scores[best] == -np.inf:
            return weight
        before = fit.explained
        slot = fit.add(gram[best, item[fit.slots]], own[best], aims[best])
        if slot < 0:
            barred[best] = True
            continue
        item[slot] = best
        fit.settle()
        weight[:] = 0
        weight[item[fit.slots]] = fit.weight
        if fit.explained <= before * (1 + 1e-14):
            barred[best] = True
