"""Near-duplicate texts: candidates from MinHash bands, each verified by the exact Jaccard similarity of its shingles."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.counting import counted
from curate.errors import InputError
from curate.scorers.duplicates.buckets import connect, crowds, expand
from curate.scorers.duplicates.cosines import Alone, Source
from curate.scorers.duplicates.leaders import Leaders, Pairs, Rows, choose_leaders, restore_copies
from curate.scorers.duplicates.overlap import make_sets, shared_members
from curate.scorers.duplicates.shingles import Unit, normalise_texts, shingle_texts

__all__ = [
    "Alike",
    "AtHand",
    "JaccardNeighbours",
    "TextWork",
    "choose_texts",
    "fold",
    "jaccard",
    "near_duplicate_texts",
]

T = TypeVar("T")
R = TypeVar("R")
Signatures = npt.NDArray[np.uint32]
Keys = npt.NDArray[np.uint64]

_RECALL = 0.99
_PIECE = 1 << 16
"""Candidates whose signatures are looked at together."""
_POOL = 1 << 19
"""Likely pairs that are verified together: the more, the fewer texts are cut into shingles again for another partner."""
_TEXTS = 1 << 16
"""Texts that are fetched at once."""
_TASKS = 32
"""So many such lots are looked at before what is left of them is compared text by text."""
_CHUNK = 1 << 12
"""Pairs of signatures compared at once, which stay in the cache."""
_BANDS = 8
"""Bands in which they are compared at once, until they are found to have met before."""
_BYTES = 1 << 21
"""Of texts that are compared at once; their shingles take eight times as much and more."""


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
    alike = Alike(similarity, unit, size, normalise)
    if len(texts) != len(signatures):
        raise InputError(f"{counted(len(texts), 'text')} for {counted(len(signatures), 'signature')}")
    return choose_texts(AtHand(signatures, texts), np.arange(len(texts)), alike)


@dataclass(frozen=True)
class Alike:
    """When two texts are alike: the parameters of `near_duplicate_texts`. Raises InputError for a similarity out of range."""

    similarity: float = 0.7
    unit: Unit = "char"
    size: int = 5
    normalise: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise InputError(f"similarity {self.similarity}: the shared part of the shingles lies in (0, 1]")


class TextWork(Protocol):
    """Texts and their signatures, (n, `permutations`), and whoever looks at them: here, or wherever the pieces are."""

    @property
    def permutations(self) -> int:
        """Numbers in a signature."""
        ...

    def keys(self, low: int, high: int) -> Keys:
        """`fold` of these columns of the signatures, (n,)."""
        ...

    def texts(self, rows: Rows) -> pa.StringArray:
        """The texts of these rows, none null."""
        ...

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        """What a function says of the signatures of all rows for each task, in their order."""
        ...


@dataclass(frozen=True, eq=False)
class AtHand(Alone):
    """Signatures and texts in memory."""

    every: pa.StringArray

    @property
    def permutations(self) -> int:
        return int(self.vectors.shape[1])

    def keys(self, low: int, high: int) -> Keys:
        return fold(np.asarray(self.vectors)[:, low:high])

    def texts(self, rows: Rows) -> pa.StringArray:
        return self.every.take(pa.array(rows))


def choose_texts(work: TextWork, ranked: Rows, alike: Alike) -> Leaders:
    """`near_duplicate_texts` among the rows `ranked` (m,), in this order of preference: Leaders over places in `ranked`."""
    first = _first_same(work, ranked, alike.normalise)
    own = np.flatnonzero(first == np.arange(len(first)))
    return restore_copies(first, choose_leaders(JaccardNeighbours(work, ranked[own], alike)))


def _first_same(work: TextWork, ranked: Rows, normalise: bool) -> Rows:
    """The first place with the very same text (after normalising), looked for only where signatures are equal."""
    first = np.arange(len(ranked), dtype=np.int64)
    taken: deque[Rows] = deque()

    def tasks() -> Iterator[pa.StringArray]:
        for places in crowds(work.keys(0, work.permutations)[ranked]):
            taken.append(places)
            yield work.texts(ranked[places])

    for same in work.share(partial(_same, normalise), tasks()):
        places = taken.popleft()
        first[places] = places[same]
    return first


def _same(normalise: bool, _: Source, texts: pa.StringArray) -> Rows:
    """Of each text the first that is the same."""
    codes = (normalise_texts(texts) if normalise else texts).dictionary_encode().indices.to_numpy()
    _, starts, inverse = np.unique(codes, return_index=True, return_inverse=True)
    first: Rows = starts[inverse]
    return first


def fold(columns: Signatures) -> Keys:
    """One 64-bit key of several columns, (n,)."""
    key = np.zeros(len(columns), np.uint64)
    for k in range(columns.shape[1]):
        key = (key ^ columns[:, k]) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    return key


@dataclass(frozen=True, eq=False)
class JaccardNeighbours:
    """Pairs whose shingle sets share at least `alike.similarity` of their union; rows are places in `ranked` (m,).

    Signatures are cut into bands; texts that agree in a whole band are candidates. The band is as long as lets 99 % of
    the pairs at the threshold agree in one. Candidates whose signatures agree in far fewer places than the threshold
    asks (four standard deviations) are left out before the exact check.
    """

    work: TextWork
    ranked: Rows
    alike: Alike

    def __len__(self) -> int:
        return len(self.ranked)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        waiting: list[tuple[Rows, Rows]] = []
        held = 0
        for likely in self._likely(self._candidates(left, right)):
            waiting.append(likely)
            held += len(likely[0])
            if held >= _POOL:
                yield from self._verify(waiting)
                waiting, held = [], 0
        if waiting:
            yield from self._verify(waiting)

    def _candidates(self, left: Rows, right: Rows | None) -> Iterator[_Candidates]:
        """Pairs that agree in a band, some thousands at a time."""
        rows = band_rows(self.alike.similarity, self.work.permutations)
        for band in range(self.work.permutations // rows):
            keys = self.work.keys(band * rows, (band + 1) * rows)[self.ranked]
            own = left[np.argsort(keys[left], kind="stable")]
            other = own if right is None else right[np.argsort(keys[right], kind="stable")]
            start = np.searchsorted(keys[other], keys[own], side="left")
            within = right is None
            stop = np.arange(len(own)) if within else np.searchsorted(keys[other], keys[own], side="right")
            for mine, theirs in expand(start, stop, _PIECE):
                i, j = own[mine], other[theirs]
                yield _Candidates(band, *((np.minimum(i, j), np.maximum(i, j)) if within else (i, j)))

    def _likely(self, candidates: Iterator[_Candidates]) -> Iterator[tuple[Rows, Rows]]:
        """Those that agree in enough places and meet for the first time."""
        least = band_rows(self.alike.similarity, self.work.permutations), self.alike.similarity
        # a lot before any of it is verified: one kind of work at a time
        while some := list(islice(candidates, _TASKS)):
            tasks = (_Candidates(one.band, self.ranked[one.i], self.ranked[one.j]) for one in some)
            for one, likely in zip(some, self.work.share(partial(_agree, least), tasks), strict=True):
                if len(likely):
                    yield one.i[likely], one.j[likely]

    def _verify(self, candidates: list[tuple[Rows, Rows]]) -> Iterator[Pairs]:
        i, j = (np.concatenate(side) for side in zip(*candidates, strict=True))
        # what hangs together is compared together, so that a text is cut into shingles once
        order = np.lexsort((j, i, connect(i, j)))
        i, j = i[order], j[order]
        start = 0
        for some in _portions(i, j, np.ones(len(self.ranked), np.int32), _TEXTS):
            texts = self.work.texts(self.ranked[some.places])
            parts = _portions(some.i, some.j, pc.binary_length(texts).to_numpy(), _BYTES)
            tasks = (_Pairs(texts.take(pa.array(part.places)), part.i, part.j) for part in parts)
            for shared in self.work.share(partial(_compare, self.alike), tasks):
                alike, stop = shared >= np.float32(self.alike.similarity), start + len(shared)
                yield i[start:stop][alike], j[start:stop][alike], shared[alike]
                start = stop


class _Candidates(NamedTuple):
    """Pairs that agree in this band."""

    band: int
    i: Rows
    j: Rows


class _Portion(NamedTuple):
    """Pairs, by places among those of some texts."""

    places: Rows
    i: Rows
    j: Rows


class _Pairs(NamedTuple):
    """Pairs of texts by their places among these."""

    texts: pa.StringArray
    i: Rows
    j: Rows


def _agree(least: tuple[int, float], signatures: Source, pairs: _Candidates) -> Rows:
    """Which pairs of rows agree in enough places, and in no band before this one."""
    rows, similarity = least
    unique, at = np.unique(np.concatenate([pairs.i, pairs.j]), return_inverse=True)
    taken = signatures[unique] if isinstance(signatures, np.ndarray) else signatures.take(unique)
    places = taken.shape[1]
    enough = similarity - 4 * (similarity * (1 - similarity) / places) ** 0.5
    i, j = at[: len(pairs.i)], at[len(pairs.i) :]
    found = [np.empty(0, np.int64)]
    for low in range(0, len(i), _CHUNK):
        some = np.arange(low, min(low + _CHUNK, len(i)))
        for first in range(0, pairs.band, _BANDS):  # what is alike has met in one of the first as a rule
            columns = taken[:, first * rows : min(first + _BANDS, pairs.band) * rows]
            some = some[~_whole(columns[i[some]] == columns[j[some]], rows).any(axis=1)]
        agree = taken[i[some]] == taken[j[some]]
        meets = agree[:, pairs.band * rows : (pairs.band + 1) * rows].all(axis=1)
        found.append(some[meets & (agree.mean(axis=1) >= enough)])
    return np.concatenate(found)


def _whole(agree: npt.NDArray[np.bool_], rows: int) -> npt.NDArray[np.bool_]:
    """Of each band of so many places whether all agree."""
    whole = agree[:, ::rows]
    for k in range(1, rows):
        whole = whole & agree[:, k::rows]
    return whole


def _portions(i: Rows, j: Rows, sizes: npt.NDArray[np.int32], most: int) -> Iterator[_Portion]:
    """Pairs in their order, as many at a time as have texts of so much in all."""
    places, at = np.unique(np.concatenate([i, j]), return_inverse=True)
    if len(i) <= 1 or int(sizes[places].sum(dtype=np.int64)) <= most:
        yield _Portion(places, at[: len(i)], at[len(i) :])
    else:
        half = len(i) // 2
        yield from _portions(i[:half], j[:half], sizes, most)
        yield from _portions(i[half:], j[half:], sizes, most)


def _compare(alike: Alike, _: Source, pairs: _Pairs) -> npt.NDArray[np.float32]:
    """The similarity of each pair."""
    offsets, hashes = shingle_texts(pairs.texts, alike.unit, alike.size, alike.normalise)
    return jaccard(offsets, hashes, pairs.i, pairs.j)


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
    sets = make_sets(offsets, hashes)
    shared = shared_members(sets, i, j)
    union = sets.sizes[i] + sets.sizes[j] - shared
    return np.asarray(shared / np.maximum(union, 1), np.float32)
