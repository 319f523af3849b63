"""Each row's given label and its strongest rivals: all that a decision about the label needs, of any number of classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["WIDTH", "Rivals", "blocks", "find_rivals"]

WIDTH = 16
"""Up to so many classes, every class is a rival."""
KEPT = 6
"""With more classes: the given label and the five most probable others. What comes after has next to no chance."""
CELLS = 1 << 17
"""Probabilities worked on at a time: 0.5 MB of float32, of which a few copies stay in the cache of a core."""
_TINY = np.float32(1e-12)


class Rivals(NamedTuple):
    """`classes` (w, n) int32, the given label in row 0; `log` (w, n) float32 log-probabilities of these classes.

    An item is a column: sums and maxima over its classes then run along memory.
    """

    classes: npt.NDArray[np.int32]
    log: npt.NDArray[np.float32]

    @property
    def items(self) -> int:
        """How many."""
        return len(self.log.T)

    def take(self, items: npt.NDArray[np.int64]) -> Rivals:
        """These items."""
        return Rivals(np.take(self.classes, items, 1), np.take(self.log, items, 1))


def blocks(rows: int, classes: int) -> Iterator[slice]:
    """Slices of rows that keep memory bounded."""
    step = max(1, CELLS // classes)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def find_rivals(probs: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> Rivals:
    """The given label and its rivals, the most probable first (with up to 16 classes: all others, in their order).

    `probs` (n, k) float, `labels` (n,) in 0 ... k - 1. A probability below 1e-12 counts as 1e-12. Ties go to the class
    that comes first. Works on a copy: hand it blocks.
    """
    n, k = probs.shape
    item = np.arange(n)
    if k <= WIDTH:
        index = np.repeat(np.arange(k, dtype=np.int32)[:, None], n, 1)
        index[labels, item] = 0
        index[0] = labels
        values = probs[item, index].astype(np.float32)
        return Rivals(index, np.log(np.maximum(values, _TINY)))
    probs = np.asarray(probs, np.float32)
    rest, first = probs.copy(), item * k
    flat, at, best = rest.reshape(-1), np.empty((KEPT, n), np.int64), labels
    for place in range(KEPT):
        np.add(first, best, out=at[place])
        flat[at[place]] = -1
        best = rest.argmax(1) if place + 1 < KEPT else best
    return Rivals((at - first).astype(np.int32), np.log(np.maximum(np.take(probs, at), _TINY)))
