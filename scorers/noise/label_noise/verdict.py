"""Every row judged under a fitted noise model, block by block in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.label_noise.evidence import Evidence
from curate.scorers.noise.label_noise.rivals import KEPT, Rivals, blocks, find_rivals
from curate.scorers.noise.label_noise.transition import Transition

__all__ = ["Verdicts", "collect_rivals", "judge"]

_FLOOR = np.float32(1e-12)


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
    chance = np.log(np.maximum(noise.matrix, np.float32(1e-30)))  # (true, given)
    offset = noise.offset.astype(np.float32)[:, None]
    full, part = chance + offset, np.float32(noise.weight) * chance + offset
    found = Verdicts(
        np.empty(n), np.empty(n, bool), np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.uint8)
    )
    for block in blocks(n, k if rivals is None else 4 * KEPT):
        given = labels[block]
        if rivals is None:
            value, index = np.log(np.maximum(evidence.take(block).T, _FLOOR, order="C")), None
            weights = (np.take(full, given, 1), np.take(part, given, 1))  # in C order, unlike full[:, given]
        else:
            index, value = rivals.classes[:, block], rivals.log[:, block].copy()
            weights = (full[index, given], part[index, given])
        part_found = _decide(value, weights, given, index, noise.sharpness)
        for name in Verdicts._fields:
            getattr(found, name)[block] = getattr(part_found, name)
    return found


def _decide(
    value: npt.NDArray[np.float32],
    weights: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    given: npt.NDArray[np.int64],
    index: npt.NDArray[np.int32] | None,
    sharpness: float,
) -> Verdicts:
    """One block. `value` (w, n) log-probabilities, of all classes or of those in `index`; `weights` the log of what they
    are multiplied by in decision and ranking."""
    decided, ranked = weights
    item = np.arange(len(given))
    own_row = given if index is None else np.zeros_like(given)
    predicted = value[own_row, item] >= value.max(0)
    value *= np.float32(sharpness)
    decided += value
    ranked += value
    own = decided[own_row, item]
    top = decided.max(0)
    wrong = top > own
    suggested = given.copy()
    which = np.flatnonzero(wrong)
    rival = decided[:, which].argmax(0)
    suggested[which] = rival if index is None else index[rival, which]
    right = np.exp(own - top)
    decided -= top
    right /= np.exp(decided, out=decided).sum(0)
    held = ranked[own_row, item]
    ranked[own_row, item] = -np.inf
    gap = (ranked.max(0) - held).astype(np.float64) / sharpness
    score = 1 / (1 + np.exp(np.minimum(gap, 700.0)))
    code = np.where(wrong, 2, 1).astype(np.uint8)
    code += np.where(wrong, predicted, -predicted.astype(np.int8)).astype(np.uint8)
    return Verdicts(score, wrong, suggested, right, code)
