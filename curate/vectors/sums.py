"""Sums that do not depend on the order in which they are taken, or on who takes which part of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["to_units", "unit_for"]


def unit_for(n: int, most: float) -> float:
    """A unit such that n numbers, none larger than `most` without its sign, come to no more than 2^52 of it.

    Sums of whole units are then exact: to within 2^-53 n of the largest at the very worst, and the same whatever the order.
    """
    return float(2.0 ** (int(np.ceil(np.log2(max(1, n) * most))) - 52)) if most > 0 else 1.0


def to_units(x: npt.NDArray[Any], unit: float) -> npt.NDArray[np.float64]:
    """A copy of the numbers, each rounded to whole units: added to so large a number, no more of it is left."""
    rounding = 1.5 * 2.0**52 * unit
    found = x.astype(np.float64)
    found += rounding
    found -= rounding
    return found
