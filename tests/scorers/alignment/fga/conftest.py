"""A small BLIP-2 with random weights large enough that scores differ, its tokenizer, and pictures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share a reference


@pytest.fixture(scope="session")
def blip2(save_blip2: Callable[..., Path]) -> Path:
    return save_blip2()


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Six pictures of 40 x 30 pixels, uint8."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 3, 4, 3), dtype=np.uint8)
    return [np.kron(one, np.ones((10, 10, 1), np.uint8)) for one in coarse]
