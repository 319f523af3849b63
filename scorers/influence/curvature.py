"""Influence with curvature, in closed form on (projected) gradients: DataInf and TRAK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.errors import InputError
from curate.scorers.influence.matching import Influence
from curate.scorers.influence.reading import Gradients, group_codes, read_gradients, read_target, task_means

__all__ = ["datainf", "trak"]

Floats = npt.NDArray[np.float32]


def datainf(
    train: Any,
    target: Any,
    *,
    checkpoints: int | None = None,
    damping: float = 0.1,
    layers: Sequence[int] | None = None,
    groups: Sequence[Any] | None = None,
) -> Influence:
    """The effect of each item on the target's loss through the inverse of every layer's Hessian, roughly; higher = keep.

    The inverse of the mean of (lambda I + g g') is taken for the mean of the inverses, so that nothing is inverted: for
    each layer q = (v - mean_i (v.g_i) / (lambda + |g_i|^2) g_i) / lambda, and an item's influence is g.q. That is two matrix
    products over the rows, which are streamed. `train` (n, T x d), `target` (m, T x d) plain gradients; `layers` the number
    of columns of each layer, summing up to d (default: one; projected gradients mix layers); lambda is `damping` times the
    layer's mean squared gradient entry, as the authors scale it. Checkpoints are averaged. Exact for a single item;
    the authors bound the error by the square of a layer's width: good for low-rank adapters. Rows that are not finite are left out, and NaN.
    Source: Kwon et al., "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and Diffusion Models", 2024, eq. 5.
    """
    source = read_gradients(train, checkpoints=checkpoints, unit=False)
    values = read_target(target, source, unit=False)
    codes, tasks = group_codes(groups, len(values))
    if not damping > 0:
        raise InputError(f"damping {damping}: above 0 is meant")
    widths = [source.dim] if layers is None else list(layers)
    if sum(widths) != source.dim or min(widths) < 1:
        raise InputError(f"layers of {widths} columns do not make up {source.dim}")
    means = task_means(values, codes, len(tasks))
    starts = np.cumsum([0, *widths[:-1]])
    squares, count = _mean_squares(source, starts)
    scale = squares / np.array(widths)  # mean squared entry, (T, layers)
    lam = damping * np.where(scale > 0, scale, 1)
    taken = _correction(source, means, starts, lam) / max(1, count)
    queries = (means - taken) / np.repeat(lam, widths, axis=1)
    return _score(source, queries / source.checkpoints, tasks)


def trak(
    train: Any,
    target: Any,
    *,
    checkpoints: int | None = None,
    damping: float = 0.01,
    residuals: npt.NDArray[Any] | None = None,
    groups: Sequence[Any] | None = None,
) -> Influence:
    """The effect of each item on the target's output in a linear model of projected gradients; higher = keep.

    phi (X'X + lambda I)^-1 x_i, times `residuals` (n,) or (n, T) if given; averaged over checkpoints, which should be of
    models trained apart. In the published method X are gradients of the output log(p / (1 - p)) and the residual is 1 - p;
    gradients of the loss, which hold the residual already, are taken as they are. `damping` is lambda as a share of the mean
    eigenvalue of X'X. O(T (n d^2 + d^3)), memory T d^2 float64.
    Rows that are not finite are left out, and NaN.
    Source: Park et al., "TRAK: Attributing Model Behavior at Scale", 2023, eq. 13.
    """
    source = read_gradients(train, checkpoints=checkpoints, unit=False)
    values = read_target(target, source, unit=False)
    codes, tasks = group_codes(groups, len(values))
    if not damping > 0:
        raise InputError(f"damping {damping}: above 0 is meant")
    factor = _residuals(residuals, source)
    means = task_means(values, codes, len(tasks))
    kernels = np.zeros((source.checkpoints, source.dim, source.dim))
    for _, block in source.blocks():
        clean = block[np.isfinite(block[:, 0, 0])]
        for t in range(source.checkpoints):
            kernels[t] += clean[:, t].T @ clean[:, t]
    queries = np.empty_like(means)
    for t, kernel in enumerate(kernels):
        mean_eigenvalue = np.trace(kernel) / source.dim
        kernel[np.diag_indices(source.dim)] += damping * (mean_eigenvalue or 1.0)
        queries[:, t] = np.linalg.solve(kernel, means[:, t].T).T
    return _score(source, queries / source.checkpoints, tasks, factor)


def _mean_squares(source: Gradients, starts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], int]:
    """The mean squared length (T, layers) of finite rows, and how many those are."""
    total, count = np.zeros((source.checkpoints, len(starts))), 0
    for _, block in source.blocks():
        clean = block[np.isfinite(block[:, 0, 0])]
        total += np.add.reduceat(np.square(clean, dtype=np.float64).sum(axis=0), starts, axis=1)
        count += len(clean)
    return total / max(1, count), count


def _correction(
    source: Gradients,
    means: npt.NDArray[np.float64],
    starts: npt.NDArray[np.int64],
    lam: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The sum over rows of (v.g) / (lambda + |g|^2) g, layer by layer, (J, T, d)."""
    taken = np.zeros_like(means)
    ends = [*starts[1:], source.dim]
    for _, block in source.blocks():
        clean = block[np.isfinite(block[:, 0, 0])].astype(np.float64)
        for t in range(source.checkpoints):
            for layer, (low, high) in enumerate(zip(starts, ends, strict=True)):
                rows = clean[:, t, low:high]
                share = (rows @ means[:, t, low:high].T) / (
                    lam[t, layer] + np.einsum("ij,ij->i", rows, rows)[:, None]
                )
                taken[:, t, low:high] += share.T @ rows
    return taken


def _residuals(residuals: npt.NDArray[Any] | None, source: Gradients) -> Floats | None:
    if residuals is None:
        return None
    factor = np.asarray(as_numbers(residuals, "residuals"), np.float32)
    if factor.ndim == 1:
        factor = np.repeat(factor[:, None], source.checkpoints, axis=1)
    if factor.shape != (source.rows, source.checkpoints):
        raise InputError(f"residuals of shape {factor.shape}: ({source.rows}, {source.checkpoints}) is meant")
    return factor


def _score(
    source: Gradients, queries: npt.NDArray[np.float64], tasks: tuple[str, ...], factor: Floats | None = None
) -> Influence:
    queries32 = np.ascontiguousarray(queries, np.float32)
    by_task = np.empty((source.rows, len(queries32)), np.float32)
    for low, block in source.blocks():
        rows = slice(low, low + len(block))
        scaled = block if factor is None else block * factor[rows, :, None]
        by_task[rows] = scaled.reshape(len(block), -1) @ queries32.reshape(len(queries32), -1).T
    return Influence(by_task.max(axis=1), by_task, tasks)
