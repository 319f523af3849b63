"""Agreement beyond chance: Cohen's and Fleiss's kappa, Krippendorff's alpha, from sums over items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.annotators.consensus.answers import Answers, read_answers
from curate.annotators.consensus.frames import shown
from curate.annotators.consensus.result import sums
from curate.annotators.consensus.votes import candidates
from curate.errors import InputError, UnknownNameError

__all__ = ["Level", "Weights", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha", "statistic"]

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]
Weights = Literal["none", "linear", "quadratic"]
Statistic = Callable[[Floats], float]
"""From how often each item counts (N,) to the coefficient; 1 for all is the coefficient itself."""


def krippendorff_alpha(answers: Any, level: Level = "nominal") -> float:
    """Krippendorff's alpha: 1 - observed / expected disagreement; 1 = perfect, 0 = as by chance, below = worse.

    Any number of annotators, any of them missing anywhere; items with one answer say nothing and are left out.
    `level` says what a disagreement weighs: "nominal" 1; "ordinal" the square of how many answers lie between
    (midranks); "interval" (c - k) squared; "ratio" ((c - k) / (c + k)) squared. NaN where all answers are the same.
    Raises InputError where no item has two answers, or the values are not what the level needs.
    Source: Krippendorff, "Computing Krippendorff's alpha-reliability", 2011.
    """
    read = read_answers(answers)
    return alpha_statistic(read, level)(np.ones(len(read.items)))


def fleiss_kappa(answers: Any) -> float:
    """Fleiss's kappa: (P - P_e) / (1 - P_e), P the mean share of agreeing pairs of answers about an item.

    P_e is the sum of the squared shares of the values. Meant for the same number of answers everywhere; where it
    varies each item of at least two counts alike, and all answers to them count for P_e. NaN where all answers are the
    same. Raises InputError where no item has two answers.
    Source: Fleiss, Psychological Bulletin 76 (1971).
    """
    read = read_answers(answers)
    return fleiss_statistic(read)(np.ones(len(read.items)))


def cohen_kappa(
    answers: Any, *, annotators: tuple[Any, Any] | None = None, weights: Weights = "none"
) -> float:
    """Cohen's kappa of two annotators, over the items that both answered.

    `annotators` names the two, default: the only two there are. `weights` says what a disagreement weighs: "none" 1,
    "linear" and "quadratic" by how far apart the values are (as numbers, else by their order).
    NaN where both give one and the same value throughout. Raises InputError where they share no item, or there are
    not just two and none are named.
    Source: Cohen (1960); weighted: Cohen, Psychological Bulletin 70 (1968).
    """
    read = read_answers(answers)
    return cohen_statistic(read, annotators, weights)(np.ones(len(read.items)))


class _Pairable(NamedTuple):
    """Votes (C,) for each (item, value) of the items with two answers or more; `m` (N,) answers an item, else 0."""

    item: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]
    votes: Floats
    m: Floats


def _pairable(answers: Answers) -> _Pairable:
    chosen = candidates(answers)
    votes = np.bincount(chosen.code).astype(np.float64)
    m = np.where(answers.per_item > 1, answers.per_item, 0).astype(np.float64)
    keep = m[chosen.item] > 0
    if not keep.any():
        raise InputError(f"no item of {len(m)} has two answers: there is nothing to agree about")
    return _Pairable(chosen.item[keep], chosen.value[keep], votes[keep], m)


def alpha_statistic(answers: Answers, level: Level) -> Statistic:
    """Krippendorff's alpha as a function of how often each item counts."""
    p, k, n = _pairable(answers), len(answers.values), len(answers.items)
    each = 1 / np.maximum(p.m - 1, 1)

    def observed_squares(position: Floats) -> Floats:
        """(N,) the sum over pairs of the squared difference, over m - 1."""
        x = position[p.value]
        first = np.bincount(p.item, p.votes * x, minlength=n)
        return 2 * each * (p.m * np.bincount(p.item, p.votes * x * x, minlength=n) - first**2)

    def totals(weight: Floats) -> Floats:
        return sums(p.value, p.votes * weight[p.item], k)

    def spread(total: Floats, position: Floats) -> float:
        return float(2 * (total.sum() * (total * position**2).sum() - (total * position).sum() ** 2))

    if level == "nominal":
        same = np.bincount(p.item, p.votes * p.votes, minlength=n)
        pairs = each * (p.m**2 - same)
        return lambda w: _alpha(float(w @ pairs), (t := totals(w)), float(t.sum() ** 2 - (t**2).sum()))
    if level == "ordinal":

        def ordinal(w: Floats) -> float:
            total = totals(w)
            rank = np.cumsum(total) - total / 2
            rank -= float((total * rank).sum() / max(total.sum(), 1))  # about the mean: no cancellation
            return _alpha(float(w @ observed_squares(rank)), total, spread(total, rank))

        return ordinal
    if level == "interval":
        numbers = answers.numbers - answers.numbers.mean()
        fixed = observed_squares(numbers)
        return lambda w: _alpha(float(w @ fixed), (t := totals(w)), spread(t, numbers))
    if level == "ratio":
        return _ratio(answers, p, totals)
    raise UnknownNameError("level", level, ("nominal", "ordinal", "interval", "ratio"))


