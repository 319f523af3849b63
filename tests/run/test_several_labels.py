"""Items of kind `label` with several labels: what reads them, what says that it needs one, and stores that hold both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.api import Store
from curate.errors import ExpressionError, InputError, SchemaError
from curate.recipe.model import ImportStep, KeepStep, ScoreStep, SelectStep
from curate.run.checking import check_steps

N = 40


def rows(labels: bool = True, one: bool = False, first: int = 0) -> dict[str, list[Any]]:
    """Texts with sets of labels, with one label, or both."""
    ids = [f"{first + i:03d}" for i in range(N)]
    table: dict[str, list[Any]] = {"id": ids, "text": [f"text {i}" for i in ids]}
    if labels:
        table["labels"] = [["ant"] if i % 3 else ["ant", "bee"] for i in range(N)]
    if one:
        table["label"] = ["ant" if i % 2 else "bee" for i in range(N)]
    return table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = curate.open(tmp_path / "s.curate", create=True)
    made.add(pa.table(rows()), kind="label")
    return made


def test_what_needs_one_label_says_who_reads_several(store: Store) -> None:
    for scorer in ("label-errors", "confident-learning", "knn-shapley"):
        with pytest.raises(
            SchemaError, match=f"{scorer} needs one label .* several .*multilabel-errors says which"
        ):
            store.score(scorer)
    with pytest.raises(
        SchemaError, match=r"stratified needs one label .* chosen by their scores.* parameter 'by'"
    ):
        store.select("stratified", by="label", budget=5)
    with pytest.raises(SchemaError, match="label-health needs one label"):
        store.analyse("label-health")
    with pytest.raises(SchemaError, match="compare needs one label"):
        store.compare(["random"], budgets=[5], embedding="p")
    store.attach({"id": rows()["id"], "p": [[0.5, 0.5]] * N}, name="p")
    with pytest.raises(SchemaError, match=r"column 'labels' holds list<.*>: one label of each item is meant"):
        store.select("cw-erm", label="labels", embedding="p", budget=5)


def test_a_recipe_is_refused_before_its_first_step(tmp_path: Path) -> None:
    source = tmp_path / "items.jsonl"
    source.write_text('{"text": "a", "labels": ["x", "y"]}\n')
    store = curate.open(tmp_path / "s.curate", create=True)
    bring = ImportStep.model_validate({"import": str(source), "kind": "label"})
    for step in (
        ScoreStep.of({"score": "label-errors"}),
        SelectStep.model_validate({"select": "stratified", "with": {"by": "label"}, "budget": 1}),
    ):
        with pytest.raises(SchemaError, match="needs one label of each item"):
            check_steps(store.parts, [bring, step])
    with pytest.raises(ExpressionError, match=r"'labels', which is a list.* reads contains\(labels, 'a'\)"):
        check_steps(store.parts, [bring, KeepStep.of({"keep": "labels = 'x'"})])
    keep = KeepStep.of({"keep": "contains(labels, 'x')"})
    check_steps(store.parts, [bring, keep, ScoreStep.of({"score": "exact-duplicate"})])


def test_a_store_may_hold_items_with_one_label_and_items_with_several(store: Store) -> None:
    pytest.importorskip("sklearn", reason="extra noise not installed")
    store.add(pa.table(rows(labels=False, one=True, first=500)), kind="label")
    assert store.items.columns[:4] == ["id", "text", "label", "labels"]
    table = store.items.to_arrow(["label", "labels"]).to_pydict()
    assert table["label"] == [None] * N + rows(one=True)["label"]
    assert table["labels"] == rows()["labels"] + [None] * N
    x = np.random.default_rng(0).normal(size=(2 * N, 4)).astype(np.float32)
    store.attach({"id": store.items.to_arrow(["id"])["id"].to_pylist(), "x": x.tolist()}, name="x")
    store.score("label-probs", embedding="x")
    assert store.items.where("label_probs_reason is not null").to_arrow(["id"]).num_rows == 0
    store.score("out-of-fold", embedding="x")
    table = store.items.to_arrow(["out_of_fold_reason"]).to_pydict()
    assert table["out_of_fold_reason"] == ["no label"] * N + [None] * N


def test_columns_of_yes_and_no_are_named_as_a_list_or_by_a_pattern(tmp_path: Path) -> None:
    table = {"text": ["x", "y", "z"], "is_ant": [1, 0, 1], "is_bee": [1, 0, 0]}
    for number, columns in enumerate((["is_ant", "is_bee"], "is_*")):
        store = curate.open(tmp_path / f"{number}.curate", create=True)
        store.add(table, kind="label", columns={"labels": columns})
        ant, bee = ("ant", "bee") if columns == "is_*" else ("is_ant", "is_bee")
        assert store.items.to_arrow(["labels"])["labels"].to_pylist() == [[ant, bee], [], [ant]]
        assert store.items.columns == ["id", "text", "labels"]


def test_conditions_over_sets(store: Store, tmp_path: Path) -> None:
    both = [i for i in rows()["id"] if int(i) % 3 == 0]
    for text in (
        "contains(labels, 'bee')",
        "length(labels) > 1",
        "labels is not null and not length(labels) = 1",
    ):
        assert store.items.where(text).to_arrow(["id"])["id"].to_pylist() == both
    assert len(store.keep("contains(labels, 'bee')", name="bees")) == len(both)
    for text in (
        "labels = 'bee'",
        "coalesce(labels, 'a') is null",
        "contains('bee', labels)",
        "lower(labels) = 'a'",
    ):
        with pytest.raises(
            ExpressionError, match=r"reads contains\(labels, 'a'\), length\(labels\) or labels is null"
        ):
            store.items.where(text)


def test_items_of_two_kinds_are_told_apart_by_a_column_that_is_there(store: Store, tmp_path: Path) -> None:
    store.add(pa.table({"instruction": ["a"], "output": ["b"]}), kind="instruction")
    with pytest.raises(InputError, match="keep: labels is not null"):
        store.export(tmp_path / "out", format="jsonl")
    store.keep("labels is not null", name="sets")
    assert store.export(tmp_path / "out", format="jsonl", selection="sets").counts["rows"] == N
