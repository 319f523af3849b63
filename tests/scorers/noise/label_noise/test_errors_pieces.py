"""`label-errors` by pieces: however the rows are cut and ordered, what the function says of all of them at once."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise.label_noise.finder import label_errors
from curate.scorers.noise.label_noise.scorer import LabelErrors, describe
from curate.testing import score_all

SEEDS = (0, 1)


def planted(k: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a fair model, and labels of which a tenth are another class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    scores = rng.standard_normal((n, k))
    scores[np.arange(n), truth] += 4
    probs = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    labels = np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)
    return probs.astype(np.float32), labels


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows a piece and a block; a sample that leaves rows out."""
    monkeypatch.setattr("curate.memory.PIECE_ROWS", 130)
    monkeypatch.setattr("curate.scorers.noise.pieces.CELLS", 200)
    for module in ("finder", "pieces", "transition"):
        monkeypatch.setattr(f"curate.scorers.noise.label_noise.{module}.ROWS", 400)
    monkeypatch.setattr("curate.scorers.noise.label_noise.pooling.SAMPLE", 300)


@pytest.mark.parametrize("k", [4, 20])  # with few classes all are rivals
@pytest.mark.parametrize("models", [1, 2])
def test_any_cut_and_any_order_give_the_answer_of_the_whole(k: int, models: int) -> None:
    probs, labels = planted(k, 700)
    members = [probs, np.sqrt(probs) / np.sqrt(probs).sum(1, keepdims=True)][:models]
    order = np.random.default_rng(2).permutation(len(labels))
    names = tuple(f"c{i:02d}" for i in range(k))
    table = {"id": [f"{i:04d}" for i in order], "label": [names[c] for c in labels[order]]}
    columns = tuple(f"p{i}" for i in range(models))
    view = ArrayView(table, {name: one[order] for name, one in zip(columns, members, strict=True)})
    scorer = LabelErrors(columns, names, seed=3)
    scored, whole = score_all(scorer, view), label_errors(members if models > 1 else probs, labels, seed=3)
    assert scored["label_error"].to_pylist() == whole.flagged[order].tolist()
    assert 0.05 < whole.flagged.mean() < 0.15
    assert scored["label_errors"].to_pylist() == whole.score.astype(np.float32)[order].tolist()
    assert scored["label_right"].to_pylist() == whole.right[order].tolist()
    assert scored["label_error_because"].to_pylist() == whole.reason[order].tolist()
    suggested = [names[c] if flag else None for c, flag in zip(whole.suggested, whole.flagged, strict=True)]
    assert scored["label_error_suggestion"].to_pylist() == [suggested[i] for i in order]
    assert scorer.fit(view).notes == (*describe(whole), *whole.notes)


def test_rows_that_cannot_be_scored_are_no_part_of_it() -> None:
    probs, labels = planted(3, 300)
    names, given = ("a", "b", "c"), [("a", "b", "c")[c] for c in labels]
    probs[130:260] = np.nan  # one piece has none
    given[3] = None  # type: ignore[call-overload]
    view = ArrayView({"label": given}, {"pred_probs": probs})
    fitted = LabelErrors(classes=names).fit(view)
    kept = np.setdiff1d(np.r_[0:130, 260:300], [3])
    alone = LabelErrors(classes=names).fit(view.rearranged(kept))
    assert fitted.table.take(kept).equals(alone.table) and fitted.notes == alone.notes
    assert fitted.table["label_errors"].null_count == 131
    nothing = LabelErrors(classes=names).fit(view.rearranged(np.arange(130, 260)))
    assert set(nothing.table["label_errors_reason"].to_pylist()) == {"no predicted probabilities"}
    assert len(LabelErrors(classes=names).fit(view.rearranged(kept[:0])).table) == 0


def test_what_can_be_concluded_from_nothing_is_refused() -> None:
    probs, labels = planted(5, 400)
    names = tuple("abcde")
    view = ArrayView({"label": [names[c] for c in labels]}, {"pred_probs": probs})
    one = view.rearranged(np.flatnonzero(labels == 2)[:40])
    with pytest.raises(InputError, match="all 40 labels are 'c'"):
        LabelErrors(classes=names).fit(one)
    probs[labels != 2] = np.nan
    some = ArrayView({"label": [names[c] for c in labels]}, {"pred_probs": probs})
    with pytest.raises(InputError, match=r"all \d+ labels are 2: with one class nothing can be told apart"):
        LabelErrors(classes=names).fit(some)
