"""What a selection will take, before it is made: one way of counting for all selectors."""

from __future__ import annotations

__all__ = ["effort"]

_PRODUCTS = 4e10
"""Multiplications (each with an addition) a second in matrix products, on one core."""
_TOUCHED = 1e9
"""Numbers a second in compiled loops and in passes through memory."""


def effort(*, products: float = 0.0, touched: float = 0.0, held: float = 0.0) -> dict[str, float]:
    """`{"seconds": ..., "bytes": ...}` as `Selector.estimate` gives them, for one core and within a factor of about two.

    `products` multiplications in matrix products; `touched` numbers that a loop looks at one by one, or reads from memory
    for a single use; `held` bytes held at the most beyond the store's own.
    """
    return {"seconds": 0.5 + products / _PRODUCTS + touched / _TOUCHED, "bytes": held}
