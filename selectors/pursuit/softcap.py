"""Soft-cap sampling: draw by score, again and again, what was drawn being less likely each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.choosing import Constraints, Meter, Rng, Terms, generator
from curate.contracts import Budget, Selection
from curate.counting import counted
from curate.errors import InputError

__all__ = ["soft_cap"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def soft_cap(
    score: npt.NDArray[Any],
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    temperature: float = 1.0,
    penalty: float = 1.0,
    cap: int | None = None,
    batch: int | None = None,
) -> Selection:
    """Draw `budget` times among items with `score` (n,), higher = likelier, so that few are drawn many times.

    Draws `batch` different items at a time with probabilities softmax(score / temperature), then takes `penalty` from the
    score of each that was drawn, and so on: of a good item there are several copies, but ever fewer. By default a batch is
    a hundredth of the budget.

    `temperature` above 0, in units of the score: near 0 the highest are drawn, far above their spread all alike.
    `penalty`     at least 0, in units of the score.
    `cap`         at most so many copies of an item; 1 draws without repetition.
    `within`      mandatory items (drawn once before all), forbidden ones, and groups, each drawn for by itself; no costs.

    Returns a Selection of the different items drawn, fewer than the budget where some were drawn twice: `weight` (k,) is how
    often, a whole number, and they sum to the budget; `index` those drawn most often first, of these the highest; `gain`
    the score; `random` the mean score of the draws and of all items. Raises InputError for scores that are not finite,
    parameters out of range, and a budget that `cap` copies of every item cannot fill.
    Source: soft cap sampling of FLYT, arXiv 2503.08805; its scores are logits, its settings (batches of 100,000, penalties of
    0.1 to 0.5) from memory.
    """
    meter = Meter()
    score = as_floats(score, "score")
    if score.ndim != 1 or not np.isfinite(score).all():
        raise InputError(f"score of shape {score.shape}: one finite number for each item is meant")
    if (
        not temperature > 0
        or not penalty >= 0
        or (cap is not None and cap < 1)
        or (batch is not None and batch < 1)
    ):
        raise InputError(
            f"temperature {temperature}, penalty {penalty}, cap {cap}, batch {batch}: above 0, at least 0, and at least 1 twice"
        )
    terms = (within or Constraints()).terms(len(score), budget)
    if not (terms.cost == 1).all():
        raise InputError("costs are given, and draws have none: leave them out")
    rng = generator(rng)
    drawn = np.zeros(len(score), np.int64)
    drawn[terms.first] = 1
    for group, left in enumerate(terms.left.tolist()):
        _draw(score, drawn, _Draws(terms, group, round(left), cap, batch), rng, (temperature, penalty))
    index = _ordered(score, drawn, terms.first)
    count = drawn[index]
    return Selection(
        index,
        weight=count.astype(np.float32),
        gain=score[index].astype(np.float32),
        random={"objective": float(score[index] @ count / count.sum()), "random": float(score.mean())},
        **meter.read(),
    )


class _Draws:
    """Who may be drawn of one group, and how many draws there are, at most `batch` at a time."""

    def __init__(self, terms: Terms, group: int, count: int, cap: int | None, batch: int | None) -> None:
        inside = terms.group == group
        self.rows = np.flatnonzero(inside & (terms.open | np.isin(np.arange(len(inside)), terms.first)))
        self.count, self.cap = count, cap
        self.batch = batch or max(1, -(-count // 100))


def _draw(
    score: Floats, drawn: Ints, draws: _Draws, rng: np.random.Generator, how: tuple[float, float]
) -> None:
    """Add one batch after the other to `drawn`."""
    rows, left = draws.rows, draws.count
    temperature, penalty = how
    if draws.cap is not None and draws.cap * len(rows) - drawn[rows].sum() < left:
        raise InputError(
            f"{counted(left, 'draw')} of {counted(len(rows), 'item')} with a cap of {draws.cap}: raise the cap or ask "
            "for fewer"
        )
    while left > 0:
        free = rows if draws.cap is None else rows[drawn[rows] < draws.cap]
        keys = (score[free] - penalty * drawn[free]) / temperature + rng.gumbel(size=len(free))
        size = min(draws.batch, left, len(free))
        drawn[free[np.argpartition(-keys, size - 1)[:size]]] += 1
        left -= size


def _ordered(score: Floats, drawn: Ints, first: Ints) -> Ints:
    """Mandatory items in their order, then those drawn most often, of equal ones the highest, then the lowest row."""
    rest = np.flatnonzero(drawn)
    rest = rest[~np.isin(rest, first)]
    rest = rest[np.lexsort((rest, -score[rest], -drawn[rest]))]
    return np.concatenate([first, rest])
