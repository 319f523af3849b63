"""How labels go wrong, learnt from probabilities and labels alone: P(given label | true class) and how sure to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import as_pred_probs
from curate.choosing import generator
from curate.errors import InputError
from curate.scorers.noise.label_noise.cells import Floats, Places
from curate.scorers.noise.label_noise.dependence import (
    Kind,
    Lookup,
    cost_of_doubt,
    kind_of_noise,
    measure_dependence,
)
from curate.scorers.noise.label_noise.evidence import Evidence, as_labels
from curate.scorers.noise.label_noise.expectation import Fit, Start, first_start, maximise
from curate.scorers.noise.label_noise.layout import Layout, beyond_doubt, lay_out
from curate.scorers.noise.label_noise.rivals import Rivals, find_rivals

__all__ = ["Transition", "fit_rivals", "fit_transition"]

ROWS = 20_000
"""Rows the model is fitted on, drawn by seed: more move no digit that matters."""
SEARCH_ROWS = 8_000
"""Rows the sharpness is searched on."""
SHARPNESS = tuple(0.35 * 1.5**i for i in range(10))
"""Powers tried on the probabilities, from much flatter to much sharper (13)."""
FIRST = 2
"""The power tried first, 0.79: below it only where that is the best."""
SEARCH, FINAL = 6, 20
"""Rounds of expectation maximisation at each sharpness tried, and at the one chosen."""


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
    offset: Floats
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

    InputError for no rows, for drawn rows that are no probabilities, and for labels as `label_errors` refuses them.
    """
    rng = generator(seed, "seed")
    probs = as_pred_probs(probs)
    n, k = probs.shape
    if not n:
        raise InputError("no rows to learn from how labels go wrong")
    labels = as_labels(labels, n, k)
    drawn = np.sort(rng.choice(n, ROWS, replace=False)) if n > ROWS else np.arange(n)
    sample, given = Evidence((probs,)).take(drawn), labels[drawn]
    frequency = np.bincount(labels, minlength=k) / n
    return fit_rivals(find_rivals(sample, given), frequency, lambda rows, columns: sample[rows, columns], rng)


def fit_rivals(rivals: Rivals, frequency: Floats, at: Lookup, rng: np.random.Generator) -> Transition:
    """`fit_transition` on rivals of items already drawn; `frequency` (k,) is each label's share of all items, drawn or not:
    a class that is too rare to be drawn is not one without labels. `at` looks up any probability of those drawn."""
    dependence, error = measure_dependence(rivals, at, rng)
    few = lay_out(rivals.take(rng.permutation(rivals.items)[:SEARCH_ROWS]), frequency)
    sharpness, calibrated, found = _search(few, cost_of_doubt(dependence, error))
    certain = beyond_doubt(rivals.log, rivals.classes, sharpness, found.offset)
    counts = np.bincount(rivals.classes[0, certain], minlength=len(frequency)).astype(np.float64)
    data = lay_out(rivals.take(np.flatnonzero(~certain)), frequency, counts)
    more = rivals.items / few.log.shape[1]
    start = Start(found.offset, _carried(found.counts * more, few.cells.number, data.cells.number))
    fitted = maximise(data, sharpness, start, rounds=FINAL)
    matrix, kind = data.cells.matrix(fitted.counts), kind_of_noise(dependence, error)
    return Transition(sharpness, calibrated, fitted.offset, matrix, kind, dependence, 1 - fitted.right)


def _carried(counts: Floats, seen: Places, index: Places) -> Floats | None:
    """Counts of the cells `seen`, for those in `index`; None if others can occur: then the matrix starts again."""
    place = np.minimum(np.searchsorted(seen, index), len(seen) - 1)
    return counts[place] if np.array_equal(seen[place], index) else None


def _search(data: Layout, cost: float) -> tuple[float, float, Fit]:
    """The sharpness, the calibrated sharpness, and the fit on the grid next to the former."""
    fits: dict[int, Fit] = {}
    worth: dict[int, float] = {}

    def climb(steps: range, start: Start) -> None:
        """Along the grid, each fit from where the last ended, until the worth has fallen twice."""
        for i in steps:
            at = data.settled(SHARPNESS[i], start.offset)
            fits[i] = maximise(at, SHARPNESS[i], start, rounds=SEARCH)
            start = Start(fits[i].offset, fits[i].counts)
            worth[i] = fits[i].likelihood - cost * fits[i].entropy
            if len(worth) > 2 and max(worth[i], worth.get(i - steps.step, np.inf)) < max(worth.values()):
                return

    climb(range(FIRST, len(SHARPNESS)), first_start(data))
    likelihood = {i: fit.likelihood for i, fit in fits.items()}
    if FIRST in (max(worth, key=worth.__getitem__), max(likelihood, key=likelihood.__getitem__)):
        climb(range(FIRST - 1, -1, -1), Start(fits[FIRST].offset, fits[FIRST].counts))
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
