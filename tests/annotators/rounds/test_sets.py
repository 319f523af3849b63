"""Answers that are sets of labels: each label is decided by itself, and what is settled is a list."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import curate
from curate.annotators.rounds import Agreement, Rounds
from curate.annotators.rounds.sets import aggregate_sets, are_sets, as_lists

SAID = {
    ("a", "ann"): '["cat","dog"]', ("a", "ben"): '["dog"]', ("a", "cem"): '["dog","eel"]',
    ("b", "ann"): "[]", ("b", "ben"): "[]", ("b", "cem"): '["cat"]',
    ("c", "ann"): '["cat","eel"]', ("c", "ben"): '["cat","eel"]', ("c", "cem"): '["cat"]',
}  # fmt: skip


def answers(said: dict[tuple[str, str], str] = SAID) -> pl.DataFrame:
    items, people = zip(*said, strict=True)
    return pl.DataFrame({"item": items, "annotator": people, "value": list(said.values())})


def test_each_label_is_decided_by_itself() -> None:
    found = aggregate_sets(answers(), "majority")
    assert found["item"].to_list() == ["a", "b", "c"]
    assert found["value"].to_list() == [
        '["dog"]',
        "[]",
        '["cat","eel"]',
    ]  # nobody but ann said either of a's labels
    assert found["probability"].to_list() == pytest.approx(
        [4 / 9, 2 / 3, 2 / 3]
    )  # 2/3 x 1 x 2/3; 2/3; 1 x 2/3


def test_empty_sets_alone_are_agreed_on() -> None:
    found = aggregate_sets(answers({("a", "ann"): "[]", ("a", "ben"): "[]"}), "auto")
    assert found.rows() == [("a", "[]", 1.0)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['["a"]', "[]", None], True),
        (["a", '["a"]'], False),
        (['[{"start":1}]'], False),
        (["[1]"], False),
        (["[a]"], False),
        ([None], False),
    ],
)
def test_what_is_a_set(values: list[str | None], expected: bool) -> None:
    series = pl.Series("value", values, dtype=pl.String)
    assert are_sets(series) is expected
    if expected:
        assert as_lists(series).to_list() == [["a"], [], None]


def test_what_is_settled_is_a_column_of_lists(tmp_path: Path) -> None:
    store = curate.open(tmp_path / "s.curate", create=True)
    store.add(
        {"id": ["a", "b", "c"], "text": ["x", "y", "z"], "labels": [["cat"], ["cat"], ["eel"]]}, kind="label"
    )
    store.record_answers(answers(), control="labels")
    plan = Rounds("labels", rules=(Agreement(0.6),), most=1, method="majority")
    assert plan.judge(store.answers).counts == {"settled": 2, "undecided": 1}
    plan.settle(store, "checked")
    table = store.items.to_arrow(["id", "checked", "checked_state"])
    assert table.schema.field("checked").type.value_type == "string"
    assert table["checked"].to_pylist() == [None, [], ["cat", "eel"]]
    assert store.items.where("contains(checked, 'eel')").to_arrow(["id"])["id"].to_pylist() == ["c"]
