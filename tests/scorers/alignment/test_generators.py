"""Generators ranked: by hand, by planted differences, and what pairing by prompt buys."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.alignment.generators import GeneratorRanking, rank_generators
from curate.testing import ArrayView, check_analysis


def planted(prompts: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three generators on the same prompts; prompts differ much, generators little."""
    rng = np.random.default_rng(0)
    hard = 3 * rng.normal(size=prompts)
    skill = np.array([0.6, 0.3, 0.25])
    scores = hard[:, None] + skill + 0.2 * rng.normal(size=(prompts, 3))
    names = np.tile(["good", "fair", "also fair"], prompts)
    return scores.ravel(), names, np.repeat(np.arange(prompts), 3)


def test_means_and_order_by_hand() -> None:
    found = rank_generators([1, 2, 5, 6, np.nan], ["b", "b", "a", "a", "b"], resamples=50)
    assert found.names == ("a", "b")
    assert found.mean.tolist() == [5.5, 1.5]
    assert found.items.tolist() == [2, 2]
    assert found.better[0, 1] == 1
    assert found.best_rank.tolist() == found.worst_rank.tolist() == [1, 2]


def test_ties_go_by_name() -> None:
    assert rank_generators([1, 1, 1, 1], ["b", "a", "b", "a"], resamples=50).names == ("a", "b")


def test_pairing_by_prompt_finds_what_single_items_do_not() -> None:
    scores, names, prompts = planted()
    paired = rank_generators(scores, names, prompts=prompts, resamples=500)
    single = rank_generators(scores, names, resamples=500)
    assert paired.names[0] == single.names[0] == "good"
    assert paired.p[0, 1] < 0.05 < single.p[0, 1]
    assert paired.p[1, 2] > 0.05 or paired.better[1, 2] > 0.95
    assert np.allclose(paired.better + paired.better.T, 1)
    assert np.allclose(paired.p, paired.p.T)
    assert ((paired.low < paired.mean) & (paired.mean < paired.high)).all()


def test_equal_generators_are_not_told_apart() -> None:
    rng = np.random.default_rng(0)
    found = rank_generators(rng.normal(size=400), np.tile(list("abcd"), 100), resamples=300)
    assert (found.p[np.triu_indices(4, 1)] > 0.05).all()
    assert found.worst_rank[0] > 1


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="takes two"):
        rank_generators([1, 2], ["a", "a"])
    with pytest.raises(InputError, match="one of each"):
        rank_generators([1, 2], ["a"])
    with pytest.raises(InputError, match="resamples"):
        rank_generators([1, 2], ["a", "b"], resamples=1)
    with pytest.raises(InputError, match="resamples"):
        GeneratorRanking("s", "g", resamples=1)


def test_the_analysis() -> None:
    scores, names, prompts = planted()
    n = len(scores)
    view = ArrayView(
        {
            "id": [f"{i:03d}" for i in range(n)],
            "s": [None, *scores[1:]],
            "model": [*names[:-1], None],
            "prompt": [str(p) for p in prompts],
        }
    )
    found = check_analysis(GeneratorRanking("s * 2", "model", "prompt", resamples=200), view)
    assert found.summary.startswith("good comes first of 3 generators by s * 2")
    assert "holds" in found.summary
    table = found.findings[0].table
    assert table is not None
    assert dict(zip(*(table[c].to_pylist() for c in ("generator", "items")), strict=True)) == {
        "good": 59,
        "fair": 60,
        "also fair": 59,
    }
    loose = check_analysis(GeneratorRanking("s", "model", resamples=200, seed=1), view)
    assert "chance" in loose.summary
