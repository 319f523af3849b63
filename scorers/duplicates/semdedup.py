"""Near-duplicate embeddings: SemDeDup, comparing within clusters instead of all with all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from curate.contracts import Vectors
from curate.errors import InputError
from curate.scorers.duplicates.leaders import Leaders, Pairs, Rows, choose_leaders

__all__ = ["CosineNeighbours", "semdedup", "usable_rows"]

Floats = npt.NDArray[np.float32]
Source = Vectors | npt.NDArray[np.floating]

_EXACT = 8192  # up to here one cluster: all pairs, in a fraction of a second
_BLOCK = 1024
_CHUNK = 4096


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
    _check(threshold, clusters, probes, keep)
    embeddings = _whole(embeddings)
    n = embeddings.shape[0]
    usable, lengths = usable_rows(embeddings)
    ranked = np.arange(n, dtype=np.int64) if order is None else np.asarray(order, np.int64)
    ranked = ranked[usable[ranked]]
    table = _Rows(embeddings, lengths)
    count = clusters or (1 if len(ranked) <= _EXACT else round(len(ranked) ** 0.5))
    centres = _train(table, ranked, min(count, max(1, len(ranked))), np.random.default_rng(seed))
    nearest, closeness = _assign(table, ranked, centres, min(probes, len(centres)), threshold)
    if keep != "first":
        again = np.argsort(closeness if keep == "hard" else -closeness, kind="stable")
        ranked, nearest = ranked[again], nearest[again]
    chosen = choose_leaders(CosineNeighbours(table, ranked, nearest, threshold))
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
    for low in range(0, n, _CHUNK):
        piece = _read(embeddings, np.arange(low, min(low + _CHUNK, n)))
        lengths[low : low + len(piece)] = np.sqrt(np.einsum("ij,ij->i", piece, piece))
    return np.isfinite(lengths) & (lengths > 0), lengths


def _whole(embeddings: Source) -> Source:
    """As one array where that costs nothing: reading rows through pieces is slower."""
    if isinstance(embeddings, np.ndarray):
        return np.asarray(embeddings)  # a plain view of a memory map
    pieces = list(embeddings.chunks())
    return pieces[0] if len(pieces) == 1 else embeddings


def _read(embeddings: Source, rows: Rows) -> Floats:
    """A copy of these rows in float32."""
    taken = embeddings[rows] if isinstance(embeddings, np.ndarray) else embeddings.take(rows)
    return np.array(taken, np.float32, copy=None if taken.flags.owndata else True)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of unit length, read when asked for."""

    embeddings: Source
    lengths: Floats

    def take(self, rows: Rows) -> Floats:
        taken = _read(self.embeddings, rows)
        scale = self.lengths[rows, None]
        return np.divide(taken, scale, out=taken)  # a copy already: `_read` never lends


# --- Clusters -------------------------------------------------------------------------------------------------------


def _train(table: _Rows, ranked: Rows, count: int, rng: np.random.Generator) -> Floats:
    """Centres (count, d) of unit length: spherical k-means on a sample of 32 rows per centre, 6 rounds.

    Written in NumPy rather than taken from faiss: two matrix products a round are all there is to it, and the answer
    then does not depend on what is installed.
    """
    if count == 1:
        return np.zeros((1, table.embeddings.shape[1]), np.float32)
    chosen = np.sort(rng.choice(len(ranked), min(len(ranked), 32 * count), replace=False))
    sample = table.take(ranked[chosen])
    centres = sample[np.sort(rng.choice(len(sample), count, replace=False))]
    for _ in range(6):
        nearest = _argmax(sample, centres)
        by_cluster = np.argsort(nearest, kind="stable")
        used, starts = np.unique(nearest[by_cluster], return_index=True)
        sums = np.stack([sample[part].sum(axis=0) for part in np.split(by_cluster, starts[1:])])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = centres.copy()  # a centre that nothing is near stays where it was
        centres[used] = np.divide(sums, lengths, out=centres[used], where=lengths > 0)
    return np.asarray(centres, np.float32)


def _argmax(rows: Floats, centres: Floats) -> Rows:
    pieces = [(rows[low : low + _CHUNK] @ centres.T).argmax(axis=1) for low in range(0, len(rows), _CHUNK)]
    return np.concatenate(pieces)


