"""Majority vote with a rule for ties, and vote shares."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.result import Consensus, shrink, sums

__all__ = ["Candidates", "candidates", "majority"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Candidates(NamedTuple):
    """The distinct (item, value) pairs that somebody voted for, C of them, sorted by item and value.

    `code` (n,) which of them each answer is; `item`, `value` (C,); `start` (N + 1,) where each item's begin.
    """

    code: Codes
    item: Codes
    value: Codes
    start: Codes

    def pick(self, weight: Floats, second: Floats | None = None) -> Codes:
        """(N,) the candidate of most weight for each item; ties go to the higher `second`, then the lower value."""
        keys = (
            (-np.round(weight, 9), self.item)
            if second is None
            else (-np.round(second, 9), -np.round(weight, 9), self.item)
        )
        order = np.lexsort((self.value, *keys))
        return order[self.start[:-1]]


def candidates(answers: Answers) -> Candidates:
    """What was voted for, item by item."""
    n, _, k = answers.shape
    distinct, code = np.unique(answers.item * k + answers.value, return_inverse=True)
    item, value = np.divmod(distinct, k)
    return Candidates(code, item, value, np.searchsorted(item, np.arange(n + 1)))


def majority(answers: Any, *, posterior: bool = False) -> Consensus:
    """The value most people gave. `probability` is its share of the votes.

    A tie goes to the value whose voters are more often with the others (each person's agreement with the other
    answers to the same items, drawn towards the mean where there are few); still tied, to the lowest value. That
    agreement is `quality`. `posterior` keeps the vote shares (N, K).
    """
    read = read_answers(answers)
    n, _, k = read.shape
    chosen = candidates(read)
    votes = np.bincount(chosen.code).astype(np.float64)
    quality = agreement_with_others(read, chosen, votes)
    best = chosen.pick(votes, sums(chosen.code, quality[read.annotator], len(votes)))
    share = votes / read.per_item[chosen.item]
    full = None
    if posterior:
        full = np.zeros((n, k), np.float32)
        full[chosen.item, chosen.value] = share
    return Consensus(read, chosen.value[best], share[best], quality, "majority", posterior=full)


def agreement_with_others(answers: Answers, chosen: Candidates, votes: Floats) -> Floats:
    """(W,) how often each annotator gives the answer that another gives to the same item, shrunk to the mean."""
    others = (answers.per_item - 1)[answers.item].astype(np.float64)
    w = len(answers.annotators)
    with_me = np.bincount(answers.annotator, votes[chosen.code] - 1, minlength=w)
    asked = np.bincount(answers.annotator, others, minlength=w)
    # Answers about one item come together: what counts is how many items, not how many pairs.
    items = np.bincount(answers.annotator, (others > 0).astype(np.float64), minlength=w)
    rate = np.divide(with_me, asked, out=np.zeros(w), where=asked > 0)
    return shrink(rate * items, items.astype(np.float64))
