"""What the next hundred answers would buy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.annotators.consensus.aggregation import average
from curate.annotators.consensus.answers import read_answers
from curate.annotators.consensus.asking import ask_again, gain_of_asking
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Worth", "worth_of_asking"]


@dataclass(frozen=True, eq=False)
class Worth:
    """What `asked` further answers are expected to do, where they gain most.

    `items` there are; `now` (0 to 1) is the expected share of them whose consensus is right, `then` after the answers,
    `random` after as many answers to items drawn at random. `curve` is the way there: `answers` so far, `right` (share).
    All in the eyes of the model that weighs the annotators: it is too sure of itself where all err alike.
    """

    asked: int
    items: int
    now: float
    then: float
    random: float
    curve: pl.DataFrame

    def __str__(self) -> str:
        gained, by_chance = (self.then - self.now) * self.items, (self.random - self.now) * self.items
        return (
            f"{self.asked} more answers: {gained:.1f} more of {self.items:,} items right "
            f"({self.now:.1%} to {self.then:.1%}); asked at random {by_chance:.1f}"
        )


def worth_of_asking(
    answers: Any, asked: int = 100, *, values: Any = None, control: str | None = None
) -> Worth:
    """How much more of the consensus would be right after `asked` further answers.

    They go where one buys most for its cost, several to one item where that helps (`ask_again`), each counted once.
    Raises what `read_answers` raises; InputError for `asked` below 1.
    """
    import polars as pl

    if asked < 1:
        raise InputError(f"asked={asked}: at least one answer is meant")
    read = read_answers(answers, values=values, control=control)
    found = average(read, posterior=True)
    assert found.posterior is not None
    n = len(read.items) + len(read.unanswered)
    prior = float(found.posterior.mean(0).max())
    right = float(np.minimum(found.probability, 1).sum()) + prior * len(read.unanswered)
    chosen = ask_again(read, target=1 - 1e-9, budget=float(asked))
    gains, costs = chosen["gain"].to_numpy(), chosen["more"].to_numpy()
    spent, gained = np.cumsum(costs), np.cumsum(gains)
    usual = float(
        np.average(found.quality, weights=np.bincount(read.annotator, minlength=len(found.quality)))
    )
    skill = min(max(usual, 1 / max(len(read.values), 2) + 0.05), 0.99)
    one, _ = gain_of_asking(found.posterior.astype(np.float64), skill, 1)
    chance = min(asked, n) * float(one.sum()) / n if n else 0.0
    curve = pl.DataFrame(
        {"answers": np.concatenate([[0], spent]), "right": (right + np.concatenate([[0.0], gained])) / n}
    )
    total = float(gained[-1]) if len(gained) else 0.0
    return Worth(asked, n, right / n, (right + total) / n, (right + chance) / n, curve)
