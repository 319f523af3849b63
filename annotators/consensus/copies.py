"""Copying: two annotators who err together more than the items explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.independence import Independent, fit_independent

if TYPE_CHECKING:
    import polars as pl

__all__ = ["copying_pairs", "partners"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

CHANCE = 0.01
"""How probable a false suspicion may be, over all pairs together."""
TOGETHER = 0.5
"""Of the items on which one of two is against the rest, the least share on which the other is with him."""
LIKELY = 0.5
"""Where it is at least so likely that two of their skill say the same, that they do is no evidence."""
STRIKING = 0.8
"""Pairs are taken for the most striking whose chance has at least this share of the smallest one's logarithm."""
ROUNDS = 10
"""So often at most everybody is judged again."""
TABLE = 1 << 22
"""So many pairs of annotators are counted in one table, more by sorting."""


class _Pairs(NamedTuple):
    """Two annotators (first < second): items in common, how many they agree on; items on which they differ from what
    the others make believable, on how many of these they say the same, and on how many independent people would."""

    first: Codes
    second: Codes
    shared: Codes
    agreed: Codes
    odd: Codes
    together: Codes
    expected: Floats

    def rows(self, keep: npt.NDArray[np.bool_]) -> _Pairs:
        """Only these pairs."""
        first, second, shared = self.first[keep], self.second[keep], self.shared[keep]
        counts = (self.agreed[keep], self.odd[keep], self.together[keep])
        return _Pairs(first, second, shared, *counts, self.expected[keep])


def copying_pairs(
    answers: Any, *, least: int = 10, copied: float = 0.9, control: str | None = None
) -> pl.DataFrame:
    """Pairs of annotators of whom one seems to copy the other, or both a third: the most striking first.

    `first`, `second`; `shared`, the items both answered (at least `least`); `agreed`, the share of them answered alike
    (at least `copied`); `odd`, on how many one of the two or both differ from what everybody else makes most
    believable, so that two independent people of their skill would rather not say the same; `together`, on which share
    of these they do say the same (at least half); `usual`, on which share independent people would; `chance`, at most
    how probable that much is by accident (Chernoff's bound; listed are those below 0.01 over all pairs that met).

    That two good people agree against many bad ones is no sign of copying, nor is agreement on easy items: agreeing
    where skill does not explain it is, above all on the same wrong answer. What is to be expected takes each one's
    accuracy, the others' answers to the same item, and items that puzzle everybody into account
    (`independence.Independent`). Copies found lend each other no trust: what they say alike counts once.

    Items with two answers show nothing. Among three people nothing can be shown; where four fall into two camps of
    two, both camps are listed, for who copied cannot be told from the answers. Good people who copy need many items:
    only shared errors show it. People of one school, who mistake the same things for the same reasons, look like
    copies too; `copied` keeps most of them out.
    Source of the bound: Hoeffding, J. Amer. Statist. Assoc. 58 (1963), for coins of different chances by their mean.
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
            "usual": usual,
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


def _suspects(read: Answers, least: int, copied: float) -> tuple[_Pairs, Floats, Floats]:
    """The suspicious pairs, the share of erring together to be expected, and how probable theirs is (at most).

    Copies lend each other trust and make the honest who contradict them look odd. So what the most striking pairs say
    alike counts once, and everybody is judged again, until no new pair is among the most striking.
    """
    group = np.arange(len(read.annotators))
    counted = np.ones(len(read))
    for _ in range(ROUNDS):
        pairs, usual, chance = _judge(read, counted, (least, copied))
        before = group
        group = _join(group, pairs, chance)
        if np.array_equal(group, before):
            break
        _, once = np.unique(
            (read.item * len(group) + group[read.annotator]) * len(read.values) + read.value,
            return_index=True,
        )
        counted = np.zeros(len(read))
        counted[once] = 1
    return pairs, usual, chance


def _join(group: Codes, pairs: _Pairs, chance: Floats) -> Codes:
    """Groups in which the most striking pairs not yet together are: who are each other's most striking one."""
    order = np.argsort(chance, kind="stable")
    order = order[group[pairs.first[order]] != group[pairs.second[order]]]
    ends = np.concatenate((pairs.first[order], pairs.second[order]))
    place = np.tile(np.arange(len(order)), 2)
    best = np.full(len(group), len(order))
    np.minimum.at(best, ends, place)
    ranked = np.arange(len(order))
    mutual = (best[pairs.first[order]] == ranked) & (best[pairs.second[order]] == ranked)
    least = np.log(np.maximum(chance[order], 1e-300))
    mutual &= least <= STRIKING * least[:1]
    group = group.copy()
    for i in order[mutual]:
        one, other = sorted((group[pairs.first[i]], group[pairs.second[i]]))
        group[group == other] = one
    return group


