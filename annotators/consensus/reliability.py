"""Agreement with an interval: how far a coefficient could be off, by drawing the items again."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.kappa import Level, statistic
from curate.choosing import generator
from curate.errors import InputError

__all__ = ["Agreement", "Coefficient", "agreement"]

Coefficient = Literal["krippendorff", "fleiss", "cohen"]


class Agreement(NamedTuple):
    """`value` of the coefficient and the interval `low` to `high`; how many `items` have two answers or more, and how
    many annotators; which coefficient and level. `note` says why the value is NaN, where it is."""

    value: float
    low: float
    high: float
    items: int
    annotators: int
    coefficient: str
    level: str
    note: str = ""

    def __float__(self) -> float:
        return self.value


def agreement(
    answers: Any,
    level: Level = "nominal",
    *,
    coefficient: Coefficient = "krippendorff",
    annotators: tuple[Any, Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    values: Any = None,
    control: str | None = None,
) -> Agreement:
    """How far annotators agree beyond chance: 1 = always, 0 = as if they guessed, below 0 = less than that.

    `level` says what a disagreement weighs: "nominal", "ordinal" (order of `values`), "interval", "ratio" (numbers).
    `coefficient`: "krippendorff" (default; any number of answers anywhere), "fleiss" (nominal), "cohen" of two
    `annotators` (ordinal: linear weights, interval: quadratic). The interval is a percentile bootstrap over items:
    `resamples` draws with a generator started by `seed`, `confidence` the share between its ends.
    `values`, `control` as in `read_answers`. If all answers are equal, chance explains everything: NaN and a note.

    Raises what `read_answers` raises; InputError where no item has two answers, for "fleiss" at another level, or for
    strings at the ordinal level without `values`.
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise InputError(f"resamples={resamples}, confidence={confidence}: at least 1, and between 0 and 1")
    read = read_answers(answers, values=values, control=control)
    ordered = values is not None or isinstance(answers, Answers) or read.values.dtype.is_numeric()
    if level == "ordinal" and not ordered:
        raise InputError(f"level 'ordinal': say the order by `values`, lowest first: {read.values.to_list()}")
    if coefficient == "fleiss" and level != "nominal":
        raise InputError(f"Fleiss's kappa is nominal: for level {level!r} use coefficient 'krippendorff'")
    compute = statistic(read, coefficient, level, annotators)
    n = len(read.items)
    value = compute(np.ones(n))
    about = (int((read.per_item > 1).sum()), len(read.annotators), coefficient, level)
    if np.isnan(value):
        return Agreement(
            value, value, value, *about, "all answers are the same: nothing tells skill from habit"
        )
    rng = generator(seed, "seed")
    drawn = np.array(
        [
            compute(np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64))
            for _ in range(resamples)
        ]
    )
    drawn = drawn[~np.isnan(drawn)]
    ends = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]) if len(drawn) else (value, value)
    return Agreement(value, float(ends[0]), float(ends[1]), *about)
