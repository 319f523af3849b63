"""How evenly items are spread over classes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["Balance", "class_balance"]


class Balance(NamedTuple):
    """`effective`: how many equally large classes would be as uneven, exp of the entropy, 1 to k. `ratio`: items of the
    largest class for one of the smallest, infinite where a class is empty. `rarest`: the smallest class's share, as a
    multiple of the even share 1 / k."""

    effective: float
    ratio: float
    rarest: float


def class_balance(counts: npt.NDArray[Any]) -> Balance:
    """How evenly `counts` (k,) items are spread over k classes. Raises InputError for no items or negative counts."""
    counts = np.asarray(counts, float)
    if counts.ndim != 1 or not len(counts) or (counts < 0).any() or not counts.sum() > 0:
        raise InputError(f"counts per class {counts.tolist()!r:.80}: non-negative, and at least one item")
    share = counts[counts > 0] / counts.sum()
    effective = float(np.exp(-(share * np.log(share)).sum()))
    ratio = float(counts.max() / counts.min()) if counts.min() else float("inf")
    return Balance(effective, ratio, float(counts.min() / counts.sum() * len(counts)))
