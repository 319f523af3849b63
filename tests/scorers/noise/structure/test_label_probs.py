"""`label-probs`: each label by itself, out of fold, and what nobody can learn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

pytest.importorskip("sklearn", reason="extra noise not installed")

from curate.errors import InputError
from curate.scorers.noise.out_of_fold import out_of_fold_probabilities
from curate.scorers.noise.structure.label_probs import LabelProbs, label_probabilities
from curate.scorers.noise.structure.missing import MissingLabels
from curate.scorers.noise.structure.multilabel import MultilabelErrors
from curate.scorers.noise.structure.sets import label_targets
from curate.testing import ArrayView, check_scorer, score_all


def planted(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Features that tell of three labels, and the labels."""
    rng = np.random.default_rng(0)
    given = rng.random((n, 3)) < 0.4
    given[0], given[1] = True, False
    return rng.normal(size=(n, 6)) + 5 * given[:, [0, 0, 1, 1, 2, 2]], given


def view_of(x: np.ndarray, sets: list[list[str] | None]) -> ArrayView:
    table = {"id": [f"{i:03d}" for i in range(len(sets))], "labels": pa.array(sets, pa.list_(pa.string()))}
    return ArrayView(table, {"pixel_embedding": x})


def test_each_column_is_the_out_of_fold_answer_to_one_label() -> None:
    x, given = planted()
    found = label_probabilities(x, given, folds=3, seed=4)
    for label in range(3):
        alone = out_of_fold_probabilities(x, given[:, label].astype(np.int64), folds=3, seed=4)
        np.testing.assert_array_equal(found.probabilities[:, label], alone.probabilities[:, 1])
    assert ((found.probabilities > 0.5) == given).mean() > 0.97 and found.seen.all()


def test_what_no_other_item_can_teach_is_one_half() -> None:
    x, given = planted(40)
    given[:, 1], given[:, 2] = True, False
    given[5, 2] = True
    found = label_probabilities(x, given)
    assert (found.probabilities[:, 1] == 1).all()  # all have it, and nothing else can be said
    assert found.probabilities[5, 2] == 0.5 and np.argwhere(~found.seen).tolist() == [[5, 2]]
    assert np.delete(found.probabilities[:, 2], 5).max() < 0.5


@pytest.mark.parametrize("given", [np.zeros(4), np.full((4, 2), 2), np.zeros((3, 2))])
def test_labels_are_a_matrix_of_yes_and_no(given: np.ndarray) -> None:
    with pytest.raises(InputError, match="a matrix of 0 and 1, one row per item"):
        label_probabilities(np.eye(4), given)


def test_the_scorer_reads_sets_and_names_the_columns() -> None:
    x, given = planted()
    names = ["ant", "bee", "cat"]
    sets: list[list[str] | None] = [[n for n, yes in zip(names, row, strict=True) if yes] for row in given]
    sets[3], x[4, 0] = None, np.nan
    view = view_of(x, sets)
    scorer = LabelProbs(folds=3).resolve(view.columns, "label")
    assert scorer.labels == "labels"
    check_scorer(scorer, view)
    fitted = scorer.fit(view)
    table = score_all(scorer, view)
    assert fitted.classes == ("ant", "bee", "cat")
    assert table["label_probs_reason"][3].as_py() == "no set of labels"
    assert table["label_probs_reason"][4].as_py() == "no pixel_embedding"
    probs = np.array([row for row in table["label_probs"].to_pylist() if row], np.float32)
    assert probs.shape == (len(sets) - 2, 3)
    first = [n for n, p in zip(names, probs[0], strict=True) if p > 0.5]
    assert table["predicted_labels"][0].as_py() == first
    with pytest.raises(InputError, match="no item has a label"):
        LabelProbs(labels="labels").fit(view_of(x, [[] for _ in sets]))


def test_items_with_one_label_and_items_with_several_are_read_together() -> None:
    x, given = planted()
    rows = {
        "id": [f"{i:03d}" for i in range(90)],
        "label": ["a" if i % 2 else None for i in range(90)],
        "labels": pa.array([["b"] if i % 4 == 0 else None for i in range(90)], pa.list_(pa.string())),
    }
    view = ArrayView(rows, {"pixel_embedding": x, "label_probs": np.full((90, 2), 0.5)})
    for component in (LabelProbs(folds=3), MultilabelErrors(), MissingLabels(pred_probs=("label_probs",))):
        resolved = component.resolve(view.columns, "label")
        assert resolved.labels == ("labels", "label")
        reason = f"{resolved.name.replace('-', '_')}_reason"
        why = score_all(resolved, view)[reason].to_pylist()
        assert [w is None for w in why] == [i % 2 == 1 or i % 4 == 0 for i in range(90)]
    sets = MultilabelErrors(filter_by="predicted_neq_given").resolve(view.columns, "label").fit(view)
    assert sets.classes == ("a", "b")


def test_targets_to_train_on_say_nothing_of_missing_sets() -> None:
    sets = [["b", "a"], [], None, ["a"]]
    for column in (
        sets,
        pa.array(sets),
        pa.chunked_array([pa.array(sets[:1]), pa.array(sets[1:])]),
        pl.Series(sets),
    ):
        targets, classes = label_targets(column)
        assert classes == ("a", "b") and targets.dtype == np.float32
        np.testing.assert_array_equal(targets, [[1, 1], [0, 0], [np.nan, np.nan], [1, 0]])
    targets, classes = label_targets(sets, ["b", "c", "a"])
    assert classes == ("b", "c", "a") and targets[0].tolist() == [1, 0, 1]
    assert label_targets([])[0].shape == (0, 0)
    with pytest.raises(InputError, match="rows 3: label 'c' is none of the 2 classes"):
        label_targets([["a"], ["b"], ["b"], ["c"]], ["a", "b"])
    with pytest.raises(InputError, match="rows 1: a null among the labels"):
        label_targets([["a"], [None, "b"]])
    for wrong in (["a", "b"], [["a"], 3], 5):
        with pytest.raises(InputError, match="lists of texts"):
            label_targets(wrong)


def test_what_is_chosen_where_nothing_is_said() -> None:
    assert MultilabelErrors().resolve(["id", "label"], "label").labels == "label"
    assert MultilabelErrors(labels="tags").resolve(["labels", "label", "tags"], "label").labels == "tags"
    missing = MissingLabels().resolve(["labels"], "label")
    assert (missing.labels, missing.pred_probs, missing.exclusive) == ("labels", ("label_probs",), False)
    assert MissingLabels().resolve(["labels", "pred_probs"], "label").pred_probs == ("pred_probs",)
    assert MissingLabels().resolve(["label"], "label") == MissingLabels()
