"""Soft-cap sampling: probabilities, penalties, caps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.choosing import Constraints
from curate.errors import InputError
from curate.selectors.pursuit import soft_cap


def counts(n: int, chosen: Any) -> np.ndarray[Any, Any]:
    out = np.zeros(n)
    out[chosen.index] = chosen.weight
    return out


def test_without_a_penalty_draws_follow_the_softmax() -> None:
    score = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    total = np.zeros(4)
    for seed in range(40):
        drawn = soft_cap(score, 4, rng=np.random.default_rng(seed), penalty=0.0, batch=1)
        assert drawn.weight.sum() == 4 and drawn.weight.dtype == np.float32
        total += counts(4, drawn)
    # multinomial, 160 draws: four standard deviations
    assert np.abs(total / 160 - [0.5, 0.3, 0.15, 0.05]).max() < 4 * np.sqrt(0.25 / 160)


def test_a_penalty_evens_and_a_cap_bounds() -> None:
    score = np.array([10.0, 5.0, 0.0, 0.0, -5.0])
    sure = soft_cap(score, 5, temperature=1e-6, penalty=4.9, batch=1)
    # 10, 5.1, 5.0, 0.2, 0.1: the first thrice, the second twice
    assert sure.index.tolist() == [0, 1] and sure.weight.tolist() == [3, 2]
    assert sure.gain.tolist() == [10, 5]
    assert sure.random == pytest.approx({"objective": 8.0, "random": 2.0})
    capped = soft_cap(score, 5, temperature=1e-6, penalty=0.0, cap=2, batch=1)
    assert counts(5, capped).tolist()[:2] == [2, 2] and len(capped) == 3
    assert sorted(soft_cap(score, 5, cap=1).index) == [0, 1, 2, 3, 4]
    # a batch holds an item once only
    assert soft_cap(score, 3, temperature=1e-6, penalty=0.0, batch=3).weight.tolist() == [1, 1, 1]


def test_constraints() -> None:
    score = np.array([9.0, 8, 7, 1, 0, 0])
    within = Constraints(mandatory=np.array([5]), forbidden=np.array([0]))
    drawn = soft_cap(score, 4, temperature=1e-6, penalty=100.0, batch=1, within=within)
    assert drawn.index.tolist() == [5, 1, 2, 3]
    halves = soft_cap(
        score,
        4,
        temperature=1e-6,
        penalty=0.0,
        batch=1,
        within=Constraints(group=np.array([0, 0, 0, 1, 1, 1])),
    )
    assert counts(6, halves).tolist() == [2, 0, 0, 2, 0, 0]
    with pytest.raises(InputError, match="costs"):
        soft_cap(score, 4, within=Constraints(cost=np.full(6, 2.0)))
    with pytest.raises(InputError, match="cap of 1"):
        soft_cap(
            score, 5, cap=1, within=Constraints(group=np.array([0, 0, 0, 0, 0, 1]), quota=np.array([3, 2]))
        )


@pytest.mark.parametrize(
    "how", [{"temperature": 0.0}, {"penalty": -1.0}, {"cap": 0}, {"batch": 0}, {"temperature": float("nan")}]
)
def test_parameters_out_of_range(how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="temperature"):
        soft_cap(np.ones(4), 2, **how)


@pytest.mark.parametrize("score", [np.array([1.0, np.nan]), np.ones((2, 2))])
def test_scores_that_cannot_be_used(score: np.ndarray[Any, Any]) -> None:
    with pytest.raises(InputError, match="finite number"):
        soft_cap(score, 1)
