"""A noise rate that holds whatever the model is worth: what flags say, corrected by labels that people checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.noise.health.intervals import Shares, wilson

__all__ = ["verified_rate"]


def verified_rate(
    flagged: npt.NDArray[np.bool_], checked: npt.NDArray[np.bool_], wrong: npt.NDArray[np.bool_]
) -> Shares:
    """The share of wrong labels, from the items that people checked among the flagged and among the others.

    `flagged` (n,) bool, any guess at which labels are wrong; `checked` (n,) bool, whose label was looked at; `wrong`
    (n,) bool, what was seen (read where checked). Returns one share with its 95 % interval.

    The items checked must be drawn at random within the flagged and within the others, in whatever proportion. Then the
    share is unbiased whatever the flags are worth; good flags only make the interval narrower. Each part has its Wilson
    interval, narrowed by how much of the part was checked; they are joined as independent. A part of which nothing was
    checked could be anything from none to all.
    Raises InputError where nothing was checked or lengths differ.
    Source: stratified sampling (Cochran 1977, chapter 5); joining by Zou and Donner 2008 (MOVER).
    """
    flagged, checked, wrong = (np.asarray(a, bool) for a in (flagged, checked, wrong))
    if not flagged.shape == checked.shape == wrong.shape or flagged.ndim != 1:
        raise InputError(
            f"flags, checks and verdicts differ: {flagged.shape}, {checked.shape}, {wrong.shape}"
        )
    if not checked.any():
        raise InputError("no item was checked: a verified rate needs some")
    rate, below, above = 0.0, 0.0, 0.0
    for part in (flagged, ~flagged):
        n, m = int(part.sum()), int((part & checked).sum())
        if not n:
            continue
        one, weight = _part(int((part & checked & wrong).sum()), m, n), n / len(flagged)
        rate += weight * one[0]
        below += (weight * (one[0] - one[1])) ** 2
        above += (weight * (one[2] - one[0])) ** 2
    low, high = max(0.0, rate - below**0.5), min(1.0, rate + above**0.5)
    return Shares(np.array([rate]), np.array([low]), np.array([high]))


def _part(wrong: int, checked: int, items: int) -> tuple[float, float, float]:
    """Share and interval in one part; the middle of what is possible where nothing was checked."""
    if not checked:
        return 0.5, 0.0, 1.0
    one: Any = wilson(wrong / checked, checked)
    rate, low, high = (float(side[0]) for side in one)
    narrower = (1 - checked / items) ** 0.5
    return rate, rate - narrower * (rate - low), rate + narrower * (high - rate)
