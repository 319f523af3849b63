"""Candidates for the nearest neighbours: by squared euclidean distance, a tile of the base at a time, in float32.

What comes out is in no order and near the truth only: the products of float32 leave rounding behind. `search` decides.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.errors import InputError, MissingExtraError, require

__all__ = ["Backend", "find_candidates", "load_faiss"]

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Backend = Literal["auto", "faiss", "numpy"]

_TILE = 4096


def load_faiss(backend: Backend) -> Any:
    """The module faiss, or None where numpy is to do the work.

    Raises InputError for another name, MissingExtraError if faiss is asked for by name and not installed.
    """
    if backend not in get_args(Backend):
        raise InputError(f"backend {backend!r}: {', '.join(map(repr, get_args(Backend)))}")
    if backend == "numpy":
        return None
    try:
        return require("faiss", "select")
    except MissingExtraError:
        if backend == "faiss":
            raise
        return None


def find_candidates(queries: Floats, base: Floats, m: int, faiss: Any) -> tuple[Floats, Rows]:
    """The `m` rows of `base` (n, d) nearest to each of `queries` (q, d): squared distances and rows, (q, m) each.

    `m` is at most n. By faiss if given, else by numpy: one product a tile, of which only what is nearer than the
    worst candidate so far is looked at again.
    """
    if faiss is not None:
        distance, index = faiss.knn(queries, base, m)
        return distance, index.astype(np.int64, copy=False)
    own = np.einsum("ij,ij->i", queries, queries)
    best = np.full((len(queries), m), np.inf, np.float32)
    rows = np.full((len(queries), m), -1, np.int64)
    limit = np.full(len(queries), np.inf, np.float32)
    for low in range(0, len(base), _TILE):
        tile = base[low : low + _TILE]
        distance = queries @ tile.T
        distance *= -2
        distance += np.einsum("ij,ij->i", tile, tile)
        distance += own[:, None]
        at, column = np.nonzero(distance < limit[:, None])
        if len(at):
            best, rows = _merge(best, rows, (at, distance[at, column], column + low))
            limit = best.max(axis=1)
    return best, rows


def _merge(best: Floats, rows: Rows, found: tuple[Rows, Floats, Rows]) -> tuple[Floats, Rows]:
    """The m best of what was kept and what a tile brought: (query, distance, row), ascending by query."""
    q, m = best.shape
    at, distance, row = found
    counts = np.bincount(at, minlength=q)
    place = m + np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    wide = np.full((q, m + int(counts.max())), np.inf, np.float32)
    who = np.full(wide.shape, -1, np.int64)
    wide[:, :m], who[:, :m] = best, rows
    wide[at, place], who[at, place] = distance, row
    kept = np.argpartition(wide, m - 1, axis=1)[:, :m]
    return np.take_along_axis(wide, kept, 1), np.take_along_axis(who, kept, 1)
