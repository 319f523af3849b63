"""Intervals for shares, and what a normal quantile is without another package."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["wilson"]

Floats = npt.NDArray[np.float64]


def wilson(right: Any, total: Any, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Wilson's interval for a share `right / total`, each may be fractional; 0 to 1 where `total` is 0."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    n = np.asarray(total, np.float64)
    safe = np.maximum(n, 1e-12)
    share = np.asarray(right, np.float64) / safe
    centre = (share + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z * np.sqrt(share * (1 - share) / safe + z * z / (4 * safe * safe)) / (1 + z * z / safe)
    low = np.where(n > 0, np.clip(centre - half, 0, 1), 0.0)
    high = np.where(n > 0, np.clip(centre + half, 0, 1), 1.0)
    return low, high
