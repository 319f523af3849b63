"""`out-of-fold`: honest probabilities, folds that do not leak, real digits with planted flips."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="extra noise not installed")

from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

from curate.errors import InputError
from curate.scorers.noise.confident import ConfidentLearning
from curate.scorers.noise.out_of_fold import Model, OutOfFold, assign_folds, out_of_fold_probabilities
from curate.testing import ArrayView, check_scorer, score_all


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scanned digits, their labels after seeded flips of 5 %, and which were flipped."""
    x, truth = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    wrong = rng.choice(len(truth), 90, replace=False)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, 90)) % 10
    return x.astype(np.float32), labels, labels != truth


@pytest.mark.parametrize(
    ("model", "precision"), [("logistic-regression", 0.95), ("knn", 0.93), ("random-forest", 0.95)]
)
def test_planted_flips_in_real_digits_rank_first(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], model: Model, precision: float
) -> None:
    x, labels, wrong = digits
    found = out_of_fold_probabilities(x, labels, model=model)
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)
    assert found.seen.all()
    given = found.probabilities[np.arange(len(labels)), labels]
    assert average_precision_score(wrong, -given) > precision


def test_digits_end_to_end(digits: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    x, labels, wrong = digits
    table = {"id": [f"{i:04d}" for i in range(len(labels))], "label": [str(i) for i in labels]}
    fitted = OutOfFold().fit(ArrayView(table, {"pixel_embedding": x}))
    assert fitted.classes == tuple("0123456789") and fitted.notes == ()
    probs = np.array(fitted.table["pred_probs"].to_pylist(), np.float32)
    scored = score_all(ConfidentLearning(), ArrayView(table, {"pred_probs": probs}))
    flagged = scored["label_issue"].to_numpy()
    assert (flagged & wrong).sum() / wrong.sum() > 0.75
    assert (flagged & wrong).sum() / flagged.sum() > 0.75
    again = OutOfFold().fit(ArrayView(table, {"pixel_embedding": x}))
    assert again.table.equals(fitted.table)


@given(st.integers(2, 6), st.integers(0, 50), st.integers(1, 4), st.booleans(), st.integers(0, 9))
def test_folds_are_even_stratified_and_keep_groups(
    folds: int, n: int, k: int, grouped: bool, seed: int
) -> None:
    n += folds
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    groups = rng.integers(0, max(1, n // 2), n) if grouped else None
    if groups is not None and len(np.unique(groups)) < folds:
        with pytest.raises(InputError, match=r"groups? for"):
            assign_folds(labels, folds, seed, groups)
        return
    fold = assign_folds(labels, folds, seed, groups)
    assert fold.min() >= 0 and fold.max() < folds
    if groups is not None:
        assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))
        return
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.max() - sizes.min() <= 1
    for c in range(k):
        each = np.bincount(fold[labels == c], minlength=folds)
        assert each.max() - each.min() <= 1


def test_a_group_counts_for_its_most_frequent_class() -> None:
    # six groups of three; by majority half are of class 0, so with two folds each has one or two of them
    labels = np.array([0, 0, 1] * 3 + [1, 1, 0] * 3)
    groups = np.repeat(np.arange(6), 3)
    for seed in range(10):
        fold = assign_folds(labels, 2, seed, groups)[::3]
        assert sorted([(fold[:3] == 0).sum(), (fold[3:] == 0).sum()]) == [1, 2]


def test_the_seed_moves_the_folds_and_more_folds_make_more() -> None:
    labels = np.arange(40) % 2
    assert (assign_folds(labels, 5, 0) != assign_folds(labels, 5, 1)).any()
    assert len(np.unique(assign_folds(labels, 8, 0))) == 8
    with pytest.raises(InputError, match="3 items for 5 folds"):
        assign_folds(np.array([0, 1, 0]), 5, 0)


def test_no_item_is_judged_by_a_model_that_saw_it() -> None:
    # noise to learn by heart: in-sample nearest neighbours would be right every time
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(300, 3)), rng.integers(0, 2, 300)
    found = out_of_fold_probabilities(x, labels, model="random-forest")
    assert 0.35 < (found.probabilities.argmax(1) == labels).mean() < 0.65


