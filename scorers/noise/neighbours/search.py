"""Nearest neighbours, exact, in blocks of bounded memory: the same answer from faiss as from numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_rows
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.neighbours.candidates import Backend, Floats, Rows, find_candidates, load_faiss

__all__ = [
    "Block",
    "Metric",
    "Neighbours",
    "check_count",
    "check_search",
    "nearest",
    "nearest_blocks",
    "prepare_rows",
    "usable",
]

Metric = Literal["cosine", "euclidean"]

_BLOCK = 2048
_EXACT = 1 << 23
"""Numbers that the exact distances of some candidates may take at a time: 32 MB."""
_HUGE = 1e36
"""Squared lengths from here on are beyond what float32 can compare."""
_SAME = 1e-13
"""Cosine distances below this are the rounding of vectors of one direction."""


class Neighbours(NamedTuple):
    """`rows` (n, k) int64 and `distance` (n, k) float32, nearest first; of equally near ones the lower row first."""

    rows: Rows
    distance: Floats


class Block(NamedTuple):
    """The neighbours of queries `low` ... `low + len(rows)`, as `Neighbours`."""

    low: int
    rows: Rows
    distance: Floats


def usable(x: npt.NDArray[Any], metric: Metric = "cosine") -> npt.NDArray[np.bool_]:
    """Which rows of `x` (n, d) have neighbours at all: finite, of a length below 1e18, and for cosine not zero.

    Returns (n,) bool.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return np.asarray((length < _HUGE) & ((length > 0) | (metric != "cosine")))


def nearest(
    x: npt.NDArray[Any],
    k: int,
    *,
    metric: Metric = "cosine",
    queries: npt.NDArray[Any] | None = None,
    include_self: bool = False,
    backend: Backend = "auto",
) -> Neighbours:
    """The `k` nearest rows of `x`, exactly: every pair is compared.

    `x` (n, d) numbers; `queries` (q, d), or None: every row of `x` is asked for, and is no neighbour of itself unless
    `include_self`, which puts it first at distance 0. `metric`: "cosine" is 1 - cos, in [0, 2]; "euclidean".
    `backend`: "faiss" (extra `select`), "numpy", or "auto": faiss where it is installed. Both give the same neighbours:
    they only propose, and distances are then taken from differences in float32 (for euclidean of centred data).
    Of equally near rows the lower comes first. Memory beyond the answer: a copy of `x` in float32 and some 100 MB.

    Raises InputError for rows that are not finite (or zero, for cosine: see `usable`), and where there are fewer than
    `k` others.
    """
    x, queries = as_rows(x), None if queries is None else as_rows(queries, "queries")
    _check_enough(k, len(x) - (queries is None and not include_self))
    count = len(x) if queries is None else len(queries)
    index, distance = np.empty((count, k), np.int64), np.empty((count, k), np.float32)
    options: dict[str, Any] = {"queries": queries, "include_self": include_self, "backend": backend}
    for low, rows, far in nearest_blocks(x, k, metric=metric, **options):
        index[low : low + len(rows)], distance[low : low + len(rows)] = rows, far
    return Neighbours(index, distance)


