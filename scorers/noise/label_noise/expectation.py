"""Expectation maximisation over the unseen true class, at one sharpness of the probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curate.scorers.noise.label_noise.cells import Floats
from curate.scorers.noise.label_noise.layout import Layout

__all__ = ["NEVER", "Fit", "Start", "first_start", "maximise"]

NEVER = -1e9
"""Offset of a class without labels."""
STEP = 1.9
"""Offsets go this many times as far as a plain round would take them: fewer rounds, and below 2 still converging."""
TOLERANCE = 1e-3
"""It has converged where no probability of the matrix and no step of an offset is more."""
_TINY = np.float32(1e-30)


class Start(NamedTuple):
    """`offset` (k,), and `counts` in each cell or None."""

    offset: Floats
    counts: Floats | None


class Fit(NamedTuple):
    """`offset` (k,); `counts` are expected items in each cell; `likelihood` of the given labels and `entropy` of the true
    classes, in nats an item; `right` the mean probability of the given label."""

    offset: Floats
    counts: Floats
    likelihood: float
    entropy: float
    right: float


def first_start(data: Layout) -> Start:
    """Where nothing is known: no bias, and the matrix that nine tenths of the labels are right by."""
    return Start(np.where(data.cells.frequency > 0, 0.0, NEVER), None)


def maximise(data: Layout, sharpness: float, start: Start, rounds: int) -> Fit:
    """Find `offset` and the counts that the matrix rests on, in so many rounds (at least one) or until converged."""
    cells = data.cells
    offset, counts = start.offset, start.counts
    scaled = data.log * np.float32(sharpness)
    matrix = data.matrix(counts)
    for _ in range(rounds):
        q = scaled + data.by_class(offset.astype(np.float32))
        q -= q.max(0)
        np.exp(q, out=q)
        q /= q.sum(0)
        post = data.by_cell(matrix) * q
        evidence = np.maximum(post.sum(0), _TINY)
        post /= evidence
        seen, counts = counts, data.per_cell(post)
        counts[cells.same] += data.certain[cells.diagonal]
        pull = np.log((cells.total(counts) + 1) / (data.per_class(q) + data.certain + 1))
        pull[offset < NEVER / 2] = 0
        offset, before, matrix = offset + STEP * pull, matrix, data.matrix(counts)
        if max(float(np.abs(matrix - before).max(initial=0)), float(np.abs(pull).max())) < TOLERANCE:
            break
    assert counts is not None  # rounds >= 1
    items = q.shape[1] + data.certain.sum()
    entropy = -float((q * np.log(np.maximum(q, _TINY))).sum(dtype=np.float64))
    likelihood = float(
        np.log(evidence).sum(dtype=np.float64)
        + data.certain @ np.log(np.maximum(cells.rates(seen)[0], _TINY))
    )
    return Fit(offset, counts, likelihood / items, entropy / items, float(counts[cells.same].sum() / items))
