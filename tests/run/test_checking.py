"""What is wrong at the end of a recipe is said before its first step runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from run_recipes import ATTACH, FIRST, IMPORT, ITEMS

from curate.errors import (
    ExpressionError,
    InputError,
    RecipeError,
    SchemaError,
    UnknownNameError,
)
from curate.recipe.reader import build_recipe
from curate.run.plan import plan

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
