"""Memorisation and influence by hand, subset models, the scorer of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise import Head, influence, memorisation, subset_runs
from curate.scorers.noise.dynamics import memorisation as module
from curate.scorers.noise.dynamics.subsets import MemorisationScore
from curate.testing import score_all

INCLUDED = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
CORRECT = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])


def test_memorisation_by_hand() -> None:
    found = memorisation(CORRECT, INCLUDED)
    np.testing.assert_allclose(found.included, [1.0, 1.0, np.nan])
    np.testing.assert_allclose(found.excluded, [0.5, 0.5, 0.75])
    np.testing.assert_allclose(found.memorised, [0.5, 0.5, np.nan])
    # the two excluded runs gave 0 and 1: variance 1/4 of each, 1/8 of their mean
    np.testing.assert_allclose(found.error[:2], np.sqrt([0.125, 0.125]))


def test_influence_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    expected = [[0.5 - 0.5, 0.0 - 1.0], [1.0 - 0.0, 0.5 - 0.5], [np.nan, np.nan]]
    np.testing.assert_allclose(influence(tested, INCLUDED), expected)
    monkeypatch.setattr(module, "_BLOCK", 4)  # one row at a time
    np.testing.assert_allclose(influence(tested, INCLUDED), expected)


def test_bad_runs_are_refused() -> None:
    for correct, included, message in (
        (CORRECT, INCLUDED[:2], r"both \(runs, items\)"),
        (CORRECT[0], INCLUDED[0], r"both \(runs, items\)"),
        (CORRECT * np.nan, INCLUDED, "without NaN"),
        (CORRECT, INCLUDED * 2, "0 or 1"),
    ):
        with pytest.raises(InputError, match=message):
            memorisation(correct, included)
    with pytest.raises(InputError, match=r"\(T, m\)"):
        influence(CORRECT[:2], INCLUDED)


def test_nearest_neighbours_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(120, 4)), rng.integers(0, 3, 120)
    others, truth = rng.normal(size=(30, 4)), rng.integers(0, 3, 30)
    for share in (0.6, 0.03):  # at 0.03 none of the 40 nearest may be in
        found = subset_runs(x, labels, 3, runs=7, share=share, test=(others, truth))
        assert (found.included.sum(1) == round(share * 120)).all()
        scale = x.std(0)
        for run, inside in enumerate(found.included):
            rows = np.flatnonzero(inside)
            apart = (((np.vstack([x, others])[:, None] - x[rows]) / scale) ** 2).sum(2)
            right = labels[rows[apart.argmin(1)]] == np.concatenate([labels, truth])
            np.testing.assert_array_equal(found.correct[run], right[:120])
            np.testing.assert_array_equal(found.test_correct[run], right[120:])
    blocks = subset_runs(x, labels, 3, runs=7, share=0.6, test=(others, truth))
    monkeypatch.setattr(module, "_BLOCK", 1000)
    again = subset_runs(x, labels, 3, runs=7, share=0.6, test=(others, truth))
    np.testing.assert_array_equal(blocks.test_correct, again.test_correct)


def test_wrong_labels_are_memorised(planted: Any) -> None:
    runs = subset_runs(planted.x, planted.labels, 3, runs=60)
    found = memorisation(runs.correct, runs.included)
    assert (found.included == 1).all()  # the nearest neighbour of an item that is in is itself
    assert planted.auroc(-found.memorised) > 0.85  # 0.5 at random


@pytest.mark.parametrize("model", ["logistic-regression", "mlp"])
def test_other_models(planted: Any, model: Any) -> None:
    pytest.importorskip("sklearn" if model != "mlp" else "torch", reason="extra not installed")
    runs = subset_runs(planted.x, planted.labels, 3, runs=6, model=model, head=Head(epochs=5))
    found = memorisation(runs.correct, runs.included)
    assert planted.auroc(np.nan_to_num(found.excluded, nan=0.5)) > 0.8
    again = subset_runs(planted.x, planted.labels, 3, runs=6, model=model, head=Head(epochs=5))
    np.testing.assert_array_equal(runs.correct, again.correct)


def test_the_nearest_items_have_the_influence() -> None:
    x, labels = np.array([[0.0], [4.0], [5.0], [9.0], [9.1]]), np.array([0, 0, 1, 1, 1])
    runs = subset_runs(x, labels, 2, runs=200, share=0.6, test=(np.array([[5.1]]), np.array([1])))
    effect = influence(runs.test_correct, runs.included)[:, 0]
    assert effect.argmax() == 2 and effect[2] > 0.3  # right wherever it is in
    assert effect.argmin() == 1 and effect[1] < -0.3  # wrong where it is in and the other is not


def test_bad_input_is_refused(planted: Any) -> None:
    x, labels = planted.x, planted.labels
    for given, message in (
        ({"runs": 1}, "two runs"),
        ({"share": 1.0}, "share"),
        ({"share": 1e-6}, "share"),
        ({"model": "oracle"}, "'nearest', 'logistic-regression', 'mlp'"),
    ):
        with pytest.raises(InputError, match=message):
            subset_runs(x, labels, 3, **given)
    with pytest.raises(InputError, match=r"all \d+ labels are"):
        subset_runs(x, labels * 0, 3)


def test_the_scorer(planted: Any) -> None:
    view = planted.view()
    scored = score_all(MemorisationScore(runs=40), view)
    score = scored["memorisation"].to_numpy()
    assert planted.auroc(score) > 0.85
    excluded, included = (scored[f"memorisation_{k}"].to_numpy() for k in ("excluded", "included"))
    np.testing.assert_allclose(score, 1 - (included - excluded), atol=1e-6)
    for change in ({"runs": 50}, {"share": 0.4}, {"seed": 1}, {"model": "mlp", "epochs": 2}):
        assert not score_all(MemorisationScore(**{"runs": 4} | change), view).equals(
            score_all(MemorisationScore(runs=4), view)
        ), change
    epochs = [score_all(MemorisationScore(runs=3, model="mlp", epochs=e), view) for e in (1, 4)]
    assert not epochs[0].equals(epochs[1])
    few = score_all(MemorisationScore(runs=2), view)
    reasons = few["memorisation_reason"].drop_null().to_pylist()
    assert reasons and set(reasons) == {"in all 2 runs or in none: ask for more runs"}
    assert few["memorisation_included"].null_count == len(reasons)
    for wrong in ({"runs": 1}, {"share": 0.0}):
        with pytest.raises(InputError, match="memorisation: "):
            MemorisationScore(**wrong)
