"""What is wrong at the end of a recipe is said before its first step runs."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import (
    ExpressionError,
    InputError,
    MissingExtraError,
    MissingModelError,
    RecipeError,
    SchemaError,
    UnknownNameError,
)
from curate.recipe.reader import build_recipe
from curate.run.checking import check_steps
from curate.run.plan import plan

ITEMS = [{"id": f"i{n}", "text": f"text number {n}", "label": "ab"[n % 2]} for n in range(6)]

WRONG = [
    ({"score": "text-basic"}, UnknownNameError, "text-basics"),
    ({"score": "near-duplicate", "with": {"distanc": 9}}, UnknownNameError, "Did you mean .distance"),
    ({"select": "tops", "budget": 2}, UnknownNameError, "Did you mean 'top'"),
    ({"select": "random"}, InputError, "a budget is needed"),
    ({"select": "random", "budget": "ten"}, InputError, "budget 'ten'"),
    ({"select": "random", "budget": 0}, InputError, "budget 0 is not"),
    ({"select": "random", "budget": "-5%"}, InputError, "budget '-5%'"),
    ({"select": "random", "budget": 2, "after": "cor"}, UnknownNameError, "Did you mean 'core'"),
    ({"analyse": "label-helth"}, UnknownNameError, "label-health"),
    ({"compare": {"a": {"select": "randon"}}}, UnknownNameError, "random"),
    ({"annotate": "offlin", "with": {"folder": "x"}}, UnknownNameError, "offline"),
    ({"keep": "text_words > 2 andd label = 'a'"}, ExpressionError, "andd"),
    ({"export": "out", "selection": "cor"}, UnknownNameError, "Did you mean 'core'"),
]


def test_nothing_is_done_where_a_later_step_is_wrong(store) -> None:
    store.add(ITEMS, kind="label")
    first = [{"score": "text-basics"}, {"select": "random", "budget": 3, "as": "core"}]
    for step, error, told in WRONG:
        recipe = {"store": "s", "steps": [*first, step]}
        with pytest.raises(error, match=told):
            store.run(recipe)
        assert store.parts.runs()[0]["status"] == "failed"
        with pytest.raises(error, match=told):
            plan(store.parts, build_recipe(recipe).steps)
    assert "text_basics" not in store.items.to_arrow().schema.names


def test_selections_of_earlier_runs_and_steps_are_known(store, tmp_path) -> None:
    store.add(ITEMS, kind="label")
    store.select("random", budget=2, name="first")
    steps = [
        {"keep": "label = 'a'", "as": "as"},
        {"select": "random", "budget": 2},
        *({"export": str(tmp_path / name), "selection": name} for name in ("first", "as", "random")),
    ]
    assert store.run({"store": "s", "steps": steps}).status == "done"


def test_it_is_said_where_nothing_is_mandatory(store) -> None:
    store.add(ITEMS, kind="label")
    step = {"select": "herding", "budget": 2, "with": {"embedding": "vec", "mandatory": "id = 'i3'"}}
    vectors = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    store.attach(vectors, name="vec", ids="rows")
    assert store.run({"store": "s", "steps": [step]}).steps[-1].notes == []
    step["with"]["mandatory"] = "id = 'i33'"
    for _ in range(2):  # and again where the selection is there
        told = store.run({"store": "s", "steps": [step]}).steps[-1].notes
        assert told == ["mandatory: id = 'i33' holds for none of 6 items"]


def test_all_faults_are_told_at_once(recipe) -> None:
    steps = [
        {**IMPORT, "import": "rows.parquet"},
        {"score": "exact-duplicate", "where": "raing > 2"},
        {"score": "text-basics", "where": "raing > 2", "with": {"languag": True}},
        {"keep": "text_langua = 'en'", "as": "kept"},  # nobody knows what step 3 was to give
        {"select": "top", "budget": 0, "with": {"by": "rating"}, "as": "best"},
        {"compare": {"a": {"select": "randon"}}, "embedding": "label", "budgets": ["5%", "-1%"]},
        {"export": "rows.parquet", "selection": "best", "columns": ["rating"]},
        {"export": "o", "selection": "besd", "format": "csv", "media": "embed"},
    ]
    with pytest.raises(UnknownNameError) as caught:
        recipe(*steps)
    head, *faults = str(caught.value).splitlines()
    assert head == f"{len(faults)} faults:"
    assert [int(fault.split()[1]) for fault in faults] == [2, 3, 3, 5, 6, 6, 7, 8, 8]
    for told in (
        "'raing'. Did you mean 'rating'",
        "parameter of 'text-basics' 'languag'",
        "budget 0",
        "'randon'",
    ):
        assert any(told in fault for fault in faults), told


def test_a_fault_is_no_cause_of_others(recipe) -> None:
    steps = [
        {"select": "top", "with": {"by": "ratings"}, "budget": 1, "as": "best"},
        {"export": "o", "selection": "best"},
        {"score": "text-basics", "where": "ratings > 1"},
        {"keep": "text_words > 1"},
        {"score": "text-basic", "as": "again"},
        {"keep": "again_text_words > 1"},
    ]
    with pytest.raises(UnknownNameError) as caught:
        recipe(IMPORT, *steps)
    assert [line.split()[1] for line in str(caught.value).splitlines()[1:]] == ["2", "4", "6"]


# --- Columns --------------------------------------------------------------------------------------------------------

ROWS = pa.table(
    {
        "id": ["a", "b", "c"],
        "sentence": ["one", "two", "three"],
        "label": ["x", "y", "x"],
        "rating": [1, 2, 3],
    }
)
IMPORT = {"import": "rows.parquet", "kind": "label", "columns": {"text": "sentence"}}
FIRST = [IMPORT, {"score": "text-basics"}, {"score": "exact-duplicate", "as": "same"}]
ATTACH = {"attach": "v.npy", "as": "vec", "ids": "rows"}
COLUMNS = [
    ({"keep": "text_word > 2"}, UnknownNameError, "Did you mean 'text_words'"),
    ({"keep": "ratin > 2"}, UnknownNameError, "Did you mean 'rating'"),
    ({"keep": "label = x"}, UnknownNameError, "write it in single quotes"),
    ({"keep": "sentence = 'one'"}, UnknownNameError, "Step 1 .* gives it as 'text'"),
    ({"keep": "not exact_duplicate"}, UnknownNameError, "Step 3 .* gives it as 'same'"),
    ({"keep": "text_words > 'a'"}, ExpressionError, "compares"),
    ({"keep": "label"}, ExpressionError, "not true or false"),
    ({"score": "text-basics", "where": "raing > 2", "as": "t2"}, UnknownNameError, "'rating'"),
    ({"score": "confident-learning"}, UnknownNameError, "The scorer out-of-fold gives it"),
    ({"score": "text-basics", "as": "minhash"}, SchemaError, "another scorer"),
    ({"score": "minhash", "as": "label"}, SchemaError, "the items themselves"),
    ({**ATTACH, "as": "text_words"}, SchemaError, "'text_words' already"),
    ({"select": "top", "budget": 1, "with": {"by": "2 * ratings"}}, UnknownNameError, "'rating'"),
    ({"select": "stratified", "budget": 1, "with": {"by": "labels"}}, UnknownNameError, "'label'"),
    ({"select": "random", "budget": 1, "where": "label"}, ExpressionError, "not true or false"),
    ({"select": "k-center", "budget": 1, "with": {"embedding": "minilmm"}}, UnknownNameError, "'minilmm'"),
    ({"analyse": "label-conflicts", "with": {"group": "smae"}}, UnknownNameError, "Did you mean 'same'"),
    ({"analyse": "label-health", "where": "split = 'a'"}, UnknownNameError, "'split'"),
    ({"compare": ["random"], "embedding": "minilm"}, UnknownNameError, "The scorer minilm gives it"),
    ({"compare": ["random"], "embedding": "label"}, SchemaError, "holds string, not vectors"),
    ({"compare": ["random"], "embedding": "v", "label": "lable"}, UnknownNameError, "'v'"),
    ({"compare": {"a": {"select": "top", "by": "ratin"}}}, UnknownNameError, "'rating'"),
    ({"annotate": "offline", "when": "ratin > 1"}, UnknownNameError, "'rating'"),
    ({"annotate": "offline", "with": {"folder": "x"}}, RecipeError, "what is asked"),
    (
        {"annotate": "offline", "with": {"template": "text-classification", "foldr": "x"}},
        UnknownNameError,
        "'folder'",
    ),
    ({"export": "o", "columns": ["id", "rting"]}, UnknownNameError, "'rating'"),
    ({"report": "r.html", "map_of": "label"}, UnknownNameError, "column of vectors"),
    ({"import": "rows.parquet", "kind": "lable"}, UnknownNameError, "Did you mean 'label'"),
]


@pytest.fixture
def recipe(tmp_path, store) -> Any:
    """Checks a list of steps whose files lie in `tmp_path`, before anything is imported."""
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))

    def check(*steps: dict[str, Any]) -> None:
        built = build_recipe({"store": "s", "steps": [{**step} for step in steps]}).steps
        check_steps(store.parts, built, tmp_path)

    return check


@pytest.mark.parametrize(
    ("step", "error", "told"),
    COLUMNS,
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_a_column_that_no_step_gives_is_found_missing_before_anything_runs(recipe, step, error, told) -> None:
    with pytest.raises(error, match=told) as caught:
        recipe(*FIRST, step)
    assert str(caught.value).splitlines()[-1].startswith("step 4 of 4 (")


def test_what_earlier_steps_give_is_there(recipe, tmp_path) -> None:
    recipe(
        *FIRST,
        {"keep": "text_words > 0 and rating < 3 and not same and length(text) > 1", "as": "kept"},
        {"score": "near-duplicate", "with": {"by": "text"}},
        {"keep": "minhash_reason is null and near_duplicate is not null"},  # minhash was made first
        {**ATTACH, "as": "pred-probs"},
        {"score": "confident-learning"},
        {"score": "text-basics", "as": "again"},
        {"select": "top", "with": {"by": "again_text_words + rating"}, "budget": 1},
        {"analyse": "label-health"},
        {"compare": ["random"], "embedding": "pred_probs", "test": "rating = 1"},
        {"export": "out", "columns": ["rating", "same_of", "suggested_label"], "selection": "kept"},
        {"report": "r.html", "map_of": "pred_probs"},
    )


def test_a_column_of_a_later_step_is_no_column_yet(recipe) -> None:
    with pytest.raises(UnknownNameError, match=r"Step 3 \(score text-basics\) gives it: put that before"):
        recipe(IMPORT, {"keep": "text_words > 1"}, {"score": "text-basics"})


def test_columns_that_a_scorer_gave_before_under_the_name_are_gone(recipe) -> None:
    language = {"score": "text-basics", "with": {"language": True}}
    recipe(IMPORT, language, {"keep": "text_language = 'en'"})
    with pytest.raises(UnknownNameError, match="text_language"):
        recipe(IMPORT, language, {"score": "text-basics"}, {"keep": "text_language = 'en'"})


def test_where_an_import_cannot_be_known_no_column_is_refused(recipe, tmp_path) -> None:
    step = {"keep": "whatever > 1"}
    source = {**IMPORT, "import": "memory://nowhere/rows.parquet"}
    recipe(source, {"score": "text-basics"}, step, {"export": "o", "columns": ["x"]})
    (tmp_path / "rows.jsonl").write_text('{"sentence": "a", "label": "b", "kind": 1}\n')
    lines = {**IMPORT, "import": "rows.jsonl"}
    recipe(lines, {"keep": "kind = 1"})
    with pytest.raises(UnknownNameError, match="whatever"):
        recipe(lines, step)


def test_large_text_is_not_read_twice_but_told_right_after_its_import(store, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("curate.formats.source._QUICKLY", 10)
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "sentence": "a", "label": "b"}\n')
    steps = [
        {**IMPORT, "import": str(tmp_path / "rows.jsonl")},
        {"score": "text-basics"},
        {"keep": "ratng > 1"},
    ]
    with pytest.raises(UnknownNameError, match="step 3 of 3"):
        store.run({"steps": steps})
    assert len(store) == 1
    assert "text_basics" not in store.items.columns


def test_sources_are_not_opened_where_the_store_knows_the_columns(
    recipe, store, tmp_path, monkeypatch
) -> None:
    store.run({"steps": [{**IMPORT, "import": str(tmp_path / "rows.parquet")}]})
    monkeypatch.setattr("curate.run.outlook.columns_ahead", None)  # would not survive a call
    recipe(
        *FIRST,
        {"keep": "rating > 1 and text_words > 1"},
        {"select": "stratified", "budget": 1, "with": {"by": "rating"}},
    )


def test_items_that_play_a_role_can_be_kept_by_it(store, captions) -> None:
    store.add(captions("a dog", "a cat on a mat"), kind="image-text")
    assert store.run({"steps": [{"keep": "length(text) > 5"}]}).steps[-1].counts == {"kept": 1, "dropped": 1}


def test_a_count_above_the_items_there_are_is_found_too_high(recipe, store, tmp_path) -> None:
    steps = [{"score": "text-basics"}, {"select": "random", "budget": 4}]
    recipe(IMPORT, *steps)  # nobody knows how many it brings
    store.run({"steps": [{**IMPORT, "import": str(tmp_path / "rows.parquet")}]})
    with pytest.raises(InputError, match=r"step 2 of 2 .* 3 items are there"):
        recipe(*steps)
    first = {"select": "random", "budget": 3, "as": "a"}
    recipe(first, {"select": "top", "with": {"by": "rating"}, "budget": "100%"})
    with pytest.raises(InputError, match=r"select random after 'a': it cannot continue a selection"):
        recipe(first, {"select": "random", "budget": "100%", "after": "a"})
    with pytest.raises(InputError, match="needs another name"):
        recipe(
            {"select": "random", "budget": 1, "as": "a"},
            {"select": "random", "budget": 2, "after": "a", "as": "a"},
        )


def test_a_store_without_items_has_no_map_to_refuse(recipe) -> None:
    recipe({"report": "r.html", "map_of": "whatever"}, IMPORT)


# --- Files --------------------------------------------------------------------------------------------------------

FILES = [
    ({**IMPORT, "import": "row.parquet"}, InputError, "no file or folder .* Did you mean .*rows.parquet"),
    ({**IMPORT, "import": "*.jsonl"}, InputError, "no file matches"),
    ({**IMPORT, "import": "v.npy"}, InputError, "the format of .npy files is not known"),
    ({**IMPORT, "format": "arrow"}, UnknownNameError, "unknown format 'arrow'"),
    ({**IMPORT, "import": "zip://a.csv::absent.zip"}, InputError, "no file or folder .*absent.zip"),
    ({**IMPORT, "import": "nosuch://a/rows.csv"}, InputError, "Protocol not known: nosuch"),
    ({**IMPORT, "import": "pictures", "kind": "image-text", "texts": "t.csv"}, InputError, "no file .*t.csv"),
    ({**ATTACH, "attach": "w.npy"}, InputError, "no file or folder .* Did you mean .*v.npy"),
    ({**ATTACH, "attach": "rows.csv"}, InputError, "vectors are read from .npy"),
    ({**ATTACH, "attach": "rows.parquet"}, InputError, "no vector column"),
    ({**ATTACH, "attach": "rows.parquet", "key": "p"}, UnknownNameError, "vector column of .* 'p'"),
    ({**ATTACH, "attach": "torn.npy"}, InputError, "torn.npy cannot be read"),
    ({**ATTACH, "attach": "torn.npz"}, InputError, "torn.npz cannot be read"),
    ({**ATTACH, "attach": "flat.npy"}, InputError, "expected .rows, columns."),
    ({**ATTACH, "attach": "words.npz"}, InputError, "words.npz is of dtype <U1: expected numbers"),
    ({**ATTACH, "attach": "two.npz"}, InputError, r"holds a \(3, 3\), b \(3, 1\), c_ .* say which"),
    ({**ATTACH, "attach": "two.npz", "key": "c"}, UnknownNameError, "array of .* 'c'"),
    ({**ATTACH, "key": "a"}, InputError, "holds one array"),
    ({**ATTACH, "ids": None}, InputError, "3 vectors have no ids"),
    ({**ATTACH, "ids": "id.csv"}, InputError, "ids: there is no file or folder .*id.csv"),
    ({**ATTACH, "ids": "two.npz"}, InputError, "ids are read from"),
    ({**ATTACH, "ids": "ids.txt"}, InputError, "has 3 rows, and 2 ids are given"),
]


@pytest.mark.parametrize(("step", "error", "told"), FILES, ids=lambda value: str(value)[:60])
def test_files_that_cannot_be_read_are_told_at_once(recipe, tmp_path, step, error, told) -> None:
    (tmp_path / "rows.csv").write_text("id\na\n")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").touch()
    (tmp_path / "torn.npz").write_bytes(b"PK")
    (tmp_path / "torn.npy").write_bytes((tmp_path / "v.npy").read_bytes()[:-4])
    np.save(tmp_path / "flat.npy", np.ones(3))
    np.savez(tmp_path / "words.npz", w=np.array([["a"], ["b"]]))
    np.savez(tmp_path / "two.npz", a=np.eye(3), b=np.ones((3, 1)), c_=np.ones(3))
    with pytest.raises(error, match=told) as caught:
        recipe(*FIRST, step)
    assert str(caught.value).startswith("step 4 of 4 (")


def test_files_that_can_be_read_are_not_refused(recipe, tmp_path) -> None:
    table = pa.table({"id": ["a", "b", "c"], "p0": [0.1] * 3, "p1": [0.9] * 3, "v": [[1.0], [2.0], [3.0]]})
    pq.write_table(table, tmp_path / "p.parquet")
    with pa.ipc.new_file(tmp_path / "p.arrow", table.schema) as file:
        file.write_table(table)
    np.savez(tmp_path / "p.npz", ids=np.array(["a", "b", "c"]), p=np.eye(3), n=np.ones(3))
    (tmp_path / "ids.csv").write_text("id\na\nb\nc\n")
    archive = tmp_path / "made" / "data" / "media.zip"
    made = {"export": "made/data"}
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "a.txt"):
        (tmp_path / "pictures" / name).write_text("a cat")
    for step in (
        {"import": "pictures/*", "kind": "image-text", "texts": ".txt"},
        {"import": "pictures", "kind": "image-text"},
        {**ATTACH, "ids": "ids.csv"},
        {"attach": "p.npz", "as": "p"},
        {"attach": "p.npz", "as": "p", "key": "p", "ids": "rows"},
        {"attach": "p.parquet", "as": "p", "key": "v"},
        {"attach": "p.arrow", "as": "p", "key": "p"},
        {"attach": "memory://p.npy", "as": "p"},
        {"attach": "./made/data/data.parquet", "as": "p"},
        {**ATTACH, "ids": "made/../made/data/data.parquet"},
        {**IMPORT, "import": "ma*/data/*.parquet"},
        {**IMPORT, "import": f"zip://a.csv::{archive}"},
    ):
        recipe(*FIRST, made, step)
    recipe({"import": "pictures/*", "kind": "image-text", "texts": ".txt"}, {"score": "text-basics"})


def test_vectors_in_the_order_of_import_are_counted_where_the_items_are_known(
    recipe, store, tmp_path
) -> None:
    np.save(tmp_path / "four.npy", np.eye(4))
    step = {**ATTACH, "attach": "four.npy"}
    recipe(IMPORT, step)  # nobody knows how many it brings
    store.run({"steps": [{**IMPORT, "import": str(tmp_path / "rows.parquet")}]})
    with pytest.raises(InputError, match=r"step 1 of 1 .*4 vectors for 3 items"):
        recipe(step)


# --- Places, packages, weights, addresses ---------------------------------------------------------------------------


def test_a_late_import_that_does_not_fit_is_told_at_once(recipe, tmp_path) -> None:
    late = {"import": "rows.parquet", "kind": "label", "columns": {"text": "sentences"}}
    with pytest.raises(UnknownNameError, match=r"step 4 of 4 .* Did you mean 'sentence'"):
        recipe(*FIRST, late)
    with pytest.raises(SchemaError, match="no column image and caption"):
        recipe(*FIRST, {**late, "kind": "image-text", "columns": {}})
    (tmp_path / "scored.csv").write_text("id,text,label,text_words\n1,a,b,1\n")
    with pytest.raises(SchemaError, match=r"'text_words' is given by the scorer 'text-basics' already"):
        recipe(*FIRST, {"import": "scored.csv", "kind": "label"})
    recipe(*FIRST, {"import": "scored.csv", "kind": "label", "columns": {"words": "text_words"}})
    # It may be another file by then: the recipe writes there itself.
    recipe(*FIRST, {"export": "rows.parquet.d"}, {**late, "import": "rows.parquet.d/data.parquet"})


def test_places_that_cannot_be_written_are_told_at_once(recipe, tmp_path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("not to be lost")
    for step, told in (
        ({"export": "rows.parquet"}, "is a file: an export is a folder"),
        ({"export": "rows.parquet/below"}, "rows.parquet is a file"),
        ({"export": "full", "overwrite": True}, "not an export of curate"),
        ({"export": "o", "format": "csv", "media": "embed"}, "csv cannot hold the bytes"),
        ({"export": "o", "format": "webdataset", "media": "copy"}, "WebDataset shards hold"),
        ({"report": "full"}, "is a folder: name the file"),
        ({"report": "rows.parquet/r.html"}, "rows.parquet is a file"),
    ):
        with pytest.raises(InputError, match=f"step 4 of 4 .*{told}"):
            recipe(*FIRST, step)
    recipe(*FIRST, {"export": "new/deep/out"}, {"report": "rows.parquet.html"}, {"report": "new/r.html"})


def test_items_of_several_kinds_are_refused_where_nothing_narrows_them(
    recipe, store, tmp_path, captions
) -> None:
    late = [{"import": "texts.jsonl", "kind": "instruction"}, {"score": "text-basics"}]
    (tmp_path / "texts.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    out = {"export": "out", "format": "webdataset"}
    told = (
        r"step 4 of 4 .*several kinds \(label, instruction\): keep one first, as with keep: label is not null"
    )
    with pytest.raises(InputError, match=told):
        recipe(IMPORT, *late, out)
    recipe(IMPORT, *late, {"keep": "instruction is null"}, out)
    recipe(IMPORT, *late, {"select": "random", "budget": 1}, {**out, "selection": "random"})
    store.run({"steps": [{**IMPORT, "import": str(tmp_path / "rows.parquet")}]})
    store.keep("rating > 1", name="labelled")
    store.add(str(tmp_path / "texts.jsonl"), kind="instruction")
    store.select("random", budget="100%", name="both")
    recipe({**out, "selection": "labelled"})
    with pytest.raises(InputError, match="several kinds"):
        recipe({**out, "selection": "both"})
    recipe({"select": "random", "budget": 1, "as": "both"}, {**out, "selection": "both"})
    store.delete(where="label is null")
    recipe(out)  # the parts are still there, with no row that lives


def test_what_was_kept_before_an_import_stays_kept(store, tmp_path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    store.add(ITEMS, kind="label")
    steps = [
        {"keep": "label = 'a'"},
        {"import": str(tmp_path / "texts.jsonl"), "kind": "instruction"},
        {"export": str(tmp_path / "out")},
    ]
    assert store.run({"steps": steps}).steps[-1].counts["rows"] == 3


def test_exports_that_are_surely_others_are_told_at_once(recipe, store, tmp_path) -> None:
    store.add(ITEMS, kind="label")
    store.export(tmp_path / "there")
    with pytest.raises(InputError, match=r"step 1 of 1 .* holds a different export .* as parquet"):
        recipe({"export": "there", "format": "csv"})
    with pytest.raises(InputError, match="holds a different export"):
        recipe({"export": "there", "media": "copy"})
    recipe({"export": "there"}, {"export": "there", "format": "csv", "overwrite": True})
    with pytest.raises(InputError, match=r"step 2 of 2 .* will hold another export, .* as parquet"):
        recipe({"export": "o"}, {"export": "./o", "format": "csv"})
    keep = {"keep": "label = 'a'", "as": "as"}
    for second in ({"export": "o"}, {"export": "o", "selection": "as"}, {"export": "o", "overwrite": True}):
        recipe(keep, {"export": "o"}, second)
    with pytest.raises(InputError, match="hold the bytes of media themselves"):
        recipe({"export": "o", "format": "webdataset", "media": "reference"})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_others_is_told_at_once(recipe, tmp_path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o555)
    with pytest.raises(InputError, match="takes no new files"):
        recipe(*FIRST, {"export": "theirs/out"})


def test_missing_packages_weights_and_addresses_are_told_at_once(recipe, tmp_path, monkeypatch) -> None:
    head = {"score": "reward-head", "with": {"weights": str(tmp_path / "head.pt"), "features": "vec"}}
    steps = [*FIRST, ATTACH]
    with pytest.raises(MissingModelError, match=r"step 5 of 5 .* no file .*head\.pt"):
        recipe(*steps, head)
    (tmp_path / "head.pt").touch()
    recipe(*steps, head)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    push = {
        "annotate": "label-studio",
        "with": {"url": "http://localhost:1", "template": "text-classification"},
    }
    with pytest.raises(InputError, match="set LABEL_STUDIO_API_KEY"):
        recipe(*FIRST, push)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x")
    recipe(*FIRST, push)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"step 5 of 5 .*curate\[noise\]"):
        recipe(*steps, {"compare": ["random"], "embedding": "vec"})
    with pytest.raises(MissingExtraError, match=r"curate\[noise\]"):
        recipe(*steps, {"report": "r.html", "map_by": "t-sne"})


# --- Questions ------------------------------------------------------------------------------------------------------

GUESSES = {"columns": {"label": "label"}, "model_version": "m"}
ASK = {"folder": "tasks", "template": "text-classification"}
QUESTIONS = [
    ({"template": "text-clasification"}, UnknownNameError, "Did you mean 'text-classification'"),
    ({"params": {"lables": ["a"]}}, UnknownNameError, "Did you mean 'labels'"),
    ({"params": {"labels": "a,b"}}, InputError, "a list is meant"),
    ({"params": {"label": "class"}}, InputError, "name the labels, .* 'class' is none of"),
    ({"params": {"text": "sentence"}}, UnknownNameError, "column for template .* 'sentence'"),
    ({"template": "image-text-alignment"}, UnknownNameError, "column for template .* 'image'"),
    ({"template": "image-text-alignment", "params": {"limit": 1}}, InputError, "limit=1: ratings go"),
    ({"template": "custom", "params": {"xml": "<View>"}}, InputError, "no well-formed XML"),
    ({"guesses": {**GUESSES, "columns": {"lable": "label"}}}, UnknownNameError, "control of .* 'lable'"),
    ({"guesses": {**GUESSES, "columns": {"label": "lable"}}}, UnknownNameError, "Did you mean 'label'"),
    ({"guesses": {**GUESSES, "score": "sure"}}, UnknownNameError, "unknown column 'sure'"),
    ({"guesses": {"columns": {"label": "label"}}}, InputError, "model_version: Field required"),
    ({"round": 0}, InputError, "round 0: rounds are numbered from 1"),
    ({"round": "two"}, InputError, "round 'two'"),
    ({"folder": "rows.parquet"}, InputError, "rows.parquet is a file"),
]
SERVER = {"url": "http://localhost:1", "template": "text-classification"}
ADDRESSES = [
    ({"url": "localhost:8080"}, InputError, "no address of a Label Studio server"),
    ({"media": "local"}, InputError, "media='local' needs `files`"),
    ({"media": "local", "files": "nowhere"}, InputError, "files='nowhere' is no folder"),
    ({"round": -1}, InputError, "rounds are numbered"),
    ({"params": {"label": "class"}}, InputError, "'class' is none of"),
]


@pytest.mark.parametrize(("asked", "error", "told"), QUESTIONS, ids=lambda value: str(value)[:60])
def test_a_question_that_cannot_be_asked_is_told_at_once(
    recipe, tmp_path, monkeypatch, asked, error, told
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=f"step 4 of 4 .annotate offline.: .*{told}"):
        recipe(*FIRST, {"annotate": "offline", "with": {**ASK, **asked}})


@pytest.mark.parametrize(("asked", "error", "told"), ADDRESSES, ids=lambda value: str(value)[:60])
def test_what_a_server_will_not_be_asked_is_told_at_once(recipe, monkeypatch, asked, error, told) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x")
    with pytest.raises(error, match=f"step 4 of 4 .annotate label-studio.: .*{told}"):
        recipe(*FIRST, {"annotate": "label-studio", "with": {**SERVER, **asked}})
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "two words")
    with pytest.raises(InputError, match="the token is empty or has spaces"):
        recipe(*FIRST, {"annotate": "label-studio", "with": SERVER})


def test_questions_that_can_be_asked_are_not_refused(recipe, store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sentences = {"params": {"text": "sentence", "label": "rating"}}
    xml = "<View><Text name='t' value='$what'/><Choices name='c' toName='t'><Choice value='a'/></Choices></View>"
    custom = {"template": "custom", "params": {"xml": xml, "fields": {"what": "text"}}}
    scored = {**GUESSES, "score": "text_basics"}
    for asked in ({}, {"round": 2, "guesses": scored}, {"params": {"labels": ["a"]}}, custom):
        recipe(*FIRST, {"annotate": "offline", "with": {**ASK, **asked}})
    unknown = {**IMPORT, "import": "memory://nowhere.parquet"}
    recipe(unknown, {"annotate": "offline", "with": {**ASK, **sentences}})
    recipe({"annotate": "offline", "with": ASK})  # no items, nothing to ask
    # What is put into its folder may be imported later.
    recipe(
        *FIRST,
        {"annotate": "offline", "with": ASK},
        {**IMPORT, "import": str(tmp_path / "tasks/answers/a.csv")},
    )


def test_a_round_that_was_begun_goes_on_with_the_same_question(recipe, store, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    store.add(ITEMS, kind="label")
    step = {"annotate": "offline", "with": {**ASK, "params": {"labels": ["a", "b"]}}}
    store.run({"steps": [step]})
    recipe(step)
    recipe({"annotate": "offline", "with": ASK})  # the labels of the items are these
    with pytest.raises(
        InputError, match=r"step 1 of 1 .*round 1 in tasks asks by template 'text-classification'"
    ):
        recipe({"annotate": "offline", "with": {**ASK, "params": {"labels": ["a", "c"]}}})
    recipe({"annotate": "offline", "with": {**ASK, "params": {"labels": ["a", "c"]}, "round": 2}})
    (tmp_path / "tasks" / "project.json").write_text(
        (tmp_path / "tasks" / "project.json").read_text().replace(store.parts.uuid, "0" * 32)
    )
    with pytest.raises(InputError, match="tasks of another data set"):
        recipe(step)
