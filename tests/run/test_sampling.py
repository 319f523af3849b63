"""A plan that has scored a few rows knows what the rest will take."""

from __future__ import annotations

from run_spies import Spy

from curate.recipe.model import KeepStep, ScoreStep
from curate.run.plan import plan
from curate.run.sampling import Sample


def test_rows_are_spread_over_the_parts_and_nothing_is_kept(store, captions, spies, tmp_path):
    log = tmp_path / "log"
    store.add(captions(*["x"] * 30), kind="image-text", part_rows=5)
    step = ScoreStep.model_validate({"score": "spy", "with": {"log": str(log)}})
    before = store.parts.snapshot().version
    (planned,) = plan(store.parts, [step], sample=8, workers=4)
    asked = Spy.asked(log)
    assert len(asked) == 9 and asked[0] == "i000" and asked[-1] == "i029", (
        "one row first, then two of four parts"
    )
    assert store.parts.snapshot().version == before and "spy" not in store.items.columns
    assert (planned.state, planned.todo) == ("to do", 30)
    assert planned.note.startswith("6 parts, about 1 s on 4 workers (") and "MB a worker" in planned.note
    (without,) = plan(store.parts, [step])
    assert without.note == "" and Spy.asked(log) == []
    store.score("spy", log=str(log))
    Spy.asked(log)
    (done,) = plan(store.parts, [step], sample=8)
    assert (done.state, done.note) == ("done", "") and Spy.asked(log) == [], "what is done is not sampled"


def test_what_depends_on_a_step_to_come_takes_so_much_at_most(store, captions, spies, tmp_path):
    store.add(captions(*["x"] * 30), kind="image-text", part_rows=5)
    steps = [
        ScoreStep.model_validate({"score": "text-basics"}),
        KeepStep.model_validate({"keep": "text_words > 0"}),
        ScoreStep.model_validate({"score": "spy", "with": {"log": str(tmp_path / "log")}}),
        ScoreStep.model_validate({"score": "exact-duplicate", "with": {"columns": ["caption"]}}),
    ]
    *_, spied, fitted = plan(store.parts, steps, sample=8, workers=4)
    assert (spied.rows, spied.todo) == (None, None)
    assert spied.note.startswith("at most 30 rows: 6 parts, about 1 s on 4 workers (")
    assert fitted.note == "at most 30 rows; how many depends on earlier steps"
    *_, spied, _ = plan(store.parts, steps)
    assert spied.note == "at most 30 rows; how many depends on earlier steps"


def test_what_the_rest_takes():
    sample = Sample(rows=10, seconds=2.0, loading=30.0, memory=500_000_000)
    told = sample.foretell(rows=1000, parts=10, workers=4)
    # ten parts on four workers are three rounds of a tenth each: 1000 x .3 x .2 s, and the loading
    assert told == "10 parts, about 90 s on 4 workers (5 rows/s each in a sample of 10), 500 MB a worker"
    assert "1 part, about 230 s" not in sample.foretell(rows=1000, parts=1, workers=4)
    assert sample.foretell(rows=1000, parts=1, workers=4).startswith("1 part, about 4 min on 1 worker (")