def _judge(read: Answers, counted: Floats, limits: tuple[int, float]) -> tuple[_Pairs, Floats, Floats]:
    """The same where only some answers count; `limits` are `least` and `copied`."""
    least, copied = limits
    pairs = _common(read, counted)
    odd = np.maximum(pairs.odd, 1)
    share, usual = pairs.together / odd, pairs.expected / odd
    # Chernoff's bound for coins of one chance holds for coins of different chances with that mean (Hoeffding 1963).
    chance = np.where(share > usual, np.exp(-pairs.odd * _divergence(share, usual)), 1.0)
    met = max(int(((pairs.shared >= least) & (pairs.odd > 0)).sum()), 1)
    strange = (pairs.shared >= least) & (pairs.agreed >= copied * pairs.shared)
    strange &= (share >= TOGETHER) & (chance * met <= CHANCE)
    return pairs.rows(strange), usual[strange], chance[strange]


def _divergence(q: Floats, p: Floats) -> Floats:
    """Kullback and Leibler's of two coins, in nats."""
    rest = 1 - q
    p = np.clip(p, 1e-12, 1 - 1e-12)
    result: Floats = q * np.log(np.maximum(q, 1e-300) / p) + rest * np.log(np.maximum(rest, 1e-300) / (1 - p))
    return result


def _common(read: Answers, counted: Floats | None = None) -> _Pairs:
    """Every two annotators who met, in time O(answers x answers an item)."""
    w, n = len(read.annotators), len(read)
    crowd = fit_independent(read, counted)
    dense = w * w <= TABLE
    table = np.zeros((5, w * w if dense else 0))
    found: list[tuple[Codes, Floats]] = []
    for lag in range(1, int(read.per_item.max())):
        a = np.flatnonzero(read.item[: n - lag] == read.item[lag:])
        columns = _evidence(crowd, a, a + lag)
        key = read.annotator[a] * w + read.annotator[a + lag]
        if dense:
            for row, column in zip(table, columns, strict=True):
                row += np.bincount(key, column, minlength=w * w)
        else:
            distinct, code = np.unique(key, return_inverse=True)
            found.append((distinct, np.stack([np.bincount(code, c, len(distinct)) for c in columns])))
    if found:
        distinct, code = np.unique(np.concatenate([keys for keys, _ in found]), return_inverse=True)
        counts = np.concatenate([counted for _, counted in found], axis=1)
        table = np.stack([np.bincount(code, row, len(distinct)) for row in counts])
    else:
        distinct = np.flatnonzero(table[0])
        table = table[:, distinct]
    shared, agreed, odd, together = table[:4].astype(np.int64)
    return _Pairs(distinct // w, distinct % w, shared, agreed, odd, together, table[4])


def _evidence(crowd: Independent, a: Codes, b: Codes) -> Floats:
    """(5, m) of pairs of answers to one item: that they met, agree, are odd, are odd and agree, and the chance of it."""
    read = crowd.read
    same = read.value[a] == read.value[b]
    columns = np.zeros((5, len(a)))
    columns[0], columns[1] = 1, same
    seen = np.flatnonzero(crowd.asked[read.item[a]] - crowd.counted[a] - crowd.counted[b] > 0)
    odd, chance = crowd.judge(a[seen], b[seen])
    odd &= chance < LIKELY
    columns[2, seen], columns[3, seen], columns[4, seen] = odd, odd & same[seen], odd * chance
    return columns
