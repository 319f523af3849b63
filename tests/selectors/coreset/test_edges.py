"""What every function of this folder answers where there is little to choose from, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from curate.choosing import Constraints
from curate.contracts import Selection
from curate.errors import InputError
from curate.selectors import coreset

pytest.importorskip("numba")

FUNCTIONS: dict[str, Callable[..., Selection]] = {
    name: getattr(coreset, name)
    for name in (
        "craig",
        "facility_location",
        "grad_match",
        "graph_cut",
        "herding",
        "k_center",
        "moderate",
        "prototypes",
        "semdedup",
    )
}
FUNCTIONS["d2"] = lambda x, k, **more: coreset.d2(x, np.ones(len(x)), k, **more)
FUNCTIONS["query"] = lambda x, k, **more: coreset.query(x, np.ones(len(x)), k, **more)
FUNCTIONS["ccs"] = lambda x, k, **more: coreset.ccs(x[:, 0], k, **more)
FUNCTIONS["hardest"] = lambda x, k, **more: coreset.hardest(x[:, 0], k, **more)

every = pytest.mark.parametrize("choose", FUNCTIONS.values(), ids=FUNCTIONS)


def check(chosen: Selection, n: int, k: int) -> None:
    assert chosen.index.dtype == np.int64 and len(np.unique(chosen.index)) == len(chosen) == k
    assert chosen.index.min() >= 0 and chosen.index.max() < n
    assert chosen.weight is not None and chosen.weight.dtype == np.float32
    assert (chosen.weight > 0).all() and chosen.weight.mean() == pytest.approx(1, rel=1e-4)
    assert chosen.gain is None or (chosen.gain.dtype == np.float32 and np.isfinite(chosen.gain).all())
    assert np.isfinite(list(chosen.random.values())).all() and chosen.seconds is not None


@every
def test_one_item_all_items_and_a_fraction(choose: Any) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3)) + 2
    check(choose(x[:1], 1), 1, 1)
    check(choose(x, 20), 20, 20)
    check(choose(x, 0.25), 20, 5)
    check(choose(x, "10%"), 20, 2)


@every
def test_identical_items(choose: Any) -> None:
    k = len(choose(np.ones((6, 2)), 4))
    check(choose(np.ones((6, 2)), 4), 6, k)
    assert k == 4 or choose is FUNCTIONS["grad_match"]


@every
def test_integers_and_half_precision_are_numbers(choose: Any) -> None:
    x = np.random.default_rng(0).integers(1, 9, (12, 3))
    assert choose(x, 4).index.tolist() == choose(x.astype(np.float32), 4).index.tolist()
    assert choose(x.astype(np.float16), 4).index.tolist() == choose(x, 4).index.tolist()


@every
@pytest.mark.parametrize("budget", [0, -1, 21, 1.5, "many", None, True])
def test_budgets_out_of_range(choose: Any, budget: Any) -> None:
    with pytest.raises(InputError, match="budget"):
        choose(np.random.default_rng(0).standard_normal((20, 3)), budget)


@every
def test_mandatory_and_forbidden_rows_clash(choose: Any) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    with pytest.raises(InputError, match="both mandatory and forbidden, as 3"):
        choose(x, 5, within=Constraints(np.array([3]), np.array([3, 4])))
    with pytest.raises(InputError, match="mandatory rows take 3 and the budget is 2"):
        choose(x, 2, within=Constraints(np.arange(3)))


@every
def test_the_same_generator_gives_the_same_choice(choose: Any) -> None:
    x = np.random.default_rng(0).standard_normal((50, 3)) + 1
    one, other = (choose(x, 10, rng=np.random.default_rng(5)) for _ in range(2))
    assert one.index.tolist() == other.index.tolist() and one.random == other.random


@every
def test_values_that_are_not_finite(choose: Any) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    x[4] = np.nan
    with pytest.raises(InputError):
        choose(x, 5)
