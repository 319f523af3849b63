"""Confident learning over batches: probabilities are never all in memory, and the answer is that of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.scorers.noise.confident.choice import choose, sum_thresholds
from curate.scorers.noise.confident.issues import ConfidentIssues
from curate.scorers.noise.confident.portion import Batches, Options, Portion

__all__ = ["Batches", "Options", "confident_learning_batches"]


def confident_learning_batches(batches: Batches, options: Options | None = None) -> ConfidentIssues:
    """`confident_learning` over batches, bit for bit the same whatever their size.

    `batches` is called once for each pass and gives (probabilities (b, k), labels (b,) in 0 ... k - 1) in the same order.
    Two passes; two more for `prune_by_noise_rate` and `both`, which choose within pairs of classes. Memory is one batch,
    some 40 bytes a row, k * k counts and the candidates for a flag.
    Raises InputError if the batches differ between passes or do not fit together.
    """
    options = options or Options()
    alone = _Alone(Portion(batches, options))
    thresholds = sum_thresholds(alone.ask("sums"))
    if thresholds is None:
        return ConfidentIssues.none()
    chosen = choose(alone, thresholds, options, lambda portion, row: row)
    found = alone.portion.found
    few = tuple(int(one) for one in np.flatnonzero(thresholds.counts == 1))
    issue = alone.portion.issues(chosen.rows[0])
    return ConfidentIssues(found.quality, issue, found.predicted.astype(np.int64), chosen.joint, few)


@dataclass(frozen=True, eq=False)
class _Alone:
    """One portion that has all rows."""

    portion: Portion

    def ask(self, method: str, *args: Any) -> list[Any]:
        return [getattr(self.portion, method)(*args)]

    def tell(self, method: str, *args: Any) -> list[Any]:
        return self.ask(method, *args)
