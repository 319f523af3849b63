"""The registered scorer `label-errors`."""

from __future__ import annotations

import numpy as np
import pytest
from label_noise_worlds import world

from curate.errors import InputError
from curate.scorers.noise import label_errors
from curate.scorers.noise.label_noise.scorer import LabelErrors
from curate.testing import ArrayView, score_all


def view_of(seed: int = 0) -> tuple[ArrayView, np.ndarray, np.ndarray]:
    probs, labels, truth = world(n=300, rate=0.1, seed=seed)
    names = np.array(["cat", "dog", "eel", "fox"])
    table = {"id": [f"{i:03d}" for i in range(300)], "label": names[labels].tolist()}
    return ArrayView(table, {"pred_probs": probs, "mine": probs[:, ::-1].copy()}), labels, truth


def test_the_scorer_says_what_the_function_says() -> None:
    view, labels, _ = view_of()
    scored = score_all(LabelErrors(), view)
    found = label_errors(view.vectors("pred_probs").to_numpy(), labels)
    np.testing.assert_allclose(scored["label_errors"].to_numpy(), found.score, rtol=1e-6)
    assert scored["label_error"].to_pylist() == found.flagged.tolist()
    np.testing.assert_allclose(scored["label_right"].to_numpy(), found.right)
    suggestions = np.array(["cat", "dog", "eel", "fox"])[found.suggested]
    expected = [s if f else None for s, f in zip(suggestions.tolist(), found.flagged, strict=True)]
    assert scored["label_error_suggestion"].to_pylist() == expected
    assert scored["label_error_because"].to_pylist() == found.reason.tolist()


def test_columns_classes_and_ensembles_are_read() -> None:
    view, _, _ = view_of()
    plain = score_all(LabelErrors(), view)
    turned = LabelErrors(pred_probs="mine", classes=("fox", "eel", "dog", "cat"))
    assert turned.needs == ("label", "mine")
    np.testing.assert_allclose(
        score_all(turned, view)["label_errors"].to_numpy(), plain["label_errors"].to_numpy(), atol=1e-3
    )
    both = LabelErrors(pred_probs=("pred_probs", "pred_probs"))
    np.testing.assert_allclose(
        score_all(both, view)["label_errors"].to_numpy(), plain["label_errors"].to_numpy(), rtol=1e-5
    )
    assert any("pooled with weights 0.50, 0.50" in note for note in both.fit(view).notes)
    with pytest.raises(InputError, match="names no column"):
        LabelErrors(pred_probs=())


def test_the_scorers_seed_draws_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.scorers.noise.label_noise.finder.ROWS", 100)
    view, _, _ = view_of()
    one, other = (score_all(LabelErrors(seed=seed), view)["label_errors"] for seed in (0, 1))
    assert not one.equals(other)


def test_rows_that_cannot_be_scored_say_why_and_change_nothing_else() -> None:
    view, _, _ = view_of()
    table, probs = view.to_arrow(["id", "label"]), view.vectors("pred_probs").to_numpy().copy()
    labels = table["label"].to_pylist()
    labels[3], labels[7], probs[11], probs[17] = None, "zebra", np.nan, 3.0
    spoilt_view = ArrayView({"id": table["id"], "label": labels}, {"pred_probs": probs})
    scorer = LabelErrors(classes=("cat", "dog", "eel", "fox"))
    scored = score_all(scorer, spoilt_view)
    reasons = scored["label_errors_reason"].to_pylist()
    assert [reasons[i] for i in (3, 7, 11, 17)] == [
        "no label",
        "label 'zebra' is none of the 4 classes",
        "no predicted probabilities",
        "predicted probabilities outside [0, 1]",
    ]
    rest = np.setdiff1d(np.arange(300), [3, 7, 11, 17])
    alone = score_all(scorer, spoilt_view.rearranged(rest))
    assert alone["label_errors"].equals(scored["label_errors"].take(rest))


def test_notes_tell_what_was_found() -> None:
    view, _, _ = view_of()
    notes = LabelErrors().fit(view).notes
    assert any("labels are flagged" in note and "expected wrong" in note for note in notes)
