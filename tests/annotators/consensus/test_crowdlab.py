"""CROWDLAB: parity with cleanlab on simulated crowds, and what does not fit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curate.annotators.consensus import aggregate, crowdlab, read_answers
from curate.errors import InputError


def crowd(n: int, w: int, each: int, k: int, seed: int) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Answers, a model's probabilities, the truth; between 1 and `each` answers an item."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    skill = rng.uniform(0.4, 0.95, w)
    rows = []
    for i in range(n):
        for a in rng.choice(w, rng.integers(1, each + 1), replace=False):
            right = rng.random() < skill[a]
            rows.append((i, int(a), int(truth[i] if right else rng.integers(0, k))))
    probs = rng.dirichlet(np.ones(k), n) * 0.5
    probs[np.arange(n), truth] += 0.5
    return pl.DataFrame(rows, ["item", "annotator", "value"], orient="row"), probs, truth


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_cleanlabs(seed: int) -> None:
    multi = pytest.importorskip("cleanlab.multiannotator", reason="extra noise not installed")
    answers, probs, _ = crowd(150, 12, 5, 3, seed)
    read = read_answers(answers)
    dense = np.full((150, len(read.annotators)), np.nan)
    dense[read.item, read.annotator] = read.value
    theirs = multi.get_label_quality_multiannotator(dense, probs, verbose=False, return_weights=True)
    ours = crowdlab(answers, probs, posterior=True)
    table = theirs["label_quality"].sort_index()
    np.testing.assert_array_equal(ours.value, table["consensus_label"])
    np.testing.assert_allclose(ours.probability, table["consensus_quality_score"], rtol=1e-9)
    assert ours.posterior is not None
    np.testing.assert_allclose(ours.posterior.sum(1), 1, rtol=1e-5)


def test_a_model_by_hand() -> None:
    # two annotators agree on items 0 and 1 and not on 2; two values
    answers = {"item": [0, 0, 1, 1, 2, 2], "annotator": ["x", "y"] * 3, "value": [0, 0, 1, 1, 0, 1]}
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    found = crowdlab(answers, probs)
    # majority, tie by the model: 0 1 1. agreement 2/3 each; modal error 1/3, so both weigh the least, 1e-6;
    # the model errs nowhere: weight 1 * sqrt(2). The result is the model's.
    np.testing.assert_allclose(found.probability, [0.9, 0.8, 0.7], atol=1e-5)
    assert found.value.tolist() == [0, 1, 1]
    assert found.quality.tolist() == pytest.approx([2 / 3, 2 / 3])


def test_a_good_model_helps_and_rows_are_matched_by_item() -> None:
    answers, probs, truth = crowd(300, 10, 3, 3, 7)
    settled = aggregate(answers, "crowdlab", model=probs)
    alone = aggregate(answers, "majority")
    assert (settled["value"].to_numpy() == truth).mean() > (alone["value"].to_numpy() == truth).mean()
    order = np.random.default_rng(0).permutation(300)
    assert aggregate(answers, "crowdlab", model=probs[order], items=order).equals(settled)


def test_what_does_not_fit_is_said() -> None:
    answers = {"item": ["a", "a", "b"], "annotator": [1, 2, 1], "value": ["x", "y", "x"]}
    good = np.array([[0.5, 0.5], [0.9, 0.1]])
    with pytest.raises(InputError, match=r"shape \(2, 3\), the answers have 2 values"):
        crowdlab(answers, np.ones((2, 3)) / 3)
    with pytest.raises(InputError, match="3 rows for 2 items"):
        crowdlab(answers, np.vstack([good, good[:1]]))
    with pytest.raises(InputError, match="no probabilities for 1 item: 'b'"):
        crowdlab(answers, good[:1], items=["a"])
    with pytest.raises(InputError, match=r"are no distribution .* items 'b'"):
        crowdlab(answers, np.array([[0.5, 0.5], [0.9, 0.9]]))
    with pytest.raises(InputError, match="no item has two answers"):
        crowdlab({"item": ["a", "b"], "annotator": [1, 1], "value": ["x", "y"]}, good)
    wider = read_answers(answers, values=["x", "y", "z"])
    assert crowdlab(wider, np.array([[0.2, 0.2, 0.6], [0.9, 0.05, 0.05]])).value.tolist()[1] == 0
