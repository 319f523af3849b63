"""Chance that can be repeated."""

from __future__ import annotations

import numpy as np

from curate.errors import InputError

__all__ = ["Rng", "generator", "read_seed"]

Rng = np.random.Generator | int | None
"""A generator, a seed of one, or None for the seed 0."""


def generator(rng: Rng, what: str = "rng") -> np.random.Generator:
    """The generator that is meant. Raises InputError, which calls it `what`, for what is neither a generator nor a seed, a whole
    number from 0 on."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng(0)
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise InputError(
        f"{what} {rng!r}: a numpy Generator (np.random.default_rng(0)), a seed from 0 on, or None is meant"
    )


def read_seed(seed: object) -> int:
    """A seed as Python's number. Raises InputError for what is no whole number from 0 on."""
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0:
        return int(seed)
    raise InputError(f"seed {seed!r}: a whole number from 0 on is meant")