def _ratio(answers: Answers, p: _Pairable, totals: Callable[[Floats], Floats]) -> Statistic:
    numbers, n = answers.numbers, len(answers.items)
    if (numbers < 0).any():
        raise InputError(f"level 'ratio' needs values from 0 up, there is {numbers.min()}")
    added = np.add.outer(numbers, numbers)
    delta = (np.subtract.outer(numbers, numbers) / np.where(added == 0, 1, added)) ** 2
    pairs = np.zeros(n)
    first = np.searchsorted(p.item, np.arange(n + 1))
    for lag in range(int(np.diff(first).max())):  # a candidate and the one `lag` later in the same item
        a = np.flatnonzero(p.item[: len(p.item) - lag] == p.item[lag:])
        weight = p.votes[a] * p.votes[a + lag] * delta[p.value[a], p.value[a + lag]]
        pairs += np.bincount(p.item[a], weight, minlength=n) * 2
    pairs /= np.maximum(p.m - 1, 1)
    return lambda w: _alpha(float(w @ pairs), (t := totals(w)), float(t @ delta @ t))


def _alpha(observed: float, total: Floats, expected: float) -> float:
    count = float(total.sum())
    if expected <= 1e-12 * count or count < 2:
        return float("nan")
    return 1 - observed * (count - 1) / expected


def fleiss_statistic(answers: Answers) -> Statistic:
    """Fleiss's kappa as a function of how often each item counts."""
    p, k, n = _pairable(answers), len(answers.values), len(answers.items)
    same = np.bincount(p.item, p.votes * (p.votes - 1), minlength=n) / np.maximum(p.m * (p.m - 1), 1)
    counted = p.m > 0

    def kappa(w: Floats) -> float:
        total = np.bincount(p.value, p.votes * w[p.item], minlength=k)
        if not total.sum():
            return float("nan")
        chance = float(((total / total.sum()) ** 2).sum())
        agreed = float(w @ same) / float(w[counted].sum())
        return (agreed - chance) / (1 - chance) if chance < 1 - 1e-12 else float("nan")

    return kappa


def cohen_statistic(answers: Answers, annotators: tuple[Any, Any] | None, weights: Weights) -> Statistic:
    """Cohen's kappa as a function of how often each item counts."""
    first, second = _two(answers, annotators)
    given = np.full((2, len(answers.items)), -1)
    for row, who in enumerate((first, second)):
        mine = answers.annotator == who
        given[row, answers.item[mine]] = answers.value[mine]
    both = np.flatnonzero((given >= 0).all(0))
    if not len(both):
        raise InputError(f"{answers.annotators[first]!r} and {answers.annotators[second]!r} share no item")
    k = len(answers.values)
    cell = given[0, both] * k + given[1, both]
    numeric = answers.values.dtype.is_numeric()
    position = answers.numbers if numeric else np.arange(k, dtype=np.float64)
    apart = np.abs(np.subtract.outer(position, position))
    if weights not in ("none", "linear", "quadratic"):
        raise UnknownNameError("weights", weights, ("none", "linear", "quadratic"))
    cost = {"none": (apart > 0).astype(float), "linear": apart, "quadratic": apart**2}[weights]

    def kappa(w: Floats) -> float:
        table = np.bincount(cell, w[both], minlength=k * k).reshape(k, k)
        total = float(table.sum())
        expected = float((np.outer(table.sum(1), table.sum(0)) * cost).sum()) / max(total, 1) ** 2
        return 1 - float((table * cost).sum()) / total / expected if expected > 1e-12 else float("nan")

    return kappa


def _two(answers: Answers, annotators: tuple[Any, Any] | None) -> tuple[int, int]:
    known = answers.annotators.to_list()
    if annotators is None:
        if len(known) != 2:
            raise InputError(
                f"Cohen's kappa is about two annotators, there are {len(known)}: name two of them by annotators=(..., ...), "
                f"of {shown(answers.annotators)}"
            )
        return 0, 1
    for name in annotators:
        if name not in known:
            raise UnknownNameError("annotator", str(name), [str(a) for a in known[:50]])
    return known.index(annotators[0]), known.index(annotators[1])


def statistic(
    answers: Answers, coefficient: str, level: Level, annotators: tuple[Any, Any] | None
) -> Statistic:
    """The coefficient of this name as a function of how often each item counts."""
    if coefficient == "krippendorff":
        return alpha_statistic(answers, level)
    if coefficient == "fleiss":
        return fleiss_statistic(answers)
    if coefficient == "cohen":
        weights: Weights = "none" if level == "nominal" else "linear" if level == "ordinal" else "quadratic"
        return cohen_statistic(answers, annotators, weights)
    raise UnknownNameError("coefficient", coefficient, ("krippendorff", "fleiss", "cohen"))
