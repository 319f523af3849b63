"""Gradient trajectory pursuit: the few items whose weighted gradients add up to the target's, at every checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.choosing import Constraints, Meter, Rng, Terms, at_random, generator
from curate.contracts import Budget, Selection, Vectors
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.pursuit.merging import Merged, fill_up, interleave, merge
from curate.selectors.pursuit.rounds import Course
from curate.selectors.pursuit.sources import Rows, shard_rows
from curate.selectors.pursuit.tasks import Task, chase_all, make_tasks
from curate.selectors.pursuit.trajectory import Trajectory

__all__ = ["Pursued", "pursue"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pursued(Selection):
    """A selection that adds up to a target.

    `residual` (k,) float64, |sum of w a - b| / |b| of the first items of the order with weights best for them, in [0, 1],
               lower is better; the last is that of the selection with its weights. Items of later rounds all bear what
               was left after their round. With several targets: the root mean square over them.
    `round`    (k,) int64: 0 for the items of the first pursuit, 1 for those of the second, among what that left ...;
               -1 for items that fill the budget though they lead nowhere.
    `scale`    (k,) float64: weight x scale are the weights whose sum comes to the target.
    """

    residual: Floats | None = None
    round: Ints | None = None
    scale: Floats | None = None


def pursue(
    gradients: npt.NDArray[Any] | Vectors | Rows,
    target: npt.NDArray[Any] | None,
    budget: Budget,
    *,
    shards: int = 1,
    rng: Rng = None,
    rates: Sequence[float] | None = None,
    subspaces: Sequence[npt.NDArray[Any]] | None = None,
    within: Constraints | None = None,
    ridge: float = 0.0,
    least: float | Sequence[float] | None = None,
    passes: int = 128,
    swaps: int = 4,
    tolerance: float = 1e-5,
    ties: npt.NDArray[Any] | None = None,
) -> Pursued:
    """Choose the rows of `gradients` (n, D) whose sum, with weights >= 0, comes nearest to `target`.

    Minimises |sum over S of w_i a_i - b|^2 + ridge |w|^2 over sets S of `budget` rows and w >= 0: gradient trajectory
    pursuit (Deng et al., arXiv 2410.16710), rebuilt from its abstract; the algorithm is ours. Rows are let in along the
    residual, and after each all weights are solved for anew by an active set (`ActiveSet`), so that near copies bring
    nothing and stay out. Then, up to `swaps` times, a fifth more is let in and what is missed least goes.
    A set of more rows than gradients have dimensions cannot be found so: what is left of the budget goes to a pursuit of
    the same target among the other rows, and so on (`round`); rounds are averaged with the weights that fit best. What no
    row that leads towards the target can fill is filled by those that lead away least, at a thousandth of the mean weight.

    `gradients` an array, or `Vectors` that may be larger than memory and are read some `passes` times, or the
                rows of a view's pieces wherever they are held, behind a `sources.Shards`. With T checkpoints a row is T x d numbers, one checkpoint after the
                other; `rates` (T,) are their learning rates, `subspaces` T bases (d, r) they are seen in
                (`target_subspaces`); rows are then brought to them once, in n T r x 4 bytes.
    `target`    (D,), or (m, D) for m targets that get equal shares of the budget, or None for the mean of all rows
                (with groups: of their group).
    `shards`    cut the rows into so many pieces that are searched side by side: the selection is the same for any number.
    `rng`       draws the random choice in `random`, and nothing else; without it there is none.
    `within`    mandatory and forbidden rows, and groups that get shares; no costs.
    `least`     only rows whose product with the target (m: with each) is above it come in, as long as there are enough; else those
                with the highest. `usual_product` tells what the target's own items have.
    `passes`    about how often all rows are read until the budget is full: 8 for a store on disk, at a residual some per
                cent higher; a budget below `passes` lets one row in for each.
    `ties`      (n,) numbers; of equal rows the lowest goes first. By default the row's own number.

    Returns a `Pursued`: `index` (k,) the most needed first, so that every head of it is a pursuit of its own; `weight`
    mean 1; `gain` (k,) what share of |b|^2 an item explains on top of those before it; `random` the residual here and of
    as many rows at random, weighted alike. Time: passes x 2 n D, and k^2 D; memory: about 2 k D + 3 k^2 numbers of 8 bytes
    beside the rows. Raises InputError for budgets, shapes or values that cannot be used, and where no row leads towards
    the target.
    """
    meter, drawn = Meter(), None if rng is None else generator(rng)
    source, path, n = _open(gradients, rates, subspaces, shards, ties)
    terms = (within or Constraints()).terms(n, budget)
    if not (terms.cost == 1).all():
        raise InputError("costs are given, and a pursuit has none: its budget is a count. Leave them out")
    course = _course(passes, swaps, tolerance, ridge)
    tasks = make_tasks(source, path, target, terms, least)
    merged = _chase_and_merge(source, tasks, course)
    last = float(merged.residual[-1])
    against = {} if drawn is None else {"objective": last, "random": _at_random(source, tasks, terms, drawn)}
    return Pursued(
        merged.rows,
        weight=merged.weight.astype(np.float32),
        gain=merged.gain.astype(np.float32),
        random=against,
        residual=merged.residual,
        round=merged.round,
        scale=merged.scale,
        **meter.read(),
    )


def _chase_and_merge(source: Rows, tasks: Sequence[Task], course: Course) -> Merged:
    """The rounds of every target as one selection of the whole budget."""
    found = chase_all(source, tasks, course)
    if not any(found):
        raise InputError(
            "no gradient has a positive product with the target: none leads towards it. Is its sign right, and is it of "
            "the same model and projection?"
        )
    reached = [(merge(rounds, task), task) for rounds, task in zip(found, tasks, strict=True) if rounds]
    merged = interleave([part for part, _ in reached], [task for _, task in reached])
    return fill_up(source, merged, tasks)


def _open(
    gradients: Any, rates: Any, subspaces: Any, shards: int, ties: npt.NDArray[Any] | None
) -> tuple[Rows, Trajectory, int]:
    if hasattr(gradients, "best"):
        if rates is not None or subspaces is not None or ties is not None or shards != 1:
            raise InputError(
                "rows that are shards already are taken as they are: bring them to subspaces first"
            )
        return gradients, Trajectory(gradients.width, None, None), len(gradients)
    if not (hasattr(gradients, "chunks") and hasattr(gradients, "shape")):
        gradients = as_numbers(gradients, "gradients")
    if len(gradients.shape) != 2 or not gradients.shape[0] or not gradients.shape[1]:
        raise InputError(f"gradients {gradients.shape}: (n, D) with at least one of each is meant")
    n, width = gradients.shape
    if ties is not None and np.shape(ties) != (n,):
        raise InputError(f"ties {np.shape(ties)}: one number for each of {counted(n, 'row')} is meant")
    path = Trajectory(width, rates, subspaces)
    rank = None if ties is None else as_numbers(ties, "ties").astype(np.int64)
    return shard_rows(path.brought(gradients), shards, rank), path, n


def _course(passes: int, swaps: int, tolerance: float, ridge: float) -> Course:
    if passes < 1 or swaps < 0 or not 0 < tolerance < 1 or not 0 <= ridge < np.inf:
        raise InputError(
            f"passes {passes}, swaps {swaps}, tolerance {tolerance}, ridge {ridge}: at least 1, at least 0, between 0 and 1, "
            "and at least 0 are meant"
        )
    return Course(passes, swaps, tolerance, ridge)


def _at_random(source: Rows, tasks: Sequence[Task], terms: Terms, rng: np.random.Generator) -> float:
    """The residual of rows at random that all weigh the same, whatever weight is best."""
    rows = at_random(terms, rng)
    mean = np.zeros(source.width)
    for low in range(0, len(rows), 4096):
        mean += source.take(rows[low : low + 4096]).sum(axis=0) / len(rows)
    square = max(float(mean @ mean), 1e-300)
    lefts = []
    for target in (task.target for task in tasks):
        along = max(0.0, float(mean @ target)) ** 2 / square
        lefts.append(1 - along / float(target @ target))
    return float(np.sqrt(max(0.0, sum(lefts) / len(lefts))))
