"""A moderate coreset: of each class the rows at middling distance from its median; and weights handed on to neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_numbers, as_rows
from curate.arrays.labels import as_codes
from curate.counting import counted
from curate.errors import InputError

__all__ = ["middle_rows", "spread_weights"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_CELLS = 1 << 23


def middle_rows(x: npt.NDArray[Any], codes: Ints, share: float) -> Ints:
    """Rows whose distance from the coordinate-wise median of their class has a middling rank, sorted.

    Of a class of n_c rows the ranks from n_c (1/2 - share/2) to n_c (1/2 + share/2), at least one of each class that
    occurs, so that no class is without. `x` (n, d), `codes` (n,) from 0 on, `share` in (0, 1]. The moderate coreset
    (Xia et al., ICLR 2023). Raises InputError for a share out of range.
    """
    if not 0 < share <= 1:
        raise InputError(f"share={share}: the part of each class that makes the coreset lies in (0, 1]")
    x = as_rows(x)
    codes = as_codes(codes, len(x), what="codes")
    kept = []
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(codes))[:-1]):
        if len(rows):
            own = x[rows].astype(np.float64)
            ranked = np.argsort(np.square(own - np.median(own, 0)).sum(1), kind="stable")
            count = max(1, round(len(rows) * share))
            low = (len(rows) - count) // 2
            kept.append(rows[ranked[low : low + count]])
    return np.sort(np.concatenate(kept))


def spread_weights(
    x: npt.NDArray[Any], codes: Ints, core: Ints, weights: Floats, *, neighbours: int = 5
) -> Floats:
    """For each row the mean weight of its nearest core rows of the same class, (n,) float64.

    `core` (m,) rows with the known `weights` (m,), every class of `codes` among them. As many `neighbours` as the class
    has, if fewer. Euclidean distances, equal ones to the earlier row; a row of the core is its own nearest. One product
    of matrices for each class, in blocks of 32 MB.
    """
    if neighbours < 1:
        raise InputError(f"neighbours={neighbours}: at least 1")
    x, core, weights = as_rows(x), as_numbers(core, "core"), as_floats(weights, "weights")
    codes = as_codes(codes, len(x), what="codes")
    found = np.full(len(codes), np.nan)
    for code in np.unique(codes):
        rows, known = np.flatnonzero(codes == code), np.flatnonzero(codes[core] == code)
        if not len(known):
            raise InputError(f"class {code} has {counted(len(rows), 'row')} and none of them in the core")
        found[rows] = _mean_of_nearest(x[rows], x[core[known]], weights[known], min(neighbours, len(known)))
    return found


def _mean_of_nearest(x: npt.NDArray[Any], core: npt.NDArray[Any], weights: Floats, k: int) -> Floats:
    middle = core.mean(0)
    core = (core - middle).astype(np.float32)
    half = 0.5 * np.square(core, dtype=np.float64).sum(1).astype(np.float32)
    step = max(1, _CELLS // len(core))
    out = np.empty(len(x))
    for low in range(0, len(x), step):
        far = half - (x[low : low + step] - middle).astype(np.float32) @ core.T
        near = np.argpartition(far, k - 1, axis=1)[:, :k] if k < len(core) else slice(None)
        out[low : low + step] = weights[near].mean(1) if k < len(core) else weights.mean()
    return out
