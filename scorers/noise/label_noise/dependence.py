"""Does noise depend on the item, or on its class alone? And what that makes doubt cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.label_noise.rivals import Rivals

__all__ = ["Kind", "Lookup", "cost_of_doubt", "kind_of_noise", "measure_dependence"]

Kind = Literal["class-conditional", "instance-dependent", "undecided"]
Lookup = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[Any]]
"""Probabilities at (items, classes)."""

COST, STEEPNESS, MOST = 0.1, 40.0, 1.0
"""What a nat of doubt about the true class costs against a nat of likelihood of the given labels: where labels depend on
the class alone, how it grows with the square of their dependence on the item, and at most."""
LEANING = 0.03
"""Dependence of labels on the item, as an excess over 1/2, from which noise counts as instance-dependent."""
PARTNERS = 8


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
    chance = rng.random((PARTNERS, len(best)))[:, wrong]  # by item: no renaming of classes changes them
    draws = (chance * count[predicted[wrong]]).astype(np.int64)
    own = at(wrong, labels[wrong])
    other = at(right[begin + draws].ravel(), np.tile(labels[wrong], PARTNERS)).reshape(PARTNERS, -1)
    above = (own > other).mean() + (own == other).mean() / 2
    return float(above), float(np.sqrt((1 / 12 + 1 / (4 * PARTNERS)) / len(wrong)))


def kind_of_noise(dependence: float, error: float) -> Kind:
    """What a dependence and its standard error say: "undecided" where one error more or less would say another."""
    if dependence - error > 0.5 + LEANING:
        return "instance-dependent"
    return "class-conditional" if dependence + error < 0.5 + LEANING else "undecided"


def cost_of_doubt(dependence: float, error: float) -> float:
    """From what the dependence is at least, two standard errors below its estimate."""
    least = max(0.0, dependence - 2 * error - 0.5)
    return min(MOST, COST + STEEPNESS * least**2)
