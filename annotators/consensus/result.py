"""What every aggregator hands back, and the sums over runs of equal codes that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Consensus", "digamma", "settle", "shrink", "softmax", "sum_runs", "sums"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TIE = 1e-9
"""Probabilities this near are a tie; the smaller value wins."""


@dataclass(frozen=True, eq=False)
class Consensus:
    """What a crowd says, item by item.

    `value` (N,) int64 codes into `answers.values`; `probability` (N,) float64 in [0, 1] that it is right (for a
    majority: its share of the votes). `quality` (W,) float64 in [0, 1]: how often each annotator is right, in the
    eyes of the method. `confusion` (W, K, K): the chance that annotator w answers l where k is true, for
    methods that have one. `posterior` (N, K) float32 rows that sum to 1, only where asked for. `log_likelihood` of
    the answers, `iterations` used, and `method`, its name.
    """

    answers: Answers
    value: Codes
    probability: Floats
    quality: Floats
    method: str
    confusion: Floats | None = None
    posterior: npt.NDArray[np.float32] | None = None
    log_likelihood: float = float("nan")
    iterations: int = 0

    def to_polars(self) -> pl.DataFrame:
        """`item`, `value`, `probability`; items that nobody answered come last, with nulls."""
        import polars as pl

        answers = self.answers
        frame = pl.DataFrame(
            {
                "item": answers.items,
                "value": answers.values.gather(self.value),
                "probability": np.minimum(self.probability, 1.0),
            }
        )
        nobody = pl.DataFrame({"item": answers.unanswered}).with_columns(
            pl.lit(None, frame.schema["value"]).alias("value"), pl.lit(None, pl.Float64).alias("probability")
        )
        return pl.concat([frame, nobody]) if nobody.height else frame


def sum_runs(values: npt.NDArray[Any], start: Codes) -> npt.NDArray[Any]:
    """Sums of consecutive runs along the last axis; `start` holds where each begins and the end, none is empty."""
    return np.add.reduceat(values, start[:-1], axis=-1) if len(start) > 1 else values[..., :0]


def sums(codes: Codes, weights: npt.NDArray[Any], n: int) -> Floats:
    """(n,) the sum of the weights of each code."""
    return np.bincount(codes, weights, minlength=n).astype(np.float64, copy=False)


def softmax(logits: Floats) -> tuple[Floats, Floats]:
    """Over the first axis, in place; also the logarithm of what each column was divided by."""
    top = logits.max(0)
    logits -= top
    np.exp(logits, out=logits)
    total = logits.sum(0)
    logits /= total
    return logits, top + np.log(total)


def settle(posterior: npt.NDArray[np.floating[Any]]) -> tuple[Codes, Floats]:
    """The most probable of the first axis, the first of those that tie, and its probability."""
    best = posterior.max(0)
    return (posterior >= best - TIE).argmax(0).astype(np.int64), best.astype(np.float64)


def shrink(right: Floats, total: Floats, strength: float | None = None) -> Floats:
    """Rates `right / total` drawn towards the mean rate, the more the fewer there are.

    `strength` is how many imagined answers at the mean rate each gets; None estimates it from how much the rates
    differ beyond chance (moments of the beta-binomial distribution).
    """
    mean = (right.sum() + 0.5) / (total.sum() + 1)
    if strength is None:
        spread = mean * (1 - mean)
        seen = (total * (right / np.maximum(total, 1e-12) - mean) ** 2).sum() - len(total) * spread
        room = spread * np.maximum(total - 1, 0).sum()
        strength = strength_of(seen, room)
    rate: Floats = (right + strength * mean) / (total + strength)
    return rate


def strength_of(seen: float, room: float, least: float = 1e-3) -> float:
    """How many imagined answers a share `seen / room` of the variance that lies between people is worth.

    The share is taken for at least `least`, and at most 0.8.
    """
    between = min(max(seen / room, least), 0.8) if room > 0 else 0.1
    return 1 / between - 1


def digamma(x: npt.NDArray[Any]) -> Floats:
    """The derivative of log gamma for x > 0, to 1e-9: recurrence up to 6, then the asymptotic series."""
    x = np.asarray(x, np.float64)
    low = np.zeros_like(x)
    for step in range(6):
        low -= 1 / (x + step)
    y = x + 6
    inverse = 1 / (y * y)
    series = inverse * (
        1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse * (1 / 240 - inverse / 132)))
    )
    result: Floats = np.log(y) - 0.5 / y - series + low
    return result
