"""Pairs of rows with a high cosine, looked for within clusters, a block of products at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from curate.contracts import Vectors, View
from curate.scorers.duplicates.leaders import Pairs, Rows

__all__ = [
    "CHUNK",
    "Alone",
    "ColumnWork",
    "CosineNeighbours",
    "Floats",
    "Source",
    "Work",
    "read",
    "unit",
    "whole",
]

T = TypeVar("T")
R = TypeVar("R")
Floats = npt.NDArray[np.float32]
Source = Vectors | npt.NDArray[Any]
Found = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], Floats]

CHUNK = 4096
_BLOCK = 1024
_TASK = 1 << 24
"""Products, about, that are formed for one task."""


class Work(Protocol):
    """Vectors, and whoever looks at them: here all at once, or by pieces and tasks wherever those are done."""

    def spread(self, function: Callable[[Source], R]) -> Iterator[R]:
        """What a function says of one run of rows after the other."""
        ...

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        """What it says of all rows for each task, in their order."""
        ...


@dataclass(frozen=True, eq=False)
class Alone:
    """Vectors at hand."""

    vectors: Source

    def spread(self, function: Callable[[Source], R]) -> Iterator[R]:
        yield function(self.vectors)

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        for task in tasks:
            yield function(self.vectors, task)


class _Opened(Generic[T, R]):
    """A function of vectors and a task as one of a view and a task; vectors once opened stay so for the next."""

    def __init__(self, function: Callable[[Source, T], R], column: str) -> None:
        self.function, self.column = function, column
        self.of: tuple[View, Source] | None = None

    def __call__(self, view: View, task: T) -> R:
        if self.of is None or self.of[0] is not view:
            self.of = view, whole(view.vectors(self.column))
        return self.function(self.of[1], task)


@dataclass(frozen=True, eq=False)
class ColumnWork:
    """A column of vectors of a view, looked at wherever the view's pieces are."""

    view: View
    column: str

    def spread(self, function: Callable[[Source], R]) -> Iterator[R]:
        return self.view.spread(partial(_of_piece, function, self.column))

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        return self.view.share(_Opened(function, self.column), tasks)


def _of_piece(function: Callable[[Source], R], column: str, piece: View, first: int) -> R:
    return function(whole(piece.vectors(column)))


def whole(vectors: Source) -> Source:
    """As one array where that costs nothing: reading rows through pieces is slower."""
    if isinstance(vectors, np.ndarray):
        return np.asarray(vectors)  # a plain view of a memory map
    pieces = list(vectors.chunks())
    return pieces[0] if len(pieces) == 1 else vectors


def read(vectors: Source, rows: Rows) -> Floats:
    """A copy of these rows in float32."""
    taken = vectors[rows] if isinstance(vectors, np.ndarray) else vectors.take(rows)
    return np.array(taken, np.float32, copy=None if taken.flags.owndata else True)


def unit(vectors: Source, rows: Rows) -> Floats:
    """A copy of these rows, which have a direction, at unit length."""
    taken = read(vectors, rows)
    taken /= np.sqrt(np.einsum("ij,ij->i", taken, taken))[:, None]
    return taken


class _Products(NamedTuple):
    """`left` against `right`; `own`: the left are the first of the right, and each pair counts once."""

    left: Rows
    right: Rows
    own: bool


@dataclass(frozen=True, eq=False)
class CosineNeighbours:
    """Pairs with a cosine of at least `threshold`, of which one's first cluster is among the other's nearest.

    `ranked` (m,) the rows in the order of preference, `nearest` (m, probes) the clusters of each, nearest first, -1 for none.
    Neither a triangle nor more than a cluster of rows is held.
    """

    work: Work
    ranked: Rows
    nearest: npt.NDArray[np.int32]
    threshold: float

    def __len__(self) -> int:
        return len(self.ranked)

    def pairs(self, left: Rows, right: Rows | None = None) -> Iterator[Pairs]:
        waiting: deque[list[_Products]] = deque()
        found = self.work.share(partial(_close, self.threshold), self._tasks(left, right, waiting))
        for answers in found:
            for job, (a, b, cosine) in zip(waiting.popleft(), answers, strict=True):
                if len(a):
                    i, j = job.left[a], job.right[b]
                    yield (
                        (i, j, cosine) if right is not None else (np.minimum(i, j), np.maximum(i, j), cosine)
                    )

    def _tasks(
        self, left: Rows, right: Rows | None, waiting: deque[list[_Products]]
    ) -> Iterator[list[_Products]]:
        """Jobs by the dozen, with rows in the place of ranks; `waiting` gets the same with ranks."""
        batch: list[_Products] = []
        size = 0
        for job in self._jobs(left, right):
            batch.append(job)
            size += len(job.left) * len(job.right)
            if size >= _TASK:
                waiting.append(batch)
                yield [_Products(self.ranked[one.left], self.ranked[one.right], one.own) for one in batch]
                batch, size = [], 0
        if batch:
            waiting.append(batch)
            yield [_Products(self.ranked[one.left], self.ranked[one.right], one.own) for one in batch]

    def _jobs(self, left: Rows, right: Rows | None) -> Iterator[_Products]:
        home, guests = _groups(self.nearest, left)
        if right is None:
            for cluster, rows in home.items():
                yield from _blocks(rows, None)
                if cluster in guests:
                    yield from _blocks(rows, guests[cluster])
            return
        other_home, other_guests = _groups(self.nearest, right)
        for cluster, rows in home.items():
            others = [group[cluster] for group in (other_home, other_guests) if cluster in group]
            if others:
                yield from _blocks(rows, np.concatenate(others))
        for cluster, rows in guests.items():
            if cluster in other_home:
                yield from _blocks(rows, other_home[cluster])


def _blocks(left: Rows, right: Rows | None) -> Iterator[_Products]:
    for low in range(0, len(left), _BLOCK):
        mine = left[low : low + _BLOCK]
        yield _Products(mine, left[low:], True) if right is None else _Products(mine, right, False)


def _close(threshold: float, vectors: Source, jobs: Sequence[_Products]) -> list[Found]:
    """Of each job the pairs within the threshold, by their places in it, and their cosines."""
    return [_products(threshold, vectors, job) for job in jobs]


def _products(threshold: float, vectors: Source, job: _Products) -> Found:
    mine = unit(vectors, job.left)
    parts: list[Found] = [(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))]
    for at in range(0, len(job.right), CHUNK):
        rows = job.right[at : at + CHUNK]
        skip = min(len(mine), len(rows)) if job.own and not at else 0
        cosine = mine @ _after(mine[:skip], vectors, rows[skip:]).T
        a, b = np.nonzero(cosine >= threshold)
        close = np.minimum(cosine[a, b], np.float32(1))
        b += at
        if job.own:
            once = a < b
            a, b, close = a[once], b[once], close[once]
        parts.append((a.astype(np.int32), b.astype(np.int32), close))
    left, right, cosines = (np.concatenate(column) for column in zip(*parts, strict=True))
    return left, right, cosines


def _after(known: Floats, vectors: Source, rows: Rows) -> Floats:
    """Unit rows that are known already, then `rows`; of those known alone no copy: their products are half as many."""
    if not len(rows):
        return known
    others = unit(vectors, rows)
    return np.concatenate([known, others]) if len(known) else others


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
