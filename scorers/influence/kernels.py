"""Inner loops, written as plain functions and compiled by numba when first used: importing this costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import require

__all__ = ["LANES", "compiled", "dots_of_bytes", "dots_of_bytes_by_three", "draw_signs", "sketch"]

LANES = 16
"""Gradients that are taken side by side: a bucket of sixteen float32 is one cache line."""

Floats = npt.NDArray[np.float32]


@cache
def compiled(kernel: Callable[..., Any], reorder: bool = False) -> Callable[..., Any]:
    """The kernel in machine code, kept on disk for the next process. Raises MissingExtraError without `select`.

    `reorder` lets sums be taken in another order than written, several at a time; a kernel is always asked for in one way.
    It lets go of Python's lock while it runs: threads may share the work.
    """
    numba: Any = require("numba", "select")
    freely = {"reassoc", "contract"} if reorder else False  # NaN must stay NaN
    fast: Callable[..., Any] = numba.njit(kernel, nogil=True, cache=True, fastmath=freely)
    return fast


def sketch(block: Floats, offset: int, key: np.uint64, sums: Floats) -> None:
    """Add a block of coordinates of some gradients to their CountSketches.

    `block` (n, w) are the coordinates `offset` ... `offset + w` of n gradients; `sums` (ceil(n / 16), dim, 16) is what
    they are added to. Coordinates are hashed (splitmix64 of their number) as they come: no table of signs and buckets
    is ever held. Gradients are turned so that sixteen lie side by side, and a bucket is one line of the cache.
    """
    n, p = block.shape
    groups, dim = sums.shape[0], sums.shape[1]
    tile = 256
    bucket = np.empty(tile, np.int64)
    sign = np.empty(tile, np.float32)
    turned = np.zeros((tile, 16), np.float32)
    for low in range(0, p, tile):
        width = min(tile, p - low)
        for j in range(width):
            z = np.uint64(offset + low + j) * np.uint64(0x9E3779B97F4A7C15) + key
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            bucket[j] = np.int64(((z >> np.uint64(32)) * np.uint64(dim)) >> np.uint64(32))
            sign[j] = np.float32(1) - np.float32(2) * np.float32(z & np.uint64(1))
        for g in range(groups):
            rows = min(16, n - g * 16)
            for r in range(16):
                if r < rows:
                    for j in range(width):
                        turned[j, r] = block[g * 16 + r, low + j] * sign[j]
                else:
                    for j in range(width):
                        turned[j, r] = np.float32(0)
            for j in range(width):
                b = bucket[j]
                for r in range(16):
                    sums[g, b, r] += turned[j, r]


def draw_signs(offset: int, key: np.uint64, signs: Floats) -> None:
    """Fill `signs` (w, dim), dim a multiple of 64, with -1 and 1: row j belongs to coordinate `offset + j`."""
    width, dim = signs.shape
    words = dim // 64
    for j in range(width):
        for word in range(words):
            z = np.uint64((offset + j) * words + word) * np.uint64(0x9E3779B97F4A7C15) + key
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            for bit in range(64):
                one = (z >> np.uint64(bit)) & np.uint64(1)
                signs[j, word * 64 + bit] = np.float32(1) - np.float32(2) * np.float32(one)


def dots_of_bytes(codes: npt.NDArray[np.int8], scales: Floats, queries: Floats, out: Floats) -> None:
    """Products of rows of bytes with a few queries, at the speed of reading: `out` (n, m).

    `codes` (n, t, d) int8, of which each (n, t) block is multiplied by `scales`; `queries` (m, t, d). Four rows are read
    side by side: one alone is a single stream, which waits for memory.
    """
    n, t, d = codes.shape
    for i in range(0, n, 4):
        i1, i2, i3 = min(i + 1, n - 1), min(i + 2, n - 1), min(i + 3, n - 1)
        for j in range(queries.shape[0]):
            s0, s1, s2, s3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for c in range(t):
                query = queries[j, c]
                r0, r1, r2, r3 = codes[i, c], codes[i1, c], codes[i2, c], codes[i3, c]
                a0, a1, a2, a3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
                for k in range(d):
                    a0 += np.float32(r0[k]) * query[k]
                    a1 += np.float32(r1[k]) * query[k]
                    a2 += np.float32(r2[k]) * query[k]
                    a3 += np.float32(r3[k]) * query[k]
                s0 += a0 * scales[i, c]
                s1 += a1 * scales[i1, c]
                s2 += a2 * scales[i2, c]
                s3 += a3 * scales[i3, c]
            out[i, j], out[i1, j], out[i2, j], out[i3, j] = s0, s1, s2, s3


def dots_of_bytes_by_three(codes: npt.NDArray[np.int8], scales: Floats, queries: Floats, out: Floats) -> None:
    """The same for more queries: four rows with three queries at a time, so that a byte is made a float once for three, and
    twelve sums are under way at once."""
    n, t, d = codes.shape
    m = queries.shape[0]
    sums = np.empty(12, np.float32)
    for first in range(0, n, 4):
        i = (first, min(first + 1, n - 1), min(first + 2, n - 1), min(first + 3, n - 1))
        for query in range(0, m, 3):
            j = (query, min(query + 1, m - 1), min(query + 2, m - 1))
            sums[:] = 0
            for c in range(t):
                r0, r1, r2, r3 = codes[i[0], c], codes[i[1], c], codes[i[2], c], codes[i[3], c]
                q0, q1, q2 = queries[j[0], c], queries[j[1], c], queries[j[2], c]
                a0 = a1 = a2 = b0 = b1 = b2 = np.float32(0)
                c0 = c1 = c2 = d0 = d1 = d2 = np.float32(0)
                for k in range(d):
                    x0, x1, x2, x3 = (
                        np.float32(r0[k]),
                        np.float32(r1[k]),
                        np.float32(r2[k]),
                        np.float32(r3[k]),
                    )
                    y0, y1, y2 = q0[k], q1[k], q2[k]
                    a0 += x0 * y0
                    a1 += x0 * y1
                    a2 += x0 * y2
                    b0 += x1 * y0
                    b1 += x1 * y1
                    b2 += x1 * y2
                    c0 += x2 * y0
                    c1 += x2 * y1
                    c2 += x2 * y2
                    d0 += x3 * y0
                    d1 += x3 * y1
                    d2 += x3 * y2
                found = (a0, a1, a2, b0, b1, b2, c0, c1, c2, d0, d1, d2)
                for e in range(12):
                    sums[e] += found[e] * scales[i[e // 3], c]
            for e in range(12):
                out[i[e // 3], j[e % 3]] = sums[e]
