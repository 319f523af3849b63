"""`random`: a uniform draw, the baseline that every other selector is held against."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.choosing import draw_seed
from curate.contracts import Budget, Selection, View, resolve_budget
from curate.selectors.threshold.order import ascending

__all__ = ["Random", "draw_seed", "hash_ids", "keys_of_hashes", "random_keys", "random_rows"]

_PRIME = np.uint64(0x100000001B3)  # odd, so multiplying by it loses nothing modulo 2^64 (the prime of FNV-1a)


@dataclass(frozen=True)
class Random:
    """Chooses items at random, each with the same chance.

    An item's lot depends on its id and the seed alone: items that are added later do not change who is drawn
    among the old ones beyond making room for themselves, and a larger budget contains the smaller one.
    """

    name: ClassVar[str] = "random"
    version: ClassVar[int] = 1
    budgeted: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ("id",)

    def select(self, view: View, budget: Budget | None, rng: np.random.Generator) -> Selection:
        start = time.perf_counter()
        count, seed = resolve_budget(budget, len(view)), draw_seed(rng)
        rows = random_rows(view.to_arrow(["id"]).column("id"), count, seed)
        reason = f"drawn at random, {count} of {len(view)}"
        return Selection(rows, reason=reason, seed=seed, seconds=time.perf_counter() - start)


def random_rows(ids: pa.Array | pa.ChunkedArray, count: int, seed: int) -> npt.NDArray[np.int64]:
    """`count` rows drawn uniformly without replacement, in the order drawn.

    `ids` (n,) strings, unique. Returns (count,) int64. The draw is a function of the ids and the seed, whatever the
    order of the rows.
    """
    return ascending(random_keys(ids, seed), ids, count)


def random_keys(ids: pa.Array | pa.ChunkedArray, seed: int) -> npt.NDArray[np.uint64]:
    """A lot for each id: uniform 64-bit numbers, the same on every machine and in every version.

    `ids` (n,) strings without nulls, `seed` 0 to 2^64 - 1. Returns (n,) uint64.
    The id's bytes are hashed as a polynomial modulo 2^64; the finaliser of SplitMix64 (Steele, Lea and Flood 2014)
    turns hash and seed into a uniform number.
    """
    return keys_of_hashes(hash_ids(ids), seed)


def keys_of_hashes(hashes: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """`random_keys` of ids hashed before: for several seeds."""
    return _splitmix(hashes + _splitmix(np.array([seed % 2**64], np.uint64)))


def hash_ids(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """The hash of each id, and of its length, that its lots are made of, (n,)."""
    chunk = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    chunk = pc.cast(chunk, pa.large_binary())
    if len(chunk) == 0:
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    data = chunk.buffers()[2]
    hashed = _polynomial(np.frombuffer(data if data is not None else b"", np.uint8), offsets)
    lengths = np.diff(offsets).astype(np.uint64)
    return hashed + lengths * _PRIME


def _polynomial(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """sum over the bytes of each string of (byte + 1) * prime^position, modulo 2^64."""
    n, longest = len(offsets) - 1, int(np.diff(offsets).max())
    powers = np.cumprod(np.full(longest + 1, _PRIME, np.uint64))
    out = np.empty(n, np.uint64)
    step = max(1, (1 << 22) // max(1, longest))
    for first in range(
        0, n, step
    ):  # pieces of a few million bytes: the terms take eight times the text's room
        bounds = offsets[first : first + step + 1]
        lengths = np.diff(bounds)
        position = np.arange(bounds[-1] - bounds[0]) - np.repeat(bounds[:-1] - bounds[0], lengths)
        terms = (data[bounds[0] : bounds[-1]].astype(np.uint64) + np.uint64(1)) * powers[position]
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
        out[first : first + step] = np.diff(total[bounds - bounds[0]])
    return out


def _splitmix(x: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
