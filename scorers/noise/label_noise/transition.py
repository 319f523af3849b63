"""How labels go wrong, learnt from probabilities and labels alone: P(given label | true class) and how sure to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.label_noise.rivals import Rivals, find_rivals

__all__ = ["Kind", "Transition", "fit_rivals", "fit_transition", "measure_dependence"]

Kind = Literal["class-conditional", "instance-dependent", "undecided"]
Lookup = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[Any]]
"""Probabilities at (items, classes)."""

ROWS = 20_000
"""Rows the model is fitted on, drawn by seed: more move no digit that matters."""
SEARCH_ROWS = 8_000
"""Rows the sharpness is searched on."""
SHARPNESS = tuple(0.35 * 1.5**i for i in range(10))
"""Powers tried on the probabilities, from much flatter to much sharper (13)."""
FIRST = 2
"""The power tried first, 0.79: below it only where that is the best."""
PRIOR = 3.0
"""Items by which a class is drawn to the noise rate of all, and wrong labels by which to where any may go."""
EXTRA = 3.0
"""Wrong labels supposed in each class beside those seen, so that no class is taken for free of them."""
COST, STEEPNESS, MOST = 0.1, 40.0, 1.0
"""What a nat of doubt about the true class costs against a nat of likelihood of the given labels: where labels depend on
the class alone, how it grows with the square of their dependence on the item, and at most."""
LEANING = 0.03
"""Dependence of labels on the item, as an excess over 1/2, from which noise counts as instance-dependent."""
PARTNERS = 8
SEARCH, FINAL = 6, 20
"""Rounds of expectation maximisation at each sharpness tried, and at the one chosen."""
STEP = 1.9
"""Offsets go this many times as far as a plain round would take them: fewer rounds, and below 2 still converging."""
_TINY = 1e-30
_NEVER = -1e9


@dataclass(frozen=True, eq=False)
class Transition:
    """A true class t is drawn with q_t(x) proportional to p_t(x)^sharpness * exp(offset_t), and a label y given with
    matrix[t, y].

    `offset` (k,) corrects the model's bias for or against a class; -1e9 for a class without labels.
    `matrix` (k, k) float32, rows sum to 1. `calibrated` is the sharpness under which the given labels are most
    likely: below 1 the probabilities are overconfident, above 1 underconfident. `kind` of noise and `dependence`, the
    measure it rests on (0.5: labels depend on the class alone). `rate` is the expected share of wrong labels.
    """

    sharpness: float
    calibrated: float
    offset: npt.NDArray[np.float64]
    matrix: npt.NDArray[np.float32]
    kind: Kind
    dependence: float
    rate: float

    @property
    def weight(self) -> float:
        """How much of the matrix counts in a ranking: half where noise may depend on the item beside its class."""
        return 1.0 if self.kind == "class-conditional" else 0.5


def fit_transition(probs: npt.NDArray[Any], labels: npt.NDArray[np.int64], seed: int = 0) -> Transition:
    """Fit the noise model to out-of-sample probabilities (n, k) and the labels given, (n,) in 0 ... k - 1.

    Expectation maximisation over the unseen true class finds `offset` and `matrix` for a given sharpness. Likelihood
    alone does not settle the sharpness: a model unsure of the class and sure labels explain the labels as well as a
    sure model and noisy labels. What settles it is that an item has one class, so doubt is charged for: the sharpness
    maximises log-likelihood - cost * entropy of q (minimum entropy regularisation, Grandvalet and Bengio 2004). The
    cost is low where labels are found to depend on the class alone, for there the noise rate can be read off items
    the model is sure of, and grows with their dependence on the item (`measure_dependence`). Uses at most 20,000 rows, drawn by `seed`.
    """
    rng = np.random.default_rng(seed)
    n, k = probs.shape
    drawn = np.sort(rng.choice(n, ROWS, replace=False)) if n > ROWS else np.arange(n)
    sample, given = np.asarray(probs[drawn], np.float32), labels[drawn]
    return fit_rivals(find_rivals(sample, given), k, lambda rows, columns: sample[rows, columns], rng)


def fit_rivals(rivals: Rivals, classes: int, at: Lookup, rng: np.random.Generator) -> Transition:
    """`fit_transition` on rivals of items already drawn; `at` looks up any of their probabilities."""
    dependence, error = measure_dependence(rivals, at, rng)
    kind = _kind(dependence, error)
    few = _gather(rivals.take(rng.permutation(rivals.classes.shape[1])[:SEARCH_ROWS]), classes)
    sharpness, calibrated, found = _search(few, _cost(dependence, error))
    data = _gather(rivals, classes)
    more = rivals.classes.shape[1] / few.place.shape[1]
    same = len(data.cells) == len(few.cells)  # else others can occur, and the matrix starts again
    start = _Start(found.offset, found.counts * more if same else None)
    fitted = _maximise(data, sharpness, start, rounds=FINAL)
    matrix = _spread(data, fitted.counts)
    rate = float(1 - fitted.right.mean(dtype=np.float64))
    return Transition(sharpness, calibrated, fitted.offset, matrix, kind, dependence, rate)


# --- Does noise depend on the item? -----------------------------------------------------------------------------------


def measure_dependence(rivals: Rivals, at: Lookup, rng: np.random.Generator) -> tuple[float, float]:
    """Whether wrong labels depend on the item or on its class alone: a measure in [0, 1] and its standard error.

    Among the half of each predicted class that the model is surest of, the probability of the contradicting label is
    compared with that of the same class at random items of the same prediction whose label agrees. Noise that depends
    on the class alone gives 0.5; people, who confuse what looks alike, give more. (0.5, infinity) if nothing
    contradicts.
    """
    best = rivals.log.argmax(0)
    item = np.arange(len(best))
    predicted, labels = rivals.classes[best, item].astype(np.int64), rivals.classes[0].astype(np.int64)
    order = np.lexsort((-rivals.log[best, item], predicted))
    size = np.bincount(predicted)
    place = np.arange(len(order)) - (np.cumsum(size) - size)[predicted[order]]
    sure = order[place < size[predicted[order]] / 2]
    agrees = labels[sure] == predicted[sure]
    wrong, right = sure[~agrees], sure[agrees]  # both sorted by predicted class
    count = np.bincount(predicted[right], minlength=len(size))
    wrong = wrong[count[predicted[wrong]] > 0]
    if not len(wrong):
        return 0.5, float("inf")
    begin = (np.cumsum(count) - count)[predicted[wrong]]
    chance = rng.random((PARTNERS, len(best)))[
        :, wrong
    ]  # by item, so that no renaming of classes changes them
    draws = (chance * count[predicted[wrong]]).astype(np.int64)
    own = at(wrong, labels[wrong])
    other = at(right[begin + draws].ravel(), np.tile(labels[wrong], PARTNERS)).reshape(PARTNERS, -1)
    above = (own > other).mean() + (own == other).mean() / 2
    return float(above), float(np.sqrt((1 / 12 + 1 / (4 * PARTNERS)) / len(wrong)))


def _kind(dependence: float, error: float) -> Kind:
    if dependence - error > 0.5 + LEANING:
        return "instance-dependent"
    return "class-conditional" if dependence + error < 0.5 + LEANING else "undecided"


def _cost(dependence: float, error: float) -> float:
    """Of doubt: from what the dependence is at least, two standard errors below its estimate."""
    least = max(0.0, dependence - 2 * error - 0.5)
    return min(MOST, COST + STEEPNESS * least**2)


# --- Fit --------------------------------------------------------------------------------------------------------------


class _Data(NamedTuple):
    """Rivals, and where each (true class, label) lies among the `cells` (true * classes + given) of the matrix that can
    occur; `base` is what a cell gets beside its counts; `same` are the cells on the diagonal, of classes `diagonal`."""

    rivals: Rivals
    place: npt.NDArray[np.int64]
    cells: npt.NDArray[np.int64]
    true: npt.NDArray[np.int64]
    base: npt.NDArray[np.float64]
    same: npt.NDArray[np.int64]
    diagonal: npt.NDArray[np.int64]
    frequency: npt.NDArray[np.float64]


class _Start(NamedTuple):
    offset: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64] | None


class _Fit(NamedTuple):
    """`counts` are expected items in each cell, `right` the probability of each label."""

    offset: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    likelihood: float
    entropy: float
    right: npt.NDArray[np.float32]


def _gather(rivals: Rivals, classes: int) -> _Data:
    place = rivals.classes.astype(np.int64) * classes + rivals.classes[0]
    cells = np.arange(classes * classes)
    if len(cells) > place.size:
        cells, flat = np.unique(place, return_inverse=True)
        place = flat.reshape(place.shape)
    frequency = np.bincount(rivals.classes[0], minlength=classes) / max(1, place.shape[1])
    true, given = cells // classes, cells % classes
    same = np.flatnonzero(true == given)
    base = PRIOR * frequency[given] / np.maximum(1 - frequency[true], _TINY)
    return _Data(rivals, place, cells, true, base, same, true[same], frequency)


def _search(data: _Data, cost: float) -> tuple[float, float, _Fit]:
    """The sharpness, the calibrated sharpness, and the fit on the grid next to the former."""
    fits: dict[int, _Fit] = {}
    worth: dict[int, float] = {}

    def climb(steps: range, start: _Start) -> None:
        """Along the grid, each fit from where the last ended, until the worth has fallen twice."""
        for i in steps:
            fits[i] = _maximise(data, SHARPNESS[i], start, rounds=SEARCH)
            start = _Start(fits[i].offset, fits[i].counts)
            worth[i] = fits[i].likelihood - cost * fits[i].entropy
            if len(worth) > 2 and max(worth[i], worth.get(i - steps.step, np.inf)) < max(worth.values()):
                return

    climb(range(FIRST, len(SHARPNESS)), _Start(np.where(data.frequency > 0, 0.0, _NEVER), None))
    likelihood = {i: fit.likelihood for i, fit in fits.items()}
    if FIRST in (max(worth, key=worth.__getitem__), max(likelihood, key=likelihood.__getitem__)):
        climb(range(FIRST - 1, -1, -1), _Start(fits[FIRST].offset, fits[FIRST].counts))
        likelihood = {i: fit.likelihood for i, fit in fits.items()}
    best, middle = _peak(worth)
    return best, _peak(likelihood)[0], fits[middle]


def _peak(values: dict[int, float]) -> tuple[float, int]:
    """Where on the grid of sharpness a parabola through the highest value and its neighbours peaks."""
    i = max(values, key=values.__getitem__)
    shift = 0.0
    if i - 1 in values and i + 1 in values:
        left, mid, right = values[i - 1], values[i], values[i + 1]
        bend = left - 2 * mid + right
        shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(SHARPNESS[i] * 1.5**shift), i


def _maximise(data: _Data, sharpness: float, start: _Start, rounds: int, tolerance: float = 1e-3) -> _Fit:
    """Expectation maximisation of offset and matrix at one sharpness."""
    offset: npt.NDArray[np.float64] = start.offset
    counts: npt.NDArray[np.float64] | None = start.counts
    index, place = data.rivals.classes, data.place
    classes, cells = len(data.frequency), len(data.cells)
    scaled = data.rivals.log * np.float32(sharpness)
    matrix = _matrix(data, counts)
    for _ in range(rounds):
        q = scaled + offset.astype(np.float32)[index]
        q -= q.max(0)
        np.exp(q, out=q)
        q /= q.sum(0)
        post = matrix[place]
        post *= q
        evidence = np.maximum(post.sum(0), np.float32(_TINY))
        post /= evidence
        counts = np.bincount(place.ravel(), post.ravel(), cells).astype(np.float64, copy=False)
        total = np.bincount(data.true, counts, classes)
        expected = np.bincount(index.ravel(), q.ravel(), classes)
        pull = np.where(offset > _NEVER / 2, np.log((total + 1) / (expected + 1)), 0.0)
        offset, before, matrix = offset + STEP * pull, matrix, _matrix(data, counts)
        if max(float(np.abs(matrix - before).max()), float(np.abs(pull).max())) < tolerance:
            break
    entropy = -(q * np.log(np.maximum(q, np.float32(_TINY)))).sum(dtype=np.float64) / q.shape[1]
    likelihood = float(np.log(evidence).mean(dtype=np.float64))
    assert counts is not None  # rounds >= 1
    return _Fit(offset, counts, likelihood, float(entropy), post[0])


def _rates(
    data: _Data, counts: npt.NDArray[np.float64] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each true class: the rate of right labels, and what share of an expected wrong label each is."""
    classes = len(data.frequency)
    if counts is None:
        return np.full(classes, 0.9), np.full(classes, 0.1 / PRIOR)
    total, right = np.bincount(data.true, counts, classes), np.zeros(classes)
    right[data.diagonal] = counts[data.same]
    overall = right.sum() / max(float(total.sum()), _TINY)
    rate = (right + PRIOR * overall) / (total + PRIOR + EXTRA)
    return rate, (1 - rate) / (total - right + PRIOR)


def _matrix(data: _Data, counts: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float32]:
    """P(given | true) in each cell: classes drawn to what all share, their rate of right labels by PRIOR items, and
    where wrong labels go (anywhere, by frequency) by PRIOR wrong ones."""
    rate, share = _rates(data, counts)
    value = data.base if counts is None else data.base + counts
    value = value * share[data.true]
    value[data.same] = rate[data.diagonal]
    return value.astype(np.float32)


def _spread(data: _Data, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The whole matrix (k, k), cells that never occurred included."""
    rate, share = _rates(data, counts)
    apart = np.maximum(1 - data.frequency, _TINY)
    matrix = np.multiply.outer(share * PRIOR / apart, data.frequency).astype(np.float32)
    matrix.ravel()[data.cells] = _matrix(data, counts)
    np.fill_diagonal(matrix, rate)
    return matrix
