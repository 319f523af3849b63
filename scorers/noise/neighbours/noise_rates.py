"""How often each class is mistaken for which, from labels of neighbours alone (Zhu, Song and Liu 2021: HOC)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.errors import InputError

__all__ = ["NoiseRates", "estimate_noise_rates"]

Floats = npt.NDArray[np.float64]

_CELLS = 1 << 21
"""Triples times classes at a time: 16 MB."""


class NoiseRates(NamedTuple):
    """`transition` (K, K): P(given = column | true = row); `prior` (K,): P(true); `trust` (K,): P(true = c | given = c),
    1 for a class that nobody was given; `rounds` of EM it took."""

    transition: Floats
    prior: Floats
    trust: Floats
    rounds: int


def estimate_noise_rates(
    triples: npt.NDArray[np.integer], classes: int, *, start: float = 0.8, rounds: int = 1000
) -> NoiseRates:
    """The transition matrix between true and given labels, from the labels of items and their two nearest neighbours.

    `triples` (n, 3) given labels in 0 ... classes - 1: of an item and of the two nearest to it. If the three have one
    true class t, their labels are three draws from row t of T, so that what they agree on tells T and P(true):
    P(a, b, c) = sum over t of P(t) T[t, a] T[t, b] T[t, c]. The paper matches the moments of orders one to three; ours
    is the maximum of the likelihood of the same triples, by EM from a T that keeps `start` of each class on the
    diagonal (which tells the classes apart), until the likelihood grows by less than 1e-8 an item, or `rounds`.

    Where neighbours are often of another class, that counts as noise: rates come out too high then.
    Raises InputError for labels out of range, no triples, or no rounds. Source: Zhu, Song and Liu, "Clusterability as an
    Alternative to Anchor Points When Learning with Noisy Labels", ICML 2021.
    """
    triples = as_numbers(triples, "triples")
    if triples.ndim != 2 or triples.shape[1] != 3 or not len(triples):
        raise InputError(f"triples have shape {triples.shape}: (items >= 1, 3) is meant")
    if triples.min() < 0 or triples.max() >= classes:
        raise InputError(f"triples hold {triples.min()} to {triples.max()}: 0 to {classes - 1} is meant")
    if rounds < 1:
        raise InputError(f"rounds={rounds}: 1 at least")
    if not 1 / classes < start < 1:
        raise InputError(f"start={start}: above 1/{classes}, below 1, or the classes cannot be told apart")
    kinds, counts = np.unique(np.sort(triples, axis=1), axis=0, return_counts=True)
    share = counts / len(triples)
    given = np.bincount(triples.ravel(), minlength=classes) / triples.size
    prior = (given + 1e-6) / (given + 1e-6).sum()
    transition = np.full((classes, classes), (1 - start) / (classes - 1))
    np.fill_diagonal(transition, start)
    before = -np.inf
    for done in range(1, rounds + 1):
        likelihood, mass = _expect(kinds, share, prior, transition)
        sums = mass.sum(axis=1, keepdims=True)
        prior = sums[:, 0] / 3
        transition = np.divide(mass, sums, out=np.eye(classes), where=sums > 0)
        if likelihood - before < 1e-8 or done == rounds:
            break
        before = likelihood
    joint = prior[:, None] * transition
    column = joint.sum(axis=0)
    trust = np.divide(np.diag(joint), column, out=np.ones(classes), where=column > 0)
    return NoiseRates(transition, prior, trust, done)


def _expect(
    kinds: npt.NDArray[np.integer], share: Floats, prior: Floats, transition: Floats
) -> tuple[float, Floats]:
    """The mean log-likelihood, and how often each given label (column) stood for each true class (row), three a triple."""
    classes = len(prior)
    mass, likelihood = np.zeros((classes, classes)), 0.0
    with np.errstate(divide="ignore"):
        log_t, log_prior = np.log(transition).T, np.log(prior)
    step = max(1, _CELLS // classes)
    for low in range(0, len(kinds), step):
        some, part = kinds[low : low + step], share[low : low + step]
        each = log_t[some].sum(axis=1) + log_prior
        highest = each.max(axis=1, keepdims=True)
        posterior = np.exp(each - highest)
        total = posterior.sum(axis=1, keepdims=True)
        likelihood += float(part @ (np.log(total) + highest)[:, 0])
        posterior *= part[:, None] / total
        for draw in some.T:
            np.add.at(mass.T, draw, posterior)
    return likelihood, mass
