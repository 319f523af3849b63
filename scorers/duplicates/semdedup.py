"""Near-duplicate embeddings: SemDeDup, comparing within clusters instead of all with all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.duplicates.cosines import (
    CHUNK,
    Alone,
    CosineNeighbours,
    Floats,
    Source,
    Work,
    read,
    unit,
    whole,
)
from curate.scorers.duplicates.leaders import Leaders, Rows, choose_leaders
from curate.vectors.clusters import Sums, learn_centres, runs, summed
from curate.vectors.sums import unit_for

__all__ = ["Asked", "choose_rows", "semdedup", "usable_rows"]

_EXACT = 8192  # up to here one cluster: all pairs, in a fraction of a second


def semdedup(
    embeddings: Source,
    threshold: float = 0.95,
    *,
    order: Rows | None = None,
    clusters: int | None = None,
    probes: int = 8,
    keep: Literal["first", "hard", "easy"] = "first",
    seed: int = 0,
) -> Leaders:
    """Greedy choice of rows of which no two that were compared have a cosine of `threshold` or more.

    `embeddings`  (n, d), any float type, any length of rows, memory-mapped or not; rows that are zero or not finite
                  are kept and like nothing.
    `threshold`   1 - epsilon of the paper, in (0, 1].
    `order`       the rows in the order of preference; rows left out are kept and like nothing. Default: row order.
    `clusters`    of the spherical k-means; default 1 up to 8,192 rows (all pairs: exact), then sqrt(n).
    `probes`      a row is compared with the rows of at most so many nearest clusters, leaving out those too far for
                  any row of theirs to reach the threshold. 1 is the paper: duplicates across a border are missed.
    `keep`        who is asked first: "first" in `order`; "hard" far from the cluster's centre (the paper); "easy" near.

    Two rows are compared if one's own cluster is among the nearest of the other; what is dropped has that cosine to its
    leader in float32 (rounding about 1e-6), so the only error is a missed pair. A row is dropped only for a *kept* row:
    the authors' code drops it for any row before it, dropped or not, which strings unlike rows together.

    Returns Leaders over rows; similarity is the cosine. Raises InputError for values out of range.
    Source: Abbas et al., "SemDeDup" (2023), arXiv 2303.09540.
    """
    asked = Asked(threshold, clusters, probes, keep, seed)
    vectors = whole(embeddings)
    return choose_rows(Alone(vectors), vectors, usable_rows(vectors)[0], order, asked)


@dataclass(frozen=True)
class Asked:
    """The parameters of `semdedup`. Raises InputError for values out of range."""

    threshold: float = 0.95
    clusters: int | None = None
    probes: int = 8
    keep: Literal["first", "hard", "easy"] = "first"
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.threshold, self.clusters, self.probes, self.keep)


def choose_rows(
    work: Work, vectors: Source, usable: npt.NDArray[np.bool_], order: Rows | None, asked: Asked
) -> Leaders:
    """`semdedup` of `vectors`, of which the rows `usable` (n,) have a direction; `work` does what has to see all of them."""
    n = len(usable)
    ranked = np.arange(n, dtype=np.int64) if order is None else np.asarray(order, np.int64)
    ranked = ranked[usable[ranked]]
    count = asked.clusters or (1 if len(ranked) <= _EXACT else round(len(ranked) ** 0.5))
    centres = _train(work, ranked, vectors.shape[1], asked, min(count, max(1, len(ranked))))
    nearest, closeness = _assign(work, ranked, n, (centres, asked))
    if asked.keep != "first":
        again = np.argsort(closeness if asked.keep == "hard" else -closeness, kind="stable")
        ranked, nearest = ranked[again], nearest[again]
    chosen = choose_leaders(CosineNeighbours(work, ranked, nearest, asked.threshold))
    leader, similarity = np.arange(n, dtype=np.int64), np.full(n, np.nan, np.float32)
    leader[ranked], similarity[ranked] = ranked[chosen.leader], chosen.similarity
    return Leaders(leader, similarity)


def _check(threshold: float, clusters: int | None, probes: int, keep: str) -> None:
    if not 0 < threshold <= 1:
        raise InputError(f"threshold {threshold}: a cosine in (0, 1]")
    if clusters is not None and clusters < 1:
        raise InputError(f"clusters {clusters}: at least 1")
    if probes < 1:
        raise InputError(f"probes {probes}: at least 1, the row's own cluster")
    if keep not in ("first", "hard", "easy"):
        raise InputError(f"keep {keep!r}: 'first', 'hard' or 'easy'")


def usable_rows(embeddings: Source) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Which rows have a direction (finite and not zero), and the length of each: (n,) and (n,)."""
    n = embeddings.shape[0]
    lengths = np.zeros(n, np.float32)
    for low in range(0, n, CHUNK):
        piece = read(embeddings, np.arange(low, min(low + CHUNK, n)))
        lengths[low : low + len(piece)] = np.sqrt(np.einsum("ij,ij->i", piece, piece))
    return np.isfinite(lengths) & (lengths > 0), lengths


