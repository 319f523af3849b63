"""Greedy facility location over all pairs, exactly, without ever holding them all.

The first choices are made lazily with similarities computed on demand. From then on few pairs matter: those in which an
item is more like a candidate than like anything chosen. One more pass over all pairs collects them, and the greedy goes
on over this sparse list, with the same gains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from curate.choosing import Terms
from curate.selectors.coreset.heaps import lazy_greedy
from curate.selectors.coreset.kernels import (
    Graph,
    Purse,
    add_both_gains,
    add_gains,
    collect_above,
    take_away,
    transpose,
)
from curate.selectors.coreset.loops import compiled
from curate.selectors.coreset.similarity import Likeness
from curate.vectors.rows import Floats, Ints

__all__ = ["Picks", "all_gains", "exact_greedy", "finish_sparse", "gains_of", "purse_of"]

_BATCH = 64
_SAMPLE = 256
_PAIRS = 8
"""So many pairs may be held for each number of the rows."""
_SHARE = 0.995
"""Bounds are lowered by the items that make up so much of what a choice covers."""


class Picks:
    """A choice as it grows: rows with their gains, what is covered, and what may still be chosen."""

    def __init__(self, likeness: Likeness, terms: Terms) -> None:
        gains, self.cover = likeness.covered(terms.first)
        self.rows: list[int] = terms.first.tolist()
        self.gains: list[float] = gains.tolist()
        self.purse = purse_of(terms)

    def add(self, row: int, gain: float, column: Floats) -> None:
        """This row, which was open, is chosen; `column` (n,) is how like it all are."""
        self.rows.append(row)
        self.gains.append(gain)
        np.maximum(self.cover, column, out=self.cover)
        self.purse.open[row] = False
        self.purse.left[self.purse.group[row]] -= self.purse.cost[row]

    def affordable(self) -> npt.NDArray[np.bool_]:
        """What may be chosen next."""
        purse = self.purse
        return np.asarray(purse.open & (purse.cost <= purse.left[purse.group] + purse.slack))


def purse_of(terms: Terms) -> Purse:
    """Terms as the compiled loops take them, to be changed by them."""
    return Purse(terms.open.copy(), terms.cost, terms.group, terms.left.copy(), 1e-9 * max(terms.spend, 1.0))


def all_gains(likeness: Likeness, cover: Floats) -> npt.NDArray[np.float64]:
    """What each row would add: sum over i of max(0, s_ij - cover_i). One pass over all pairs, each formed once."""
    gains = np.zeros(len(likeness))
    add, add_both = compiled(add_gains), compiled(add_both_gains)
    for low, left, tile in likeness.upper_tiles():
        rows, others = slice(low, low + len(tile)), slice(left, left + tile.shape[1])
        if left == low:
            add(tile, cover[others], gains[rows])
        else:
            add_both(tile, (cover[rows], cover[others]), (gains[rows], gains[others]))
    return gains


def gains_of(columns: Floats, cover: Floats) -> npt.NDArray[np.float64]:
    """The gains of candidates whose similarities to all are the rows of `columns` (b, n)."""
    gains = np.zeros(len(columns))
    compiled(add_gains)(columns, cover, gains)
    return gains


def exact_greedy(likeness: Likeness, terms: Terms) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Rows in the order chosen, mandatory ones first, and what each added.

    Time: two passes over all pairs; for the first choices as much again as the items they are nearest to; and little
    for the others. Memory: some times that of the rows.
    """
    n, d = len(likeness), likeness.width
    picks = Picks(likeness, terms)
    bound = all_gains(likeness, picks.cover)
    enough = len(terms.first)
    while True:
        enough += max(2, enough // 4)
        _dense(likeness, picks, bound, enough)
        if not picks.affordable().any():
            return np.array(picks.rows, np.int64), np.array(picks.gains)
        if _expected_pairs(likeness, picks.cover) <= _PAIRS * n * max(d, 32):
            return finish_sparse(_remaining(likeness, picks.cover), picks, terms.most)


def _dense(likeness: Likeness, picks: Picks, bound: npt.NDArray[np.float64], enough: int) -> None:
    """Choose until there are `enough`, the candidates of the highest bounds being brought up to date in batches.

    After each choice all bounds are lowered by what the items that it covers best no longer give.
    """
    cost = picks.purse.cost
    batch = np.empty(0, np.int64)
    columns = np.empty((0, len(bound)), np.float32)
    while len(picks.rows) < enough:
        free = picks.affordable()
        if not free.any():
            return
        keys = np.where(free, bound / cost, -np.inf)
        top = keys[batch].max(initial=-np.inf)
        rest = keys.copy()
        rest[batch] = -np.inf
        if top > -np.inf and top >= rest.max():
            # what differs by rounding alone goes by row
            place = int((keys[batch] >= top * (1 - 1e-5)).argmax())
            row, cover = int(batch[place]), picks.cover.copy()
            picks.add(row, float(bound[row]), columns[place])
            _lower(likeness, bound, cover, picks.cover)
            batch = batch[:0]
        else:
            size = min(_BATCH, int(free.sum()))
            batch = np.sort(np.argpartition(-keys, size - 1)[:size])
            columns = likeness.columns(batch)
            bound[batch] = gains_of(columns, picks.cover)


def _lower(likeness: Likeness, bound: npt.NDArray[np.float64], before: Floats, after: Floats) -> None:
    """Lower the bounds by what the items whose cover rose most no longer give, those with most of the whole rise."""
    rise = after - before
    order = np.argsort(-rise, kind="stable")
    rows = np.sort(order[: 1 + np.searchsorted(np.cumsum(rise[order]), _SHARE * rise.sum())])
    lower, slack = compiled(take_away), 1e-6 * float(bound.max())
    for low in range(0, len(rows), 512):
        part = rows[low : low + 512]
        for left in range(0, len(bound), 2048):
            others = slice(left, left + 2048)
            lower(likeness.block(part, others), before[part], rise[part], bound[others])
    bound += slack  # rounding must not make a bound of what is none


def _expected_pairs(likeness: Likeness, cover: Floats) -> float:
    """About how many pairs still matter, from evenly spaced candidates."""
    n = len(cover)
    rows = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))
    return float(np.count_nonzero(likeness.columns(rows) > cover)) * n / len(rows)


def _remaining(likeness: Likeness, cover: Floats) -> Graph:
    """The pairs in which an item is more like a candidate than what covers it."""
    n, used, collect = len(cover), 0, compiled(collect_above)
    out = (np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    for low, left, tile in likeness.upper_tiles():
        if used + 2 * tile.size > len(out[0]):
            size = int(1.5 * used) + 2 * tile.size
            for column in out:
                column.resize(size, refcheck=False)
        covers = cover[low : low + len(tile)], cover[left : left + tile.shape[1]]
        used = collect(tile, covers, (low, left), out, used)
    return compiled(transpose)(tuple(column[:used] for column in out), 0, n)  # type: ignore[no-any-return]


def finish_sparse(graph: Graph, picks: Picks, most: int) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Go on over sparse similarities until nothing fits; all rows and gains in order."""
    chosen, gains = np.empty(most - len(picks.rows), np.int64), np.empty(most - len(picks.rows))
    count = compiled(lazy_greedy)(graph, picks.cover, picks.purse, chosen, gains)
    return (
        np.concatenate([np.array(picks.rows, np.int64), chosen[:count]]),
        np.concatenate([np.array(picks.gains), gains[:count]]),
    )
