"""The subspace that a target's gradients span, and how far items' gradients lie along it: GIST."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats
from curate.errors import InputError
from curate.scorers.influence.matching import Influence
from curate.scorers.influence.reading import (
    group_codes,
    read_gradients,
    read_target,
    read_weights,
    task_means,
    unit_rows,
)

__all__ = ["gist", "target_subspace"]

Floats = npt.NDArray[np.float32]


def target_subspace(gradients: npt.NDArray[Any], rank: int) -> Floats:
    """An orthonormal basis (d, r) float32 of the main directions of gradients (m, d), strongest first.

    Right singular vectors, by the smaller of the two Gram matrices; r is `rank`, or less where the gradients span less. The
    gradients are not centred: their mean is what is to be descended. Each direction's sign is that in which they sum up to
    more than nothing. Raises InputError for a rank below 1 or gradients all zero.
    """
    if rank < 1:
        raise InputError(f"rank {rank}: at least 1 is meant")
    x = as_floats(gradients, "gradients")
    m, d = x.shape
    values, vectors = np.linalg.eigh(x @ x.T if m <= d else x.T @ x)
    order = np.argsort(-values, kind="stable")[: min(rank, m, d)]
    kept = order[values[order] > 1e-10 * max(values.max(), 0)]  # what is below is rounding
    if not len(kept) or values.max() <= 0:
        raise InputError("the target's gradients are all zero: they span nothing")
    basis = (x.T @ vectors[:, kept]) / np.sqrt(values[kept]) if m <= d else vectors[:, kept]
    signs = np.where((x @ basis).sum(axis=0) < 0, -1.0, 1.0)
    return np.asarray(basis * signs, np.float32)


def gist(
    train: Any,
    target: Any,
    *,
    rank: int = 16,
    checkpoints: int | None = None,
    rates: Sequence[float] | None = None,
    groups: Sequence[Any] | None = None,
) -> Influence:
    """The cosine of item and sub-task inside the subspace of the target's gradients, in [-1, 1], higher = keep.

    At each checkpoint gradients are brought to the target's `rank` main directions (`target_subspace`); there the cosine
    of an item with each sub-task's mean gradient is taken, averaged over checkpoints by `rates`, and the largest over
    sub-tasks is the score. What an item's gradient has outside the subspace does not count against it. Plain gradients
    are meant; Adam's moments are not needed. An item without any part in the subspace scores 0.
    Source: Min et al., "GIST: Targeted Data Selection for Instruction Tuning via Coupled Optimization Geometry", 2026.
    """
    source = read_gradients(train, checkpoints=checkpoints, unit=False)
    values = read_target(target, source, unit=False)
    codes, tasks = group_codes(groups, len(values))
    weights = read_weights([1.0] * source.checkpoints if rates is None else rates, source.checkpoints)
    weights = weights / weights.sum()
    means = task_means(values, codes, len(tasks))
    bases = [target_subspace(values[:, t], rank) for t in range(source.checkpoints)]
    aims = [unit_rows(means[:, t] @ basis) * weights[t] for t, basis in enumerate(bases)]
    by_task = np.zeros((source.rows, len(tasks)), np.float32)
    for low, block in source.blocks():
        for t, basis in enumerate(bases):
            by_task[low : low + len(block)] += unit_rows(block[:, t] @ basis) @ aims[t].T
    return Influence(by_task.max(axis=1), by_task, tasks)
