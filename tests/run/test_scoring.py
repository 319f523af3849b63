"""Scoring: new items only, wider runs ask for the rest only, names do not clash, broken scorers are told."""

from __future__ import annotations

import pytest
from run_spies import Spy

from curate.errors import InputError, RunError, SchemaError, UnknownNameError
from curate.run.aligned import NOT_ASKED

pytestmark = pytest.mark.usefixtures("spies")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "asked.txt"


def add(store, table, part_rows=3):
    return store.add(table, kind="image-text", part_rows=part_rows)


def values(store, column):
    return dict(
        zip(store.items.ids().to_pylist(), store.items.to_arrow([column])[column].to_pylist(), strict=True)
    )


def test_only_new_items_are_asked_for(store, captions, log):
    add(store, captions("a", "bb", "ccc", "dddd"))
    store.score("spy", log=str(log))
    assert Spy.asked(log) == ["i000", "i001", "i002", "i003"]
    assert values(store, "spy") == {"i000": 1, "i001": 2, "i002": 3, "i003": 4}
    again = store.score("spy", log=str(log))
    assert again.reused
    assert Spy.asked(log) == []
    add(store, captions("eeeee", "ffffff", start=4))
    more = store.score("spy", log=str(log))
    assert Spy.asked(log) == ["i004", "i005"]
    assert (more.computed, more.counts["scored"]) == (2, 6)


def test_a_wider_run_asks_for_the_rest_only_and_merges(store, captions, log):
    add(store, captions("a", "bb", "ccc", "dddd"), part_rows=4)
    store.score("spy", log=str(log), where="length(caption) > 2")
    assert Spy.asked(log) == ["i002", "i003"]
    assert values(store, "spy") == {"i000": None, "i001": None, "i002": 3, "i003": 4}
    assert values(store, "spy_reason")["i000"] == NOT_ASKED
    record = store.score("spy", log=str(log))
    assert Spy.asked(log) == ["i000", "i001"]
    assert values(store, "spy") == {"i000": 1, "i001": 2, "i002": 3, "i003": 4}
    assert set(values(store, "spy_reason").values()) == {None}
    assert record.counts == {"rows": 4, "scored": 4, "failed": 0, "not_applicable": 0}
    assert store.verify() == []


def test_a_step_that_looks_at_some_items_asks_for_no_others(store, captions, log):
    store.add(captions("a", "bb", "ccc", "dddd"), kind="image-text")
    store.score("spy", log=str(log), where="length(caption) < 3")
    assert Spy.asked(log) == ["i000", "i001"]
    assert len(store.select("top", by="spy", budget=1, where="length(caption) < 3")) == 1
    store.analyse("generator-ranking", by="spy", generator="caption", where="length(caption) < 3")
    assert Spy.asked(log) == []
    store.select("top", by="spy", budget=1, where="length(caption) < 4", name="more")
    assert Spy.asked(log) == ["i002"]
    store.select("top", by="spy", budget=1, name="all")
    assert Spy.asked(log) == ["i003"]


def test_rows_that_cannot_be_scored_are_null_with_a_reason_and_counted(store, captions, log):
    add(store, captions("a", "a bad one", "ccc"))
    record = store.score("spy", log=str(log))
    assert record.counts == {"rows": 3, "scored": 2, "failed": 1, "not_applicable": 0}
    assert record.reasons == {"a bad caption": 1}
    assert values(store, "spy")["i001"] is None
    assert store.failed("spy").ids().to_pylist() == ["i001"]


def test_other_parameters_replace_the_columns_and_the_old_ones_come_back_for_nothing(store, captions, log):
    add(store, captions("a", "bb"))
    store.score("spy", log=str(log))
    store.score("spy", log=str(log), factor=10.0)
    assert values(store, "spy") == {"i000": 10, "i001": 20}
    Spy.asked(log)
    store.score("spy", log=str(log))
    assert Spy.asked(log) == []
    assert values(store, "spy") == {"i000": 1, "i001": 2}