# --- Clusters -------------------------------------------------------------------------------------------------------


def _train(work: Work, ranked: Rows, d: int, asked: Asked, count: int) -> Floats:
    """Centres (count, d) of unit length: spherical k-means on a sample of 32 rows per centre, 6 rounds.

    Written in NumPy rather than taken from faiss: two matrix products a round are all there is to it, and the answer
    then depends neither on what is installed nor on how many work on it.
    """
    if count == 1:
        return np.zeros((1, d), np.float32)
    rng = np.random.default_rng(asked.seed)
    sample = ranked[np.sort(rng.choice(len(ranked), min(len(ranked), 32 * count), replace=False))]
    begin = sample[np.sort(rng.choice(len(sample), count, replace=False))]
    step = unit_for(len(sample), 2)  # a little above the length of rows

    def ask(centres: Floats) -> Iterator[Sums]:
        rows = (sample[run] for run in runs(len(sample), count, CHUNK))
        return work.share(partial(_sums, centres, step), rows)

    return learn_centres(next(work.share(unit, [begin])), ask, rounds=6, spherical=True)


def _sums(centres: Floats, step: float, vectors: Source, rows: Rows) -> Sums:
    """What these rows add to their nearest centres."""
    x = unit(vectors, rows)
    of = [(x[low : low + CHUNK] @ centres.T).argmax(axis=1) for low in range(0, len(x), CHUNK)]
    return summed(x, np.concatenate(of), step)


def _assign(
    work: Work, ranked: Rows, n: int, how: tuple[Floats, Asked]
) -> tuple[npt.NDArray[np.int32], Floats]:
    """What `_nearest` says of each ranked row of `n`."""
    place = np.full(n, -1, np.int64)
    place[ranked] = np.arange(len(ranked))
    nearest = np.zeros((len(ranked), min(how[1].probes, len(how[0]))), np.int32)
    closeness = np.zeros(len(ranked), np.float32)
    first = 0
    for clusters, near in work.spread(partial(_nearest, *how)):
        at = place[first : first + len(near)]
        nearest[at[at >= 0]], closeness[at[at >= 0]] = clusters[at >= 0], near[at >= 0]
        first += len(near)
    return nearest, closeness


def _nearest(centres: Floats, asked: Asked, vectors: Source) -> tuple[npt.NDArray[np.int32], Floats]:
    """The nearest clusters of each row, nearest first (n, probes), and the cosine to the nearest (n,).

    -1 stands for a cluster b that no duplicate can be in: if y of b has cosine t or more to x of a, then
    (c_a - c_b) x <= (c_a - c_b) (x - y) <= |c_a - c_b| sqrt(2 - 2 t). So nothing is lost but beyond the last probe.
    """
    reach = (2 - 2 * asked.threshold) ** 0.5 * np.sqrt(np.maximum(2 - 2 * centres @ centres.T, 0)) + 1e-5
    usable = np.flatnonzero(usable_rows(vectors)[0])
    nearest = np.zeros((vectors.shape[0], min(asked.probes, len(centres))), np.int32)
    closeness = np.zeros(vectors.shape[0], np.float32)
    for low in range(0, len(usable), CHUNK):
        rows = usable[low : low + CHUNK]
        near = unit(vectors, rows) @ centres.T
        every = np.arange(len(rows))
        home = near.argmax(axis=1)
        closeness[rows] = near[every, home]
        near[closeness[rows, None] - near > reach[home]] = -np.inf
        for probe in range(nearest.shape[1]):
            best = near.argmax(axis=1)
            nearest[rows, probe] = np.where(near[every, best] > -np.inf, best, -1)
            near[every, best] = -np.inf
    return nearest, closeness