def test_copies_leak_a_wrong_label_unless_they_are_a_group() -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(3, 8)) * 4
    truth = np.arange(150) % 3
    x = centres[truth] + rng.normal(size=(150, 8))
    labels = truth.copy()
    labels[:3] = (labels[:3] + 1) % 3
    x, labels, truth = (np.concatenate([a, np.repeat(a[:3], 30, axis=0)]) for a in (x, labels, truth))
    groups = np.concatenate([np.arange(150), np.repeat(np.arange(3), 30)])
    rows = np.flatnonzero(labels != truth)

    def caught(groups: np.ndarray | None) -> float:
        found = out_of_fold_probabilities(x, labels, model="knn", groups=groups)
        return float((found.probabilities.argmax(1) == truth)[rows].mean())

    assert caught(None) < 0.2
    assert caught(groups) > 0.8


def test_groups_by_column_with_loners() -> None:
    rng = np.random.default_rng(0)
    table = {
        "id": [f"{i:02d}" for i in range(40)],
        "label": ["a", "b"] * 20,
        "speaker": [None] * 20 + [f"s{i // 4}" for i in range(20)],
    }
    view = ArrayView(table, {"v": rng.normal(size=(40, 4))})
    scorer = OutOfFold(embedding="v", groups="speaker", folds=4)
    assert scorer.needs == ("label", "v", "speaker")
    check_scorer(scorer, view)
    few = ArrayView({**table, "speaker": ["x", "y"] * 20}, {"v": rng.normal(size=(40, 4))})
    with pytest.raises(InputError, match="2 groups for 4 folds"):
        scorer.fit(few)


@pytest.mark.parametrize("model", get_args(Model))
def test_conformance(model: Model) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    x = rng.normal(size=(30, 5)) + labels[:, None] * 3
    view = ArrayView({"id": [f"{i:02d}" for i in range(30)], "label": [f"c{i}" for i in labels]}, {"v": x})
    check_scorer(OutOfFold(embedding="v", model=model, folds=3), view)


def test_a_class_of_one_item_cannot_be_learnt_and_says_so() -> None:
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 15 + ["rare"]
    fitted = OutOfFold(embedding="v").fit(ArrayView({"label": labels}, {"v": rng.normal(size=(31, 3))}))
    why = fitted.table["out_of_fold_reason"].to_pylist()
    assert why[30] == "no other item with label 'rare' to learn it from" and why[:30] == [None] * 30
    assert fitted.table["pred_probs"][30].as_py() is None
    assert fitted.classes == ("a", "b", "rare")
    assert all(row[2] is not None for row in fitted.table["pred_probs"].to_pylist()[:30])


def test_a_class_smaller_than_the_folds_is_still_learnt() -> None:
    rng = np.random.default_rng(0)
    labels = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 3)
    x = rng.normal(size=(43, 3)) * 0.1 + 5 * np.eye(3)[["abc".index(c) for c in labels]]
    fitted = OutOfFold(embedding="v").fit(ArrayView({"label": labels}, {"v": x}))
    assert fitted.table["out_of_fold_reason"].null_count == 43
    assert fitted.table["predicted_label"].to_pylist()[40:] == ["c"] * 3


def test_rows_without_label_or_vector_say_so() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3))
    x[4], x[5, 0] = np.nan, np.inf
    labels = [None if i == 3 else "ab"[i % 2] for i in range(20)]
    fitted = OutOfFold(embedding="v").fit(ArrayView({"label": labels}, {"v": x}))
    why = fitted.table["out_of_fold_reason"].to_pylist()
    assert why[3:6] == ["no label", "no v", "no v"] and why.count(None) == 17


def test_nothing_to_tell_apart_is_an_error() -> None:
    view = ArrayView({"label": ["a"] * 10}, {"v": np.eye(10)})
    with pytest.raises(InputError, match="'a'"):
        OutOfFold(embedding="v").fit(view)
    with pytest.raises(InputError, match="all 10 labels are 0"):
        out_of_fold_probabilities(np.eye(10), np.zeros(10, int))
    with pytest.raises(InputError, match="folds=1"):
        OutOfFold(folds=1)


