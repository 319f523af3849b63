"""Rows as the selectors of this folder take them, compiled loops, and a plain k-means."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.errors import InputError, require

__all__ = ["Clusters", "cluster", "compiled", "generator", "prepare", "unit"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_CHUNK = 8192


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, kept on disk from run to run. Sums may be taken in another order than written.

    Raises MissingExtraError where numba is not installed.
    """
    numba: Any = require("numba", "select")
    return numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})(function)  # type: ignore[no-any-return]


def generator(rng: np.random.Generator | None) -> np.random.Generator:
    """`rng`, or the same one every time."""
    return np.random.default_rng(0) if rng is None else rng


def prepare(x: npt.NDArray[Any], what: str = "x") -> Floats:
    """`x` (n, d) numbers as float32 in C order, without a copy where it is that already.

    Raises InputError for another shape, and for rows that are not finite or longer than float32 can square.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise InputError(
            f"{what} is {x.dtype} of shape {x.shape}: numbers of shape (rows, dimensions) are meant"
        )
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(x, np.float32)
    if not x.shape[1]:
        raise InputError(f"{what} has no dimensions: its shape is {x.shape}")
    bad = np.flatnonzero(~finite_rows(x))
    if not len(bad) and len(x) and max(float(x.max()), -float(x.min())) > 1e17:
        bad = np.flatnonzero(np.abs(x).max(1) > 1e17)
    if len(bad):
        named = ", ".join(map(str, bad[:5].tolist()))
        raise InputError(f"{len(bad)} rows of {what} are not finite or too long, as {named}: leave them out")
    return x


def unit(x: Floats) -> Floats:
    """A copy with rows of length 1; rows of zeros stay."""
    length = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return x / np.where(length > 0, length, 1).astype(np.float32)[:, None]


# --- k-means --------------------------------------------------------------------------------------------------------


class Clusters:
    """`centres` (c, d) float32, and for every row the nearest: `of` (n,) int64."""

    def __init__(self, centres: Floats, of: Ints) -> None:
        self.centres, self.of = centres, of

    def members(self) -> tuple[Ints, Ints]:
        """Rows ordered by cluster, and where each cluster begins in them (c + 1,)."""
        order = np.argsort(self.of, kind="stable")
        starts = np.searchsorted(self.of[order], np.arange(len(self.centres) + 1))
        return order, starts


def cluster(
    x: Floats,
    count: int,
    rng: np.random.Generator,
    *,
    rounds: int = 8,
    sample: int = 64,
    spread: bool = False,
) -> Clusters:
    """k-means with `count` centres trained on at most `sample` rows for each, every row then given to the nearest.

    Two matrix products a round are all there is to it. It begins with rows drawn at random; with `spread`, by the squared
    distance to those drawn before (k-means++), one product of the sample for each. A centre that nothing is near stays
    where it was.
    """
    count = min(count, len(x))
    size = min(len(x), max(4096, sample * count))
    known = x[np.sort(rng.choice(len(x), size, replace=False))] if size < len(x) else x
    centres = _spread(known, count, rng) if spread else known[np.sort(rng.choice(size, count, replace=False))]
    for _ in range(rounds):
        of = nearest_centre(known, centres)
        order = np.argsort(of, kind="stable")
        used, starts = np.unique(of[order], return_index=True)
        sums = np.add.reduceat(known[order], starts, axis=0, dtype=np.float64)
        before, centres = centres, centres.copy()
        centres[used] = (sums / np.diff(np.append(starts, len(of)))[:, None]).astype(np.float32)
        if np.array_equal(before, centres):
            break
    return Clusters(centres, nearest_centre(x, centres))


def _spread(x: Floats, count: int, rng: np.random.Generator) -> Floats:
    squares = np.einsum("ij,ij->i", x, x)
    rows = [int(rng.integers(len(x)))]
    far = np.full(len(x), np.inf)
    while len(rows) < count:
        last = x[rows[-1]]
        far = np.minimum(far, np.maximum(squares - 2 * (x @ last) + float(last @ last), 0))
        far[rows[-1]] = 0
        total = np.cumsum(far)
        drawn = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        if total[-1] <= 0 or drawn >= len(x):  # copies alone are left
            drawn = int(np.setdiff1d(np.arange(len(x)), rows)[0])
        rows.append(drawn)
    return x[rows]


def nearest_centre(x: Floats, centres: Floats) -> Ints:
    """The nearest centre of each row, (n,) int64; of equally near ones the first."""
    half = np.einsum("ij,ij->i", centres, centres) / 2
    of = np.empty(len(x), np.int64)
    for low in range(0, len(x), _CHUNK):
        near = x[low : low + _CHUNK] @ centres.T
        near -= half
        of[low : low + len(near)] = near.argmax(1)
    return of
