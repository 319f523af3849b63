"""Loops over distances to what was chosen; compiled (`rows.compiled`), each complete in itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.selectors.coreset.kernels import Purse

__all__ = ["farthest", "nearer"]

Array = npt.NDArray[Any]


def nearer(tile: Array, x: Array, centres: Array, squared: Array) -> None:
    """squared[i] = min(squared[i], |x_i - c|^2) over the centres, the best found in `tile` (c, n): -2 c x.

    Only the nearest's distance is taken from differences, so that copies have none.
    """
    n = len(x)
    least, best = np.full(n, np.inf, np.float32), np.zeros(n, np.int32)
    for c in range(len(centres)):
        length = np.float32(0)
        for k in range(x.shape[1]):
            length += centres[c, k] * centres[c, k]
        for i in range(n):
            value = tile[c, i] + length
            best[i] = c if value < least[i] else best[i]
            least[i] = value if value < least[i] else least[i]
    for i in range(n):
        length = np.float32(0)
        for k in range(x.shape[1]):
            length += x[i, k] * x[i, k]
        if least[i] + length > squared[i] + np.float32(1e-4) * length:
            continue
        total = np.float32(0)
        for k in range(x.shape[1]):
            gap = x[i, k] - centres[best[i], k]
            total += gap * gap
        squared[i] = min(squared[i], total)


def farthest(x: Array, squared: Array, purse: Purse, floor: float, out: tuple[Array, Array]) -> int:
    """Choose the row of `x` that is farthest (by distance per cost) from those chosen, until none is above `floor`.

    The first is chosen even so. `out` gets the rows and their squared distances.
    Brings `squared` and `purse` up to date. Returns how many were chosen.
    """
    open_, cost, group, left, slack = purse
    chosen, distances = out
    count = 0
    while count < len(chosen):
        best, most = -1, -1.0
        for i in range(len(x)):
            if open_[i] and squared[i] > most * cost[i] * cost[i] and cost[i] <= left[group[i]] + slack:
                best, most = i, squared[i] / (cost[i] * cost[i])
        if best < 0 or (count and most <= floor):
            break
        chosen[count], distances[count] = best, squared[best]
        count += 1
        open_[best] = False
        left[group[best]] -= cost[best]
        for i in range(len(x)):
            total = np.float32(0)
            for k in range(x.shape[1]):
                gap = x[i, k] - x[best, k]
                total += gap * gap
            squared[i] = min(squared[i], total)
    return count
