"""Positives that are known and items that are not: how many of the latter are positive too, and which."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_numbers
from curate.counting import counted
from curate.errors import InputError, require

__all__ = ["Estimate", "UnlabelledFound", "hidden_share", "positive_unlabelled"]

Estimate = Literal["best-bin", "elkan-noto"]
_CERTAIN = 1e-6


class UnlabelledFound(NamedTuple):
    """Item by item: `score` (n,) float32, how far to trust that it is negative (1 for known positives); `hidden` (n,)
    bool, not labelled and more likely positive; `probability` (n,) float32 of being positive, 1 for known positives.
    Over all: `share` of the unlabelled that are positive, `prior`, the share of all items that are, and `frequency`
    (c), the share of positives that are labelled."""

    score: npt.NDArray[np.float32]
    hidden: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float32]
    share: float
    prior: float
    frequency: float


def positive_unlabelled(
    probabilities: npt.NDArray[Any],
    labelled: npt.NDArray[np.bool_],
    *,
    estimate: Estimate = "best-bin",
    cut: float = 0.5,
) -> UnlabelledFound:
    """Which unlabelled items are positive, where a label can be trusted and its absence cannot.

    `probabilities` (n,) out of sample, g(x) = P(labelled | x), of a model that told labelled from unlabelled; `labelled`
    (n,) bool. Assumed is that the labelled were drawn from the positives at random. With a the share of positives among
    the n_u unlabelled (`hidden_share`, by `estimate`) and n_p labelled, an unlabelled item is positive with probability
    min(1, a * n_u / n_p * h / (1 - h)), where h is g calibrated by isotonic regression on `labelled` (g itself hardly
    ever is: few models level off at the share of positives that are labelled). An unlabelled item is hidden where this
    exceeds `cut`. Score = 1 - probability, higher = keep as a negative.
    Raises InputError for lengths that differ, numbers that are no probabilities, or where all or none are labelled;
    MissingExtraError without the extra `noise`.
    Elkan and Noto 2008, eq. 4; Garg, Wu, Smola, Balakrishnan and Lipton 2021 for the best bin.
    """
    g, labelled = as_floats(probabilities, "probabilities"), as_numbers(labelled, "labelled")
    _check(g, labelled, cut)
    labelled = labelled.astype(bool, copy=False)
    n_p = int(labelled.sum())
    n_u = len(g) - n_p
    share = hidden_share(g[labelled], g[~labelled], estimate)
    level = np.clip(_calibrate(g, labelled), 0, 1 - _CERTAIN)
    odds = level / (1 - level)
    # Rounded before it is judged: who filters by the column that is shown finds what is flagged.
    probability = np.where(labelled, 1.0, np.minimum(1.0, share * n_u / n_p * odds)).astype(np.float32)
    positives = n_p + share * n_u
    return UnlabelledFound(
        np.where(labelled, np.float32(1), 1 - probability),
        ~labelled & (probability > cut),
        probability,
        share,
        positives / len(g),
        n_p / positives,
    )


def _check(g: npt.NDArray[np.float64], labelled: npt.NDArray[Any], cut: float) -> None:
    if g.shape != labelled.shape or g.ndim != 1:
        raise InputError(
            f"probabilities of shape {g.shape} and labels of shape {labelled.shape}: both are (items,)"
        )
    if labelled.dtype != np.bool_ and not np.isin(labelled, (0, 1)).all():
        raise InputError("labelled or not: booleans, or 0 and 1, are meant")
    bad = np.flatnonzero(~((g >= 0) & (g <= 1)))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'value is', 'values are')} no probabilities, as {g[bad[0]]} in row {bad[0]}"
        )
    if not 0 < cut < 1:
        raise InputError(f"cut={cut}: a probability between 0 and 1 is meant")
    known = int(labelled.sum())
    if known in (0, len(g)):
        what = "no item is" if not known else f"all {counted(len(g), 'item is', 'items are')}"
        raise InputError(f"{what} labelled positive: some positives and some unlabelled items are needed")


def _calibrate(g: npt.NDArray[np.float64], labelled: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The share of labelled items at each value of g, rising with g: steps by isotonic regression, their middles joined
    by lines, so that items within a step keep their order."""
    optimize: Any = require("scipy.optimize", "noise")
    values, place, counts = np.unique(g, return_inverse=True, return_counts=True)
    rate = np.bincount(place, weights=labelled) / counts
    steps = optimize.isotonic_regression(rate, weights=counts).x
    starts = np.flatnonzero(np.r_[True, np.diff(steps) > 0])
    middles = np.add.reduceat(values * counts, starts) / np.add.reduceat(counts, starts)
    return np.asarray(np.interp(g, middles, steps[starts]))


def hidden_share(
    positive: npt.NDArray[np.float64],
    unlabelled: npt.NDArray[np.float64],
    estimate: Estimate = "best-bin",
    *,
    delta: float = 0.1,
    gamma: float = 0.01,
) -> float:
    """The share of the unlabelled that are positive, in [0, 1].

    `positive` (p,) and `unlabelled` (u,) are the probabilities g of being labelled, out of sample.
    `best-bin`: among positives and unlabelled the shares q_p(t), q_u(t) with g >= t; the share is q_u / q_p at the t
    that minimises q_u / q_p + (1 + gamma) / q_p * (sqrt(log(4 / delta) / 2u) + sqrt(log(4 / delta) / 2p)): where only
    positives are left at the top, their ratio is what is sought. It needs g to order well, not to be calibrated.
    `elkan-noto`: c = mean g of the positives, share = (1 - c) / c * p / u; right where g is calibrated and the
    classes do not overlap, too high where they do.
    Garg and others 2021 (BBE; delta and gamma UNVERIFIED, hence parameters); Elkan and Noto 2008 (e1).
    """
    p, u = len(positive), len(unlabelled)
    if estimate == "elkan-noto":
        c = max(float(positive.mean()), _CERTAIN)
        return min(1.0, (1 - c) / c * p / u)
    levels = np.unique(positive)
    share_p = 1 - np.searchsorted(np.sort(positive), levels, side="left") / p
    share_u = 1 - np.searchsorted(np.sort(unlabelled), levels, side="left") / u
    doubt = math.sqrt(math.log(4 / delta) / (2 * u)) + math.sqrt(math.log(4 / delta) / (2 * p))
    best = int(np.argmin((share_u + (1 + gamma) * doubt) / share_p))
    return float(min(1.0, share_u[best] / share_p[best]))