def test_an_alias_keeps_two_configurations_side_by_side(store, captions, log):
    add(store, captions("a", "bb"))
    store.score("spy", log=str(log))
    record = store.score("spy", name="tenfold", log=str(log), factor=10.0)
    assert record.columns == ["tenfold", "tenfold_length", "tenfold_pid"]
    assert values(store, "tenfold") == {"i000": 10, "i001": 20}
    assert values(store, "spy") == {"i000": 1, "i001": 2}


def test_a_column_that_belongs_to_another_is_refused(store, captions, log):
    add(store, captions("a").append_column("pid", [[7]]))
    with pytest.raises(SchemaError, match="'pid', which belongs to the items themselves"):
        store.score("spy", log=str(log))


def test_a_scorer_does_not_write_under_the_name_of_another(store, captions):
    store.add(captions("a dog", "a cat"), kind="image-text")
    for name in ("text-basics", "text_basics"):
        with pytest.raises(SchemaError, match="is the name of another scorer"):
            store.score("minhash", name=name)
    assert store.score("text-basics", name="text-basics").counts["scored"] == 2


def test_several_processes_share_the_work(store, captions, log):
    add(store, captions(*("x" * n for n in range(1, 13))), part_rows=2)
    store.score("spy", log=str(log))
    import os

    pids = set(values(store, "pid").values())
    assert os.getpid() not in pids
    assert values(store, "spy")["i011"] == 12


def test_a_part_that_kills_its_worker_is_listed_and_the_others_are_done(store, captions, log):
    add(store, captions("a", "deadly", "ccc"), part_rows=1)
    with pytest.raises(RunError, match=r"1 part could not be scored.*died"):
        store.score("spy", log=str(log))
    assert values(store, "spy") == {"i000": 1, "i001": None, "i002": 3}


def test_a_scorer_that_raises_is_told_with_its_message(store, captions, log):
    add(store, captions("a", "raise", "ccc"), part_rows=1)
    with pytest.raises(RunError, match="RuntimeError: told to"):
        store.score("spy", log=str(log))
    assert values(store, "spy")["i002"] == 3


def test_a_scorer_that_breaks_its_promise_is_refused(store, captions):
    add(store, captions("a", "b"))
    with pytest.raises(SchemaError, match="gave 1 row for a batch of 2"):
        store.score("wrong")


def test_a_fitting_scorer_sees_all_and_is_fitted_again_when_items_come(store, captions, tmp_path):
    log = tmp_path / "fits.txt"
    add(store, captions("a", "bb", "ccc"))
    record = store.score("longest", log=str(log))
    assert values(store, "longest") == {"i000": False, "i001": False, "i002": True}
    assert record.notes == ["looked at all"]
    assert store.score("longest", log=str(log)).reused
    before = {p.part_id for p in store.parts.snapshot().aligned[next(iter(store.parts.snapshot().aligned))]}
    add(store, captions("dd", "e", start=3))
    store.score("longest", log=str(log))
    after = {p.part_id for parts in store.parts.snapshot().aligned.values() for p in parts}
    assert log.read_text().split() == ["3", "5"]
    assert before <= after, "the part whose answers are the same is left as it is"
    add(store, captions("ffff", start=5))
    store.score("longest", log=str(log))
    assert [i for i, yes in values(store, "longest").items() if yes] == ["i005"]


def test_a_fit_on_other_rows_is_not_taken_for_the_first(store, captions, tmp_path):
    log = tmp_path / "fits.txt"
    add(store, captions("a", "bb", "ccc"))
    store.score("longest", log=str(log))
    store.score("longest", log=str(log), where="length(caption) < 3")
    assert values(store, "longest") == {"i000": False, "i001": True, "i002": None}
    record = store.score("longest", log=str(log))
    assert not record.reused
    assert values(store, "longest") == {"i000": False, "i001": False, "i002": True}


def test_answers_of_two_fits_are_never_one_column(store, captions, tmp_path):
    log = tmp_path / "fits.txt"
    add(store, captions("a", "bb", "ccc", "dddd"), part_rows=2)
    store.score("longest", log=str(log))
    store.score("longest", log=str(log), where="length(caption) < 3")
    assert values(store, "longest") == {"i000": False, "i001": True, "i002": None, "i003": None}
    store.score("longest", log=str(log))
    assert values(store, "longest") == {"i000": False, "i001": False, "i002": False, "i003": True}
    assert store.verify() == []


