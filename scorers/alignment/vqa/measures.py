"""From the probabilities of yes and no to scores of an image and its text: pure functions on arrays."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.errors import InputError

__all__ = [
    "RESTS_ON",
    "Normalise",
    "RestsOn",
    "dsg_score",
    "find_circles",
    "pn_vqa_score",
    "tifa_score",
    "yes_probability",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Normalise = Literal["yes-no", "vocabulary"]
RestsOn = Literal["ancestors", "parents"]
RESTS_ON: tuple[RestsOn, ...] = get_args(RestsOn)


def pn_vqa_score(p_yes_positive: npt.ArrayLike, p_yes_negative: npt.ArrayLike) -> Floats:
    """How surely a model says that something is in the image, its liking for "yes" taken out.

    `p_yes_positive` is the probability of "yes" where it is asked whether the answer is yes, `p_yes_negative` where it
    is asked whether the answer is no: any shape, the same for both, in [0, 1]; NaN where not known. Returns
    (p_yes_positive + 1 - p_yes_negative) / 2 in float64, in [0, 1], higher = it is there. A model that always says yes
    gets 0.5; the two exchanged give 1 - score.

    Raises InputError for values outside [0, 1] or shapes that differ. Source: EvalMuse-40K (2024), arXiv 2412.18150,
    the worked example of its overview figure (0.65 and 0.25 give 0.70); no code was published.
    """
    positive, negative = (
        _probabilities(values, name)
        for values, name in ((p_yes_positive, "p_yes_positive"), (p_yes_negative, "p_yes_negative"))
    )
    if positive.shape != negative.shape:
        raise InputError(f"p_yes_positive has shape {positive.shape}, p_yes_negative {negative.shape}")
    return (positive + 1 - negative) / 2


def yes_probability(log_yes: npt.ArrayLike, log_no: npt.ArrayLike, normalise: Normalise = "yes-no") -> Floats:
    """The probability of "yes" from the log-probabilities of "yes" and of "no" under the whole vocabulary.

    `yes-no` shares one between the two: p(yes) / (p(yes) + p(no)). `vocabulary` takes p(yes) as it is, as VQAScore does:
    what the model gives to other words counts against the image. Same shapes, values at most 0; float64 in [0, 1].
    """
    yes, no = as_floats(log_yes, "log_yes"), as_floats(log_no, "log_no")
    if yes.shape != no.shape:
        raise InputError(f"log_yes has shape {yes.shape}, log_no {no.shape}")
    if normalise == "vocabulary":
        return np.exp(np.minimum(yes, 0.0))
    if normalise != "yes-no":
        raise InputError(f"normalise {normalise!r}: 'yes-no' or 'vocabulary'")
    return np.asarray(np.exp(yes - np.logaddexp(yes, no)), np.float64)


def tifa_score(right: npt.ArrayLike, offsets: npt.ArrayLike) -> Floats:
    """The share of its questions that each image answers as expected.

    `right` (q,) in [0, 1]: whether (or how surely) the expected answer was given, question after question, item after
    item; `offsets` (n + 1,) says where each item begins. Returns (n,) float64 in [0, 1], higher = better; NaN for an
    item without questions, or with one whose answer is NaN: a mean of the others would be of another item.

    Raises InputError for values outside [0, 1] or offsets that do not fit. Source: Hu et al., TIFA (2023),
    arXiv 2303.11897, equation 2.
    """
    values, bounds = _probabilities(right, "right"), _offsets(offsets, np.size(right))
    counts = np.diff(bounds)
    items = np.repeat(np.arange(len(counts)), counts)
    sums = np.bincount(items, weights=values, minlength=len(counts))
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts, np.float64)


def dsg_score(
    right: npt.ArrayLike,
    offsets: npt.ArrayLike,
    edges: npt.ArrayLike,
    threshold: float = 0.5,
    *,
    rests_on: RestsOn = "ancestors",
) -> tuple[Floats, Floats]:
    """TIFA in which a question counts only if what it rests on holds: no blue car without a car.

    `right` and `offsets` as in `tifa_score`. `edges` (e, 2) int64: rows (child, parent), positions in `right`, both in
    one item. A question holds where its value is at least `threshold` and all its parents hold; one with a parent that
    does not hold counts 0, and so do those that rest on it in turn, whatever the order. `rests_on` "parents" looks at the
    answers to the parents alone, as the code the authors published does: no shiny blue without blue, but a car that is
    not there takes only its blue along.
    Returns the item scores (n,) as `tifa_score` does, and the value with which each question counted (q,).

    Raises InputError for edges that leave their item or go in a circle. Source: Cho et al., Davidsonian Scene Graph
    (2023), arXiv 2310.18235, section 3: the question stays in the mean, with zero.
    """
    if rests_on not in RESTS_ON:
        raise InputError(f"rests_on {rests_on!r}: {' or '.join(map(repr, RESTS_ON))}")
    values, bounds = _probabilities(right, "right"), _offsets(offsets, np.size(right))
    links = _edges(edges, bounds)
    circles = find_circles(links, len(values))
    if circles.any():
        rows = np.flatnonzero(circles)[:5].tolist()
        raise InputError(
            f"questions {rows} rest on each other in a circle: a question's parents come before it"
        )
    counted = values.copy()
    children, parents = links[:, 0], links[:, 1]
    if rests_on == "parents":
        counted[children[values[parents] < threshold]] = 0.0
        return tifa_score(counted, bounds), counted
    while True:  # at most as often as the graph is deep
        void = np.zeros(len(values), np.bool_)
        void[children[counted[parents] < threshold]] = True
        void &= ~(counted == 0.0)
        if not void.any():
            return tifa_score(counted, bounds), counted
        counted[void] = 0.0


def find_circles(edges: Ints, count: int) -> npt.NDArray[np.bool_]:
    """Which of `count` questions can never be asked, as they rest on each other in a circle (or on such ones)."""
    ready = np.zeros(count, np.bool_)
    while True:
        waiting = np.zeros(count, np.bool_)
        waiting[edges[~ready[edges[:, 1]], 0]] = True
        if np.array_equal(ready, ~waiting):
            return waiting
        ready = ~waiting


def _probabilities(values: npt.ArrayLike, name: str) -> Floats:
    array = as_floats(values, name)
    wrong = np.flatnonzero((array < 0) | (array > 1))
    if len(wrong):
        at = f" at {', '.join(map(str, np.unravel_index(wrong[0], array.shape)))}" if array.ndim else ""
        raise InputError(f"{name} holds {array.flat[wrong[0]]!s}{at}: a probability lies in [0, 1]")
    return array


def _offsets(offsets: npt.ArrayLike, count: int) -> Ints:
    bounds = np.asarray(offsets, np.int64)
    if (
        bounds.ndim != 1
        or not len(bounds)
        or bounds[0] != 0
        or bounds[-1] != count
        or (np.diff(bounds) < 0).any()
    ):
        raise InputError(f"offsets begin with 0, never fall and end with the number of questions, {count}")
    return bounds


def _edges(edges: npt.ArrayLike, bounds: Ints) -> Ints:
    links = np.asarray(edges, np.int64).reshape(-1, 2)
    if len(links) and (links.min() < 0 or links.max() >= bounds[-1]):
        raise InputError(f"edges name question {links.max()} of {bounds[-1]}, counted from 0")
    items = np.searchsorted(bounds, links, side="right")
    across = np.flatnonzero(items[:, 0] != items[:, 1])
    if len(across):
        raise InputError(f"edge {links[across[0]].tolist()} joins questions of two items")
    return links
