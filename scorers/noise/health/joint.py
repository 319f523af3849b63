"""What the joint counts of given and true labels say: noise rates, overall health, classes that overlap.

All of it works on a (k, k) matrix whose rows are given and whose columns are true labels, as confident learning
estimates it; the intervals say how far the counted items bear out the shares, in closed form. They do not know whether
the model is right: `label_noise` therefore brackets the rate by two ways of counting.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.noise.health.intervals import Shares, wilson

__all__ = ["Noise", "Overlaps", "bracket", "label_noise", "noise_rates", "overlapping_classes"]

Floats = npt.NDArray[np.float64]


def noise_rates(
    joint: npt.NDArray[Any], counted: npt.NDArray[Any], of: Literal["given", "true"] = "given"
) -> Shares:
    """Per class, the share of labels that are wrong, with 95 % intervals.

    `joint`    (k, k) counts or shares, rows given, columns true, each row's total that of the given label.
    `counted`  (k,) how many items of each given label the row's shares were counted on.
    `of`       "given": of the items labelled k, the share that are something else, P(true != k | given = k).
               "true": of the items that are k, the share labelled something else, P(given != k | true = k).

    Rows are independent binomial counts; the "true" rate is a ratio of sums over rows, its variance by the delta
    method. NaN for a class without items. Raises InputError for what is no such matrix.
    Source: Northcutt, Jiang and Chuang 2021, section 3; cleanlab's `rank_classes_by_label_quality` gives the same rates.
    """
    joint, counted = _check(joint, counted)
    total, share = _shares(joint)
    here = np.diagonal(joint)
    with np.errstate(divide="ignore", invalid="ignore"):
        if of == "given":
            return wilson(1 - here / total, counted)
        column = joint.sum(0)
        variance = (total**2)[:, None] * share * (1 - share) / np.where(counted > 0, counted, np.nan)[:, None]
        variance = np.nan_to_num(variance)
        rate = 1 - here / column
        own = np.diagonal(variance)
        spread = ((1 - rate) ** 2 * (variance.sum(0) - own) + rate**2 * own) / column**2
        return wilson(rate, (share * counted[:, None]).sum(0), spread)


def bracket(careful: Shares, plain: Shares) -> Shares:
    """The rates of `careful`, from confident counts, with intervals that reach up or down to those of `plain`, from all
    disagreement: the first misses errors, the second adds the model's own, and the truth mostly lies between the two."""
    return Shares(careful.rate, np.fmin(careful.low, plain.low), np.fmax(careful.high, plain.high))


class Noise(NamedTuple):
    """`rate`, the estimated share of wrong labels; `low` and `high`, a 95 % interval of it; `wrong`, the estimated count."""

    rate: float
    low: float
    high: float
    wrong: int


def label_noise(
    joint: npt.NDArray[Any], counted: npt.NDArray[Any], disagreed: npt.NDArray[Any] | None = None
) -> Noise:
    """The share of wrong labels in the whole data set, 1 - trace of the joint distribution.

    `joint` (k, k) counts, `counted` (k,) as for `noise_rates`. The interval is that of a share stratified by given label.
    `disagreed` (k, k), counts of given and *predicted* label, widens it to the interval of plain disagreement (`bracket`).
    Raises InputError for what is no such matrix, or for an empty one.
    """
    joint, counted = _check(joint, counted)
    total, share = _shares(joint)
    items = total.sum()
    if not items > 0:
        raise InputError("the joint counts are all zero: no item to estimate a rate from")
    rates = 1 - np.diagonal(share)
    weight = total / items
    variance = np.nan_to_num(weight**2 * rates * (1 - rates) / np.where(counted > 0, counted, np.nan)).sum()
    rate = float(1 - np.trace(joint) / items)
    one = wilson(rate, counted.sum(), variance)
    if disagreed is not None:
        other = label_noise(disagreed, disagreed.sum(1))
        one = bracket(one, Shares(*(np.array([value]) for value in (other.rate, other.low, other.high))))
    return Noise(rate, float(one.low[0]), float(one.high[0]), round(rate * items))


class Overlaps(NamedTuple):
    """Pairs of classes, those that overlap most first, (m,) each.

    `first`, `second` int64: the classes, first < second. `share`: the share of all items that are one and labelled the
    other, `low` and `high` its 95 % interval. `there` and `back`: the share of items labelled `first` that are
    `second`, and of those labelled `second` that are `first`. `mutual` bool: both are more than the 95 % interval of
    such a share would be if a class's errors fell on the other classes evenly.
    """

    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]
    share: Floats
    low: Floats
    high: Floats
    there: Floats
    back: Floats
    mutual: npt.NDArray[np.bool_]


def overlapping_classes(joint: npt.NDArray[Any], counted: npt.NDArray[Any]) -> Overlaps:
    """Which pairs of classes are taken for one another, and whether in both directions.

    `joint`, `counted` as for `noise_rates`. A pair that is `mutual` has a border that people do not see: define it, or
    merge the two. One that is confused in one direction only is a habit (`truck` written `car`), or one class within
    the other. Ties go by the classes' numbers. Source: Northcutt, Jiang and Chuang 2021; cleanlab's
    `find_overlapping_classes` gives the same shares.
    """
    joint, counted = _check(joint, counted)
    total, share = _shares(joint)
    items = max(total.sum(), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (total**2)[:, None] * share * (1 - share) / counted[:, None] / items**2
    spread = np.where(np.isfinite(spread), spread, 0.0)
    first, second = np.triu_indices(len(joint), 1)
    both = (joint[first, second] + joint[second, first]) / items
    interval = wilson(both, counted[first] + counted[second], spread[first, second] + spread[second, first])
    even = (1 - np.diagonal(share)) / max(len(joint) - 1, 1)
    with np.errstate(invalid="ignore"):
        above = wilson(share.ravel(), np.repeat(counted, len(joint))).low.reshape(share.shape) > even[:, None]
    mutual = above[first, second] & above[second, first]
    if len(joint) == 2:  # there is no other class for errors to fall on: any overlap is all there is
        mutual = (joint[first, second] > 0) & (joint[second, first] > 0)
    at = np.argsort(-both, kind="stable")
    there, back = share[first, second], share[second, first]
    low, high = interval.low, interval.high
    return Overlaps(first[at], second[at], both[at], low[at], high[at], there[at], back[at], mutual[at])


def _check(joint: npt.NDArray[Any], counted: npt.NDArray[Any]) -> tuple[Floats, Floats]:
    joint, counted = np.asarray(joint, float), np.asarray(counted, float)
    if joint.ndim != 2 or joint.shape[0] != joint.shape[1] or counted.shape != joint.shape[:1]:
        raise InputError(
            f"joint counts of shape {joint.shape} and counted items of shape {counted.shape}: (k, k) and (k,) are meant"
        )
    if not (np.isfinite(joint).all() and (joint >= 0).all() and (counted >= 0).all()):
        raise InputError("joint counts must be finite and not negative")
    return joint, counted


def _shares(joint: Floats) -> tuple[Floats, Floats]:
    """Totals of the given labels, and each row as shares (zero where there is no item)."""
    total = joint.sum(1)
    return total, np.divide(joint, total[:, None], out=np.zeros_like(joint), where=total[:, None] > 0)
