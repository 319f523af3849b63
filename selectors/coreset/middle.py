"""Moderate coresets: of each class the items at a middling distance from its centre."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, at_random, generator, highest
from curate.contracts import Budget, Held, Selection, View
from curate.fitting import piece_rows
from curate.vectors.rows import Floats, Ints
from curate.vectors.sources import (
    Column,
    Source,
    Where,
    blocks,
    flags,
    read_rows,
    rows_of,
    squares,
)

__all__ = ["moderate"]

Keys = npt.NDArray[np.int32]

_TOP = np.int32((1 << 31) - 1)
_WHOLE = 1 << 26
"""Numbers of a group that one worker holds at once: 256 MB. Of all items without groups there may be more."""


def moderate(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
) -> Selection:
    """Choose of each group of `within` (its classes) the rows of `x` (n, d) whose distance from the group's
    coordinate-wise median is in the middle of all such distances: neither the typical nor the strange.

    With q the quantile of a distance in its group, 1 - |2 q - 1| is the `gain`, and the highest are chosen: a band
    around the median as wide as the group's share of the budget. `random` is the mean of that, here and at random.
    Equal ones go to the lower row. Time n d, memory a copy of
    the largest group. Raises InputError as `Constraints.terms` does, and for
    rows that are not finite. Source: Xia et al. (ICLR 2023).
    """
    meter, rng = Meter(), generator(rng)
    source = rows_of(x)
    terms = (within or Constraints()).terms(len(source), budget)
    gain = np.empty(len(source), np.float32)
    if len(terms.left) == 1 and isinstance(source, Column) and source.size > _WHOLE:
        gain = _band(_away(source))
    else:
        order = np.argsort(terms.group, kind="stable")
        groups = np.split(order, np.searchsorted(terms.group[order], np.arange(1, len(terms.left))))
        for rows, own in zip(groups, source.share(_middling, groups), strict=True):
            gain[rows] = own
    index, other = highest(terms, gain), at_random(terms, rng)
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=gain[index],
        random={"objective": float(gain[index].mean()), "random": float(gain[other].mean())},
        **meter.read(),
    )


def _middling(source: Source, rows: Ints) -> Floats:
    """The gains of one group."""
    x = source.take(rows)
    return _band(_squared(np.median(x, axis=0).astype(np.float32), x) if len(x) else np.empty(0, np.float32))


def _squared(centre: Floats, x: Floats) -> Floats:
    return squares(x - centre)[:, 0]


def _band(distance: Floats) -> Floats:
    """1 - |2 q - 1| of each row, q the quantile of its distance: (n,) in [0, 1]."""
    order = np.argsort(distance, kind="stable")
    quantile = np.empty(len(distance))
    quantile[order] = (np.arange(len(distance)) + 0.5) / len(distance)
    return (1 - np.abs(2 * quantile - 1)).astype(np.float32)


# --- Vectors that nobody holds whole ----------------------------------------------------------------------------------


class Ordered:
    """Numbers of a piece as whole ones of the same order: a state of `contracts.Held`."""

    def __init__(self, piece: View, first: int, where: Where) -> None:
        rows = np.flatnonzero(flags(where.bits, first, len(piece)))
        whole = read_rows(piece, where, rows).view(np.int32)
        self.keys = np.where(whole < 0, whole ^ _TOP, whole)

    def up_to(self, bounds: Keys) -> Ints | None:
        """How many are at most these (d,), of each dimension; None where there is no row."""
        return (self.keys <= bounds).sum(0) if len(self.keys) else None

    def above(self, bounds: Keys) -> Keys | None:
        """The least of those that are more."""
        return np.where(self.keys > bounds, self.keys, _TOP).min(0) if len(self.keys) else None


def _away(source: Column) -> Floats:
    """The squared distance of each row from the median: (n,)."""
    view, making = source.view, partial(Ordered, where=source.where)
    with view.resident(making, piece_rows(view, source.column)) as held:
        centre = _median(held, len(source), source.take(slice(0, 1)).shape[1])
    return np.concatenate(list(source.share(partial(_block_away, centre), blocks(len(source)))))


def _block_away(centre: Floats, source: Source, rows: slice) -> Floats:
    return _squared(centre, source.take(rows))


def _median(held: Held, n: int, d: int) -> Floats:
    """The median of each dimension, found by halving: the same as of all numbers at once."""

    def count(bounds: npt.NDArray[np.int64]) -> Ints:
        parts = held.ask("up_to", bounds.astype(np.int32))
        return np.asarray(np.sum([part for part in parts if part is not None], axis=0))

    low, high = np.full(d, -(1 << 31)), np.full(d, int(_TOP))
    while (low < high).any():
        middle = (low + high) // 2
        enough = count(middle) > (n - 1) // 2
        low, high = np.where(enough, low, middle + 1), np.where(enough, middle, high)
    least = held.ask("above", low.astype(np.int32))
    after = np.min([part for part in least if part is not None], axis=0)
    upper = np.where(count(low) > n // 2, low, after)
    return np.asarray((_number(low) + _number(upper)) / np.float32(2))


def _number(keys: npt.NDArray[Any]) -> Floats:
    whole = keys.astype(np.int32)
    return np.where(whole < 0, whole ^ _TOP, whole).astype(np.int32).view(np.float32)
