"""Generators, seeds, and budgets that come as NumPy numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.choosing import capacity, cost_budget, generator
from curate.contracts import resolve_budget
from curate.errors import InputError
from curate.selectors.coreset import herding
from curate.selectors.pursuit import pursue


def test_a_seed_means_its_generator() -> None:
    drawn = np.random.default_rng(7).integers(1 << 40)
    assert generator(7).integers(1 << 40) == generator(np.int64(7)).integers(1 << 40) == drawn
    assert generator(None).integers(1 << 40) == generator(0).integers(1 << 40)
    given = np.random.default_rng(3)
    assert generator(given) is given


@pytest.mark.parametrize("wrong", [-1, 1.5, "0", True, np.random.RandomState(0)])
def test_what_is_no_generator_is_named(wrong: Any) -> None:
    with pytest.raises(InputError, match="a numpy Generator"):
        generator(wrong)


def test_selectors_take_seeds() -> None:
    x = np.random.default_rng(0).standard_normal((30, 4))
    seeded, given = herding(x, 5, rng=2), herding(x, 5, rng=np.random.default_rng(2))
    assert seeded.random == given.random
    seeded, given = pursue(x, x[0], 5, rng=2), pursue(x, x[0], 5, rng=np.random.default_rng(2))
    assert seeded.random == given.random
    with pytest.raises(InputError, match="a numpy Generator"):
        pursue(x, x[0], 5, rng="2")  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [np.float16(0.25), np.float32(0.25), np.float64(0.25)])
def test_fractions_of_any_precision_are_fractions(share: Any) -> None:
    assert resolve_budget(share, 40) == 10
    assert capacity(share, 40, 5, "what it takes") == 5  # a fraction stops at what is there
    assert cost_budget(share, 8.0) == 2.0


def test_a_count_of_any_width_is_a_plain_integer() -> None:
    assert type(resolve_budget(np.int16(5), 40)) is int  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is not a count"):
        resolve_budget([5], 40)  # type: ignore[arg-type]