def test_deleted_items_are_not_asked_for(store, captions, log):
    add(store, captions("a", "bb", "ccc"))
    changed = captions("a", "xyz", "ccc")
    assert store.add(changed, kind="image-text", on_conflict="update").counts["updated"] == 1
    store.score("spy", log=str(log))
    assert Spy.asked(log) == ["i000", "i001", "i002"]
    assert values(store, "spy") == {"i000": 1, "i002": 3, "i001": 3}


def test_an_unknown_scorer_or_parameter_names_the_nearest(store, captions, log):
    add(store, captions("a"))
    with pytest.raises(UnknownNameError, match="Did you mean 'text-basics'"):
        store.score("text-basic")
    with pytest.raises(UnknownNameError, match="Did you mean 'factor'"):
        store.score("spy", log=str(log), facter=2.0)


def test_a_scorer_that_does_not_apply_says_what_it_lacks(store, captions):
    add(store, captions("a"))
    with pytest.raises(SchemaError, match="needs audio, which these items do not have"):
        store.score("audio-basics")


def test_texts_with_labels_have_no_image_to_embed(store):
    store.add([{"id": f"i{n}", "text": f"text {n}", "label": "ab"[n % 2]} for n in range(8)], kind="label")
    said = "out-of-fold needs the column 'pixel_embedding', and .* these items do not have .* parameter 'embedding', as"
    with pytest.raises(SchemaError, match=said):
        store.score("out-of-fold")
    with pytest.raises(SchemaError, match="image-basics needs image"):
        store.score("image-basics")
    assert store.score("text-basics").counts["rows"] == 8  # what a kind may lack, and these items have


def test_what_is_missing_is_told_with_the_parameter_that_names_another(store):
    store.add([{"id": "a", "instruction": "say hi", "output": "hi"}], kind="instruction")
    said = "drift needs the column 'pixel_embedding', and pixel-embedding needs image, .* by the parameter 'embedding'"
    with pytest.raises(SchemaError, match=said):
        store.analyse("drift")
    said = "less needs the column 'model_gradients', and model-gradients: parameter 'model' is needed.*'gradients'"
    with pytest.raises(InputError, match=said):
        store.score("less", gradients="model_gradients", target="id = 'a'")
    with pytest.raises(UnknownNameError, match="or name another column by the parameter 'answers'"):
        store.score("consensus")
    with pytest.raises(UnknownNameError, match=r"run the scorer that gives it\.$"):
        store.analyse("generator-ranking", by="abs(nothing)", generator="instruction")


def test_kinds_that_lack_what_a_scorer_needs_are_counted_as_not_applicable(store, captions, log):
    add(store, captions("a", "bb"))
    store.add([{"id": "p", "chosen": "yes", "rejected": "no"}], kind="preference")
    store.add([{"id": "s", "audio": "https://example.org/a.wav"}], kind="speech")
    record = store.score("image-basics")
    assert record.counts["not_applicable"] == 2
    assert record.counts["rows"] == 4


def test_a_run_that_is_repeated_tells_the_same_steps_and_finds_its_export(store, captions, tmp_path):
    """A column that was asked for some rows alone is brought up for the others by a select: of that the second run tells too."""
    add(store, captions("a", "bb", "ccc", "dddd"))
    recipe = {
        "store": "s",
        "steps": [
            {"score": "text-basics", "where": "length(caption) > 2"},
            {"keep": "length(caption) > 1", "as": "some"},
            {"select": "top", "with": {"by": "text_characters"}, "budget": 2, "as": "best"},
            {"select": "top", "with": {"by": "0 - text_characters"}, "budget": 1, "as": "least"},
            {"export": str(tmp_path / "out"), "selection": "best"},
        ],
    }
    first, second = store.run(recipe), store.run(recipe)
    told = [step.title for step in first.steps]
    assert told[2] == "score text-basics" and told.count("score text-basics") == 2
    assert [step.title for step in second.steps] == told
    assert second.steps[-1].reused and all(step.reused for step in second.steps)
