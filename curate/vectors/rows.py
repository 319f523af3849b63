"""Rows of numbers as functions on them take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_rows
from curate.choosing import finite_rows
from curate.counting import counted
from curate.errors import InputError

__all__ = ["Doubles", "Floats", "Ints", "prepare", "unit"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def prepare(given: Any, what: str = "x") -> Floats:
    """`given` (n, d) numbers as float32 in C order, without a copy where it is that already.

    Raises InputError for another shape, and for rows that are not finite or longer than float32 can square.
    """
    x: npt.NDArray[Any] = as_rows(given, what)
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, np.float32)
    if not x.shape[1]:
        raise InputError(f"{what} has no dimensions: its shape is {x.shape}")
    bad = np.flatnonzero(~finite_rows(x))
    if not len(bad) and len(x) and max(float(x.max()), -float(x.min())) > 1e17:
        bad = np.flatnonzero(np.abs(x).max(1) > 1e17)
    if len(bad):
        named = ", ".join(map(str, bad[:5].tolist()))
        raise InputError(
            f"{counted(len(bad), f'row of {what} is', f'rows of {what} are')} not finite or too long, as {named}: "
            "leave them out"
        )
    return x


def unit(x: Floats) -> Floats:
    """A copy with rows of length 1; rows of zeros stay."""
    length = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return x / np.where(length > 0, length, 1).astype(np.float32)[:, None]
