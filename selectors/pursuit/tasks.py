"""What a pursuit is after: its targets, who may be chosen for each, and the rounds that are run for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.choosing import Terms
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.pursuit.rounds import Course, Round, run_round
from curate.selectors.pursuit.sources import Few, Rows
from curate.selectors.pursuit.trajectory import Trajectory

__all__ = ["Task", "chase_all", "make_tasks"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_HELD = 1 << 24
"""So many numbers of rows that may come in are held here, 128 MB; more are asked for where they lie."""


class Task(NamedTuple):
    """One target (D,), the rows it may not have, how many it is to get, and the rows it must have.

    A row's product with the target is to be above `least` while there are enough such rows.
    """

    target: Floats
    barred: Ints
    share: int
    must: Ints
    least: float = -np.inf


def make_tasks(
    source: Rows,
    path: Trajectory,
    target: npt.NDArray[Any] | None,
    terms: Terms,
    least: float | Sequence[float] | None = None,
) -> list[Task]:
    """A task for each target in each group."""
    n, groups = len(terms.cost), len(terms.left)
    everyone = np.arange(n)
    tasks: list[Task] = []
    for g in range(groups):
        mine = terms.group == g
        must = terms.first[mine[terms.first]]
        closed = everyone[~((terms.open & mine) | np.isin(everyone, must))] if groups > 1 else None
        barred = np.setdiff1d(everyone[~terms.open], must) if closed is None else closed
        aims = _aims(source, path, target, None if groups == 1 else everyone[mine])
        floors = _floors(least, len(aims))
        share = round(float(terms.left[g])) + len(must)
        for j, aim in enumerate(aims):
            part = share // len(aims) + (j < share % len(aims))
            own, must = must[:part], must[part:]  # there are not more of these than share
            tasks.append(Task(aim, barred, part, own, floors[j]))
    return [task for task in tasks if task.share]


def _floors(least: float | Sequence[float] | None, count: int) -> list[float]:
    """The least product of each of so many targets."""
    given = np.asarray(-np.inf if least is None else least, np.float64)
    if given.shape not in ((), (count,)) or np.isnan(given).any() or (given == np.inf).any():
        raise InputError(
            f"least {given.tolist()}: one number for all targets, or one for each of {count}, is meant"
        )
    return [float(floor) for floor in np.broadcast_to(given, count)]


def _aims(source: Rows, path: Trajectory, target: Any, group: Ints | None) -> Floats:
    """Targets (m, D) as they count."""
    if target is None:
        (high, low), count = source.total(group)
        sums: Floats = high + low
        if not np.isfinite(sums).all():
            source.best(np.full(source.width, source.width**-0.5), 1, np.empty(0, np.int64))  # names the row
            raise InputError("the sum of all gradients is not finite: some are too long for their precision")
        aims = (sums / max(1, count)).astype(np.float32).astype(np.float64)[None]
        what = "the mean of all gradients"
    else:
        given = as_numbers(target, "target")
        given = given[None] if given.ndim == 1 else given
        width = path.part * len(path.roots)
        if given.ndim != 2 or not len(given) or given.shape[1] != width:
            raise InputError(
                f"target has shape {np.shape(target)}: gradients have {counted(width, 'column')}, so ({width},) or (m, "
                f"{width})"
            )
        bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
        if len(bad):
            raise InputError(f"{counted(len(bad), 'target is', 'targets are')} not finite, as row {bad[0]}")
        aims, what = path.bring(given), "a target"
    zero = np.flatnonzero(~(np.abs(aims).max(axis=1) > 1e-150))
    if len(zero):
        raise InputError(f"{what} is all zero (row {zero[0]}): there is nothing to add up to")
    return aims


def chase_all(source: Rows, tasks: Sequence[Task], course: Course) -> list[list[Round]]:
    """The rounds of each task. What one cannot fill goes to the others."""
    found: list[list[Round]] = [[] for _ in tasks]
    nothing = np.empty(0, np.int64)
    taken = np.concatenate([nothing, *(task.must for task in tasks)])
    for task, rounds in zip(tasks, found, strict=True):
        want = task.share - len(task.must)
        if len(task.must):
            free = _like(source, task, want, np.concatenate([task.barred, np.setdiff1d(taken, task.must)]))
            first = run_round(free[0], task.target, task.share, course, free[1], task.must)
            fresh = np.setdiff1d(first.rows, task.must)
            rounds += [first] if len(first.rows) else []
            taken, want = np.concatenate([taken, fresh]), want - len(fresh)
        taken = _chase(source, task, course, (want, taken), rounds)
    total, before = sum(task.share for task in tasks), -1
    while before < len(taken) < total:  # what one could not use, evenly to the others
        before = len(taken)
        for j, (task, rounds) in enumerate(zip(tasks, found, strict=True)):
            part = -(-(total - len(taken)) // (len(tasks) - j))
            taken = _chase(source, task, course, (part, taken), rounds)
    return found


def _chase(source: Rows, task: Task, course: Course, state: tuple[int, Ints], rounds: list[Round]) -> Ints:
    """Pursue the target again and again among what is not taken, until so many rows are found or none is of use."""
    want, taken = state
    while want > 0:
        free, barred = _like(source, task, want, np.concatenate([task.barred, taken]))
        found = run_round(free, task.target, want, course, barred, np.empty(0, np.int64))
        if not len(found.rows):
            break
        rounds.append(found)
        taken = np.concatenate([taken, found.rows])
        want -= len(found.rows)
    return taken


def _like(source: Rows, task: Task, want: int, barred: Ints) -> tuple[Rows, Ints]:
    """Where to look for rows, and which of these are barred: those above `task.least`, or else the `want` next to it."""
    if task.least == -np.inf:
        return source, barred
    length = float(np.linalg.norm(task.target))
    direction = task.target / length
    rows, _ = source.best(direction, len(source), barred, task.least / length)
    if len(rows) < want:
        rows, _ = source.best(direction, want, barred, -np.inf)
    rows = np.union1d(rows, np.setdiff1d(task.must, barred))
    if 0 < len(rows) <= _HELD // source.width:
        return Few(source, rows), np.empty(0, np.int64)
    closed = np.ones(len(source), bool)
    closed[rows] = False
    return source, np.flatnonzero(closed)
