"""Rounds made into one selection: of one target, then of several, then up to the budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.selectors.pursuit.rounds import Round
from curate.selectors.pursuit.sources import Rows
from curate.selectors.pursuit.tasks import Task

__all__ = ["Merged", "fill_up", "interleave", "merge"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST = 1e-3
"""The weight of an item that is there but leads nowhere, against a mean of 1."""


class Merged(NamedTuple):
    """`rows` (k,) best first, `weight` (k,) of mean 1 and `scale` (k,) by which it solves for the target, `residual`, `gain`
    and `round` (k,) as in `Pursued`."""

    rows: Ints
    weight: Floats
    scale: Floats
    residual: Floats
    gain: Floats
    round: Ints


def merge(rounds: Sequence[Round], task: Task) -> Merged:
    """The rounds of one target as one selection: that average of them which comes nearest to the target.

    Found greedily: the share of a round is the best against the average of those before, but at least 3 % of its part of the
    rows, so that none is without weight; less where that would raise the residual by more than 2 %. Mandatory rows come first, in their order.
    """
    parts: list[Merged] = []
    error, length, count = task.target, float(np.linalg.norm(task.target)), 0
    for number, one in enumerate(rounds):
        count += len(one.rows)
        share, residual = 1.0, one.residual
        own = task.target - one.image
        if number:
            share = _share(error, own, 0.03 * len(one.rows) / count)
        error = (1 - share) * error + share * own
        if number:
            residual = np.full(len(one.rows), np.linalg.norm(error) / length)
        parts = [part._replace(weight=part.weight * (1 - share)) for part in parts]
        gain = -np.diff(one.residual**2, prepend=1.0)
        of = np.full(len(one.rows), number)
        parts.append(Merged(one.rows, one.weight * share, np.ones(len(of)), residual, gain, of))
    whole = _join(parts)
    mean = float(whole.weight.mean())
    whole = whole._replace(weight=whole.weight / mean, scale=np.full(count, mean))
    return _must_first(whole, task.must) if len(task.must) else whole


def _share(error: Floats, own: Floats, least: float) -> float:
    """The weight of a round that leaves `own` in an average with those before, which leave `error`."""
    step = error - own
    along, square = float(error @ step), max(float(step @ step), 1e-300)
    bearable = (along + np.sqrt(along * along + (1.02**2 - 1) * float(error @ error) * square)) / square
    least = max(min(least, float(bearable)), 1e-9)
    return float(np.clip(along / square, least, 1 - least))


def _must_first(merged: Merged, must: Ints) -> Merged:
    """Mandatory rows before all others and in their order. They enter together: all bear what they leave together."""
    place = np.full(len(merged.rows), len(must))
    for i, row in enumerate(must.tolist()):
        place[merged.rows == row] = i
    order = np.argsort(place, kind="stable")
    residual = merged.residual.copy()
    head = int((place < len(must)).sum())
    residual[:head] = residual[max(head - 1, 0)]
    return _reorder(merged, order)._replace(residual=residual)


def interleave(parts: Sequence[Merged], tasks: Sequence[Task]) -> Merged:
    """The selections of several targets in turn: the first of each, the second of each ...; residuals are their root mean
    square, a target counting 1 before its first item."""
    place = np.concatenate([np.arange(len(part.rows)) for part in parts])
    of = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
    order = np.lexsort((of, place))
    merged = _reorder(_join(parts), order)
    if len(parts) == 1:
        return merged
    now, total = np.ones(len(tasks)), float(len(tasks))
    residual = np.empty(len(order))
    for i, (j, value) in enumerate(zip(of[order].tolist(), merged.residual.tolist(), strict=True)):
        total += value * value - now[j] ** 2
        now[j] = value
        residual[i] = np.sqrt(max(0.0, total) / len(tasks))
    return merged._replace(residual=residual)


def fill_up(source: Rows, merged: Merged, tasks: Sequence[Task]) -> Merged:
    """Bring a selection to its budget: mandatory rows that are of no use, in front; then, at the end, those rows that lead
    away from their target least. They get the least weight, and add nothing."""
    must = np.concatenate([task.must for task in tasks])
    idle = must[~np.isin(must, merged.rows)]
    filling = [idle]
    taken = np.concatenate([merged.rows, idle])
    missing = sum(task.share for task in tasks) - len(taken)
    for task in tasks:
        direction = task.target / np.linalg.norm(task.target)
        barred = np.concatenate([task.barred, taken])
        rows, scores = source.best(direction, missing, barred, -np.inf) if missing else (idle[:0], idle[:0])
        rows = rows[np.argsort(-scores, kind="stable")]
        filling.append(rows)
        taken, missing = np.concatenate([taken, rows]), missing - len(rows)
    rows = np.concatenate(filling)
    if not len(rows):
        return merged
    none = np.zeros(len(rows))
    last = float(merged.residual[-1])
    extra = Merged(rows, none + LEAST, none + merged.scale.mean(), none + last, none, np.full(len(rows), -1))
    whole = _join([merged, extra])
    return _idle_in_front(whole, must) if len(idle) else whole


def _join(parts: Sequence[Merged]) -> Merged:
    columns: list[npt.NDArray[Any]] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Merged._make(columns)


def _reorder(merged: Merged, order: Ints) -> Merged:
    columns: list[npt.NDArray[Any]] = [column[order] for column in merged]
    return Merged._make(columns)


def _idle_in_front(merged: Merged, must: Ints) -> Merged:
    moved = _must_first(merged, must)
    return moved._replace(residual=np.minimum.accumulate(moved.residual))
