"""The lowest of many values that lie in pieces: how far up each piece must look, told by a few of its values alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ceilings", "places_to_ask"]

Ints = npt.NDArray[np.int64]
Values = npt.NDArray[Any]


def places_to_ask(wanted: Ints, pieces: int) -> Ints:
    """Of each number (c,) a share that is half of what one of so many pieces may have, twice that, ... and all of it, (c, h)
    ascending, at least 1: whether a group lies in all pieces or in one, its values at these places tell where to cut."""
    powers = np.arange((2 * pieces).bit_length() if pieces > 1 else 1)[::-1]
    places: Ints = np.maximum(-(-wanted[:, None] >> powers), 1)
    return places


def ceilings(heads: Sequence[Values], places: Ints, wanted: Ints) -> Values:
    """For each group (c,) a value that at least `wanted` of all have or are below, and not many more.

    `heads` has of each piece its values (c, h) at these `places` of each group (1 is the lowest), and the highest value that
    there can be where the group has fewer rows there.
    """
    found = np.empty(len(places), np.result_type(*heads))
    step = max(1, (1 << 22) // (len(heads) * places.shape[1]))
    for low in range(0, len(found), step):
        block = slice(low, low + step)
        values = np.concatenate([one[block] for one in heads], axis=1)
        # how many rows more each value says there are
        more = np.tile(np.diff(places[block], axis=1, prepend=0), len(heads))
        order = np.argsort(values, axis=1)
        enough = np.cumsum(np.take_along_axis(more, order, 1), axis=1) >= wanted[block, None]
        last = np.where(enough.any(1), enough.argmax(1), values.shape[1] - 1)
        found[block] = np.take_along_axis(values, np.take_along_axis(order, last[:, None], 1), 1)[:, 0]
    return found
