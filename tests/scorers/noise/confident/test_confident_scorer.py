"""`confident-learning`: parity with cleanlab, human label errors, rows that cannot be scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("cleanlab", reason="extra noise not installed")

from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score, roc_auc_score

from curate.contracts import ROW
from curate.errors import InputError
from curate.scorers.noise.confident import ConfidentLearning, Filter, Method, confident_learning
from curate.testing import ArrayView, check_scorer, score_all

LABELS = ["cat", "dog", "eel"]


def planted(n: int = 240, flips: int = 12, seed: int = 0) -> tuple[ArrayView, np.ndarray]:
    """Three classes, honest and fairly sure probabilities, and the rows whose label was flipped."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    probs = rng.dirichlet([0.6, 0.6, 0.6], n) * 0.1
    probs[np.arange(n), truth] += 0.9
    wrong = rng.choice(n, flips, replace=False)
    given = truth.copy()
    given[wrong] = (given[wrong] + 1) % 3
    table = {"id": [f"{i:04d}" for i in range(n)], "label": [LABELS[g] for g in given]}
    return ArrayView(table, {"pred_probs": probs.astype(np.float32)}), np.sort(wrong)


ARGMAX = ConfidentLearning(filter_by="predicted_neq_given")
"""Flags every planted flip and nothing else; the other filters leave a few of them be."""


def test_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.05, 0.95]])
    found = confident_learning(probs, np.array([0, 0, 1, 1, 0]))
    np.testing.assert_allclose(found.quality, [0.9, 0.8, 0.9, 0.7, 0.05])
    # thresholds: class 0 (0.9 + 0.8 + 0.05) / 3 = 0.583, class 1 (0.9 + 0.7) / 2 = 0.8; only row 4 crosses over
    assert found.issue.tolist() == [False, False, False, False, True]
    assert found.predicted.tolist() == [0, 0, 1, 1, 1]


@pytest.mark.data
@pytest.mark.parametrize("filter_by", get_args(Filter))
def test_flags_are_cleanlabs_on_human_confident_learning(data_dir: Path, filter_by: Filter) -> None:
    with np.load(data_dir / "led_pred_probs" / "cifar10n_aggregate_resnet18.npz") as data:
        probs, labels = data["pred_probs"][:10000], data["noisy"][:10000].astype(np.int64)
    names = [f"class-{i}" for i in range(10)]
    order = np.random.default_rng(0).permutation(len(labels))
    table = {"id": [f"{i:05d}" for i in order], "label": [names[i] for i in labels[order]]}
    scored = score_all(ConfidentLearning(filter_by=filter_by), ArrayView(table, {"pred_probs": probs[order]}))
    expected = find_label_issues(labels, probs, filter_by=filter_by, n_jobs=1)
    assert expected.sum() > 100
    np.testing.assert_array_equal(scored["label_issue"].to_numpy(), expected[order])


@pytest.mark.data
@pytest.mark.parametrize("method", get_args(Method))
def test_scores_are_cleanlabs_on_human_confident_learning(data_dir: Path, method: Method) -> None:
    with np.load(data_dir / "led_pred_probs" / "cifar10n_worst_resnet18.npz") as data:
        probs, labels = data["pred_probs"][:5000], data["noisy"][:5000].astype(np.int64)
    got = confident_learning(probs, labels, method=method).quality
    np.testing.assert_allclose(got, get_label_quality_scores(labels, probs, method=method), rtol=1e-6)
    assert got.min() >= 0 and got.max() <= 1


@pytest.mark.data
def test_human_label_errors_are_found_as_often_as_known(data_dir: Path) -> None:
    with np.load(data_dir / "led_pred_probs" / "cifar10n_aggregate_resnet18.npz") as data:
        probs, labels, truth = data["pred_probs"], data["noisy"].astype(np.int64), data["true"]
    wrong = labels != truth
    found = confident_learning(probs, labels)
    hits = (found.issue & wrong).sum()
    f1 = 2 * hits / (found.issue.sum() + wrong.sum())
    assert f1 == pytest.approx(0.6735, abs=0.002)
    best = confident_learning(probs, labels, method="normalized_margin").quality
    assert average_precision_score(wrong, -best) > 0.85
    assert roc_auc_score(wrong, -best) > 0.97


