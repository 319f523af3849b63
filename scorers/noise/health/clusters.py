"""Groups where nobody named any: k-means on vectors, seeded."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError
from curate.vectors.clusters import cluster
from curate.vectors.rows import unit
from curate.vectors.sources import Source, mean, rows_of, shifted

__all__ = ["k_means"]

_STARTS = 3
"""A start of k-means++ that sets two centres into one group, as one of some fifty does, stays so."""


def k_means(
    vectors: npt.NDArray[Any] | Source, clusters: int, *, seed: int = 0, rounds: int = 20
) -> npt.NDArray[np.int64]:
    """The cluster of each vector, 0 ... clusters - 1, numbered by size, the largest first.

    `vectors` (n, d) finite numbers; they are brought to unit length about their mean, so that direction counts and
    length does not. `clusters` at most n. Centres are first drawn by k-means++ and trained on at most 256 vectors each
    (4,096 at least), drawn by `seed`, in `rounds` steps of Lloyd, three times: the closest clusters count. An empty cluster stays empty and gets the last number.
    Raises InputError for values that are not finite, or a count that cannot be.
    """
    rows = rows_of(vectors)
    if not 1 <= clusters <= len(rows):
        raise InputError(
            f"{counted(clusters, 'cluster')} of {counted(len(rows), 'vector')}: between one and as many as there are"
        )
    about = rows.mapped(partial(shifted, mean(rows).astype(np.float32))).mapped(unit)
    rng = np.random.default_rng(seed)
    of = cluster(about, clusters, rng, rounds=rounds, sample=256, spread=True, starts=_STARTS).of
    by_size = np.argsort(-np.bincount(of, minlength=clusters), kind="stable")
    number = np.empty(clusters, np.int64)
    number[by_size] = np.arange(clusters)
    return number[of]
