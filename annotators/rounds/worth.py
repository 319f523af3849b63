"""What the next hundred answers would buy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.aggregation import average
from curate.annotators.consensus.answers import read_answers
from curate.annotators.consensus.asking import ask_again, gain_of_asking
from curate.counting import counted
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Worth", "worth_of_asking", "worth_of_rating"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Worth:
    """What `asked` further answers are expected to do, where they gain most.

    `measure` says what of: "right", the share of the `items` whose consensus is right (0 to 1, higher is better), or
    "error", how far their mean rating is off (its standard error in the unit of the ratings, lower is better). `now`, `then` after the
    answers, `random` after as many to items drawn at random. `curve` is the way there: `answers` so far, `value`;
    `where` says which items to ask: `item`, `more` (how many answers), most useful first.
    Shares are in the eyes of the model that weighs the annotators: it is too sure of itself where all err alike.
    """

    asked: int
    items: int
    measure: Literal["right", "error"]
    now: float
    then: float
    random: float
    curve: pl.DataFrame
    where: pl.DataFrame

    def __str__(self) -> str:
        if self.measure == "error":
            return (
                f"{counted(self.asked, 'more answer')}: the mean rating of {counted(self.items, 'item')} is off by "
                f"{self.then:.3f} on average, now by {self.now:.3f}; asked at random {self.random:.3f}"
            )
        gained, by_chance = (self.then - self.now) * self.items, (self.random - self.now) * self.items
        return (
            f"{counted(self.asked, 'more answer')}: {gained:.1f} more of {counted(self.items, 'item')} right "
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
        {"answers": np.concatenate([[0], spent]), "value": (right + np.concatenate([[0.0], gained])) / n}
    )
    total = float(gained[-1]) if len(gained) else 0.0
    return Worth(
        asked,
        n,
        "right",
        right / n,
        (right + total) / n,
        (right + chance) / n,
        curve,
        chosen.select("item", "more"),
    )


def worth_of_rating(answers: Any, asked: int = 100) -> Worth:
    """How much nearer to the truth the items' mean ratings would be after `asked` further ratings.

    The standard error of a mean of n ratings is s / sqrt(n), s the item's own spread drawn towards that of all items, the more
    the less spreads differ beyond chance. Each rating goes where it lowers the error most. Raises what `read_answers` raises; InputError for values that are no
    numbers, `asked` below 1, or where no item has two ratings.
    """
    import polars as pl

    if asked < 1:
        raise InputError(f"asked={asked}: at least one answer is meant")
    read = read_answers(answers)
    x, n = read.numbers[read.value], read.per_item.astype(np.float64)
    mean = np.bincount(read.item, x) / n
    squares = np.bincount(read.item, (x - mean[read.item]) ** 2)
    if not (n > 1).any():
        raise InputError("no item has two ratings: how far people differ is not known")
    spread = _spreads(squares.astype(np.float64), n - 1)

    def drop(count: Floats) -> Floats:
        smaller: Floats = spread * (1 / np.sqrt(count) - 1 / np.sqrt(count + 1))
        return smaller

    error, count = [float((spread / np.sqrt(n)).mean())], n.copy()
    gain = drop(n)
    for _ in range(asked):
        best = int(gain.round(12).argmax())
        error.append(error[-1] - float(gain[best]) / len(n))
        count[best] += 1
        gain[best] = spread[best] * (1 / np.sqrt(count[best]) - 1 / np.sqrt(count[best] + 1))
    turns, rest = divmod(asked, len(n))  # everybody's turn before anybody's next
    chance = float((spread / np.sqrt(n + turns)).mean()) - rest * float(drop(n + turns).mean()) / len(n)
    curve = pl.DataFrame({"answers": np.arange(asked + 1), "value": error})
    more = (count - n).astype(np.int64)
    order = np.lexsort((np.arange(len(n)), -drop(n).round(12)))
    where = pl.DataFrame({"item": read.items.gather(order), "more": more[order]}).filter(pl.col("more") > 0)
    return Worth(asked, len(n), "error", error[0], error[-1], chance, curve, where)


def _spreads(squares: Floats, freedom: Floats) -> Floats:
    """(N,) each item's standard deviation: sums of `squares` over degrees of `freedom`, drawn towards the common variance.

    The pull is that of a scaled inverse chi-squared prior, its strength from how much the items' variances differ
    beyond chance (twice the squared variance over the freedom, were ratings normal).
    """
    usual = squares.sum() / freedom.sum()
    some = freedom > 0
    seen = squares[some] / freedom[some]
    weight = freedom[some] / freedom.sum()
    between = float((weight * ((seen - usual) ** 2 - 2 * usual**2 / freedom[some])).sum())
    strength = 4 + 2 * usual**2 / between if between > 1e-9 * usual**2 else 1e9
    result: Floats = np.sqrt((squares + strength * usual) / (freedom + strength))
    return result
