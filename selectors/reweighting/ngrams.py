"""Texts as counts of hashed n-grams, and how much likelier each is in a target than in the pool it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.counting import counted
from curate.errors import InputError

__all__ = ["HashedNgrams", "hashed_ngrams", "ngram_log_ratio"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_TEXTS = 1 << 14
"""Texts taken apart at once."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_TOKEN = r"\w+|[^\w\s]+"


class HashedNgrams(NamedTuple):
    """Every n-gram of every text: `bucket` (m,) int32 where it falls, `text` (m,) int64 whose it is, ascending; `texts`,
    `buckets` how many there are of each."""

    bucket: npt.NDArray[np.int32]
    text: Ints
    texts: int
    buckets: int

    def totals(self, weights: npt.NDArray[Any] | None = None) -> Floats:
        """How often each bucket occurs, (buckets,); each text's n-grams by its weight, where `weights` (texts,) are given."""
        own = None if weights is None else np.asarray(weights, np.float64)[self.text]
        return np.bincount(self.bucket, own, minlength=self.buckets).astype(np.float64)

    def sums(self, values: Floats) -> Floats:
        """For each text the sum over its n-grams of the bucket's value, (texts,) float64."""
        return np.bincount(self.text, values[self.bucket], minlength=self.texts).astype(np.float64)


def hashed_ngrams(texts: Any, *, n: int = 2, buckets: int = 10_000) -> HashedNgrams:
    """Words and punctuation of each text in lower case, in runs of 1 ... `n`, each hashed to one of `buckets`.

    `texts` a sequence or Arrow array of strings; null counts as empty. The hash depends on the words alone, the same on
    every machine. After DSIR (Xie et al., NeurIPS 2023, arXiv 2302.03169), which takes n = 2 and 10,000 buckets.
    """
    if n < 1 or buckets < 2:
        raise InputError(f"n={n}, buckets={buckets}: at least 1 and 2")
    given = texts if isinstance(texts, (pa.Array, pa.ChunkedArray)) else pa.array(list(texts), pa.string())
    parts = list(_taken_apart(given, n, buckets))
    bucket = np.concatenate([p[0] for p in parts]) if parts else np.empty(0, np.int32)
    text = np.concatenate([p[1] for p in parts]) if parts else np.empty(0, np.int64)
    return HashedNgrams(bucket, text, len(given), buckets)


def _taken_apart(texts: Any, n: int, buckets: int) -> Iterator[tuple[npt.NDArray[np.int32], Ints]]:
    import polars as pl
    import xxhash

    known: dict[str, int] = {}
    for low in range(0, len(texts), _TEXTS):
        words = pl.Series("t", texts.slice(low, _TEXTS)).cast(pl.String).fill_null("").str.to_lowercase()
        listed = words.str.extract_all(_TOKEN)
        owner = np.repeat(np.arange(low, low + len(words)), listed.list.len().to_numpy())
        flat = listed.explode().drop_nulls()
        distinct = flat.unique(maintain_order=True)
        for word in distinct.to_list():  # each word once, not each occurrence
            if word not in known:
                known[word] = xxhash.xxh3_64_intdigest(word.encode())
        codes = pl.Series([known[word] for word in distinct.to_list()], dtype=pl.UInt64)
        hashes = flat.replace_strict(distinct, codes, return_dtype=pl.UInt64).to_numpy()
        run, buckets_found, owners = hashes.copy(), [], []
        for length in range(1, n + 1):
            if length > 1:
                run = _mixed(run[:-1]) ^ hashes[length - 1 :]
            inside = owner[: len(run)] == owner[length - 1 :]
            buckets_found.append((_mixed(run[inside]) % np.uint64(buckets)).astype(np.int32))
            owners.append(owner[: len(run)][inside])
        who = np.concatenate(owners)
        order = np.argsort(who, kind="stable")
        yield np.concatenate(buckets_found)[order], who[order]


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x + _MIX) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray(x ^ (x >> np.uint64(31)))


def ngram_log_ratio(pool: HashedNgrams, target: HashedNgrams, *, smoothing: float = 1e-5) -> Floats:
    """log p(text | target) - log p(text | pool) of each text of the pool under bags of n-grams, (texts,) float64.

    Both are smoothed by adding `smoothing` of the mean count to every bucket. A sum over n-grams, as in DSIR: long texts
    go to extremes. Divide by their number of n-grams for a rate. Raises InputError if either side holds no n-gram.
    """
    if pool.buckets != target.buckets:
        raise InputError(
            f"{counted(pool.buckets, 'bucket')} in the pool, {target.buckets} in the target: one hashing is meant"
        )
    if not len(pool.bucket) or not len(target.bucket):
        raise InputError("the pool or the target holds no words at all: there is nothing to compare")
    logs = []
    for side in (target, pool):
        counts = side.totals()
        counts = counts + smoothing * counts.mean()
        logs.append(np.log(counts / counts.sum()))
    return pool.sums(logs[0] - logs[1])
