"""Selectors over k-means clusters: prototypes, items far from or near to them, and representatives of near-duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.choosing import Constraints, Meter, Rng, Terms, at_random, generator, highest
from curate.contracts import Budget, Selection
from curate.errors import InputError
from curate.vectors.clusters import cluster
from curate.vectors.rows import Floats, Ints, unit
from curate.vectors.sources import Source, mean, rows_of, shifted

__all__ = ["Keep", "prototypes", "semdedup"]

_SPREAD = 1024
"""Up to so many centres begin apart (k-means++)."""
_TASK = 1 << 24
"""Pairs, about, that are formed for one task."""
Keep = Literal["centres", "near", "far"]


def prototypes(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    keep: Keep = "centres",
    clusters: int | None = None,
    sample: int = 32,
    reweight: bool = False,
) -> Selection:
    """Choose rows of `x` (n, d) by where they lie in the clusters of a k-means.

    `keep`     "centres": the row nearest to each centre, then the second nearest of each, and so on; "near" the rows
               nearest to their centres, the easy ones, and "far" those farthest from them, the hard ones, whatever their
               cluster (Sorscher et al. 2022: far where there is much data, near where there is little).
    `clusters` default as many as the budget for "centres", else the square root of n, 512 at most.
    `sample`   so many rows for each centre are what the k-means learns from, 4,096 at least; 0 for all.
    `reweight` weigh each by the rows of its cluster over the chosen ones of that cluster, mean 1.

    Returns a Selection: `gain` (k,) minus the distance to the centre ("far": the distance); `random` the mean of it,
    here and at random. The k-means draws from `rng`. Equal ones go to the lower row. Time about ten products of n k d;
    memory a copy of x. Raises InputError as `Constraints.terms` does, and for rows that are not finite.
    """
    meter, rng = Meter(), generator(rng)
    rows = rows_of(x)
    n = len(rows)
    if keep not in ("centres", "near", "far") or (clusters is not None and clusters < 1) or sample < 0:
        raise InputError(
            f"keep {keep!r}, clusters {clusters}, sample {sample}: 'centres', 'near' or 'far', at least one cluster,"
            " and 0 or more rows for each"
        )
    terms = (within or Constraints()).terms(n, budget)
    count = clusters or (terms.most if keep == "centres" else min(512, round(n**0.5)))
    z = rows.mapped(partial(shifted, mean(rows).astype(np.float32)))
    found = cluster(z, max(1, count), rng, sample=sample, spread=count <= _SPREAD)
    distance = found.distance
    gain = distance if keep == "far" else -distance
    index = highest(terms, -_places(found.of, distance, terms) if keep == "centres" else gain)
    other = at_random(terms, rng)
    weight = np.ones(len(index))
    if reweight:
        mine = found.of[index]
        weight = (
            np.bincount(found.of) / np.maximum(np.bincount(mine, minlength=int(found.of.max()) + 1), 1)
        )[mine]
    return Selection(
        index,
        weight=(weight / weight.mean()).astype(np.float32),
        gain=gain[index],
        random={"objective": float(gain[index].mean()), "random": float(gain[other].mean())},
        **meter.read(),
    )


def _places(of: Ints, distance: Floats, terms: Terms) -> npt.NDArray[np.float64]:
    """How many open or mandatory rows of its cluster come before each, the mandatory ones first; larger clusters'
    come first among equals."""
    must = np.zeros(len(of), bool)
    must[terms.first] = True
    order = np.lexsort((distance, ~must, ~(terms.open | must), of))
    starts = np.searchsorted(of[order], np.arange(int(of.max(initial=0)) + 1))
    place = np.empty(len(of))
    place[order] = np.arange(len(of)) - starts[of[order]]
    sizes = np.bincount(of)
    return np.asarray(place - (sizes / (sizes.max() + 1.0))[of], np.float64)


def semdedup(
    x: npt.NDArray[Any] | Source,
    budget: Budget,
    *,
    rng: Rng = None,
    within: Constraints | None = None,
    clusters: int | None = None,
    keep: Literal["hard", "easy"] = "hard",
) -> Selection:
    """Choose the rows of `x` (n, d) least like those of their cluster that go before them: duplicates leave first.

    In each cluster of a spherical k-means rows are put in order, "hard" ones, far from the centre, first, or "easy" ones;
    a row's `gain` is 1 - the highest cosine to a row before it in the cluster (2 for the first of each), and the highest
    gains are chosen: SemDeDup with the threshold that meets the budget. `clusters` is 1 up to 8,192 rows by default, all
    pairs, then the square root of n; duplicates in two clusters are not seen. The scorer `near-duplicate` asks for a
    threshold instead, and compares with rows that were kept alone, across clusters.

    Returns a Selection: `random` the mean gain here and at random. Equal gains go to the lower row; rows of zeros are like
    nothing. Time n^2 d / clusters in matrix products, a block at a time. Raises InputError as `Constraints.terms` does,
    and for rows that are not finite. Source: Abbas et al. (2023), arXiv 2303.09540.
    """
    meter, rng = Meter(), generator(rng)
    z = rows_of(x).mapped(unit)
    n = len(z)
    if keep not in ("hard", "easy") or (clusters is not None and clusters < 1):
        raise InputError(f"keep {keep!r}, clusters {clusters}: 'hard' or 'easy', and at least one cluster")
    terms = (within or Constraints()).terms(n, budget)
    count = clusters or (1 if n <= 8192 else round(n**0.5))
    found = cluster(z, count, rng, sample=32)
    must = np.zeros(n, bool)
    must[terms.first] = True
    away = -found.distance if keep == "hard" else found.distance
    order = np.lexsort((away, ~must, ~(must | terms.open), found.of))
    starts = np.searchsorted(found.of[order], np.arange(len(found.centres) + 1))
    gain = np.empty(n, np.float32)
    gain[order] = np.concatenate(list(z.share(_news_of, _batches(order, starts))))
    index, other = highest(terms, gain / terms.cost), at_random(terms, rng)
    return Selection(
        index,
        weight=np.ones(len(index), np.float32),
        gain=gain[index],
        random={"objective": float(gain[index].mean()), "random": float(gain[other].mean())},
        **meter.read(),
    )


def _batches(order: Ints, starts: Ints) -> Iterator[list[Ints]]:
    """The rows of some clusters, one cluster after the other: as many as form `_TASK` pairs."""
    batch: list[Ints] = []
    size = 0
    for low, high in pairwise(starts.tolist()):
        batch.append(order[low:high])
        size += (high - low) ** 2
        if size >= _TASK:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _news_of(source: Source, batch: list[Ints]) -> Floats:
    """Of each of some clusters."""
    return np.concatenate([_news(source.take(rows)) for rows in batch])


def _news(z: Floats) -> Floats:
    """1 - the highest cosine to an earlier row: (m,), 2 for the first."""
    most = np.full(len(z), -1, np.float32)
    for low in range(0, len(z), 1024):
        rows = z[low : low + 1024]
        for left in range(0, low + 1, 4096):
            near = rows @ z[left : min(left + 4096, low + len(rows))].T
            later = np.arange(left, left + near.shape[1]) >= np.arange(low, low + len(rows))[:, None]
            near[later] = -1
            np.maximum(most[low : low + len(rows)], near.max(1), out=most[low : low + len(rows)])
    return 1 - np.minimum(most, 1)
