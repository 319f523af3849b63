"""Generators, seeds, and budgets that come as NumPy numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.annotators.consensus import aggregate, agreement
from curate.choosing import generator
from curate.errors import InputError
from curate.scorers.noise import label_errors, out_of_fold_probabilities, threshold_samples
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


def test_functions_that_take_a_seed_name_it() -> None:
    probs, labels = np.full((20, 2), 0.5), np.arange(20) % 2
    answers = {"item": ["a", "a", "b", "b"], "annotator": ["x", "y"] * 2, "value": [1, 1, 2, 1]}
    for call in (
        lambda: label_errors(probs, labels, seed=-1),
        lambda: aggregate(answers, "mace", seed=-1),
        lambda: agreement(answers, seed=-1),
        lambda: out_of_fold_probabilities(np.eye(20), labels, seed=-1),
        lambda: threshold_samples(labels, 2, seed=-1),
    ):
        with pytest.raises(InputError, match="seed -1: "):
            call()


@pytest.mark.parametrize("wrong", [-1, True, None, 2.5, "3"])
def test_a_store_is_opened_with_a_seed_that_can_be_kept(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seed .*: a whole number from 0 on"):
        curate.open(tmp_path / "s.curate", create=True, seed=wrong)
    with curate.open(tmp_path / "s.curate", create=True, seed=np.int64(3)) as store:
        store.add([{"id": "a", "text": "one", "label": "x"}], kind="label")
        assert store.select("random", budget=1, name="r").info.seed == 3


def test_selectors_take_seeds() -> None:
    x = np.random.default_rng(0).standard_normal((30, 4))
    seeded, given = herding(x, 5, rng=2), herding(x, 5, rng=np.random.default_rng(2))
    assert seeded.random == given.random
    seeded, given = pursue(x, x[0], 5, rng=2), pursue(x, x[0], 5, rng=np.random.default_rng(2))
    assert seeded.random == given.random
    with pytest.raises(InputError, match="a numpy Generator"):
        pursue(x, x[0], 5, rng="2")  # type: ignore[arg-type]
