"""`confident-learning` by pieces: however the rows are cut and ordered, what the function says of all of them at once."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise.confident import ConfidentLearning, Filter, confident_learning, ensemble_quality
from curate.scorers.noise.confident.portion import Cells, Options, Portion
from curate.scorers.noise.pieces import _runs
from curate.scorers.noise.probabilities import calibration_notes
from curate.testing import score_all

CLASSES = ("ant", "bee", "cat", "dog")


def draw(seed: int, n: int = 90, places: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with many ties, and labels of which a fifth are wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    probs = rng.dirichlet(np.ones(4), n)
    probs[np.arange(n), np.where(rng.random(n) < 0.2, rng.integers(0, 4, n), labels)] += 1
    probs = (probs / 2).round(places) + 0.01
    return (probs / probs.sum(1, keepdims=True)).astype(np.float32), labels


def cut(monkeypatch: pytest.MonkeyPatch, rows: int, cells: int = 1 << 22) -> None:
    monkeypatch.setattr("curate.memory.PIECE_ROWS", rows)
    monkeypatch.setattr("curate.scorers.noise.pieces.CELLS", cells)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([7, 30, 64]), st.sampled_from(get_args(Filter)))
def test_any_cut_and_any_order_give_the_answer_of_the_whole(seed: int, rows: int, filter_by: Filter) -> None:
    probs, labels = draw(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    table = {"id": [f"{i:03d}" for i in order], "label": [CLASSES[c] for c in labels[order]]}
    scorer = ConfidentLearning(filter_by=filter_by, classes=CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, rows, 40)
        scored = score_all(scorer, ArrayView(table, {"pred_probs": probs[order]}))
    whole = confident_learning(probs, labels, filter_by=filter_by)
    assert scored["label_issue"].to_pylist() == whole.issue[order].tolist()
    assert scored["confident_learning"].to_pylist() == whole.quality[order].tolist()
    suggested = [CLASSES[c] if flag else None for c, flag in zip(whole.predicted, whole.issue, strict=True)]
    assert scored["suggested_label"].to_pylist() == [suggested[i] for i in order]


@pytest.mark.parametrize("weighting", ["log_loss_search", "accuracy", "uniform"])
def test_several_models_by_pieces(weighting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (probs, labels), (other, _) = draw(0), draw(1)
    members = {"one": probs, "two": np.random.default_rng(0).permutation(probs), "three": other}
    view = ArrayView({"label": [CLASSES[c] for c in labels]}, members)
    scorer = ConfidentLearning(tuple(members), "both", "normalized_margin", CLASSES, True, weighting)  # type: ignore[arg-type]
    expected = ensemble_quality(
        list(members.values()), labels, "normalized_margin", adjusted=True, weighting=weighting
    )  # type: ignore[arg-type]
    at_once = scorer.fit(view)
    assert at_once.table["confident_learning"].to_pylist() == expected.astype(np.float32).tolist()
    cut(monkeypatch, 20, 40)
    by_pieces = scorer.fit(view)
    assert by_pieces.table.equals(at_once.table) and by_pieces.notes == at_once.notes


def test_notes_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, labels = draw(2, 2000, 2)
    sharp = np.concatenate([probs**6 / (probs**6).sum(1, keepdims=True)])
    view = ArrayView({"label": [CLASSES[c] for c in labels]}, {"pred_probs": sharp})
    notes = calibration_notes(sharp, labels)
    cut(monkeypatch, 300)
    assert ConfidentLearning(classes=CLASSES).fit(view).notes == notes != ()


def test_rows_that_cannot_be_scored_and_pieces_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, labels = draw(3)
    names = [CLASSES[c] for c in labels]
    lists: list[list[float] | None] = [row.tolist() for row in probs.astype(np.float64)]
    lists[20:40], names[45], names[46] = [None] * 20, None, "eel"  # type: ignore[list-item]
    view = ArrayView({"label": names, "pred_probs": lists})
    at_once = ConfidentLearning(classes=CLASSES).fit(view)
    cut(monkeypatch, 20, 40)
    by_pieces = ConfidentLearning(classes=CLASSES).fit(view)
    assert by_pieces.table.equals(at_once.table)
    why = by_pieces.table["confident_learning_reason"].to_pylist()
    assert (
        set(why[20:40]) == {"no predicted probabilities"} and by_pieces.table["label_issue"].null_count == 22
    )
    assert why[45:47] == ["no label", "label 'eel' is none of the 4 classes"]
    empty = ConfidentLearning(classes=CLASSES).fit(view.rearranged(np.arange(0)))
    assert empty.table.schema == by_pieces.table.schema and len(empty.table) == 0
    nothing = ConfidentLearning(classes=CLASSES).fit(
        view.rearranged(np.arange(40, 60)).rearranged(np.array([5]))
    )
    assert nothing.table["confident_learning_reason"].to_pylist() == ["no label"]


def test_what_is_wrong_throughout_is_said_as_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, labels = draw(4)
    view = ArrayView(
        {"label": [CLASSES[c] for c in labels]}, {"pred_probs": probs * 100, "few": probs[:, :2]}
    )
    cut(monkeypatch, 20)
    with pytest.raises(
        InputError, match=r"90 of 90 rows are no distribution .*: items 0, 1, 10, .*percentages"
    ):
        ConfidentLearning().fit(view)
    with pytest.raises(InputError, match="2 columns, the labels have 4 classes"):
        ConfidentLearning("few").fit(view)
    good = ArrayView(
        view.to_arrow(["id", "label"]),
        {"good": probs, "few": probs[:, :2] / probs[:, :2].sum(1, keepdims=True)},
    )
    with pytest.raises(InputError, match="'few' has 2 classes, 'good' 4"):
        ConfidentLearning(("good", "few"), classes=CLASSES).fit(good)


def test_candidates_that_travel_are_few() -> None:
    probs, labels = draw(5, 4000, 4)
    options = Options()
    parts = [(probs[low : low + 250], labels[low : low + 250]) for low in range(0, 4000, 250)]
    portions = [Portion(lambda part=part: iter([part]), options) for part in parts]  # type: ignore[misc]
    asked: list[int] = []

    class All:
        def ask(self, method: str, *args: object) -> list[object]:
            answers = [getattr(portion, method)(*args) for portion in portions]
            if method == "above":
                asked.append(sum(len(one.row) for one in answers))
                assert isinstance(args[0], Cells)
                asked.append(int(args[0].wanted.sum()))
            return answers

        tell = ask

    from curate.scorers.noise.confident.choice import choose, sum_thresholds

    every = All()
    thresholds = sum_thresholds(every.ask("sums"))  # type: ignore[arg-type]
    assert thresholds is not None
    chosen = choose(every, thresholds, options, lambda portion, row: portion * 250 + row)
    flagged = np.concatenate([250 * i + rows for i, rows in enumerate(chosen.rows) if rows is not None])
    issue = confident_learning(probs, labels).issue
    assert set(np.flatnonzero(issue)) <= set(flagged.tolist())
    travelled, wanted = asked
    assert wanted > 300 and wanted <= travelled < 2 * wanted


def test_vectors_come_in_runs_of_so_many_rows() -> None:
    class Chunked:
        def chunks(self):
            yield from np.split(np.arange(40.0).reshape(20, 2), [3, 4, 15])

    runs = list(_runs(Chunked(), 6))  # type: ignore[arg-type]
    assert [len(run) for run in runs] == [6, 6, 6, 2]
    assert np.concatenate(runs).ravel().tolist() == list(range(40))


def test_a_table_of_what_was_answered_is_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, labels = draw(6)
    view = ArrayView({"label": [CLASSES[c] for c in labels]}, {"pred_probs": probs})
    cut(monkeypatch, 20)
    table: pa.Table = ConfidentLearning(classes=CLASSES).fit(view).table
    assert {column.num_chunks for column in table.columns} == {1}
