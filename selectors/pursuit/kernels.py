"""Inner loops, written as plain functions and compiled by numba when first used: importing this costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import require

__all__ = [
    "add_exactly",
    "append_row",
    "back_substitute",
    "compiled",
    "delete_row",
    "eliminate",
    "products",
]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@cache
def compiled(kernel: Callable[..., Any], exactly: bool = False) -> Callable[..., Any]:
    """The kernel in machine code, kept on disk for the next process. Raises MissingExtraError without `select`.

    Sums may be taken in another order than written, but in the same for every row, wherever it lies: that is what makes
    scores the same however rows are cut into shards. With `exactly`, each step is as written; a kernel is always asked for in
    one way. It lets go of Python's lock while it runs.
    """
    numba: Any = require("numba", "select")
    freely = False if exactly else {"reassoc", "contract"}
    fast: Callable[..., Any] = numba.njit(kernel, nogil=True, cache=True, fastmath=freely)
    return fast


def products(rows: Array, direction: Array, out: Array) -> None:
    """out[i] = rows[i] . direction, in the precision of `out`: as fast as memory is read."""
    for i in range(rows.shape[0]):
        total = out.dtype.type(0)
        for d in range(rows.shape[1]):
            total += rows[i, d] * direction[d]
        out[i] = total


def add_exactly(rows: Array, sums: Floats) -> None:
    """Add rows (n, D) to sums[0] (D,), and to sums[1] what rounding takes from each step (Knuth's two-sum).

    sums[0] + sums[1] is right to some thirty digits, so that rounded to float32 it is the same in whatever order, and whether
    rows are added or sums of rows.
    """
    for i in range(rows.shape[0]):
        for d in range(rows.shape[1]):
            x, before = np.float64(rows[i, d]), sums[0, d]
            after = before + x
            part = after - before
            sums[0, d] = after
            sums[1, d] += (before - (after - part)) + (x - part)


def append_row(factor: Floats, image: Floats, size: int, own: float, aim: float) -> bool:
    """Grow a Cholesky factor by one row, whose products with the others lie in factor[size, :size].

    `own` is its product with itself, `aim` that with the target; image = factor^-1 (products with the target) grows along.
    False, and nothing has grown, where the row depends on the others to within 1e-9 of its square.
    """
    new, squares, along = factor[size], 0.0, 0.0
    for i in range(size):
        row, total = factor[i], 0.0
        for k in range(i):
            total += row[k] * new[k]
        new[i] = (new[i] - total) / row[i]
        squares += new[i] * new[i]
        along += new[i] * image[i]
    rest = own - squares
    if not rest > 1e-9 * own:
        return False
    new[size] = np.sqrt(rest)
    image[size] = (aim - along) / new[size]
    return True


def delete_row(factor: Floats, image: Floats, size: int, place: int) -> None:
    """Take one row out of a Cholesky factor of `size` rows, turning those below back into a triangle (Givens)."""
    for i in range(place, size - 1):
        for k in range(i + 2):
            factor[i, k] = factor[i + 1, k]
    for i in range(place, size - 1):
        a, b = factor[i, i], factor[i, i + 1]
        length = np.sqrt(a * a + b * b)
        cos, sin = a / length, b / length
        factor[i, i], factor[i, i + 1] = length, 0.0
        for k in range(i + 1, size - 1):
            left, right = factor[k, i], factor[k, i + 1]
            factor[k, i] = cos * left + sin * right
            factor[k, i + 1] = cos * right - sin * left
        left, right = image[i], image[i + 1]
        image[i], image[i + 1] = cos * left + sin * right, cos * right - sin * left


def back_substitute(factor: Floats, image: Floats, size: int, out: Floats) -> None:
    """out = factor^-T image, along rows of the factor alone."""
    for i in range(size):
        out[i] = image[i]
    for i in range(size - 1, -1, -1):
        out[i] /= factor[i, i]
        x = out[i]
        for k in range(i):
            out[k] -= factor[i, k] * x


def eliminate(
    inverse: Floats, weight: Floats, keep: int, must: Array, out: tuple[Array, Floats, Floats]
) -> int:
    """Drop items from a least squares fit, each time the one that is missed least, until `keep` are left.

    `inverse` (n, n) of their Gram matrix and `weight` (n,) are used up. The loss of an item is weight^2 / inverse_ii; what
    has a weight of 0 or less goes at once; of `must` (n,) bool none goes for being missed least. `out` are `order`: item
    order[m] was dropped when m + 1 were left, and in order[:left] are those that stayed; `loss` (n,) along it; `square` (n,):
    the sum of squared weights while m + 1 were left. Returns how many are left, their weights in weight[:left].
    """
    order, loss, square = out
    left = len(weight)
    for i in range(left):
        order[i] = i
    while left > 0:
        worst, least, negative, total = -1, np.inf, False, 0.0
        for i in range(left):
            w = weight[i]
            total += w * w
            if w <= 0 and (not negative or w < least):
                worst, least, negative = i, w, True
            elif not negative and not must[order[i]] and w * w < least * inverse[i, i]:
                worst, least = i, w * w / inverse[i, i]
        if not negative and left <= keep:
            return left
        if worst < 0:  # all that is left must stay: only the order is asked for
            for i in range(left):
                if weight[i] * weight[i] < least * inverse[i, i]:
                    worst, least = i, weight[i] * weight[i] / inverse[i, i]
        own, x, last = inverse[worst, worst], weight[worst], left - 1
        square[last], loss[last] = total, x * x / own
        order[worst], order[last] = order[last], order[worst]
        weight[worst] = weight[last]
        for k in range(left):
            inverse[worst, k], inverse[last, k] = inverse[last, k], inverse[worst, k]
        for k in range(left):
            inverse[k, worst], inverse[k, last] = inverse[k, last], inverse[k, worst]
        for i in range(last):
            share = inverse[i, last] / own
            weight[i] -= share * x
            for k in range(last):
                inverse[i, k] -= share * inverse[last, k]
        left = last
    return left
