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

    Distances are taken from differences, so that copies have none, and of all centres that are nearest but for the rounding
    of `tile`: the answer for a row does not depend on which rows it is asked with.
    """
    n = len(x)
    least, second = np.full(n, np.inf, np.float32), np.full(n, np.inf, np.float32)
    best, longest = np.zeros(n, np.int32), np.float32(0)
    for c in range(len(centres)):
        length = np.float32(0)
        for k in range(x.shape[1]):
            length += centres[c, k] * centres[c, k]
        longest = max(longest, length)
        for i in range(n):
            value = tile[c, i] + length
            best[i] = c if value < least[i] else best[i]
            second[i] = min(second[i], max(value, least[i]))
            least[i] = min(value, least[i])
    for i in range(n):
        length = np.float32(0)
        for k in range(x.shape[1]):
            length += x[i, k] * x[i, k]
        slack = np.float32(1e-5) * (length + longest)
        if least[i] + length > squared[i] + 10 * slack:
            continue
        alone = second[i] > least[i] + slack
        for c in range(best[i] if alone else 0, best[i] + 1 if alone else len(centres)):
            total = np.float32(0)
            for k in range(x.shape[1]):
                gap = x[i, k] - centres[c, k]
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