def nearest_blocks(
    x: npt.NDArray[Any],
    k: int,
    *,
    metric: Metric = "cosine",
    queries: npt.NDArray[Any] | None = None,
    include_self: bool = False,
    backend: Backend = "auto",
) -> Iterator[Block]:
    """As `nearest`, some thousand queries at a time: for what need not hold the neighbours of all."""
    check_search(x, queries, k, metric, include_self=include_self)
    base, centre = prepare_rows(x, metric, None)
    asked = base if queries is None else prepare_rows(queries, metric, centre)[0]
    own = queries is None
    wanted = k - include_self if own else k
    needed = wanted + own  # from the base, in which a query may find itself
    floor = 2 * _SAME if metric == "cosine" else 0.0
    table = _Table(base, _first_copies(base, needed), needed, floor, load_faiss(backend))
    step = max(1, min(_BLOCK, _EXACT // table.looks))
    for low in range(0, len(asked), step):
        block = asked[low : low + step]
        self_rows = np.arange(low, low + len(block)) if own else None
        index, squared = table.nearest(block, wanted, self_rows)
        # of vectors of unit length |u - v|^2 = 2 - 2 cos, and exact where u = v
        distance = squared / 2 if metric == "cosine" else np.sqrt(squared)
        if own and include_self:
            index = np.column_stack([np.arange(low, low + len(block)), index])
            distance = np.column_stack([np.zeros(len(block), np.float32), distance])
        yield Block(low, index, np.asarray(distance, np.float32))


def check_search(
    x: npt.NDArray[Any],
    queries: npt.NDArray[Any] | None,
    k: int,
    metric: str,
    *,
    include_self: bool = False,
) -> None:
    """Raise InputError where there is nothing to search, or not so many neighbours: see `nearest`."""
    if metric not in ("cosine", "euclidean"):
        raise InputError(f"metric {metric!r}: 'cosine' or 'euclidean'")
    if include_self and queries is not None:
        raise InputError("include_self: queries of their own are no rows of x; leave one of the two out")
    for what, rows in (("x", x), ("queries", queries)):
        if rows is None:
            continue
        if as_rows(rows, what).shape[1] != x.shape[1]:
            raise InputError(f"queries have {counted(rows.shape[1], 'dimension')}, x has {x.shape[1]}")
        bad = np.flatnonzero(~usable(rows, "cosine" if metric == "cosine" else "euclidean"))
        if len(bad):
            named = ", ".join(map(str, bad[:5]))
            kinds = "NaN, infinite or zero" if metric == "cosine" else "NaN or infinite"
            raise InputError(
                f"{counted(len(bad), f'row of {what} is', f'rows of {what} are')} {kinds}, as {named}: leave them out "
                "(see `usable`)"
            )
    _check_enough(k, len(x) - (queries is None and not include_self))


def check_count(k: Any, what: str = "k") -> None:
    """Raise InputError, which calls it `what`, for a number of neighbours that is not whole."""
    if not isinstance(k, (int, np.integer)):
        raise InputError(f"{what}={k!r}: how many neighbours is a whole number")


def _check_enough(k: int, others: int) -> None:
    check_count(k)
    if not 1 <= k <= others:
        raise InputError(
            f"k={counted(k, 'neighbour')}: {counted(max(others, 0), 'row is', 'rows are')} there to find them among; "
            "give k from 1 to that, or more rows"
        )


def prepare_rows(
    x: npt.NDArray[Any], metric: Metric, centre: npt.NDArray[np.float64] | None
) -> tuple[Floats, npt.NDArray[np.float64]]:
    """Rows in float32 such that squared euclidean distance orders them, and their centre: of unit length, or centred.

    `centre` is that of the rows they are compared with, None for these themselves. Centring takes away what rows have in common, which products of float32 would drown small distances in.
    """
    out = np.empty(x.shape, np.float32)
    if centre is None:
        centre = _centre(x) if metric == "euclidean" else np.zeros(x.shape[1])
    for low in range(0, len(x), _BLOCK):
        piece = x[low : low + _BLOCK].astype(np.float64)
        if metric == "cosine":
            piece /= np.linalg.norm(piece, axis=1, keepdims=True)
        else:
            piece -= centre
        out[low : low + _BLOCK] = piece
    out += 0  # no -0.0: equal rows have equal bytes
    return out, centre


def _centre(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The mean, rounded to a coarse power of two: pixels and counts stay exact, and so do their ties."""
    mean, spread = x.mean(0, dtype=np.float64), float(x.std(0, dtype=np.float64).max(initial=0))
    grid = 2.0 ** np.floor(np.log2(spread) - 2) if spread > 0 else 1.0
    return np.asarray(np.round(mean / grid) * grid)


def _first_copies(base: Floats, needed: int) -> Rows:
    """All rows but those with `needed` equal rows before them, which ties keep from being anyone's neighbour."""
    _, first, group = np.unique(_hash_rows(base), return_index=True, return_inverse=True)
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    place = np.arange(len(base)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    late = order[place >= needed]
    late = late[(base[late] == base[first[group[late]]]).all(axis=1)]  # and not by chance of one hash
    return np.delete(np.arange(len(base)), late)


def _hash_rows(base: Floats) -> npt.NDArray[np.uint64]:
    odd = np.random.default_rng(0).integers(0, 1 << 63, base.shape[1], np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    pieces = [
        (base[low : low + _BLOCK].view(np.uint32) * odd).sum(axis=1, dtype=np.uint64)
        for low in range(0, len(base), _BLOCK)
    ]
    return np.concatenate(pieces)


@dataclass(frozen=True, eq=False)
class _Table:
    """Rows that can be neighbours (`rows` of `base`), of which a query needs `needed`, itself included.

    Squared distances up to `floor` count as none.
    """

    base: Floats
    rows: Rows
    needed: int
    floor: float
    faiss: Any

    def __post_init__(self) -> None:
        kept = self.base if len(self.rows) == len(self.base) else self.base[self.rows]
        object.__setattr__(self, "kept", kept)
        object.__setattr__(self, "looks", min(len(self.rows), self.needed + max(8, self.needed // 2)))

    kept: Floats = field(init=False)
    looks: int = field(init=False)
    """How many candidates are asked for."""

    def nearest(self, block: Floats, wanted: int, own: Rows | None) -> tuple[Rows, Floats]:
        """Rows and squared distances, (q, wanted) each, ordered by distance and row."""
        if self.looks == len(self.rows):
            index, squared = self._order(block, np.tile(self.rows, (len(block), 1)), own)
            return index[:, :wanted], squared[:, :wanted]
        rough, candidates = find_candidates(block, self.kept, self.looks, self.faiss)
        index, squared = self._order(block, self.rows[candidates], own)
        index, squared = index[:, :wanted], squared[:, :wanted]
        # What was not proposed is, by its float32 products, no nearer than the worst that was.
        reach = np.sqrt(np.einsum("ij,ij->i", block, block)) + np.sqrt(squared[:, -1])
        slack = 4 * block.shape[1] ** 0.5 * np.float32(2**-24) * reach**2 + self.floor
        for at in np.flatnonzero(squared[:, -1] >= rough.max(axis=1) - slack):
            self_row = None if own is None else own[at : at + 1]
            everyone = self._within(block[at], self.needed)[None]
            exact = self._order(block[at : at + 1], everyone, self_row)
            index[at], squared[at] = exact[0][0, :wanted], exact[1][0, :wanted]
        return index, squared

    def _order(self, block: Floats, candidates: Rows, own: Rows | None) -> tuple[Rows, Floats]:
        """The candidates (q, m) of each query by exact distance, then row; the query itself (`own`) goes last."""
        candidates = np.sort(candidates, axis=1)
        squared = np.empty(candidates.shape, np.float32)
        step = max(1, _EXACT // (candidates.shape[1] * block.shape[1]))
        for low in range(0, len(block), step):
            apart = self.base[candidates[low : low + step]]
            apart -= block[low : low + step, None]
            squared[low : low + step] = np.einsum("qmd,qmd->qm", apart, apart)
        squared[squared <= self.floor] = 0
        if own is not None:
            squared[candidates == own[:, None]] = np.inf
        order = np.argsort(squared, axis=1, kind="stable")
        return np.take_along_axis(candidates, order, 1), np.take_along_axis(squared, order, 1)

    def _within(self, query: Floats, m: int) -> Rows:
        """Every row that may be among the `m` nearest of one query: for those whom many tie at the end."""
        squared = np.empty(len(self.kept), np.float32)
        step = max(1, _EXACT // self.kept.shape[1])
        for low in range(0, len(self.kept), step):
            apart = self.kept[low : low + step] - query
            squared[low : low + step] = np.einsum("id,id->i", apart, apart)
        limit = max(np.partition(squared, m - 1)[m - 1], self.floor)
        return self.rows[np.flatnonzero(squared <= limit * (1 + 1e-5))]