def test_planted_flips_are_flagged_and_the_true_label_suggested() -> None:
    view, wrong = planted()
    scored = score_all(ARGMAX, view)
    flagged = np.flatnonzero(scored["label_issue"].to_numpy())
    assert flagged.tolist() == wrong.tolist()
    truth = [LABELS[i % 3] for i in wrong]
    assert scored["suggested_label"].take(pa.array(wrong)).to_pylist() == truth
    assert scored["suggested_label"].null_count == len(view) - len(wrong)
    default = np.flatnonzero(score_all(ConfidentLearning(), view)["label_issue"].to_numpy())
    assert set(default) <= set(wrong.tolist()) and len(default) >= len(wrong) / 2


def test_conformance_with_a_planted_flip() -> None:
    view, wrong = planted(60, 4)
    check_scorer(ConfidentLearning(), view, planted=("0000" if 0 not in wrong else "0001", f"{wrong[0]:04d}"))


def test_ties_do_not_depend_on_the_order_of_rows() -> None:
    # four rows of equal margin contradict their label; the noise rate lets the filter flag only some of them
    probs = np.array([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20 + [[0.45, 0.55]] * 4)
    table = {"id": [f"{i:02d}" for i in range(44)], "label": ["a"] * 20 + ["b"] * 20 + ["a"] * 4}
    view = ArrayView(table, {"pred_probs": probs})
    for filter_by in get_args(Filter):
        whole = score_all(ConfidentLearning(filter_by=filter_by), view)
        order = np.random.default_rng(3).permutation(44)
        moved = score_all(ConfidentLearning(filter_by=filter_by), view.rearranged(order))
        assert moved["label_issue"].equals(whole["label_issue"].take(order))


def test_rows_that_cannot_be_scored_say_why_and_change_nothing_else() -> None:
    view, _ = planted(90, 5)
    table, probs = view.to_arrow(["id", "label"]), view.vectors("pred_probs").array.copy()
    labels = table["label"].to_pylist()
    labels[3], labels[7] = None, "zebra"
    probs[11], probs[13, 0], probs[17] = np.nan, np.nan, [3, 4, 5]
    bad = [3, 7, 11, 13, 17]
    spoilt = ArrayView({"id": table["id"], "label": labels}, {"pred_probs": probs})
    scorer = ConfidentLearning(classes=("cat", "dog", "eel"))
    scored = score_all(scorer, spoilt)
    assert scored["confident_learning_reason"].take(pa.array(bad)).to_pylist() == [
        "no label",
        "label 'zebra' is none of the 3 classes",
        "no predicted probabilities",
        "NaN among the predicted probabilities",
        "predicted probabilities outside [0, 1]",
    ]
    for name in ("confident_learning", "label_issue", "suggested_label"):
        assert scored[name].take(pa.array(bad)).null_count == len(bad)
    rest = np.setdiff1d(np.arange(90), bad)
    alone = score_all(scorer, spoilt.rearranged(rest))
    assert alone["label_issue"].equals(scored["label_issue"].take(rest))


def test_logits_are_an_error_that_names_items() -> None:
    view, _ = planted(30, 2)
    logits = np.log(view.vectors("pred_probs").array + 1e-3) * 3
    with pytest.raises(InputError, match=r"items 0000.*softmax"):
        ConfidentLearning().fit(ArrayView(view.to_arrow(["id", "label"]), {"pred_probs": logits}))


def test_the_order_of_classes_is_that_of_the_columns() -> None:
    view, wrong = planted()
    probs = view.vectors("pred_probs").array[:, [2, 0, 1]]
    turned = ArrayView(view.to_arrow(["id", "label"]), {"mine": probs})
    scorer = replace(ARGMAX, pred_probs="mine", classes=("eel", "cat", "dog"))
    assert np.flatnonzero(score_all(scorer, turned)["label_issue"].to_numpy()).tolist() == wrong.tolist()
    assert scorer.fit(turned).classes == ("eel", "cat", "dog")
    assert scorer.needs == ("label", "mine")


def test_a_class_nobody_has_is_allowed_and_noted() -> None:
    view, wrong = planted()
    probs = np.hstack([view.vectors("pred_probs").array, np.zeros((len(view), 1), np.float32)])
    wider = ArrayView(view.to_arrow(["id", "label"]), {"pred_probs": probs})
    with pytest.raises(InputError, match="4 columns, the labels have 3 classes"):
        ConfidentLearning().fit(wider)
    fitted = replace(ARGMAX, classes=(*LABELS, "fox")).fit(wider)
    assert any("no item" in note for note in fitted.notes)
    assert np.flatnonzero(fitted.table["label_issue"].to_numpy()).tolist() == wrong.tolist()


def test_a_class_of_one_item_is_noted() -> None:
    probs = np.full((31, 3), 0.05)
    labels = np.r_[np.arange(30) % 2, 2]
    probs[np.arange(31), labels] = 0.9
    view = ArrayView({"label": [LABELS[i] for i in labels]}, {"pred_probs": probs})
    assert any("too few examples, one each" in note for note in ConfidentLearning().fit(view).notes)
    assert ARGMAX.fit(view).notes == ()  # a filter that prunes nothing has nothing to say about it


def test_in_sample_probabilities_are_noted() -> None:
    labels = np.arange(120) % 3
    probs = np.full((120, 3), 0.001)
    probs[np.arange(120), labels] = 0.998
    view = ArrayView({"label": [LABELS[i] for i in labels]}, {"pred_probs": probs})
    assert any("in-sample" in note for note in ConfidentLearning().fit(view).notes)
    assert ConfidentLearning().fit(planted()[0]).notes == ()


def test_a_fitted_scorer_answers_by_position() -> None:
    view, _ = planted(30, 2)
    fitted = ConfidentLearning().fit(view)
    batch = pa.record_batch({"id": ["0005", "0002"], ROW: pa.array([5, 2], pa.int64())})
    assert (
        fitted.score(batch)
        .column(0)
        .equals(fitted.table["confident_learning"].take(pa.array([5, 2])).combine_chunks())
    )


def test_half_precision_probabilities_are_taken() -> None:
    view, wrong = planted()
    half = ArrayView(
        view.to_arrow(["id", "label"]), {"pred_probs": view.vectors("pred_probs").array.astype(np.float16)}
    )
    assert np.flatnonzero(score_all(ARGMAX, half)["label_issue"].to_numpy()).tolist() == wrong.tolist()


def test_several_models_are_averaged_as_weighed() -> None:
    view, wrong = planted()
    good = view.vectors("pred_probs").array
    bad = np.random.default_rng(0).dirichlet(np.ones(3), len(good)).astype(np.float32)
    both = ArrayView(view.to_arrow(["id", "label"]), {"good": good, "bad": bad})
    columns = ("good", "bad")
    searched = score_all(replace(ARGMAX, pred_probs=columns), both)
    assert np.flatnonzero(searched["label_issue"].to_numpy()).tolist() == wrong.tolist()
    uniform = score_all(replace(ARGMAX, pred_probs=columns, weighting="uniform"), both)
    assert not uniform["confident_learning"].equals(searched["confident_learning"])
    alone = score_all(replace(ARGMAX, pred_probs="good"), both)
    gap = np.abs(searched["confident_learning"].to_numpy() - alone["confident_learning"].to_numpy())
    assert gap.max() < 0.05  # the search leaves the bad one next to nothing
    with pytest.raises(InputError, match="names no column"):
        ConfidentLearning(pred_probs=())


def test_thresholds_are_subtracted_where_asked() -> None:
    view, _ = planted()
    plain, adjusted = score_all(ConfidentLearning(), view), score_all(ConfidentLearning(adjusted=True), view)
    assert not plain["confident_learning"].equals(adjusted["confident_learning"])
    assert plain["label_issue"].equals(adjusted["label_issue"])
    with pytest.raises(InputError, match="no adjusted variant"):
        ConfidentLearning(adjusted=True, method="confidence_weighted_entropy")
