"""k-means a round at a time: whoever has rows says what they add to which centre, and what they say adds up exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Sums", "learn_centres", "nearest", "runs", "summed", "to_units", "unit_for"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Sums(NamedTuple):
    """What some rows add up to: `used` (c,) the centres that they are nearest to, `totals` (c, d) and how many each, `sizes` (c,)."""

    used: Ints
    totals: Doubles
    sizes: Ints


def learn_centres(
    centres: Floats, ask: Callable[[Floats], Iterable[Sums]], rounds: int, *, spherical: bool = False
) -> Floats:
    """Centres (k, d) after `rounds` steps of Lloyd, or fewer where they stay.

    `ask(centres)` gives the `Sums` of all rows, in any portions: added up in whole units they are the same whatever the
    portions. A centre moves to the mean of what is nearest to it, or with `spherical` to its direction; one that nothing is
    near, or that has no direction, stays.
    """
    for _ in range(rounds):
        totals, sizes = np.zeros(centres.shape), np.zeros(len(centres), np.int64)
        for part in ask(centres):
            totals[part.used] += part.totals
            sizes[part.used] += part.sizes
        by = np.sqrt(np.einsum("ij,ij->i", totals, totals)) if spherical else sizes
        moves = (sizes > 0) & (by > 0)
        before, centres = centres, centres.copy()
        centres[moves] = totals[moves] / by[moves, None]
        if np.array_equal(before, centres):
            break
    return centres


def summed(x: Floats, of: Ints, unit: float) -> Sums:
    """What the rows `x` (n, d), of which `of` (n,) are the centres, add up to, in units of `unit`."""
    order = np.argsort(of, kind="stable")
    used, starts = np.unique(of[order], return_index=True)
    totals = np.add.reduceat(to_units(x[order], unit), starts, axis=0) if len(of) else np.empty(x.shape)
    return Sums(used, totals, np.diff(np.append(starts, len(of))))


def nearest(x: Floats, centres: Floats, block: int) -> Ints:
    """The nearest centre of each row, (n,) int64, `block` rows at a time; of equally near ones the first."""
    half = np.einsum("ij,ij->i", centres, centres) / 2
    of = np.empty(len(x), np.int64)
    for low in range(0, len(x), block):
        near = x[low : low + block] @ centres.T
        near -= half
        of[low : low + len(near)] = near.argmax(1)
    return of


def runs(n: int, count: int, block: int) -> list[slice]:
    """n rows in runs of whole blocks, so long that the sums for `count` centres are shorter than the rows."""
    size = block * -(-max(1, 4 * count) // block)
    return [slice(low, min(low + size, n)) for low in range(0, n, size)]


# --- Sums that do not depend on the order ---------------------------------------------------------------------------


def unit_for(n: int, most: float) -> float:
    """A unit such that n numbers, none larger than `most` without its sign, come to no more than 2^52 of it.

    Sums of whole units are then exact: to within 2^-53 n of the largest at the very worst, and the same whatever the order.
    """
    return float(2.0 ** (int(np.ceil(np.log2(max(1, n) * most))) - 52)) if most > 0 else 1.0


def to_units(x: npt.NDArray[Any], unit: float) -> Doubles:
    """A copy of the numbers, each rounded to whole units: added to so large a number, no more of it is left."""
    rounding = 1.5 * 2.0**52 * unit
    found = x.astype(np.float64)
    found += rounding
    found -= rounding
    return found