def test_an_embedding_that_says_nothing_is_noted() -> None:
    rng = np.random.default_rng(0)
    view = ArrayView({"label": [str(i) for i in rng.integers(0, 2, 200)]}, {"v": rng.normal(size=(200, 4))})
    assert any("says little" in note for note in OutOfFold(embedding="v").fit(view).notes)


def test_a_constant_feature_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    x = (rng.normal(size=(60, 3)) + labels[:, None] * 4).astype(np.float32)
    x[:, 1] = 0.1
    found = out_of_fold_probabilities(x, labels)
    assert (found.probabilities.argmax(1) == labels).mean() > 0.9


def test_lists_count_and_what_cannot_be_learnt_from_is_refused() -> None:
    x, labels = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2
    got = out_of_fold_probabilities(x.tolist(), labels.tolist()).probabilities
    assert np.array_equal(got, out_of_fold_probabilities(x, labels).probabilities)
    for wrong in (labels[:-1], labels - 1, labels + 0.5, labels.astype(str), labels[:, None]):
        with pytest.raises(
            InputError, match=r"^[0-9 of]*labels (have shape|lie outside|are whole|are names)"
        ):
            out_of_fold_probabilities(x, wrong)
    x[4, 1] = np.nan
    with pytest.raises(InputError, match="not finite, as row 4"):
        out_of_fold_probabilities(x, labels)
    with pytest.raises(InputError, match=r"shape \(20,\)"):
        out_of_fold_probabilities(x[:, 0], labels)


def test_items_without_a_label_hear_the_mean_of_all_folds() -> None:
    """Three folds of a line: what they say of items that are in none is their mean, by hand."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    x = rng.normal(size=(80, 2)) + 2 * np.r_[labels, np.arange(20) % 2][:, None]
    found = out_of_fold_probabilities(x[:60], labels, folds=3, unlabelled=x[60:])
    plain = out_of_fold_probabilities(x[:60], labels, folds=3)
    np.testing.assert_array_equal(found.probabilities, plain.probabilities)
    assert plain.unlabelled.shape == (0, 2)
    expected = np.zeros((20, 2))
    for part in range(3):
        train = np.flatnonzero(found.fold != part)
        mean, scale = x[train].mean(0), x[train].std(0)
        model = LogisticRegression(C=0.1, max_iter=1000, tol=1e-3).fit(
            (x[train] - mean) / scale, labels[train]
        )
        expected += model.predict_proba((x[60:] - mean) / scale) / 3
    np.testing.assert_allclose(found.unlabelled, expected, atol=1e-6)
    with pytest.raises(InputError, match="items without a label have 3 columns, the others 2"):
        out_of_fold_probabilities(x[:60], labels, unlabelled=np.ones((4, 3)))


def test_another_column_is_learnt_and_told_of_all_items() -> None:
    n = 60
    truth = np.arange(n) % 2
    x = (np.random.default_rng(0).normal(size=(n, 2)) + 4 * truth[:, None]).astype(np.float32)
    x[7] = np.nan
    settled = ["no" if t else "yes" for t in truth[:30]] + [None] * 30
    settled[9] = None
    view = ArrayView(
        {"id": [f"{i:02d}" for i in range(n)], "label": ["any"] * n, "said": settled}, {"pixel_embedding": x}
    )
    silent = OutOfFold(label="said").fit(view)
    assert silent.table["out_of_fold_reason"][9].as_py() == "no said"
    assert silent.table["pred_probs"].null_count == 32
    fitted = OutOfFold(label="said", unlabelled=True).fit(view)
    assert fitted.classes == ("no", "yes")
    assert fitted.table["out_of_fold_reason"][7].as_py() == "no pixel_embedding"
    assert fitted.table["pred_probs"].null_count == 1
    told = fitted.table["predicted_label"].to_pylist()
    assert [told[i] for i in range(30, n)] == ["no" if t else "yes" for t in truth[30:]]
    assert told[9] == "no"
