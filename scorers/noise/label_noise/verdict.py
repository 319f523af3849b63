"""Every row judged under a fitted noise model, block by block in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.label_noise.evidence import Evidence
from curate.scorers.noise.label_noise.rivals import KEPT, Rivals, blocks, find_rivals
from curate.scorers.noise.label_noise.transition import Transition

__all__ = ["Verdicts", "collect_rivals", "judge"]

ARRAYS = 2
"""Of a block's size that are at work at a time."""
_FLOOR = np.float32(1e-12)
_LEAST_CHANCE = np.float32(1e-30)

Values = npt.NDArray[np.float32]
Places = npt.NDArray[np.integer]


class Verdicts(NamedTuple):
    """`score` (n,) float64, `flagged` (n,) bool, `suggested` (n,) int64, `right` (n,) float32, `code` (n,) uint8: see
    `LabelIssues`."""

    score: npt.NDArray[np.float64]
    flagged: npt.NDArray[np.bool_]
    suggested: npt.NDArray[np.int64]
    right: npt.NDArray[np.float32]
    code: npt.NDArray[np.uint8]


def collect_rivals(evidence: Evidence, labels: npt.NDArray[np.int64]) -> Rivals:
    """The rivals of all rows: 48 bytes a row instead of all its classes."""
    n, k = evidence.shape
    index, log = np.empty((KEPT, n), np.int32), np.empty((KEPT, n), np.float32)
    for block in blocks(n, k):
        index[:, block], log[:, block] = find_rivals(evidence.take(block), labels[block])
    return Rivals(index, log)


def judge(
    evidence: Evidence, rivals: Rivals | None, labels: npt.NDArray[np.int64], noise: Transition
) -> Verdicts:
    """All rows; from their `rivals`, or from all classes where there are none."""
    n, k = evidence.shape
    found = Verdicts(
        np.empty(n), np.empty(n, bool), np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.uint8)
    )
    terms = _Terms(noise)
    for block in blocks(n, ARRAYS * (k if rivals is None else KEPT)):
        given = labels[block]
        if rivals is None:
            value, index = np.log(np.maximum(evidence.take(block).T, _FLOOR, order="C")), None
            decided, ranked = terms.of_all(given)
        else:
            value, index = rivals.log[:, block].copy(), rivals.classes[:, block]
            decided, ranked = terms.of_rivals(index, given)
        part = _decide(value, decided, ranked, given, index, noise.sharpness)
        for name in Verdicts._fields:
            getattr(found, name)[block] = getattr(part, name)
    return found


class _Terms:
    """What is added to the sharpened log-probability of a class where label `given` was given: in the decision,
    log(matrix) + offset; in the ranking, the same with `weight` times log(matrix), or None where that is 1."""

    def __init__(self, noise: Transition) -> None:
        self._matrix, self._offset = noise.matrix, noise.offset.astype(np.float32)
        self._weight = np.float32(noise.weight)

    def of_all(self, given: npt.NDArray[np.int64]) -> tuple[Values, Values | None]:
        """(k, n), for every class."""
        decided, ranked = self._both(self._matrix, self._offset[:, None])
        # in C order, unlike decided[:, given]
        return np.take(decided, given, 1), None if ranked is None else np.take(ranked, given, 1)

    def of_rivals(self, index: Places, given: npt.NDArray[np.int64]) -> tuple[Values, Values | None]:
        """(w, n), for the classes in `index`."""
        place = index * np.int64(len(self._matrix)) + given
        return self._both(np.take(self._matrix, place), np.take(self._offset, index))

    def _both(self, chance: Values, offset: Values) -> tuple[Values, Values | None]:
        log = np.log(np.maximum(chance, _LEAST_CHANCE))
        return log + offset, None if self._weight == 1 else self._weight * log + offset


def _decide(
    value: Values,
    decided: Values,
    ranked: Values | None,
    given: npt.NDArray[np.int64],
    index: Places | None,
    sharpness: float,
) -> Verdicts:
    """One block. `value` (w, n) log-probabilities, of all classes or of those in `index`; `decided` and `ranked` are to be
    added to them."""
    own_place = np.arange(len(given))  # of the given label, in what is laid out flat
    if index is None:
        own_place += given * len(given)
    predicted = np.take(value, own_place) >= value.max(0)
    value *= np.float32(sharpness)
    decided += value
    own, top = np.take(decided, own_place), decided.max(0)
    ranked = decided.copy() if ranked is None else np.add(ranked, value, out=ranked)
    wrong = top > own
    suggested = given.copy()
    which = np.flatnonzero(wrong)
    rival = np.take(decided, which, 1).argmax(0)
    suggested[which] = rival if index is None else index[rival, which]
    right = np.exp(own - top)
    decided -= top
    right /= np.exp(decided, out=decided).sum(0)
    held = np.take(ranked, own_place)
    ranked.ravel()[own_place] = -np.inf
    gap = (ranked.max(0) - held).astype(np.float64) / sharpness
    score = 1 / (1 + np.exp(np.minimum(gap, 700.0)))
    code = 2 * wrong.view(np.uint8) + (wrong == predicted)
    return Verdicts(score, wrong, suggested, right, code)
