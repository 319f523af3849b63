"""The geometry of a histogram: edges, counts and ticks, from plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 40

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Spread:
    """What must be known of a column before it can be binned; `low`/`high` are the 0.1 % and 99.9 % quantiles.

    Infinite values and NaN count as `nulls`, not as values. `whole` says that the column holds integers.
    """

    values: int
    nulls: int
    smallest: float
    low: float
    median: float
    high: float
    largest: float
    whole: bool = False


def choose_edges(
    spread: Spread, thresholds: Sequence[float] = (), bins: int = BINS
) -> npt.NDArray[np.float64]:
    """`bins` + 1 increasing edges over the range of the values.

    A few integers get a bin each, centred on them. Where the middle 99.8 % span less than a quarter of the range, the
    drawn range is theirs, so that one outlier does not hide everything else. A threshold within half a range of the
    values widens the drawn range to it.
    """
    low, high = spread.smallest, spread.largest
    if spread.whole and high - low < bins:
        low, high = _reach(low, high, thresholds)
        low, high = math.floor(low), math.ceil(high)
        if high - low < 1.5 * bins:
            return np.arange(low, high + 2, dtype=np.float64) - 0.5
    if high > low and 0 < spread.high - spread.low < 0.25 * (high - low):
        low, high = spread.low, spread.high
    if high <= low:
        margin = max(abs(low) * 0.05, 0.5)
        low, high = low - margin, high + margin
    low, high = _reach(low, high, thresholds)
    inside = [t for t in thresholds if low <= t <= high]
    if not inside:
        return np.linspace(low, high, bins + 1)
    # One edge lies on the first threshold, so that no bin is kept by half.
    width = (high - low) / (bins - 1)
    before = math.ceil((inside[0] - low) / width)
    edges: npt.NDArray[np.float64] = inside[0] + width * np.arange(
        -before, bins + 1 - before, dtype=np.float64
    )
    return edges


def _reach(low: float, high: float, thresholds: Sequence[float]) -> tuple[float, float]:
    room = (high - low) / 2 or max(abs(low) * 0.5, 1.0)
    near = [t for t in thresholds if low - room <= t <= high + room]
    return min([low, *near]), max([high, *near])


def count_into(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> Counts:
    """Finite values per bin; what lies outside is counted in the first or last bin."""
    inside = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
    counts, _ = np.histogram(inside, edges)
    return counts.astype(np.int64)


def choose_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers (1, 2 or 5 times a power of ten apart) within [low, high]."""
    if not high > low:
        return [low]
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20):
        first, last = math.ceil(low / (step * factor) - 1e-9), math.floor(high / (step * factor) + 1e-9)
        if last - first + 1 <= most:
            return [float(f"{k * step * factor:.12g}") for k in range(first, last + 1)]
    return [low, high]
