"""Which labels confident learning flags, when the rows lie in portions: what each says of its own is combined here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from curate.choosing import ceilings, places_to_ask
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.confident.filters import lowest, prune_counts
from curate.scorers.noise.confident.joint import Thresholds, calibrate_joint
from curate.scorers.noise.confident.portion import Above, Cells, Options

__all__ = ["Asked", "Chosen", "choose", "sum_thresholds"]

Floats = npt.NDArray[np.floating[Any]]
Rows = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]


class Asked(Protocol):
    """All portions: `ask` and `tell` as of `contracts.Held`."""

    def ask(self, method: str, *args: Any) -> list[Any]: ...
    def tell(self, method: str, *args: Any) -> list[Any]: ...


Rank = Callable[[Ints, Ints], Ints]
"""Keys of these rows (m,), given by portion and row in it, by which they are taken where they tie, lowest first."""


class Chosen(NamedTuple):
    """The calibrated `joint` counts (k, k), and the rows flagged of each portion, None where each is judged alone."""

    joint: Ints
    rows: Sequence[Rows | None]


def sum_thresholds(found: Iterable[Thresholds | None]) -> Thresholds | None:
    """Those of all portions; None if there are no rows."""
    total = None
    for one in found:
        if one is not None:
            total = total or Thresholds(len(one.counts))
            total.counts, total.sums = total.counts + one.counts, total.sums + one.sums
    return total


def choose(portions: Asked, thresholds: Thresholds, options: Options, rank: Rank) -> Chosen:
    """Have all rows judged, and choose which are flagged. Whatever the portions, the answer is the same."""
    joint = np.sum(portions.tell("judge", thresholds.values()), axis=0)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    joint = calibrate_joint(joint, thresholds.counts)
    sizes = portions.ask("rows")
    if sum(sizes) != thresholds.counts.sum():
        raise InputError(
            f"the second pass over the batches has {counted(sum(sizes), 'row')}, the first {thresholds.counts.sum()}"
        )
    if options.filter_by in ("predicted_neq_given", "confident_learning"):
        return Chosen(joint, [None] * len(sizes))
    if options.filter_by.startswith("low_"):
        which = "own" if options.filter_by == "low_self_confidence" else "margin"
        values = np.concatenate(portions.ask("values", which))
        groups, wanted = np.zeros(len(values), np.uint8), np.array([sum(portions.ask("doubted"))])
        return Chosen(joint, _split(lowest(groups, values, wanted, _within(rank, sizes)), sizes))
    counts = prune_counts(joint)
    flags = np.ones(sum(sizes), bool)
    if options.filter_by != "prune_by_noise_rate":
        flags &= _by_class(portions, counts, thresholds.counts, _within(rank, sizes))
    if options.filter_by != "prune_by_class":
        flags &= _by_rate(portions, counts, thresholds.counts, (rank, sizes))
    return Chosen(joint, _split(flags, sizes))


def _within(rank: Rank, sizes: Sequence[int]) -> Callable[[Ints], Ints]:
    """The same keys of rows numbered through all portions."""
    firsts = np.cumsum([0, *sizes])

    def keys(rows: Ints) -> Ints:
        portion = np.searchsorted(firsts, rows, side="right") - 1
        return rank(portion, rows - firsts[portion])

    return keys


def _split(flags: npt.NDArray[np.bool_], sizes: Sequence[int]) -> list[Rows | None]:
    return [np.flatnonzero(part).astype(np.int32) for part in np.split(flags, np.cumsum(sizes)[:-1])]


def _by_class(
    portions: Asked, counts: Ints, label_counts: Ints, keys: Callable[[Ints], Ints]
) -> npt.NDArray[np.bool_]:
    """Of each label, as many as the joint says are wrong in all: those of the lowest probability of it. A label with a single
    item is left alone."""
    wanted = np.where(label_counts > 1, label_counts - counts.diagonal(), 0)
    labels, own = np.concatenate(portions.ask("given")), np.concatenate(portions.ask("values", "own"))
    return lowest(labels, own, wanted, keys)


def _by_rate(
    portions: Asked, counts: Ints, label_counts: Ints, rows: tuple[Rank, Sequence[int]]
) -> npt.NDArray[np.bool_]:
    """Of each label and for each other class, as many as the joint says: those where the class exceeds the label by most."""
    (rank, sizes), wanted = rows, counts.T * (label_counts > 1)[:, None]
    np.fill_diagonal(wanted, 0)
    given, other = np.nonzero(wanted)
    cells = Cells(given, other, wanted[given, other])
    flags = np.zeros(sum(sizes), bool)
    if not len(given):
        return flags
    found: list[Above] = portions.ask("above", cells, _floor(portions, cells, len(sizes)))
    firsts = np.cumsum([0, *sizes])[:-1]
    row = np.concatenate([one.row + first for one, first in zip(found, firsts, strict=True)])
    cell, margin = (np.concatenate([getattr(one, name) for one in found]) for name in ("cell", "margin"))
    keys = _within(rank, sizes)
    flags[row[lowest(cell, -margin, cells.wanted, lambda at: keys(row[at]))]] = True
    return flags


def _floor(portions: Asked, cells: Cells, count: int) -> Floats:
    """A margin for each cell (c,) that at least as many rows have as are wanted, and not many more."""
    places = places_to_ask(cells.wanted, count)
    heads = [-one for one in portions.ask("heads", cells, places)]
    floor: Floats = -ceilings(heads, places, cells.wanted)
    return floor
