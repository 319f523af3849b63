"""Compiled loops."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from curate.errors import require

__all__ = ["compiled"]


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, kept on disk from run to run. Sums may be taken in another order than written.

    Raises MissingExtraError where numba is not installed.
    """
    numba: Any = require("numba", "select")
    return numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "nnan"})(function)  # type: ignore[no-any-return]
