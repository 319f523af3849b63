"""keep, select, attach, export, explain, plan: what they decide, and that they say so exactly."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import ExpressionError, InputError, RecipeError, SchemaError, UnknownNameError
from curate.recipe.reader import build_recipe
from curate.report.funnel import make_step
from curate.run.plan import plan

pytestmark = pytest.mark.usefixtures("spies")


@pytest.fixture
def filled(store):
    """Ten items: width 0, 10 ... 90 (null for the last), labels in turn."""
    rows = [
        {
            "id": f"i{n}",
            "image": f"https://example.org/{n}.jpg",
            "caption": f"thing {n}",
            "width": None if n == 9 else 10 * n,
            "order": "ab"[n % 2],
        }
        for n in range(10)
    ]
    store.add(rows, kind="image-text", part_rows=4)
    return store


# --- keep -------------------------------------------------------------------------------------------------------


def test_keep_says_which_condition_dropped_how_many(filled):
    kept = filled.keep("width > 20 and caption <> 'thing 5'", name="wide")
    assert kept.items.ids().to_pylist() == ["i3", "i4", "i6", "i7", "i8"]
    record = filled._session.run.steps[-1]
    assert record.counts == {"kept": 5, "dropped": 5}
    assert record.reasons == {
        "fails width > 20": 3,
        "unknown (null): width > 20": 1,
        "fails caption <> 'thing 5'": 1,
    }


def test_keep_within_a_selection_narrows_it(filled):
    filled.keep("width > 20", name="wide")
    both = filled.keep("width < 70", name="medium", within="wide")
    assert both.items.ids().to_pylist() == ["i3", "i4", "i5", "i6"]


def test_keep_again_is_recognised(filled):
    filled.keep("width > 20", name="wide")
    version = filled.parts.snapshot().version
    filled.keep("width > 20", name="wide")
    assert filled._session.run.steps[-1].reused
    assert filled.parts.snapshot().version == version


def test_a_column_named_like_a_keyword_works_quoted(filled):
    assert len(filled.keep("\"order\" = 'a'", name="a")) == 5


@pytest.mark.parametrize(
    "expression",
    [
        "id in (select id from read_text('/etc/passwd'))",
        "read_text('/etc/passwd') is not null",
        "width > 1; drop table items",
        "count(*) > 1",
        "caption",
        "width >",
    ],
)
def test_keep_refuses_what_is_no_predicate_over_columns(filled, expression):
    with pytest.raises(ExpressionError):
        filled.keep(expression)


def test_keep_names_the_nearest_column(filled):
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        filled.keep("widht > 3")


# --- select -----------------------------------------------------------------------------------------------------


def test_select_stores_rank_and_reason_and_tells_random(filled):
    best = filled.select("top", by="width", budget=3, name="best")
    table = best.to_arrow()
    assert table["id"].to_pylist() == ["i8", "i7", "i6"]
    assert table["rank"].to_pylist() == [0, 1, 2]
    assert best.stats["random"] == {"objective": 70.0, "random": 40.0}
    assert filled.selections["best"].items.ids().to_pylist() == ["i6", "i7", "i8"]


def test_select_is_seeded_and_remembered(filled, tmp_path):
    first = filled.select("random", budget=0.5, name="half").to_arrow()["id"].to_pylist()
    again = filled.select("random", budget=0.5, name="half").to_arrow()["id"].to_pylist()
    assert first == again
    assert filled._session.run.steps[-1].reused
    filled._session.run.seed = 1
    other = filled.select("random", budget=0.5, name="half").to_arrow()["id"].to_pylist()
    assert other != first


def test_select_runs_again_when_a_score_it_reads_changes(filled, tmp_path):
    log = str(tmp_path / "log")
    filled.score("spy", log=log)
    assert filled.select("top", by="spy + 0", budget=1, name="one").to_arrow()["id"].to_pylist() == ["i0"]
    filled.score("spy", log=log, factor=2.0)
    filled.select("top", by="spy + 0", budget=1, name="one")
    assert not filled._session.run.steps[-1].reused


@pytest.mark.parametrize(
    ("budget", "said"), [(0, "budget 0"), (11, "budget 11"), (1.5, "fraction"), ("x%", "not a count")]
)
def test_select_refuses_impossible_budgets(filled, budget, said):
    with pytest.raises(InputError, match=said):
        filled.select("random", budget=budget)


def test_select_from_nothing_is_an_error(filled):
    with pytest.raises(InputError, match="nothing to select from"):
        filled.select("random", budget=1, where="width > 1000")


# --- attach -----------------------------------------------------------------------------------------------------


def test_vectors_are_joined_by_id_and_what_does_not_fit_is_listed(filled):
    values = np.arange(8, dtype=np.float32).reshape(4, 2)
    record = filled.attach(values, name="probs", ids=["i3", "i0", "nobody", "i9"])
    assert record.counts == {"rows": 10, "scored": 3, "failed": 7, "unknown": 1}
    assert make_step(record, 10).note == "3 items with a vector, 7 items without one, 1 vector of no item"
    rows = dict(
        zip(
            filled.items.ids().to_pylist(), filled.items.to_arrow(["probs"])["probs"].to_pylist(), strict=True
        )
    )
    assert rows["i3"] == [0, 1]
    assert rows["i9"] == [6, 7]
    assert rows["i1"] is None
    assert [r["id"] for r in filled.rejected.to_pylist()] == ["nobody"]
    assert filled.attach(values, name="probs", ids=["i3", "i0", "nobody", "i9"]).reused
    assert filled.verify() == []


def test_vectors_in_the_order_of_import(filled, tmp_path):
    values = np.random.default_rng(0).random((10, 3), dtype=np.float32)
    np.save(tmp_path / "v.npy", values)
    filled.attach(tmp_path / "v.npy", name="v", ids="rows")
    assert np.array_equal(filled.items.vectors("v").to_numpy(), values)
    np.save(tmp_path / "v.npy", values[:5])
    with pytest.raises(InputError, match="5 vectors for 10 items"):
        filled.attach(tmp_path / "v.npy", name="v", ids="rows")


def test_attaching_replaces_what_was_attached_but_nothing_else(filled):
    ids = [f"i{n}" for n in range(10)]
    filled.attach(np.zeros((10, 2), np.float32), name="v", ids=ids)
    filled.attach(np.ones((10, 2), np.float32), name="v", ids=ids)
    assert filled.items.vectors("v").to_numpy().min() == 1
    with pytest.raises(SchemaError, match="'width'"):
        filled.attach(np.ones((10, 2), np.float32), name="width", ids=ids)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (["x", "y"], "none of the 2 ids"),
        (["i1", "i1"], "'i1' has more than one"),
        (None, "2 vectors have no ids"),
    ],
)
def test_ids_that_do_not_fit_are_refused(filled, ids, said):
    with pytest.raises(InputError, match=said):
        filled.attach(np.ones((2, 2), np.float32), name="v", ids=ids)


# --- explain, sql, plan, export ---------------------------------------------------------------------------------


def test_explain_tells_each_step_with_values(filled):
    filled.score("text-basics")
    filled.keep("width > 20 and text_basics > 0.1", name="wide")
    filled.select("top", by="width", budget=2, within="wide", name="best")
    dropped, chosen = str(filled.explain("i1")), str(filled.explain("i8"))
    assert "width > 20 is false: width = 10" in dropped
    assert (
        "not selected. 2 others were, under the name 'best': width is 10; theirs lie from 70 to 80" in dropped
    )
    assert "kept. text_basics = " in chosen
    assert "rank 0 of 2" in chosen
    assert "width > 20 is unknown: width = None" in str(filled.explain("i9"))
    with pytest.raises(UnknownNameError, match="i8"):
        filled.explain("i88")
    filled.add([{"id": "torn", "image": "/nowhere/torn.jpg", "caption": "x"}], kind="image-text")
    with pytest.raises(
        InputError, match=r"'torn' is no item: .* refused it, row 0: missing, no such file: /nowhere"
    ):
        filled.explain("torn")


def test_explain_tells_who_said_what(filled):
    said = {"item": ["i1"] * 2, "annotator": ["ann", "ben"], "value": ["a dog", "a cat"]}
    filled.record_answers(said)
    filled.gather_answers()
    assert "answers = ann: a dog; ben: a cat" in str(filled.explain("i1"))


def test_explain_tells_what_a_column_says_now_and_not_what_it_said(filled):
    for similarity in (0.9, 0.5):
        filled.score("near-duplicate", by="text", similarity=similarity)
    told = [d.because for d in filled.explain("i1").decisions if d.step == "score near-duplicate"]
    assert len(told) == 1 and "near_duplicate = True" in told[0]


def test_selections_are_named_or_given_and_numbers_are_numpys_too(filled, tmp_path):
    three = filled.select("random", budget=np.int64(3), name="three")
    assert len(three) == 3 and len(filled.select("random", budget=np.float32(0.5), name="half")) == 5
    some = filled.keep("width >= 0", within=three, name="some")
    assert set(some.items.ids().to_pylist()) <= set(three.items.ids().to_pylist())
    assert filled.export(tmp_path / "out", selection=three).counts["rows"] == 3
    with pytest.raises(InputError, match="after 'three': it cannot continue a selection"):
        filled.select("random", budget=4, after=three, name="more")
    filled.add([{"id": 7, "image": "https://example.org/x.jpg", "caption": "x"}], kind="image-text")
    assert filled.explain(7).id == "7"


def test_an_export_is_the_same_one_whoever_looked_at_the_items_meanwhile(filled, tmp_path):
    filled.select("random", budget=3, name="three")
    filled.join({"id": [f"i{n}" for n in range(10)], "group": ["x", "y"] * 5}, name="sides")
    assert not filled.export(tmp_path / "out", selection="three").reused
    filled.analyse("label-conflicts", label="caption", group="group")
    assert filled.export(tmp_path / "out", selection="three").reused


def test_sql_joins_scores_and_selections_and_reads_nothing_else(filled):
    filled.score("text-basics")
    filled.keep("width > 20", name="wide-ones")
    query = "select count(*) as n, min(text_basics) as m from items join text_basics using (id) join wide_ones using (id)"
    assert filled.sql(query).to_pylist()[0]["n"] == 6
    assert filled.sql("select * from items where \"order\" = 'a'").num_rows == 5
    with pytest.raises(UnknownNameError, match="Did you mean 'items'"):
        filled.sql("select * from item")
    for attack in ("select * from read_text('/etc/passwd')", "copy items to '/tmp/x'", "attach 'x' as y"):
        with pytest.raises(Exception, match=r"(?i)not|unknown|only"):
            filled.sql(attack)


RECIPE = {
    "store": "s",
    "steps": [
        {"score": "text-basics"},
        {"keep": "text_basics > 0.1 and width > 20"},
        {"select": "random", "budget": 2, "as": "two"},
        {"export": "out", "format": "jsonl", "selection": "two"},
    ],
}


def test_plan_says_what_is_done_and_what_is_to_do_and_changes_nothing(filled):
    recipe = build_recipe(RECIPE)
    version = filled.parts.snapshot().version
    before = plan(filled.parts, recipe.steps)
    assert [p.state for p in before] == ["to do", "unknown", "to do", "to do"]
    assert before[0].todo == 10
    assert filled.parts.snapshot().version == version
    filled.score("text-basics")
    after = plan(filled.parts, recipe.steps)
    assert [p.state for p in after[:2]] == ["done", "done"]
    assert after[1].note == "keeps 6 of 10"
    assert after[2].note == "chooses 2 of 6"


def test_plan_refuses_what_a_run_would_refuse(filled):
    for step in ({"score": "text-basic"}, {"keep": "nothing > 3"}, {"select": "tops", "budget": 1}):
        with pytest.raises(UnknownNameError):
            plan(filled.parts, build_recipe({"store": "s", "steps": [step]}).steps)


def test_run_counts_and_second_run_reuses(filled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = filled.run(RECIPE)
    second = filled.run(RECIPE)
    assert [s.after for s in first.steps] == [10, 6, 6, 6]
    assert all(s.reused for s in second.steps)
    lines = [
        json.loads(line)
        for p in sorted((tmp_path / "out").rglob("*.jsonl"))
        for line in p.read_text().splitlines()
    ]
    assert len(lines) == 2
    assert {"id", "rank", "reason", "width"} <= set(lines[0])


def test_an_unknown_selection_lists_those_there_are(filled):
    filled.keep("width > 20", name="wide")
    with pytest.raises(UnknownNameError, match="wide"):
        filled.export("x", selection="wild")


def test_annotate_without_an_annotator_says_so(filled):
    with pytest.raises(UnknownNameError, match="Did you mean 'label-studio'"):
        filled.run({"steps": [{"annotate": "labelstudio", "with": {"template": "custom"}}]})
    with pytest.raises(RecipeError, match="Name a template"):
        filled.run({"steps": [{"annotate": "label-studio"}]})


def test_annotate_sends_what_is_meant_once(filled, tmp_path):
    ask = {
        "template": "text-classification",
        "params": {"labels": ["yes", "no"], "text": "caption"},
        "folder": str(tmp_path / "f"),
    }
    step = {"annotate": "offline", "when": "width > 20", "with": ask}
    wide = len(filled.items.where("width > 20"))
    first, again = (filled.run({"steps": [step]}).steps[0] for _ in range(2))
    assert (first.counts["rows"], first.counts["created"], again.counts["created"]) == (wide, wide, 0)
    assert again.counts["present"] == wide and first.notes
    assert make_step(again, 10).note.startswith(f"0 sent, {wide} sent before")
    nobody = filled.run({"steps": [{**step, "when": "width > 1e9"}]}).steps[0]
    assert nobody.counts == {"rows": 0}


def test_an_empty_store_has_views_and_a_report(store, tmp_path):
    assert len(store.items) == 0
    assert store.items.to_arrow().num_rows == 0
    assert store.report(tmp_path / "r.html").stat().st_size > 1000
    with pytest.raises(InputError, match="nothing to export"):
        store.export(tmp_path / "out")
    with pytest.raises(InputError, match="no item 'a': the store holds no items"):
        store.explain("a")
    assert isinstance(store.rejected, pa.Table)


def test_what_a_selector_needs_is_made_first_with_all_that_it_needs_itself(store) -> None:
    texts = ["one and the same sentence, word for word", "something else altogether, about a cat"]
    rows = [{"id": f"i{n}", "text": texts[n // 2], "label": "a"} for n in range(3)]
    store.add(rows, kind="label")
    run = store.run({"steps": [{"select": "representative"}]})  # near-duplicate, and minhash for it
    assert [step.name for step in run.steps] == ["minhash", "near-duplicate", "representative"]
    assert run.steps[-1].counts == {"kept": 2, "dropped": 1}
