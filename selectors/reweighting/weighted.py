"""Items with weights: the sum, how many they are worth, and a draw of some of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_floats
from curate.choosing import capacity
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError

__all__ = [
    "Draw",
    "Weighted",
    "as_codes",
    "cap_weights",
    "effective_size",
    "normalise",
    "weigh",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Weighted(Selection):
    """Items with training weights, the heaviest first, equal ones in the order of rows; items of weight 0 are left out.

    `weight` has mean 1 over all n rows given, those of weight 0 included, so that sum w = n. `gain` is None.
    `by_row` (n,) float32 the weights in the order of rows. `effective` (sum w)^2 / sum w^2: as how many items of equal
    weight these count in the variance of a weighted mean. `random` compares `effective` per item with the 1 of equal weights.
    """

    by_row: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    effective: float = 0.0


class Draw(NamedTuple):
    """How many rows to draw in proportion to their weights, and the generator to draw with."""

    budget: Budget | None
    rng: np.random.Generator


def normalise(weights: npt.NDArray[Any]) -> Floats:
    """Weights (n,) scaled to sum n. Raises InputError unless all are finite, none is negative and one is above 0."""
    values = as_floats(weights, "weights")
    if values.ndim != 1 or not len(values):
        raise InputError(f"weights have shape {values.shape}: one for each of at least one row is meant")
    bad = np.flatnonzero(~np.isfinite(values) | (values < 0))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'weight is', 'weights are')} negative or not finite, as {values[bad[0]]} in row "
            f"{bad[0]}: 0 or more is meant"
        )
    largest = values.max()
    if largest == 0:
        raise InputError(
            f"all {counted(len(values), 'weight is', 'weights are')} 0: nothing would be learnt from"
        )
    scaled = values / largest
    return np.asarray(scaled * (len(scaled) / scaled.sum()))


def effective_size(weights: npt.NDArray[Any]) -> float:
    """(sum w)^2 / sum w^2, from 1 to n: Kish's effective sample size. Raises InputError as `normalise` does."""
    values = normalise(weights)
    return float(len(values) ** 2 / np.square(values).sum())


def cap_weights(weights: npt.NDArray[Any], cap: float) -> Floats:
    """min(s w, cap) with the s that makes the mean 1: none above `cap` times the mean, (n,) float64.

    Where fewer than n / cap weights are above 0, those are equal, and the mean falls short. Raises InputError for a cap
    below 1, and as `normalise` does.
    """
    if not cap >= 1:
        raise InputError(f"cap={cap}: at least 1, which is the mean weight")
    values = normalise(weights)
    ordered = np.sort(values)[::-1]
    rest = np.cumsum(ordered[::-1])[::-1]
    room = len(values) - cap * np.arange(len(values))  # for the others, if the first 0, 1, 2 ... are cut off
    with np.errstate(invalid="ignore"):  # beyond the last weight there is nothing to share
        fits = np.flatnonzero((rest > 0) & (room > 0) & (ordered / rest * room <= cap * (1 + 1e-12)))
    if not len(fits):
        return np.where(values > 0, cap, 0.0)
    cut = fits[0]
    with np.errstate(over="ignore"):  # next to the smallest numbers, what is cut off is beyond the largest
        return np.asarray(np.minimum(values / rest[cut] * room[cut], cap))


def weigh(
    weights: npt.NDArray[Any], reason: str, draw: Draw | None = None, *, logs: Floats | None = None
) -> Weighted:
    """All rows with a weight above 0, or as many as a `draw` says, drawn without replacement in proportion to weights.

    What is drawn has weight 1: the weights are in the drawing (Efraimidis and Spirakis 2006, by Gumbel keys). Rows are
    then in the order drawn, so that a larger draw from the same generator contains the smaller one. `logs` (n,) are the
    logarithms of the weights where those are too small to be told from 0.
    """
    values = normalise(weights)
    by_row = values.astype(np.float32)
    size = effective_size(values)
    told = f"{reason}; {counted(len(values), 'item')} count as {size:.0f}"
    if draw is not None and draw.budget is not None:
        if logs is None:
            logs = np.log(values, where=values > 0, out=np.full(len(values), -np.inf))
        known = int(np.isfinite(logs).sum())
        count = capacity(draw.budget, len(values), known, "a weight above 0")
        keys = logs + draw.rng.gumbel(size=len(values))
        index = np.argsort(-keys, kind="stable")[:count].astype(np.int64)
        weight = np.ones(count, np.float32)
        told += "; drawn in proportion"
    else:
        index = np.argsort(-by_row, kind="stable")
        index = index[by_row[index] > 0].astype(np.int64)
        weight = by_row[index]
    return Weighted(
        index,
        weight=weight,
        reason=told,
        random={"objective": size / len(values), "random": 1.0},
        by_row=by_row,
        effective=size,
    )


def as_codes(labels: Any, what: str = "labels") -> tuple[Ints, list[Any]]:
    """Labels as positions among their sorted distinct values, and those. Raises InputError for none, or null ones."""
    array = as_array(labels, what)
    if array.dtype == object:
        if any(value is None or value != value for value in array.reshape(-1)):
            raise InputError(f"some {what} are missing: leave those rows out")
        array = array.astype(str)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iubUSf":
        raise InputError(
            f"{what} have shape {array.shape} and type {array.dtype}: (n,) numbers or texts are meant"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"some {what} are missing: leave those rows out")
    names, codes = np.unique(array, return_inverse=True)
    return codes.reshape(-1).astype(np.int64), names.tolist()
