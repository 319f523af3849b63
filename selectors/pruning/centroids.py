"""Centres of classes or clusters, and which of them is nearest: products of matrices, in blocks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers, as_rows
from curate.counting import counted
from curate.errors import InputError, require

__all__ = ["Centre", "class_centroids", "cluster", "nearest_centroid"]

Centre = Literal["mean", "trimmed", "median"]
Ints = npt.NDArray[np.int64]

_ROWS = 1 << 16
_CELLS = 1 << 24
"""Numbers in a block of distances: 64 MB."""
_ROUNDING = 1e-6
"""How far float32 may be off in a product of matrices, relative to the lengths of its rows."""


def class_centroids(
    x: npt.NDArray[Any], codes: Ints, count: int, *, centre: Centre = "mean", band: float = 0.5
) -> npt.NDArray[np.float64]:
    """The centre of each class, (count, d) float64; NaN for a class without rows.

    `x` (n, d), `codes` (n,) in 0 ... count - 1. "mean"; "median" of each coordinate; "trimmed": the mean of the rows
    whose distance from the class's median lies in the middle `band` of ranks, in (0, 1], as in a moderate coreset: neither
    the most typical nor the outliers move it (`ffmm` of DP4TL). A class too small for the band has its median row.
    """
    if centre not in ("mean", "trimmed", "median"):
        raise InputError(f"centroid {centre!r}: mean, trimmed or median")
    if not 0 < band <= 1:
        raise InputError(f"band={band}: the share of rows that make a trimmed centroid lies in (0, 1]")
    x, codes = as_rows(x), as_numbers(codes, "codes")
    sizes = np.bincount(codes, minlength=count)
    if centre == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(_sums(x, codes, count) / sizes[:, None])
    centres = np.full((count, x.shape[1]), np.nan)
    order = np.argsort(codes, kind="stable")
    for code, rows in enumerate(np.split(order, np.cumsum(sizes)[:-1])):
        if len(rows):
            own = x[rows].astype(np.float64)
            median = np.median(own, 0)
            centres[code] = median if centre == "median" else own[_middle(own, median, band)].mean(0)
    return centres


def _sums(x: npt.NDArray[Any], codes: Ints, count: int) -> npt.NDArray[np.float64]:
    total = np.zeros((count, x.shape[1]))
    for low in range(0, len(x), _ROWS):
        part = codes[low : low + _ROWS]
        order = np.argsort(part, kind="stable")
        present, starts = np.unique(part[order], return_index=True)
        total[present] += np.add.reduceat(x[low : low + _ROWS][order].astype(np.float64), starts)
    return total


def _middle(own: npt.NDArray[np.float64], median: npt.NDArray[np.float64], band: float) -> Ints:
    ranked = np.argsort(np.square(own - median).sum(1), kind="stable")
    low, high = round(len(own) * (0.5 - band / 2)), round(len(own) * (0.5 + band / 2))
    return ranked[low:high] if high > low else ranked[[len(own) // 2]]


def nearest_centroid(x: npt.NDArray[Any], centres: npt.NDArray[Any]) -> Ints:
    """The nearest row of `centres` (C, d) to each row of `x` (m, d) by Euclidean distance, (m,) int64; equal ones: the
    first. One product of matrices in float32, in blocks of at most 64 MB; where two centres are as near as it can tell,
    float64 decides, so that ties do not hang on rounding."""
    x, centres = as_rows(x), as_rows(centres, "centres")
    middle = centres.mean(0)
    moved = (centres - middle).astype(np.float32)
    half = 0.5 * np.square(moved, dtype=np.float64).sum(1).astype(np.float32)
    reach = np.sqrt(2 * half.max(initial=0))
    step = max(1, _CELLS // max(1, len(centres)))
    found = np.empty(len(x), np.int64)
    for low in range(0, len(x), step):
        block = (x[low : low + step] - middle).astype(np.float32)
        score = block @ moved.T - half
        best = score.max(1)
        doubt = _ROUNDING * (np.sqrt(np.square(block).sum(1)) + reach) * reach
        near = score >= (best - doubt)[:, None]
        found[low : low + step] = score.argmax(1)
        open_ = np.flatnonzero(near.sum(1) > 1)
        found[low + open_] = _nearest_exactly(x[low + open_], centres)
    return found


def _nearest_exactly(x: npt.NDArray[Any], centres: npt.NDArray[Any]) -> Ints:
    rows = max(1, _CELLS // centres.size)
    found = np.empty(len(x), np.int64)
    for low in range(0, len(x), rows):
        apart = x[low : low + rows, None, :].astype(np.float64) - centres
        found[low : low + rows] = np.square(apart).sum(2).argmin(1)
    return found


def cluster(x: npt.NDArray[Any], count: int, *, seed: int = 0, rounds: int = 20) -> Ints:
    """The k-means cluster of each row, (n,) int64, by faiss (extra `select`). Raises InputError for more clusters than rows."""
    if count < 2 or count > len(x):
        raise InputError(f"clusters={count} of {counted(len(x), 'source row')}: 2 to {len(x)} can be made")
    faiss: Any = require("faiss", "select")
    rows = np.ascontiguousarray(x, np.float32)
    means = faiss.Kmeans(rows.shape[1], count, niter=rounds, seed=seed % 2**31, min_points_per_centroid=1)
    means.train(rows)
    return nearest_centroid(rows, means.centroids)
