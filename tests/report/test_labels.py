"""Labels that scorers doubt, as the report shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from curate.contracts import detail, flag, score
from curate.report.collector import collect
from curate.run.ledger import RunRecord, StepRecord


def test_doubtful_labels_are_tabulated(make_store: Callable[..., Any]):
    store = make_store().items(
        "label", {"id": list("abcdef"), "text": list("abcdef"), "label": ["10", "9", "9", "10", "9", "2"]}
    )
    store.score(
        "confident_learning",
        [
            (score("confident_learning"), [0.1, 0.2, 0.05, 0.9, 0.9, 0.9]),
            (flag("label_issue"), [True, True, True, False, False, False]),
            (detail("suggested_label", pa.string()), ["9", "2", "2", "10", "9", "2"]),
        ],
    )
    (labels,) = collect(store.store).labels
    assert labels.name == "confident_learning"
    assert (labels.given, labels.suggested) == (("9", "10"), ("2", "9"))  # in order of number
    assert (labels.cells, labels.total, labels.left_out) == (((2, 0), (0, 1)), 3, 0)
    assert [(c.id, c.label, c.suggested) for c in labels.gallery.cards] == [
        ("c", "9", "2"),
        ("a", "10", "9"),
        ("b", "9", "2"),
    ]


@pytest.mark.parametrize("kind", ["label", "instruction"])
def test_the_labels_that_are_shown_are_those_that_were_judged(make_store: Callable[..., Any], kind: str):
    texts = {"text": list("abc"), "label": ["x", "y", "z"]}
    if kind == "instruction":
        texts = {"instruction": list("abc"), "output": list("abc")}
    store = make_store().items(kind, {"id": list("abc"), **texts, "second": ["1", "2", "2"]})
    store.score(
        "label_errors",
        [
            (score("label_errors"), [0.1, 0.9, 0.2]),
            (flag("label_error"), [True, False, True]),
            (detail("label_error_suggestion", pa.string()), ["2", None, "1"]),
        ],
        label="second",
    )
    data = collect(store.store)
    (labels,) = data.labels
    assert (labels.given, labels.suggested, labels.cells) == (("1", "2"), ("1", "2"), ((0, 1), (1, 0)))
    assert [(c.id, c.label, c.suggested) for c in labels.gallery.cards] == [("a", "1", "2"), ("c", "2", "1")]
    told = "second" if kind == "label" else "given label"  # the only one there
    assert labels.caption == f"{told} (rows) → suggested label (columns)" and told in labels.gallery.note
    cards = [c for found in data.galleries for shown in found.galleries for c in shown.cards if c.id == "a"]
    assert {(c.label, c.suggested) for c in cards} == {("x", "") if kind == "label" else ("1", "2")}


def test_a_score_without_a_threshold_is_borderline_where_its_verdict_decides(
    make_store: Callable[..., Any], make_run: Callable[..., RunRecord]
):
    store = make_store().items("label", {"id": list("abcd"), "text": list("abcd"), "label": ["x"] * 4})
    store.score(
        "confident_learning",
        [
            (score("confident_learning"), [0.1, 0.4, 0.3, 0.9]),
            (flag("label_issue"), [True, True, False, False]),
        ],
    )
    store.score("length", [(score("length"), [1.0, 2.0, 3.0, 4.0])])
    keep = StepRecord(1, "keep", "k", "keep not label_issue", before=4, after=2, expression="not label_issue")
    data = collect(store.store, make_run(keep))
    by_score = {s.title: {g.title: [c.id for c in g.cards] for g in s.galleries} for s in data.galleries}
    assert list(by_score) == ["confident_learning", "length"]  # the one that decided comes first
    assert by_score["confident_learning"]["Borderline: dropped"] == ["b", "a"]
    assert by_score["confident_learning"]["Borderline: kept"] == ["c", "d"]
    assert list(by_score["length"]) == ["Lowest", "Highest kept"]  # it decided nothing


def test_every_scorer_that_doubts_labels_is_shown_the_default_first(make_store: Callable[..., Any]):
    store = make_store().items("label", {"id": list("ab"), "text": list("ab"), "label": ["x", "y"]})
    for name, flags in (("confident_learning", ("label_issue", "suggested_label")),
                        ("knn_agreement", ("knn_label_issue", "knn_suggested_label")),
                        ("label_errors", ("label_error", "label_error_suggestion"))):  # fmt: skip
        store.score(
            name,
            [(flag(flags[0]), [True, False]), (detail(flags[1], pa.string()), [f"by {name}", None])],
        )
    store.score("outlier", [(flag("far"), [True, False])])  # doubts no label
    found = collect(store.store).labels
    assert [one.name for one in found] == ["label_errors", "confident_learning", "knn_agreement"]
    assert [c.suggested for one in found for c in one.gallery.cards] == [f"by {one.name}" for one in found]


def test_sets_of_labels_are_counted_label_by_label(make_store: Callable[..., Any]):
    sets = [["cat", "dog"], [], ["cat"], ["dog"], ["cat"]]
    strings = pa.list_(pa.string())
    store = make_store().items(
        "label", {"id": list("abcde"), "text": list("abcde"), "labels": pa.array(sets, strings)}
    )
    store.score(
        "multilabel_errors",
        [
            (score("multilabel_errors"), [0.3, 0.2, 0.9, 0.1, 0.9]),
            (flag("label_set_issue"), [True, True, False, True, False]),
            (detail("labels_to_add", strings), [[], ["cat", "eel"], [], ["cat"], []]),
            (detail("labels_to_remove", strings), [["dog"], [], [], ["dog"], []]),
        ],
    )
    data = collect(store.store)
    (labels,) = data.labels
    assert (labels.given, labels.suggested) == (("cat", "dog", "eel"), ("lacking", "there wrongly"))
    assert (labels.cells, labels.total, labels.left_out) == (((2, 0), (0, 2), (1, 0)), 3, 0)
    assert [(c.id, c.label, c.suggested) for c in labels.gallery.cards] == [
        ("d", "dog", "+cat −dog"),
        ("b", "", "+cat +eel"),
        ("a", "cat, dog", "−dog"),
    ]
    (balance,) = [b for b in data.balances if b.column == "labels"]
    assert balance.values == (("cat", 3, 3), ("dog", 2, 2), ("(none)", 1, 1))
    assert (balance.before, balance.after) == (5, 5)  # shares are of items
    assert [c.name for c in data.table.columns][:4] == ["id", "labels", "labels_to_add", "labels_to_remove"]
    assert data.table.rows[0][1] == "cat, dog"


def test_a_column_of_that_name_that_holds_no_sets_is_no_label(make_store: Callable[..., Any]):
    items = {"id": list("ab"), "text": list("ab"), "label": ["x", "y"], "labels": [1, 2]}
    data = collect(make_store().items("label", items).store)
    assert not data.labels and [b.column for b in data.balances] == ["label"]
