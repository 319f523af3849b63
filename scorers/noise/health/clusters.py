"""Groups where nobody named any: k-means on vectors, small and seeded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["k_means"]

_BLOCK = 8192


def k_means(
    vectors: npt.NDArray[Any], clusters: int, *, seed: int = 0, rounds: int = 20
) -> npt.NDArray[np.int64]:
    """The cluster of each vector, 0 ... clusters - 1, numbered by size, the largest first.

    `vectors` (n, d) finite numbers; they are brought to unit length about their mean, so that direction counts and
    length does not. `clusters` at most n. Centres are first drawn by k-means++ and trained on at most 256 vectors each,
    drawn by `seed`, in `rounds` steps of Lloyd. An empty cluster stays empty and gets the last number.
    Raises InputError for values that are not finite, or a count that cannot be.
    """
    x = np.asarray(vectors, np.float32)
    if x.ndim != 2 or not np.isfinite(x).all():
        raise InputError(f"vectors of shape {x.shape}: (n, d) finite numbers are meant")
    if not 1 <= clusters <= len(x):
        raise InputError(f"{clusters} clusters of {len(x)} vectors: between one and as many as there are")
    x = x - x.mean(0)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    rng = np.random.default_rng(seed)
    sample = x[np.sort(rng.choice(len(x), min(len(x), 256 * clusters), replace=False))]
    centres = _spread(sample, clusters, rng)
    for _ in range(rounds):
        nearest = _nearest(sample, centres)
        size = np.bincount(nearest, minlength=clusters)
        totals = np.zeros_like(centres)
        np.add.at(totals, nearest, sample)
        moved = np.where(size[:, None] > 0, totals / np.maximum(size, 1)[:, None], centres)
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved
    nearest = _nearest(x, centres)
    by_size = np.argsort(-np.bincount(nearest, minlength=clusters), kind="stable")
    number = np.empty(clusters, np.int64)
    number[by_size] = np.arange(clusters)
    return number[nearest]


def _spread(x: npt.NDArray[np.float32], clusters: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """First centres by k-means++: each drawn in proportion to its squared distance from those before it."""
    chosen = [int(rng.integers(len(x)))]
    gap = ((x - x[chosen[0]]) ** 2).sum(1, dtype=np.float64)
    for _ in range(1, clusters):
        total = gap.sum()
        chosen.append(int(rng.choice(len(x), p=gap / total)) if total > 0 else int(rng.integers(len(x))))
        gap = np.minimum(gap, ((x - x[chosen[-1]]) ** 2).sum(1, dtype=np.float64))
    return x[chosen]


def _nearest(x: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    half = (centres**2).sum(1) / 2
    found = [(x[i : i + _BLOCK] @ centres.T - half).argmax(1) for i in range(0, len(x), _BLOCK)]
    return np.concatenate(found).astype(np.int64)