def _assign(
    table: _Rows, ranked: Rows, centres: Floats, probes: int, threshold: float
) -> tuple[npt.NDArray[np.int32], Floats]:
    """The nearest clusters of each ranked row, nearest first (m, probes), and the cosine to the nearest (m,).

    -1 stands for a cluster b that no duplicate can be in: if y of b has cosine t or more to x of a, then
    (c_a - c_b) x <= (c_a - c_b) (x - y) <= |c_a - c_b| sqrt(2 - 2 t). So nothing is lost but beyond the last probe.
    """
    reach = (2 - 2 * threshold) ** 0.5 * np.sqrt(np.maximum(2 - 2 * centres @ centres.T, 0)) + 1e-5
    nearest = np.zeros((len(ranked), probes), np.int32)
    closeness = np.zeros(len(ranked), np.float32)
    by_row = np.argsort(ranked, kind="stable")
    for low in range(0, len(ranked), _CHUNK):
        places = by_row[low : low + _CHUNK]
        near = table.take(ranked[places]) @ centres.T
        every = np.arange(len(places))
        home = near.argmax(axis=1)
        closeness[places] = near[every, home]
        near[closeness[places, None] - near > reach[home]] = -np.inf
        for probe in range(probes):
            best = near.argmax(axis=1)
            nearest[places, probe] = np.where(near[every, best] > -np.inf, best, -1)
            near[every, best] = -np.inf
    return nearest, closeness


# --- Pairs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CosineNeighbours:
    """Pairs with a cosine of at least `threshold`, of which one's first cluster is among the other's nearest.

    Products are formed a block at a time; neither a triangle nor more than a cluster of rows is held.
    """

    table: _Rows
    ranked: Rows
    nearest: npt.NDArray[np.int32]
    threshold: float

    def __len__(self) -> int:
        return len(self.ranked)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        home, guests = _groups(self.nearest, left)
        if right is None:
            for cluster, rows in home.items():
                yield from self._products(rows, None)
                if cluster in guests:
                    yield from self._products(rows, guests[cluster], swap=True)
            return
        other_home, other_guests = _groups(self.nearest, right)
        for cluster, rows in home.items():
            others = [group[cluster] for group in (other_home, other_guests) if cluster in group]
            if others:
                yield from self._products(rows, np.concatenate(others))
        for cluster, rows in guests.items():
            if cluster in other_home:
                yield from self._products(rows, other_home[cluster])

    def _products(self, left: Rows, right: Rows | None, swap: bool = False) -> Iterator[Pairs]:
        """Pairs of two groups, or within one; `swap` puts the lower row first."""
        for low in range(0, len(left), _BLOCK):
            i = left[low : low + _BLOCK]
            mine = self.table.take(self.ranked[i])
            others = left[low:] if right is None else right
            for at in range(0, len(others), _CHUNK):
                j = others[at : at + _CHUNK]
                cosine = (
                    mine
                    @ (self.table.take(self.ranked[j]) if right is not None or at else self._same(mine, j)).T
                )
                a, b = np.nonzero(cosine >= self.threshold)
                found = i[a], j[b], np.minimum(cosine[a, b], np.float32(1))
                if right is None:
                    once = found[0] < found[1]
                    found = found[0][once], found[1][once], found[2][once]
                elif swap:
                    found = np.minimum(found[0], found[1]), np.maximum(found[0], found[1]), found[2]
                if len(found[0]):
                    yield found

    def _same(self, mine: Floats, rows: Rows) -> Floats:
        """The rows of `rows`, which begin with those of `mine`."""
        if len(rows) == len(mine):
            return mine
        return np.concatenate([mine, self.table.take(self.ranked[rows[len(mine) :]])])


def _groups(nearest: npt.NDArray[np.int32], rows: Rows) -> tuple[dict[int, Rows], dict[int, Rows]]:
    """The rows whose own cluster each is, and those to which it is among the next nearest; ascending."""
    home = _split(nearest[rows, 0], rows)
    probes = nearest.shape[1]
    return home, _split(nearest[rows, 1:].reshape(-1), np.repeat(rows, probes - 1)) if probes > 1 else {}


def _split(clusters: npt.NDArray[np.int32], rows: Rows) -> dict[int, Rows]:
    rows, clusters = rows[clusters >= 0], clusters[clusters >= 0]
    if not len(rows):
        return {}
    order = np.argsort(clusters, kind="stable")
    names, starts = np.unique(clusters[order], return_index=True)
    return dict(zip(names.tolist(), np.split(rows[order], starts[1:]), strict=True))
