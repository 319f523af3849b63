"""Influence as alignment of gradients over checkpoints: TracIn, Grad-Cos and LESS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.influence.gradient_store import GradientStore
from curate.scorers.influence.kernels import compiled, dots_of_bytes, dots_of_bytes_by_three
from curate.scorers.influence.reading import (
    Gradients,
    group_codes,
    read_gradients,
    read_target,
    read_weights,
    task_means,
    unit_rows,
)

__all__ = ["Influence", "Mean", "grad_cos", "less", "match", "self_influence", "tracin"]

Floats = npt.NDArray[np.float32]
Mean = Literal["cosines", "gradient"]
_FEW = 6
"""So many queries are matched with bytes as they lie; for more a matrix product of decoded rows is faster."""
_ROWS = 1024


class Influence(NamedTuple):
    """`score` (n,) float32, the largest over sub-tasks, higher = keep; NaN where a row's gradient is not finite.
    `by_task` (n, J) float32 for the sub-tasks `tasks`."""

    score: Floats
    by_task: Floats
    tasks: tuple[str, ...]


def less(
    train: Any,
    target: Any,
    *,
    checkpoints: int | None = None,
    rates: Sequence[float] | None = None,
    groups: Sequence[Any] | None = None,
    mean: Mean = "cosines",
) -> Influence:
    """How well each item's gradient points where the target's do, over training; in [-1, 1], higher = keep.

    The sum over checkpoints of (rate / sum of rates) times the cosine of item and sub-task, then the largest over
    sub-tasks. `train` (n, T x d) and `target` (m, T x d): arrays, `Vectors` or stores of gradients; those of `train`
    Adam-preconditioned for the published method, those of `target` plain. `rates` (T,) the mean learning rate at each
    checkpoint (default: the store's, else equal). `groups` (m,) the sub-task of each target item.
    `mean` "cosines": the mean over a sub-task's items of the cosine, as the authors' code does; "gradient": the cosine
    with their mean gradient, as the paper's formula says; it counts long gradients more. Rows of zeros score 0.

    Streamed: memory is a block of rows. A store of bytes is read as it lies, by two threads.
    Raises InputError for shapes that do not fit, a target that is not finite or all zero, or stores of other checkpoints.
    Source: Xia et al., "LESS: Selecting Influential Data for Targeted Instruction Tuning", 2024, eq. 3 and section 4.
    """
    if mean not in ("cosines", "gradient"):
        raise InputError(f"mean {mean!r}: 'cosines' or 'gradient'")
    source = read_gradients(train, checkpoints=checkpoints, unit=True)
    weights = _weights(train, rates, source.checkpoints)
    values = read_target(target, source, unit=mean == "cosines")
    codes, tasks = group_codes(groups, len(values))
    queries = task_means(values, codes, len(tasks))
    if mean == "gradient":
        queries = unit_rows(queries)
    return _matched(source, queries * (weights / weights.sum())[:, None], tasks)


def grad_cos(
    train: Any, target: Any, *, checkpoints: int | None = None, groups: Sequence[Any] | None = None
) -> Influence:
    """The mean over checkpoints of the mean cosine with the target's gradients, in [-1, 1], higher = keep: `less` with equal
    rates."""
    times = read_gradients(train, checkpoints=checkpoints, unit=True).checkpoints
    return less(train, target, checkpoints=checkpoints, rates=[1.0] * times, groups=groups)


def tracin(
    train: Any,
    target: Any,
    *,
    checkpoints: int | None = None,
    rates: Sequence[float] | None = None,
    groups: Sequence[Any] | None = None,
) -> Influence:
    """How far steps on an item lowered the target's mean loss, to first order, over checkpoints; higher = keep.

    The sum over checkpoints of the rate times the product of item and mean target gradient, plain gradients both; its unit
    is that of the loss. `rates` (T,), default the store's, else 1. The others as in `less`. One checkpoint is TracIn at the
    end of training, several are TracInCP.
    Source: Pruthi et al., "Estimating Training Data Influence by Tracing Gradient Descent", 2020, section 3.2.
    """
    source = read_gradients(train, checkpoints=checkpoints, unit=False)
    values = read_target(target, source, unit=False)
    codes, tasks = group_codes(groups, len(values))
    weights = _weights(train, rates, source.checkpoints)
    return _matched(source, task_means(values, codes, len(tasks)) * weights[:, None], tasks)


def self_influence(
    train: Any, *, checkpoints: int | None = None, rates: Sequence[float] | None = None
) -> Floats:
    """How far steps on an item lower its own loss, (n,) float32: the sum over checkpoints of the rate times its squared length.

    High for what a model learns by heart: rare items and wrong labels. NaN where a gradient is not finite.
    """
    source = read_gradients(train, checkpoints=checkpoints, unit=False)
    weights = _weights(train, rates, source.checkpoints)
    out = np.empty(source.rows, np.float32)
    for low, values in source.blocks():
        out[low : low + len(values)] = np.einsum("itd,itd,t->i", values, values, weights, optimize=True)
    return out


def match(train: Gradients, queries: Floats) -> Floats:
    """Products of every row with `queries` (J, T, d), (n, J) float32."""
    queries = np.ascontiguousarray(queries, np.float32)
    out = np.empty((train.rows, len(queries)), np.float32)
    store = train.source
    if isinstance(store, GradientStore) and store.header.precision == "int8" and len(queries) <= _FEW:
        _match_bytes(store, train.factors(), queries, out)
        return out
    flat = queries.reshape(len(queries), -1)
    for low, values in train.blocks():
        np.matmul(values.reshape(len(values), -1), flat.T, out=out[low : low + len(values)])
    return out


def _match_bytes(store: GradientStore, scales: Floats, queries: Floats, out: Floats) -> None:
    codes = store.codes
    kernel = compiled(dots_of_bytes if len(queries) == 1 else dots_of_bytes_by_three, reorder=True)

    def run(low: int) -> None:
        part = slice(low, low + _ROWS)
        store.read_ahead(low + 2 * _ROWS, low + 3 * _ROWS)
        kernel(codes[part], scales[part], queries, out[part])

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:  # two saturate the memory
        list(pool.map(run, range(0, len(codes), _ROWS)))


def _matched(source: Gradients, queries: npt.NDArray[Any], tasks: tuple[str, ...]) -> Influence:
    by_task = match(source, queries.astype(np.float32))
    return Influence(by_task.max(axis=1), by_task, tasks)


def _weights(train: Any, rates: Sequence[float] | None, checkpoints: int) -> npt.NDArray[np.float64]:
    """The rates (T,) float64; None: the store's, else 1."""
    if rates is None:
        stored = train.header.rates if isinstance(train, GradientStore) else ()
        rates = stored or [1.0] * checkpoints
    return read_weights(rates, checkpoints)
