"""Labels in an order: the median answer, and the median of what Dawid-Skene believes."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.confusions import dawid_skene
from curate.annotators.consensus.result import TIE, Consensus
from curate.annotators.consensus.votes import agreement_with_others, candidates

__all__ = ["ordinal_dawid_skene", "ordinal_median"]


def ordinal_median(answers: Any, *, posterior: bool = False) -> Consensus:
    """The lowest value that at least half of an item's answers do not exceed: always a value that somebody gave.

    `probability` is the share of the answers that give exactly it. The order is that of `answers.values`.
    `posterior` keeps the vote shares (N, K).
    """
    read = read_answers(answers)
    ranked = read.value[np.lexsort((read.value, read.item))]
    value = ranked[read.start[:-1] + (read.per_item - 1) // 2]
    share = np.bincount(read.item, read.value == value[read.item]) / read.per_item
    chosen = candidates(read)
    quality = agreement_with_others(read, chosen, np.bincount(chosen.code).astype(np.float64))
    full = _shares(read) if posterior else None
    return Consensus(read, value, share, quality, "ordinal-median", posterior=full)


def _shares(read: Answers) -> Any:
    n, _, k = read.shape
    votes = np.bincount(read.item * k + read.value, minlength=n * k).reshape(n, k)
    return (votes / read.per_item[:, None]).astype(np.float32)


def ordinal_dawid_skene(
    answers: Any, *, iterations: int = 100, tolerance: float = 1e-5, posterior: bool = False
) -> Consensus:
    """Dawid-Skene whose annotators err the rarer the farther, and the median of what it believes of each item.

    The median is the value that errs least where being two steps off costs twice as much as one. See `dawid_skene`
    with prior="ordinal" for the model and the parameters.
    """
    found = dawid_skene(answers, prior="ordinal", iterations=iterations, tolerance=tolerance, posterior=True)
    full = found.posterior
    assert full is not None
    value = (np.cumsum(full, axis=1, dtype=np.float64) >= 0.5 - TIE).argmax(1)
    sure = full[np.arange(len(value)), value].astype(np.float64)
    kept = full if posterior else None
    return Consensus(
        *(found.answers, value, sure, found.quality, "ordinal-dawid-skene", found.confusion),
        posterior=kept,
        log_likelihood=found.log_likelihood,
        iterations=found.iterations,
    )
