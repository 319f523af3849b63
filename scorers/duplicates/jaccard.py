"""Near-duplicate texts: candidates from MinHash bands, each verified by the exact Jaccard similarity of its shingles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.errors import InputError
from curate.scorers.duplicates.buckets import expand
from curate.scorers.duplicates.leaders import Leaders, Pairs, Rows, choose_leaders, restore_copies
from curate.scorers.duplicates.shingles import Unit, normalise_texts, shingle_texts

__all__ = ["JaccardNeighbours", "jaccard", "near_duplicate_texts"]

_RECALL = 0.99
_PIECE = 1 << 16
Signatures = npt.NDArray[np.uint32]


def near_duplicate_texts(
    texts: pa.StringArray,
    signatures: Signatures,
    similarity: float = 0.7,
    *,
    unit: Unit = "char",
    size: int = 5,
    normalise: bool = True,
) -> Leaders:
    """Greedy choice, in row order, of texts of which no two share `similarity` or more of their shingles.

    `texts` (n,) and `signatures` (n, permutations) uint32, as of `minhash_signatures`: they only propose candidates, at
    least 99 % of the pairs at the threshold and more above it. What is dropped has an exact Jaccard similarity, between
    sets of `unit` shingles of `size`, of at least `similarity` in (0, 1] to a kept text.

    Returns Leaders. Raises InputError for a similarity out of range or lengths that do not match.
    """
    if not 0 < similarity <= 1:
        raise InputError(f"similarity {similarity}: the shared part of the shingles lies in (0, 1]")
    if len(texts) != len(signatures):
        raise InputError(f"{len(texts)} texts for {len(signatures)} signatures")
    first = _first_same(texts, signatures, normalise)
    own = np.flatnonzero(first == np.arange(len(first)))
    if len(own) < len(first):  # a million signatures are half a gigabyte: not copied for nothing
        texts, signatures = texts.take(pa.array(own)), signatures[own]
    neighbours = JaccardNeighbours(texts, signatures, similarity, unit, size, normalise)
    return restore_copies(first, choose_leaders(neighbours))


def _first_same(texts: pa.StringArray, signatures: Signatures, normalise: bool) -> Rows:
    """The first row with the very same text (after normalising), looked for only where signatures are equal."""
    first = np.arange(len(texts), dtype=np.int64)
    keys = _fold(signatures)
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    crowded = np.flatnonzero(counts[inverse] > 1)
    if len(crowded):
        same = texts.take(pa.array(crowded))
        codes = (normalise_texts(same) if normalise else same).dictionary_encode().indices.to_numpy()
        _, starts, inverse = np.unique(codes, return_index=True, return_inverse=True)
        first[crowded] = crowded[starts[inverse]]
    return first


def _fold(columns: Signatures) -> npt.NDArray[np.uint64]:
    """One 64-bit key of several columns."""
    key = np.zeros(len(columns), np.uint64)
    for k in range(columns.shape[1]):
        key = (key ^ columns[:, k]) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


@dataclass(frozen=True, eq=False)
class JaccardNeighbours:
    """Pairs whose shingle sets share at least `similarity` of their union.

    Signatures are cut into bands; texts that agree in a whole band are candidates. The band is as long as lets 99 % of
    the pairs at the threshold agree in one. Candidates whose signatures agree in far fewer places than the threshold
    asks (four standard deviations) are left out before the exact check.
    """

    texts: pa.StringArray
    signatures: Signatures
    similarity: float
    unit: Unit
    size: int
    normalise: bool

    def __len__(self) -> int:
        return len(self.signatures)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        waiting: list[tuple[Rows, Rows]] = []
        for candidates in self._candidates(left, right):
            waiting.append(candidates)
            if sum(len(i) for i, _ in waiting) >= _PIECE:
                yield self._verify(waiting)
                waiting = []
        if waiting:
            yield self._verify(waiting)

    def _candidates(self, left: Rows, right: Rows | None) -> Iterator[tuple[Rows, Rows]]:
        rows = band_rows(self.similarity, self.signatures.shape[1])
        for band in range(self.signatures.shape[1] // rows):
            keys = _fold(self.signatures[:, band * rows : (band + 1) * rows])
            own = left[np.argsort(keys[left], kind="stable")]
            other = own if right is None else right[np.argsort(keys[right], kind="stable")]
            start = np.searchsorted(keys[other], keys[own], side="left")
            within = right is None
            stop = np.arange(len(own)) if within else np.searchsorted(keys[other], keys[own], side="right")
            for mine, theirs in expand(start, stop, _PIECE):
                i, j = own[mine], other[theirs]
                likely = self._likely(i, j, band, rows)
                i, j = i[likely], j[likely]
                yield (np.minimum(i, j), np.maximum(i, j)) if within else (i, j)

    def _likely(self, i: Rows, j: Rows, band: int, rows: int) -> npt.NDArray[np.bool_]:
        """Pairs that agree in enough places and meet in this band for the first time."""
        agree = self.signatures[i] == self.signatures[j]
        places = agree.shape[1]
        least = self.similarity - 4 * (self.similarity * (1 - self.similarity) / places) ** 0.5
        bands = agree[:, : places // rows * rows].reshape(len(i), -1, rows).all(axis=2)
        meets_first = bands[:, band] & ~bands[:, :band].any(axis=1)
        return np.asarray(meets_first & (agree.mean(axis=1) >= least))

    def _verify(self, candidates: list[tuple[Rows, Rows]]) -> Pairs:
        i, j = (np.concatenate(side) for side in zip(*candidates, strict=True))
        texts, place = np.unique(np.concatenate([i, j]), return_inverse=True)
        offsets, hashes = shingle_texts(
            self.texts.take(pa.array(texts)), self.unit, self.size, self.normalise
        )
        shared = jaccard(offsets, hashes, place[: len(i)], place[len(i) :])
        alike = shared >= np.float32(self.similarity)
        return i[alike], j[alike], shared[alike]


def band_rows(similarity: float, permutations: int) -> int:
    """Places per band: as many as leave a pair at the threshold a chance of 99 % to agree in a whole band."""
    for rows in range(permutations, 1, -1):
        if 1 - (1 - similarity**rows) ** (permutations // rows) >= _RECALL:
            return rows
    return 1


def jaccard(
    offsets: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint64], i: Rows, j: Rows
) -> npt.NDArray[np.float32]:
    """Exact Jaccard similarity of the shingle sets of texts i[k] and j[k]: (k,) float32 in [0, 1].

    `offsets` and `hashes` as from `shingle_texts`; two texts without shingles have similarity 0.
    """
    count = len(offsets) - 1
    names, codes = np.unique(hashes, return_inverse=True)
    width = max(1, len(names))
    owner = np.repeat(np.arange(count), np.diff(offsets))
    sets = np.unique(owner * width + codes)  # each text's shingles, once, in order
    sizes = np.bincount(sets // width, minlength=count)
    starts = np.cumsum(sizes) - sizes
    shared = np.zeros(len(i), np.int64)
    for pair, place in expand(starts[i], starts[i] + sizes[i]):
        wanted = sets[place] % width + j[pair] * width
        at = np.minimum(np.searchsorted(sets, wanted), len(sets) - 1)
        shared += np.bincount(pair, weights=sets[at] == wanted, minlength=len(i)).astype(np.int64)
    union = sizes[i] + sizes[j] - shared
    return np.asarray(shared / np.maximum(union, 1), np.float32)
