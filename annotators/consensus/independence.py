"""What two people would say alike without copying: judged by everybody else's answers to the same item."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers
from curate.annotators.consensus.result import shrink, sums
from curate.annotators.consensus.votes import Candidates, candidates

__all__ = ["Independent", "fit_independent"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

HABIT = 2.0
"""How many imagined answers, spread over all values, the urn of an item that puzzles everybody begins with: the fewer,
the likelier all err alike on it."""
PUZZLING = (1.0, 20.0)
"""So many imagined items puzzle everybody, of so many."""
DRAWN = 4.0
"""So many imagined answers at the mean accuracy each annotator gets. More would make a crowd of two good and many bad
people look like one of equals."""
ROUNDS, STILL = 50, 1e-4
EDGE = 1e-3
"""Nobody is taken to be right or wrong more surely than that."""


class _Left(NamedTuple):
    """Pairs of answers to one item, u and v their candidates, and what is left of these, of the most believable one
    (m) and of the item once both answers are taken away."""

    item: Codes
    alike: Marks
    u: Codes
    v: Codes
    m: Codes
    score_u: Floats
    score_v: Floats
    score_m: Floats
    votes_u: Floats
    votes_v: Floats
    votes_m: Floats
    others: Floats


class Independent(NamedTuple):
    """How a crowd answers in which nobody copies. Of an item one of two things is true:

    it can be told: annotator w is right with chance `right[w]`, else gives any other of `k` values alike (one coin);
    or it puzzles everybody: answers come from habits of its own, whatever the skill, so that what one said the next
    is likely to say too (Polya's urn, that begins with `HABIT` balls). `puzzling` is the share of such items.

    `counted` (n,) 1 for answers that count, 0 for those that only repeat one that does; `gain` (n,) how much likelier
    (log) each makes its value.
    Of each candidate: `score` (C,) the log-odds that its voters lend it against a value without votes, `votes` (C,).
    Of each item: `asked` (N,) how many answers count; `best` (N, 3) its candidates of highest score, -1 where there
    are fewer; `total` (N,) the sum of the exponential scores of all values, divided by exp(`top`); `squares` (N,) of
    its votes, summed; `plain`, `puzzled` (N,) the log-chance of all its answers, either way.
    `urn` (2, most answers + 1) the log-chance of so many draws of one value; and what all draws divide it by.
    """

    read: Answers
    chosen: Candidates
    counted: Floats
    gain: Floats
    right: Floats
    puzzling: float
    score: Floats
    votes: Floats
    asked: Floats
    best: Codes
    top: Floats
    total: Floats
    squares: Floats
    plain: Floats
    puzzled: Floats
    urn: Floats

    @property
    def k(self) -> int:
        """How many values there are, at least two."""
        return max(len(self.read.values), 2)

    def judge(self, one: Codes, other: Codes) -> tuple[Marks, Floats]:
        """Of pairs of answers (rows of `read`) to the same item: (m,) whether not both say what the others make most
        believable, and (m,) if so, how probable it is that both say the same, had neither copied.

        The others' answers alone say what is believable. There must be one that counts at least.
        """
        odd, chance = np.zeros(len(one), bool), np.ones(len(one))
        open_ = np.flatnonzero(~self._plainly_believed(one, other))
        left = self._left(one[open_], other[open_])
        differs = ~left.alike | (left.m != left.u)
        odd[open_] = differs
        left = _Left(*(column[differs] for column in left))
        one, other = one[odd], other[odd]
        a, b = self.right[self.read.annotator[one]], self.right[self.read.annotator[other]]
        same, both, plain = self._told(left, a, b)
        plain -= self.counted[one] * _base(a, self.k) + self.counted[other] * _base(b, self.k)
        same_puzzled, both_puzzled, puzzled = self._puzzled(left)
        share = _logistic(_logit(self.puzzling) + puzzled - plain)
        same += share * (same_puzzled - same)
        both += share * (both_puzzled - both)
        chance[odd] = np.clip((same - both) / np.maximum(1 - both, 1e-12), 1e-9, 1.0)
        return odd, chance

    def _plainly_believed(self, one: Codes, other: Codes) -> Marks:
        """Where both say what the others find most believable by so much that it need not be looked at closely."""
        first, second = self.best[self.read.item[one], 0], self.best[self.read.item[one], 1]
        u = self.chosen.code[one]
        left = self.score[u] - self.gain[one] - self.gain[other]
        certain = (self.chosen.code[other] == u) & (u == first)
        certain &= self.votes[u] > self.counted[one] + self.counted[other]
        result: Marks = certain & ((second < 0) | (left > self.score[second]))
        return result

    def _left(self, one: Codes, other: Codes) -> _Left:
        item, u, v = self.read.item[one], self.chosen.code[one], self.chosen.code[other]
        alike = u == v
        score_u = self.score[u] - self.gain[one] - np.where(alike, self.gain[other], 0)
        score_v = np.where(alike, score_u, self.score[v] - self.gain[other])
        votes_u = self.votes[u] - self.counted[one] - np.where(alike, self.counted[other], 0)
        votes_v = np.where(alike, votes_u, self.votes[v] - self.counted[other])
        m = np.full(len(item), -1)
        for place in (2, 1, 0):
            it = self.best[item, place]
            m = np.where((it >= 0) & (it != u) & (it != v), it, m)
        score_m = np.where(m < 0, -np.inf, self.score[m])
        votes_m = np.where(m < 0, 0, self.votes[m])
        for code, score, votes in ((u, score_u, votes_u), (v, score_v, votes_v)):
            better = (votes > 0) & ((score > score_m) | ((score == score_m) & (code < m)))
            m = np.where(better, code, m)
            score_m, votes_m = np.where(better, score, score_m), np.where(better, votes, votes_m)
        others = self.asked[item] - self.counted[one] - self.counted[other]
        return _Left(item, alike, u, v, m, score_u, score_v, score_m, votes_u, votes_v, votes_m, others)

    def _told(self, left: _Left, a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        """Of an item that can be told: the chance that both say the same, that both say m; and the log-chance of what
        the others said, but for what wrong answers of these two would add."""
        top = self.top[left.item]
        total = self.total[left.item] - np.exp(self.score[left.u] - top) + np.exp(left.score_u - top)
        total += np.where(left.alike, 0, np.exp(left.score_v - top) - np.exp(self.score[left.v] - top))
        total = np.maximum(total, 1e-300)
        likely = np.minimum(np.exp(left.score_m - top) / total, 1.0)
        wrong = (1 - a) * (1 - b) / (self.k - 1)
        both = likely * a * b + (1 - likely) * wrong / (self.k - 1)
        return a * b + wrong, both, self.plain[left.item] + np.log(total / self.total[left.item])

    def _puzzled(self, left: _Left) -> tuple[Floats, Floats, Floats]:
        """The same of an item that puzzles everybody."""
        ball = HABIT / self.k
        drawn = (left.others + HABIT) * (left.others + HABIT + 1)
        squares = self.squares[left.item] - self.votes[left.u] ** 2 + left.votes_u**2
        squares += np.where(left.alike, 0, left.votes_v**2 - self.votes[left.v] ** 2)
        same = (squares + (2 * ball + 1) * left.others + (ball + 1) * HABIT) / drawn
        both = (left.votes_m + ball) * (left.votes_m + ball + 1) / drawn
        one, every = self.urn
        chance = self.puzzled[left.item] + every[_whole(self.asked[left.item])] - every[_whole(left.others)]
        chance -= one[_whole(self.votes[left.u])] - one[_whole(left.votes_u)]
        chance -= np.where(left.alike, 0, one[_whole(self.votes[left.v])] - one[_whole(left.votes_v)])
        return same, both, chance


def fit_independent(read: Answers, counted: Floats | None = None) -> Independent:
    """By expectation-maximisation over all answers, from vote shares. Time and memory O(n).

    `counted` (n,) 0 for answers that repeat another one (default: none), of each candidate at least one counts.
    """
    n, w, k = len(read.items), len(read.annotators), max(len(read.values), 2)
    counted = np.ones(len(read)) if counted is None else counted
    chosen = candidates(read)
    c = len(chosen.item)
    votes, asked = sums(chosen.code, counted, c), sums(read.item, counted, n)
    squares = sums(chosen.item, votes**2, n)
    urn = _urn(HABIT / k, int(read.per_item.max()))
    puzzled = sums(chosen.item, urn[0][_whole(votes)], n) - urn[1][_whole(asked)]
    several = asked > 2
    voted, hard, puzzling = votes / asked[chosen.item], np.zeros(n), PUZZLING[0] / PUZZLING[1]
    right, plain = np.zeros(w), np.zeros(n)
    for _ in range(ROUNDS):
        before, weight = right, (1 - hard)[read.item]
        right = sums(read.annotator, weight * voted[chosen.code], w)
        right = np.clip(shrink(right, sums(read.annotator, weight, w), DRAWN), EDGE, 1 - EDGE)
        gain = counted * _gain(right, k)[read.annotator]
        score = sums(chosen.code, gain, c)
        top = np.maximum(np.maximum.reduceat(score, chosen.start[:-1]), 0)
        part = np.exp(score - top[chosen.item])
        total = sums(chosen.item, part, n) + (k - np.diff(chosen.start)) * np.exp(-top)
        plain = sums(read.item, counted * _base(right, k)[read.annotator], n) + top + np.log(total / k)
        voted = part / total[chosen.item]
        hard = _logistic(_logit(puzzling) + puzzled - plain)
        puzzling = float((hard[several].sum() + PUZZLING[0]) / (several.sum() + PUZZLING[1]))
        if np.abs(right - before).max() <= STILL:
            break
    best = _three_best(chosen, score)
    told = (score, votes, asked, best, top, total)
    return Independent(read, chosen, counted, gain, right, puzzling, *told, squares, plain, puzzled, urn)


def _base(right: Floats, k: int) -> Floats:
    """The log-chance of one wrong value."""
    result: Floats = np.log((1 - right) / (k - 1))
    return result


def _gain(right: Floats, k: int) -> Floats:
    """How much likelier (log) an answer is where it is the truth than where another value is."""
    result: Floats = np.log(right) - _base(right, k)
    return result


def _urn(ball: float, most: int) -> Floats:
    """(2, most + 1) the logarithms of rising factorials of `ball` and of `HABIT`."""
    steps = np.arange(most)
    rises = np.zeros((2, most + 1))
    rises[0, 1:], rises[1, 1:] = np.cumsum(np.log(ball + steps)), np.cumsum(np.log(HABIT + steps))
    return rises


def _three_best(chosen: Candidates, score: Floats) -> Codes:
    """(N, 3) the candidates of highest score of each item, the lowest value first where they tie; -1 for none."""
    order = np.lexsort((chosen.value, -score, chosen.item))
    first, many = chosen.start[:-1], np.diff(chosen.start)
    best = np.full((len(first), 3), -1)
    for place in range(3):
        there = many > place
        best[there, place] = order[first[there] + place]
    return best


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _logistic(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
    return result


def _whole(x: Floats) -> Codes:
    return x.astype(np.int64)
