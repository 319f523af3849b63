"""Nearest neighbours, approximate: an inverted index of faiss, for where comparing all pairs takes hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, require
from curate.scorers.noise.neighbours.search import Block, Metric, check_search, prepare_rows

__all__ = ["approximate_blocks"]

_BLOCK = 16384
_TRAIN = 32
"""Rows that each list's centre is learnt from."""


def approximate_blocks(
    x: npt.NDArray[Any],
    k: int,
    *,
    metric: Metric = "cosine",
    queries: npt.NDArray[Any] | None = None,
    lists: int | None = None,
    probes: int = 16,
) -> Iterator[Block]:
    """As `nearest_blocks`, but **approximate**: a row is compared with those of a few lists only.

    `x`, `k`, `metric`, `queries` as there; no row is its own neighbour. Rows are dealt to `lists` by k-means (default
    4 sqrt(n)), and a query looks into the `probes` nearest; more find more, and with all of them every pair is
    compared. Where fewer than `k` are found the rest are row -1 at an infinite distance. Distances are by products in
    float32: near copies come out a little off, and ties in no particular order. Given the number of threads, the
    answer is always the same.

    Memory beyond the answer: two copies of `x` in float32. Raises MissingExtraError without the extra `select`,
    InputError where `nearest` does.
    """
    if probes < 1 or (lists is not None and lists < 1):
        raise InputError(f"lists={lists}, probes={probes}: 1 at least")
    check_search(x, queries, k, metric)
    faiss: Any = require("faiss", "select")
    base, centre = prepare_rows(x, metric, None)
    asked = base if queries is None else prepare_rows(queries, metric, centre)[0]
    count = min(lists or max(1, round(4 * len(base) ** 0.5)), len(base))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(base.shape[1]), base.shape[1], count)
    index.cp.min_points_per_centroid, index.cp.niter = 1, 8  # fewer points than 39 would be warned of
    chosen = np.random.default_rng(0).choice(len(base), min(len(base), _TRAIN * count), replace=False)
    index.train(base[np.sort(chosen)])
    index.add(base)
    index.nprobe = min(probes, count)
    own = queries is None
    for low in range(0, len(asked), _BLOCK):
        squared, rows = index.search(asked[low : low + _BLOCK], k + own)
        if own:
            rows, squared = _without_self(rows, squared, low)
        distance = np.where(rows < 0, np.inf, squared if metric == "euclidean" else squared / 2)
        distance = np.sqrt(distance) if metric == "euclidean" else distance
        yield Block(low, rows, np.asarray(distance, np.float32))


def _without_self(
    rows: npt.NDArray[np.int64], squared: npt.NDArray[np.float32], low: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """One column less: without the query itself, or, where it was not found, without the last."""
    own = rows == np.arange(low, low + len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), rows.shape[1] - 1)
    return rows[~own].reshape(shape), squared[~own].reshape(shape)
