"""How several models are heard together, learnt from what they say and the given labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.label_noise.evidence import ALONE, Pool
from curate.scorers.noise.label_noise.rivals import blocks

__all__ = [
    "LEAST",
    "SAMPLE",
    "Slopes",
    "fit_exponents",
    "fit_weights",
    "learn_pool",
    "least_said",
    "pool_slopes",
    "smallest",
    "spaced",
]

SAMPLE = 20_000
"""Rows the weights are learnt from, evenly spread."""
LEAST = 1e-7
"""What any model's probability counts as at least."""
PRIOR = 1.0
"""By how many nats exponents are held back, all together, that are one away from equal weights."""

Slopes = Callable[[tuple[float, ...]], npt.NDArray[np.float64]]
"""`pool_slopes` of the rows that are learnt from, for some exponents in place of weights."""


def spaced(rows: int, most: int = SAMPLE) -> npt.NDArray[np.int64]:
    """At most 20,000 (`most`) of so many rows, evenly spread: those that weights are learnt from."""
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).astype(np.int64))


def learn_pool(members: tuple[npt.NDArray[Any], ...], labels: npt.NDArray[np.int64]) -> Pool:
    """How to hear several models, from their probabilities, arrays (n, k), and the labels given, (n,) in 0 ... k - 1. At
    most 20,000 rows, evenly spread, are looked at."""
    if len(members) == 1:
        return ALONE
    rows = spaced(len(labels))
    parts, given = tuple(np.asarray(member[rows], np.float32) for member in members), labels[rows]
    least = least_said([smallest(part) for part in parts])
    return Pool(fit_weights(len(parts), lambda told: pool_slopes(parts, Pool(told, least), given)), least)


def smallest(probs: npt.NDArray[Any]) -> float:
    """The smallest probability above 0."""
    return float(np.min(probs, where=probs > 0, initial=1))


def least_said(smallest: Sequence[float]) -> tuple[float, ...]:
    """What each model's probabilities count as at least: half of its `smallest` above 0. Where it gives a class nothing,
    as votes of neighbours or trees often do, it has not seen it, which does not mean that it cannot be."""
    return tuple(max(one / 2, LEAST) for one in smallest)


def fit_weights(count: int, slopes: Slopes) -> tuple[float, ...]:
    """Weights of `count` models, not negative, that sum to 1: `fit_exponents` scaled. How sure the pool should be is not
    settled by them: the noise model searches its sharpness."""
    found = fit_exponents(count, slopes)
    total = sum(found)
    return tuple(one / total if total > 0 else 1 / count for one in found)


def fit_exponents(count: int, slopes: Slopes) -> tuple[float, ...]:
    """Exponents of `count` models, not negative: how much each counts, and together how sure the pool is.

    They are those of the product of the models' probabilities, scaled to 1 for each item, under which the given labels
    are likeliest: a logarithmic opinion pool (Heskes: Selecting weighting factors in logarithmic opinion pools, 1998),
    fitted by maximum likelihood and drawn towards equal weights by as much as one item could. So a model counts for what
    it knows beside the others, and neither for being sure of itself nor for being alike.
    """
    from scipy.optimize import minimize

    equal = np.full(count, 1 / count)

    def loss(exponents: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        told = slopes(tuple(exponents.tolist())).sum(0)
        away = exponents - equal
        return PRIOR * away @ away / 2 - told[0], PRIOR * away - told[1:]

    found = minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=[(0, None)] * count).x
    return tuple(found.tolist())


def pool_slopes(
    members: Sequence[npt.NDArray[Any]], pool: Pool, labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Of each row (n, 1 + models): the log-probability of its given label in the pool, and how it changes with the weight
    of each model: the model's own log-probability of the label less the mean that the pool expects of it."""
    found = np.empty((len(labels), 1 + len(members)))
    for block in blocks(len(labels), members[0].shape[1]):
        logs = [
            np.log(np.maximum(np.asarray(one[block], np.float64), least))
            for one, least in zip(members, pool.least, strict=True)
        ]
        joint = np.zeros_like(logs[0])
        for weight, log in zip(pool.weights, logs, strict=True):
            joint += weight * log
        joint -= joint.max(1, keepdims=True)
        chance = np.exp(joint)
        total = chance.sum(1)
        at = (np.arange(len(joint)), labels[block])
        found[block, 0] = joint[at] - np.log(total)
        for i, log in enumerate(logs, 1):
            found[block, i] = log[at] - (chance * log).sum(1) / total
    return found
