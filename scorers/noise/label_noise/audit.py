"""How many errors are left: which items to check by hand, and what their answers say about all, with an exact interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_numbers
from curate.choosing import generator
from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.noise.label_noise.finder import LabelIssues

__all__ = [
    "AuditCurve",
    "AuditPlan",
    "ErrorEstimate",
    "Part",
    "audit_curve",
    "audit_size",
    "binomial_interval",
    "estimate_errors",
    "plan_audit",
]

Part = Literal["kept", "flagged", "all"]


@dataclass(frozen=True, eq=False)
class AuditPlan:
    """Items to check by hand.

    `rows` (m,) int64, in the order of their score, the most doubtful first; `times` (m,) how many of the draws each
    stands for (1, rarely 2); `of` which part of the labels they speak for, `population` how many those are;
    `expected` the share of errors among them by the noise model; `bound` the upper end of the interval if no error is
    found; `confidence` of the interval.
    """

    rows: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    of: Part
    population: int
    expected: float
    bound: float
    confidence: float


class ErrorEstimate(NamedTuple):
    """`rate` of errors in the population and its exact interval `low` to `high`; `errors`, `errors_low`, `errors_high`
    the same in items; from `wrong` errors in `checked` draws."""

    rate: float
    low: float
    high: float
    errors: float
    errors_low: float
    errors_high: float
    wrong: int
    checked: int


class AuditCurve(NamedTuple):
    """`checked` (p,) int64 items, the most doubtful first; `errors` (p,) float64 found among them, expected or, where the
    truth was given, real; `low` and `high` (p,) the 95 % band of what is expected."""

    checked: npt.NDArray[np.int64]
    errors: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]


def plan_audit(
    found: LabelIssues, items: int, *, of: Part = "kept", confidence: float = 0.95, seed: int = 0
) -> AuditPlan:
    """Choose `items` labels to check by hand, so that they bound the share of errors among those kept, flagged, or all.

    Sorted by score the labels are cut into `items` strata of equal size, and one is drawn of each by `seed`: doubtful and
    safe labels come in exactly their proportion. A count over such strata varies less than the binomial of a plain
    sample (Hoeffding 1956), so that the exact binomial interval holds at least its confidence.
    Raises InputError if there are fewer labels than `items`, or none.
    """
    pool = {"kept": ~found.flagged, "flagged": found.flagged, "all": np.ones(len(found), bool)}[of]
    rows = np.flatnonzero(pool)
    if not 1 <= items <= len(rows):
        one = {"kept": "label not flagged", "flagged": "flagged label", "all": "label"}[of]
        held = counted(len(rows), one, one.replace("label", "labels"))
        raise InputError(f"{counted(items, 'item')} to check of {held}: 1 to {len(rows)} can be drawn")
    _check_confidence(confidence)
    rows = rows[np.argsort(found.score[rows], kind="stable")]
    draw = generator(seed, "seed").random(items)
    place = np.minimum((np.arange(items) + draw) * (len(rows) / items), len(rows) - 1).astype(np.int64)
    place, times = np.unique(place, return_counts=True)
    bound = 0.0 if len(place) == len(rows) else binomial_interval(0, items, confidence)[1]
    expected = float(1 - found.right[pool].mean(dtype=np.float64))
    return AuditPlan(rows[place], times.astype(np.int64), of, len(rows), expected, bound, confidence)


def estimate_errors(plan: AuditPlan, wrong: Any) -> ErrorEstimate:
    """The share of errors in the plan's population from what people said of its rows.

    `wrong` (m,) bool, in the order of `plan.rows`: the given label is wrong. The interval is exact (Clopper and Pearson
    1934), narrowed by what is known of the items checked; where all were checked it is the share itself.
    Raises InputError for another number of answers; MissingExtraError without the extra `noise` (scipy).
    """
    answers = as_array(wrong, "answers")
    if (
        answers.shape != plan.rows.shape
        or answers.dtype.kind not in "bui"
        or not np.isin(answers, (0, 1)).all()
    ):
        raise InputError(
            f"answers of shape {answers.shape} ({answers.dtype}): one true (wrong) or false (right) for each of the "
            f"{counted(len(plan.rows), 'row')} of the plan is meant"
        )
    seen = int(answers.astype(bool).sum())
    checked, hits = int(plan.times.sum()), int((plan.times * answers.astype(np.int64)).sum())
    n = plan.population
    if len(plan.rows) == n:
        rate = low = high = seen / n
    else:
        rate = hits / checked
        low, high = binomial_interval(hits, checked, plan.confidence)
        low, high = max(low, seen / n), min(high, (n - len(plan.rows) + seen) / n)
    return ErrorEstimate(rate, low, high, rate * n, low * n, high * n, hits, checked)


def binomial_interval(hits: int, draws: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of which `hits` of `draws` were seen (Clopper and Pearson 1934).

    Raises InputError for counts that cannot be; MissingExtraError without the extra `noise` (scipy).
    """
    _check_confidence(confidence)
    if not 0 <= hits <= draws or draws < 1:
        raise InputError(f"{hits} of {counted(draws, 'draw')}: 0 to {draws} of at least one are meant")
    special: Any = require("scipy.special", "noise")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, draws - hits + 1, tail))
    high = 1.0 if hits == draws else float(special.betaincinv(hits + 1, draws - hits, 1 - tail))
    return low, high


def audit_size(bound: float, *, errors: int = 0, confidence: float = 0.95) -> int:
    """How many items to check so that the interval ends at or below `bound` if no more than `errors` are found.

    `bound` in (0, 1). Raises InputError otherwise; MissingExtraError without the extra `noise` (scipy).
    """
    if not 0 < bound < 1 or errors < 0:
        raise InputError(
            f"a bound of {bound} with {counted(errors, 'error')}: a share in (0, 1) and a count are meant"
        )
    low, high = errors + 1, errors + 1
    while binomial_interval(errors, high, confidence)[1] > bound:
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if binomial_interval(errors, middle, confidence)[1] > bound:
            low = middle + 1
        else:
            high = middle
    return high


def audit_curve(found: LabelIssues, *, wrong: Any = None, points: int = 200) -> AuditCurve:
    """How many errors are found by checking the most doubtful labels first.

    Expected by the noise model, with a 95 % band for chance alone (if the model is off so is the band: an audit tells);
    or, where `wrong` (n,) bool says which labels are wrong, counted. At most `points` points, from 0 to all items.
    """
    n = len(found)
    order = found.worst_first()
    doubt = 1 - found.right[order].astype(np.float64)
    at = np.unique(np.linspace(0, n, min(points, n + 1)).round().astype(np.int64))
    expected = np.concatenate([[0.0], np.cumsum(doubt)])[at]
    half = 1.959963984540054 * np.sqrt(np.concatenate([[0.0], np.cumsum(doubt * (1 - doubt))]))[at]
    low, high = np.maximum(expected - half, 0), np.minimum(expected + half, at)
    if wrong is None:
        return AuditCurve(at, expected, low, high)
    truth = as_numbers(wrong, "answers") != 0
    if truth.shape != (n,):
        raise InputError(f"{truth.shape} answers for {counted(n, 'label')}: one of each is meant")
    return AuditCurve(at, np.concatenate([[0], np.cumsum(truth[order])])[at].astype(np.float64), low, high)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence}: a share in (0, 1), as 0.95, is meant")
