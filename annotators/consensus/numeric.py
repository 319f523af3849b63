"""Numbers from several people: mean, median, and a mean that knows each person's bias and spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.result import sum_runs
from curate.errors import InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NumericConsensus", "NumericMethod", "aggregate_numbers"]

Floats = npt.NDArray[np.float64]
NumericMethod = Literal["mean", "median", "weighted-mean"]

PRIOR = 4.0
"""How many imagined answers of the crowd's spread every annotator's spread is drawn towards."""


@dataclass(frozen=True, eq=False)
class NumericConsensus:
    """`value` (N,) float64; `error` (N,) its standard error; `bias` (W,) how much each annotator answers too high;
    `spread` (W,) the standard deviation of his errors beyond that. All in the unit of the answers."""

    answers: Answers
    value: Floats
    error: Floats
    bias: Floats
    spread: Floats
    method: str

    def to_polars(self) -> pl.DataFrame:
        """`item`, `value`, `probability` (null: a number is not right or wrong), as the other aggregators have it."""
        import polars as pl

        empty = pl.lit(None, pl.Float64)
        frame = pl.DataFrame({"item": self.answers.items, "value": self.value})
        nobody = pl.DataFrame({"item": self.answers.unanswered}).with_columns(empty.alias("value"))
        return pl.concat([frame, nobody]).with_columns(empty.alias("probability"))


def aggregate_numbers(
    answers: Any,
    method: NumericMethod = "weighted-mean",
    *,
    freedom: float = 30.0,
    iterations: int = 100,
    tolerance: float = 1e-6,
) -> NumericConsensus:
    """One number for each item from the numbers people gave.

    "mean"; "median" (the mean of the middle two); "weighted-mean": answer = truth + the annotator's bias + an error
    with the annotator's own spread, Student's of `freedom` degrees (the fewer, the sooner an answer counts as a slip
    and the nearer to a median; 30 discounts gross slips alone), all by expectation-maximisation from medians; biases are drawn towards zero and spreads towards the crowd's where answers
    are few. Stops after `iterations`, or when no value moves by more than `tolerance` times the spread of all answers.
    Raises InputError for values that are not finite numbers, or a `freedom` that is not above 0.
    Source: the additive model as in Raykar et al., JMLR 11 (2010), with Student errors (Lange et al., JASA 1989).
    """
    read = read_answers(answers)
    x = read.numbers[read.value]
    if not np.isfinite(x).all():
        row = int(np.flatnonzero(~np.isfinite(x))[0])
        raise InputError(f"the answer {x[row]} about item {read.items[int(read.item[row])]!r} is not finite")
    if method not in ("mean", "median", "weighted-mean"):
        raise InputError(f"method {method!r}: 'mean', 'median' and 'weighted-mean' exist")
    if not freedom > 0:
        raise InputError(f"freedom={freedom}: degrees of freedom are above 0")
    value = _medians(read, x) if method != "mean" else sum_runs(x, read.start) / read.per_item
    state = _State(
        value, np.zeros(len(read.annotators)), np.full(len(read.annotators), 1.0), np.zeros(len(value))
    )
    if method != "weighted-mean":
        state = _describe(read, x, state)
        error = np.sqrt(np.bincount(read.item, state.variance[read.annotator])) / read.per_item
        return NumericConsensus(read, value, error, state.bias, np.sqrt(state.variance), method)
    scale = float(x.std()) or 1.0
    state = _describe(read, x, state)
    for _ in range(iterations):
        new = _step(read, x, state, freedom)
        moved = float(np.abs(new.value - state.value).max())
        state = new
        if moved <= tolerance * scale:
            break
    return NumericConsensus(
        read, state.value, np.sqrt(state.doubt), state.bias, np.sqrt(state.variance), method
    )


class _State(NamedTuple):
    """`value`, `doubt` (N,) the truth and its variance; `bias`, `variance` (W,) of the annotators."""

    value: Floats
    bias: Floats
    variance: Floats
    doubt: Floats


def _medians(answers: Answers, x: Floats) -> Floats:
    ranked = x[np.lexsort((x, answers.item))]
    low = answers.start[:-1] + (answers.per_item - 1) // 2
    high = answers.start[:-1] + answers.per_item // 2
    middle: Floats = (ranked[low] + ranked[high]) / 2
    return middle


def _describe(answers: Answers, x: Floats, state: _State, weight: Floats | None = None) -> _State:
    """Biases and spreads, given the values; `weight` (n,) says how far each answer is no outlier."""
    who, w = answers.annotator, len(answers.annotators)
    weight = np.ones(len(x)) if weight is None else weight
    residual = x - state.value[answers.item]
    asked = np.bincount(who, minlength=w)
    total = np.bincount(who, weight, minlength=w)
    raw = np.bincount(who, weight * residual, minlength=w) / total
    pooled = float((weight * (residual - raw[who]) ** 2).sum() / len(x)) + 1e-12
    between = max(float((total * raw**2).sum() / total.sum()) - pooled * w / total.sum(), 1e-3 * pooled)
    bias = raw * total / (total + pooled / between)
    bias -= float(
        (asked * bias).sum() / asked.sum()
    )  # a bias all have in common cannot be told from the truth
    squares = np.bincount(
        who, weight * ((residual - bias[who]) ** 2 + state.doubt[answers.item]), minlength=w
    )
    return state._replace(bias=bias, variance=(squares + PRIOR * pooled) / (asked + PRIOR))


def _step(answers: Answers, x: Floats, state: _State, freedom: float) -> _State:
    """One round: how far each answer is an outlier, then the values, then the annotators."""
    who = answers.annotator
    corrected = x - state.bias[who]
    distance = ((corrected - state.value[answers.item]) ** 2 + state.doubt[answers.item]) / state.variance[
        who
    ]
    weight = (freedom + 1) / (freedom + distance)
    precision = weight / state.variance[who]
    total = sum_runs(precision, answers.start)
    value = sum_runs(precision * corrected, answers.start) / total
    return _describe(answers, x, state._replace(value=value, doubt=1 / total), weight)
