"""Copying: two annotators who err together more than the items explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.votes import candidates

if TYPE_CHECKING:
    import polars as pl

__all__ = ["copying_pairs", "partners"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

CHANCE = 0.01
"""How probable a false suspicion may be, over all pairs together."""
TOGETHER = 0.5
"""Of the items on which one of two is against the rest, the share on which the other is with him."""
TABLE = 1 << 22
"""So many pairs of annotators are counted in one table, more by sorting."""


class _Pairs(NamedTuple):
    """Two annotators (first < second): items in common, how many they agree on; items on which one of them is against
    the majority of the others, and on how many of these they say the same."""

    first: Codes
    second: Codes
    shared: Codes
    agreed: Codes
    odd: Codes
    together: Codes


def copying_pairs(
    answers: Any, *, least: int = 10, copied: float = 0.95, control: str | None = None
) -> pl.DataFrame:
    """Pairs of annotators of whom one seems to copy the other, or both a third: the most striking first.

    `first`, `second`; `shared`, the items both answered (at least `least`); `agreed`, the share of them answered alike
    (at least `copied`); `odd`, on how many one of the two is against the majority of everybody else; `together`, on
    which share of these the other says the same (at least half); `usual`, what that share is among all pairs, for hard
    items make honest people err alike; `chance`, at most how probable that much is by accident (Chernoff's bound;
    listed are those below 0.01 over all pairs that met). Agreement on items that everybody finds easy is no sign of
    copying, so only `odd` ones count. Items with two answers show nothing.
    """
    import polars as pl

    read = read_answers(answers, control=control)
    pairs, usual, chance = _suspects(read, least, copied)
    frame = pl.DataFrame(
        {
            "first": read.annotators.gather(pairs.first),
            "second": read.annotators.gather(pairs.second),
            "shared": pairs.shared,
            "agreed": pairs.agreed / np.maximum(pairs.shared, 1),
            "odd": pairs.odd,
            "together": pairs.together / np.maximum(pairs.odd, 1),
            "usual": np.full(len(chance), usual),
            "chance": chance,
        }
    )
    return frame.sort("chance", "first", "second")


def partners(read: Answers, least: int, copied: float) -> tuple[Codes, Floats]:
    """For each annotator the one he most strikingly errs with, -1 for none, and how often they agree."""
    partner = np.full(len(read.annotators), -1)
    alike = np.zeros(len(read.annotators))
    pairs, _, chance = _suspects(read, least, copied)
    for i in np.argsort(-chance, kind="stable"):
        for one, other in ((pairs.first[i], pairs.second[i]), (pairs.second[i], pairs.first[i])):
            partner[one], alike[one] = other, pairs.agreed[i] / pairs.shared[i]
    return partner, alike


def _suspects(read: Answers, least: int, copied: float) -> tuple[_Pairs, float, Floats]:
    """The suspicious pairs, the usual share of erring together, and how probable theirs is by accident (at most)."""
    pairs = _common(read)
    usual = float((pairs.together.sum() + 0.5) / (pairs.odd.sum() + 1))
    share = pairs.together / np.maximum(pairs.odd, 1)
    chance = np.where(share > usual, np.exp(-pairs.odd * _divergence(share, usual)), 1.0)  # Chernoff's bound
    met = max(int(((pairs.shared >= least) & (pairs.odd > 0)).sum()), 1)
    strange = (pairs.shared >= least) & (pairs.agreed >= copied * pairs.shared)
    strange &= (share >= TOGETHER) & (chance * met <= CHANCE)
    return _Pairs(*(column[strange] for column in pairs)), usual, chance[strange]


def _divergence(q: Floats, p: float) -> Floats:
    """Kullback and Leibler's of two coins, in nats."""
    rest = 1 - q
    result: Floats = q * np.log(np.maximum(q, 1e-300) / p) + rest * np.log(np.maximum(rest, 1e-300) / (1 - p))
    return result


def _common(read: Answers) -> _Pairs:
    """Every two annotators who met, in time O(answers x answers an item)."""
    w, n = len(read.annotators), len(read)
    mine, rival = _votes(read)
    dense = w * w <= TABLE
    table = np.zeros((4, w * w if dense else 0), np.int64)
    found: list[tuple[Codes, Codes]] = []
    for lag in range(1, int(read.per_item.max())):
        a = np.flatnonzero(read.item[: n - lag] == read.item[lag:])
        same = read.value[a] == read.value[a + lag]
        seen = read.per_item[read.item[a]] > 2
        against = seen & (~same | (mine[a] - 2 < rival[a]))
        marks = np.stack([np.ones(len(a), bool), same, against, against & same])
        key = read.annotator[a] * w + read.annotator[a + lag]
        if dense:
            for row, mark in zip(table, marks, strict=True):
                row += np.bincount(key[mark], minlength=w * w)
        else:
            distinct, code = np.unique(key, return_inverse=True)
            found.append((distinct, np.stack([np.bincount(code, m, len(distinct)) for m in marks])))
    if found:
        distinct, code = np.unique(np.concatenate([keys for keys, _ in found]), return_inverse=True)
        counts = np.concatenate([counted for _, counted in found], axis=1)
        table = np.stack([np.bincount(code, row, len(distinct)) for row in counts]).astype(np.int64)
    else:
        distinct = np.flatnonzero(table[0])
        table = table[:, distinct]
    return _Pairs(distinct // w, distinct % w, *table)


def _votes(read: Answers) -> tuple[Codes, Codes]:
    """(n,) how many gave the same answer to the item, and how many gave the most frequent of the others."""
    chosen = candidates(read)
    votes = np.bincount(chosen.code)
    order = np.lexsort((-votes, chosen.item))
    ranked = votes[order]
    first = chosen.start[:-1]
    several = np.diff(chosen.start) > 1
    second = np.zeros(len(first), np.int64)
    second[several] = ranked[first[several] + 1]
    is_first = np.zeros(len(votes), bool)
    is_first[order[first]] = True
    rival = np.where(is_first, second[chosen.item], ranked[first][chosen.item])
    return votes[chosen.code], rival[chosen.code]
