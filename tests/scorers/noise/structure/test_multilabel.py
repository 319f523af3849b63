"""`multilabel-errors`: parity with cleanlab on every label, by hand, planted errors, sets that cannot be read."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from curate.errors import InputError, SchemaError
from curate.scorers.noise.structure.binary import (
    BinaryFilter,
    binary_issues,
    binary_thresholds,
    exponential_average,
)
from curate.scorers.noise.structure.multilabel import MultilabelErrors, multilabel_errors
from curate.testing import ArrayView, check_scorer, score_all

NAMES = ["cat", "dog", "eel", "fox"]


def planted(n: int = 300, wrong: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, given labels and where these were flipped; the last label is rare."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.05]
    probs = np.clip(truth * 0.6 + 0.2 + rng.normal(0, 0.09, (n, 4)), 0.001, 0.999)
    flipped = np.zeros((n, 4), bool)
    flipped.flat[rng.choice(4 * n, wrong, replace=False)] = True
    return probs, truth ^ flipped, flipped


def view_of(probs: np.ndarray, given: np.ndarray) -> ArrayView:
    sets = [[NAMES[j] for j in np.flatnonzero(row)] for row in given]
    table = {"id": [f"{i:04d}" for i in range(len(given))], "label": pa.array(sets, pa.list_(pa.string()))}
    return ArrayView(table, {"label_probs": probs})


def test_thresholds_and_issues_by_hand() -> None:
    p = np.array([0.9, 0.8, 0.1, 0.3, 0.05, 0.95])
    given = np.array([True, True, False, False, True, False])
    # present: (0.9 + 0.8 + 0.05) / 3; absent: (0.9 + 0.7 + 0.05) / 3
    np.testing.assert_allclose(binary_thresholds(p, given), (0.55, 0.58333333))
    for filter_by in get_args(BinaryFilter):
        assert binary_issues(p, given, filter_by).tolist() == [False, False, False, False, True, True]


def test_a_side_without_items_has_a_threshold_nothing_reaches() -> None:
    assert binary_thresholds(np.array([0.2, 0.4]), np.array([True, True])) == (2.0, pytest.approx(0.3))
    assert not binary_issues(np.array([0.2, 0.4]), np.array([True, True])).any()


@pytest.mark.parametrize("filter_by", get_args(BinaryFilter))
def test_issues_are_cleanlabs_label_by_label(filter_by: BinaryFilter) -> None:
    filters = pytest.importorskip("cleanlab.multilabel_classification.filter", reason="extra noise")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(15, 200))
        truth = rng.random((n, 4)) < [0.5, 0.3, 0.1, 0.03]
        probs = 1 / (
            1 + np.exp(1 - 2 * truth + rng.normal(0, 1.2, (n, 4)))
        )  # no two alike: ties are ours to break
        given = truth ^ (rng.random((n, 4)) < 0.15)
        given[0], given[1] = True, False
        sets = [np.flatnonzero(row).tolist() for row in given]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a label with one item
            expected = filters.find_multilabel_issues_per_class(sets, probs, filter_by=filter_by, n_jobs=1)
        found = multilabel_errors(probs, given, filter_by=filter_by)
        np.testing.assert_array_equal(found.issue, expected)
        np.testing.assert_array_equal(found.flagged, expected.any(1))


@pytest.mark.parametrize("alpha", [0.8, 0.3])
def test_scores_are_cleanlabs(alpha: float) -> None:
    rank = pytest.importorskip("cleanlab.multilabel_classification.rank", reason="extra noise")
    probs, given, _ = planted()
    sets = [np.flatnonzero(row).tolist() for row in given]
    expected = rank.get_label_quality_scores(
        sets, probs, aggregator_kwargs={"method": "exponential_moving_average", "alpha": alpha}
    )
    found = multilabel_errors(probs, given, method="self_confidence", alpha=alpha)
    np.testing.assert_allclose(found.score, expected, rtol=1e-5)


def test_ratio_by_hand() -> None:
    probs = np.array([[0.4], [0.2], [0.1], [0.1]])
    found = multilabel_errors(probs, np.array([[True], [False], [False], [False]]))
    high, low = 0.4, (0.8 + 0.9 + 0.9) / 3
    yes, no = 0.4 / high, 0.6 / low
    assert found.score[0] == pytest.approx(yes / (yes + no))
    yes, no = 0.2 / high, 0.8 / low
    assert found.score[1] == pytest.approx(no / (yes + no))


def test_average_by_hand_and_its_ends() -> None:
    quality = np.array([[0.2, 0.9, 0.4]])
    assert exponential_average(quality, 0.8)[0] == pytest.approx(0.8 * 0.2 + 0.2 * (0.8 * 0.4 + 0.2 * 0.9))
    assert exponential_average(quality, 1.0)[0] == pytest.approx(0.2)
    assert exponential_average(quality, 0.0)[0] == pytest.approx(0.9)
    with pytest.raises(InputError, match=r"alpha=1\.5"):
        exponential_average(quality, 1.5)


@settings(max_examples=40, deadline=None)
@for_any(st.integers(0, 10_000), st.sampled_from(get_args(BinaryFilter)))
def test_whatever_the_labels_scores_are_in_range_and_a_side_keeps_an_item(
    seed: int, how: BinaryFilter
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    probs = np.round(rng.random((n, 3)), int(rng.integers(1, 4)))  # ties, zeros and ones
    given = rng.random((n, 3)) < rng.random()
    found = multilabel_errors(probs, given, filter_by=how)
    assert ((found.score >= 0) & (found.score <= 1)).all()
    likelier = np.where(given, probs, 1 - probs) < 0.5
    assert not (found.issue & ~likelier).any()
    if how == "prune_by_noise_rate":
        for label in range(3):
            for side in (False, True):
                members = given[:, label] == side
                assert not members.any() or not found.issue[members, label].all()


def test_planted_labels_are_to_be_added_and_removed() -> None:
    probs, given, flipped = planted()
    scored = score_all(MultilabelErrors(filter_by="predicted_neq_given"), view_of(probs, given))
    add = {(i, n) for i, names in enumerate(scored["labels_to_add"].to_pylist()) for n in names}
    remove = {(i, n) for i, names in enumerate(scored["labels_to_remove"].to_pylist()) for n in names}
    wrong = {(i, NAMES[j]) for i, j in np.argwhere(flipped & given)}
    missing = {(i, NAMES[j]) for i, j in np.argwhere(flipped & ~given)}
    assert wrong <= remove and missing <= add
    assert len(remove | add) <= 1.5 * (len(wrong) + len(missing))
    assert scored["label_set_issue"].to_pylist() == [
        bool(a or r)
        for a, r in zip(
            scored["labels_to_add"].to_pylist(), scored["labels_to_remove"].to_pylist(), strict=True
        )
    ]
    worst = np.argsort(scored["multilabel_errors"].to_numpy())[: flipped.any(1).sum()]
    assert flipped.any(1)[worst].mean() > 0.8


def test_conformance_of_lists_and_of_strings() -> None:
    probs, given, flipped = planted(60, 3)
    bad = int(np.flatnonzero(flipped.any(1))[0])
    good = int(np.flatnonzero(~flipped.any(1))[0])
    view = view_of(probs, given)
    check_scorer(MultilabelErrors(), view, planted=(f"{good:04d}", f"{bad:04d}"))
    sets = [" , ".join(s) for s in view.to_arrow(["label"])["label"].to_pylist()]
    text = ArrayView({"id": view.to_arrow(["id"])["id"], "tags": sets}, {"chances": probs})
    scorer = MultilabelErrors("tags", "chances", delimiter=",")
    assert scorer.needs == ("tags", "chances")
    assert score_all(scorer, text).equals(score_all(MultilabelErrors(), view))


def test_sets_that_cannot_be_read_are_null_and_change_nothing_else() -> None:
    probs, given, _ = planted(80)
    sets: list[Any] = [[NAMES[j] for j in np.flatnonzero(row)] for row in given]
    sets[3], sets[5], sets[7], sets[9] = None, ["cat", "yak"], ["dog", None], []
    probs[11], probs[13, 1], probs[15, 2] = np.nan, np.nan, 1.5
    table = {"id": [f"{i:04d}" for i in range(80)], "label": pa.array(sets, pa.list_(pa.string()))}
    view = ArrayView(table, {"label_probs": probs})
    scorer = MultilabelErrors(classes=tuple(NAMES))
    scored = score_all(scorer, view)
    assert scored["multilabel_errors_reason"].take(pa.array([3, 5, 7, 9, 11, 13, 15])).to_pylist() == [
        "no set of labels",
        "label 'yak' is none of the 4 classes",
        "a null among the labels",
        None,
        "no probabilities of labels",
        "NaN among the probabilities of labels",
        "probabilities of labels outside [0, 1]",
    ]
    rest = np.setdiff1d(np.arange(80), [3, 5, 7, 11, 13, 15])
    assert score_all(scorer, view.rearranged(rest)).equals(scored.take(pa.array(rest)))


def test_a_label_twice_in_a_set_is_there_once() -> None:
    probs, given, _ = planted(40)
    view = view_of(probs, given)
    sets = [s + s for s in view.to_arrow(["label"])["label"].to_pylist()]
    doubled = ArrayView({"id": view.to_arrow(["id"])["id"], "label": sets}, {"label_probs": probs})
    assert score_all(MultilabelErrors(), doubled).equals(score_all(MultilabelErrors(), view))


def test_what_is_wrong_as_a_whole_is_an_error() -> None:
    probs, given, _ = planted(40)
    view = view_of(probs, given)
    with pytest.raises(InputError, match=r"as 0000.*sigmoid"):
        MultilabelErrors().fit(view_of(probs * 6 - 3, given))
    with pytest.raises(InputError, match=r"4 columns, `classes` names 2 classes"):
        MultilabelErrors(classes=("cat", "dog")).fit(view)
    with pytest.raises(InputError, match="named twice"):
        MultilabelErrors(classes=("cat", "dog", "dog", "eel")).fit(view)
    with pytest.raises(InputError, match="none of the classes"):
        MultilabelErrors(classes=("a", "b", "c", "d")).fit(view)
    with pytest.raises(InputError, match="delimiter"):
        text = ArrayView({"label": ["a;b", "c"]}, {"label_probs": probs[:2]})
        MultilabelErrors(delimiter="").fit(text)
    with pytest.raises(SchemaError, match="holds double"):
        MultilabelErrors().fit(ArrayView({"label": [0.5, 1.5]}, {"label_probs": probs[:2]}))
    with pytest.raises(InputError, match="shape"):
        multilabel_errors(probs, given[:, :2])
    with pytest.raises(InputError, match="yes or no"):
        multilabel_errors(probs, given.astype(int) + 1)
    with pytest.raises(InputError, match="rows 4"):
        multilabel_errors(np.where(np.arange(40)[:, None] == 4, np.nan, probs), given)


def test_labels_nobody_or_everybody_has_are_noted() -> None:
    probs, given, _ = planted()
    given[:, 3], given[:, 0] = False, True
    fitted = MultilabelErrors(classes=tuple(NAMES)).fit(view_of(probs, given))
    assert fitted.notes[0].startswith("no item has fox")
    assert fitted.notes[1].startswith("every item has cat")
    found = multilabel_errors(probs, given)
    assert not found.issue[:, [0, 3]].any()
    sure = multilabel_errors(given * 0.9998 + 0.0001, given, method="self_confidence")
    assert sure.score.min() > 0.999
    notes = MultilabelErrors().fit(view_of(planted()[1] * 0.9998 + 0.0001, planted()[1])).notes
    assert any("in-sample" in note for note in notes)


def test_the_order_of_classes_is_that_of_the_columns() -> None:
    probs, given, _ = planted()
    turned = [2, 0, 3, 1]
    scorer = replace(MultilabelErrors(), classes=tuple(NAMES[j] for j in turned))
    got = score_all(scorer, view_of(probs[:, turned], given))
    whole = score_all(MultilabelErrors(), view_of(probs, given))
    np.testing.assert_allclose(got["multilabel_errors"], whole["multilabel_errors"], rtol=1e-6)
    assert [sorted(x) for x in got["labels_to_add"].to_pylist()] == whole["labels_to_add"].to_pylist()
