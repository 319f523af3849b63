"""Answers from elsewhere come in as a long table and go to the items as lists that the consensus reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import curate
from curate.api import Store
from curate.cli import app
from curate.errors import InputError, SchemaError, UnknownNameError


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with curate.open(tmp_path / "s", create=True) as opened:
        items = {"id": ["1", "2", "3"], "text": ["a", "b", "c"], "label": ["x", "x", "x"]}
        opened.add(pl.DataFrame(items), kind="label")
        yield opened


def said(*rows: tuple[Any, Any, Any], **more: list[Any]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["item", "annotator", "value"], orient="row")
    return frame.with_columns(**{name: pl.Series(values) for name, values in more.items()})


def test_three_columns_are_enough_and_the_rest_says_that_it_is_not_known(store: Store) -> None:
    # ids, people and values as numbers, as they are in tables of crowds
    assert store.record_answers(said((1, 7, 4.0), (1, 8, 3.5), (2, 7, None))) == {"new": 3, "present": 0}
    rows = store.answers.to_polars().sort("item", "annotator").to_dicts()
    assert [(r["item"], r["annotator"], r["value"], r["skipped"]) for r in rows] == [
        ("1", "7", "4", False),
        ("1", "8", "3.5", False),
        ("2", "7", None, True),
    ]
    assert {(r["round"], r["control"], r["status"], r["source"], r["created_at"]) for r in rows} == {
        (1, "label", "ok", "table", None)
    }
    assert store.record_answers(said((1, 8, 3.5), (2, 8, 1.0))) == {"new": 1, "present": 1}


def test_other_names_and_choices_and_flags(store: Store) -> None:
    frame = {
        "q": ["1", "2"],
        "w": ["ann", "ann"],
        "says": [["x", "y"], []],
        "touched": ["true", "False"],
        "gold": [3, 4],
    }
    store.record_answers(
        frame, columns={"item": "q", "annotator": "w", "value": "says"}, control="tags", source="old"
    )
    found = store.answers.to_polars(["item", "value", "control", "touched", "source"]).sort("item").rows()
    assert found == [("1", '["x","y"]', "tags", True, "old"), ("2", "[]", "tags", False, "old")]


def test_of_several_answers_with_a_time_the_newest_counts(store: Store) -> None:
    times = ["2026-01-02T00:00:00", "2026-01-01T00:00:00"]
    store.record_answers(said(("1", "ann", "new"), ("1", "ann", "old"), time=times))
    assert len(store.answers) == 2
    store.gather_answers()
    (entry,) = store.items.where("id = '1'").to_polars(["answers"])["answers"].to_list()[0]
    assert (entry["value"], entry["time"]) == ("new", datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    ("frame", "error", "says"),
    [
        (said(("1", "a", "x"), ("9", "a", "x")), InputError, r"1 of 2 items .* '9'; the store has 3 items, such as '1'"),
        (said(("1", "a", "x"), ("1", "a", "y")), InputError, "contradicts .* item '1' by 'a': 'x' and 'y'"),
        (said(("1", None, "x")), InputError, r"no annotator, in rows \[0\]"),
        ({"item": ["1"], "who": ["a"], "value": ["x"]}, SchemaError, "no column 'annotator': there is 'item', 'who', 'value'"),
        (said(("1", "a", "x"), time=[5]), SchemaError, "moments are meant"),
        (said(("1", "a", "x"), time=["noon"]), SchemaError, "times of the answers cannot be read"),
        (said(("1", "a", "x"), touched=["maybe"]), SchemaError, "'maybe': true or false is meant"),
        (3, SchemaError, "no table of answers"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_and_nothing_recorded(
    store: Store, frame: Any, error: Any, says: str
) -> None:
    with pytest.raises(error, match=says):
        store.record_answers(frame)
    assert len(store.answers) == 0


def test_an_answer_recorded_before_is_not_changed_in_silence(store: Store) -> None:
    store.record_answers(said(("1", "a", "x")))
    with pytest.raises(InputError, match="item '1' by 'a': 'x', now 'y'"):
        store.record_answers(said(("1", "a", "y"), ("2", "a", "y")))
    assert len(store.answers) == 1
    assert store.record_answers(said(("1", "a", "y")), source="second crowd")["new"] == 1


def test_names_that_are_not_there(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="'who'"):
        store.record_answers(said(("1", "a", "x")), columns={"annotator": "who"})
    with pytest.raises(UnknownNameError, match="'person'"):
        store.record_answers(said(("1", "a", "x")), columns={"person": "annotator"})


def test_the_consensus_reads_what_was_gathered_and_is_made_anew_after_more(store: Store) -> None:
    with pytest.raises(InputError, match="no answers are recorded yet"):
        store.gather_answers()
    with pytest.raises(UnknownNameError, match="gather_answers"):
        store.score("consensus")
    store.record_answers(said(("1", "a", "x"), ("1", "b", "x"), ("2", "a", "y"), ("2", "b", "y")))
    store.gather_answers()
    assert store.gather_answers().reused
    store.score("consensus", method="majority")
    read = ["consensus_label", "consensus_answers"]
    assert store.items.to_polars(read).rows() == [("x", 2), ("y", 2), (None, None)]
    store.record_answers(said(("3", "a", "y")))
    store.gather_answers()
    store.score("consensus", method="majority")
    assert store.items.to_polars(read).rows() == [("x", 2), ("y", 2), ("y", 1)]


def test_one_question_is_gathered_at_a_time(store: Store) -> None:
    store.record_answers(said(("1", "a", "x"), ("1", "a", "loud"), control=["label", "tone"]))
    with pytest.raises(InputError, match="'label', 'tone': say which"):
        store.gather_answers()
    with pytest.raises(UnknownNameError, match="'colour'"):
        store.gather_answers(control="colour")
    store.gather_answers(control="tone", name="tones")
    assert [e["value"] for e in store.items.to_polars(["tones"])["tones"].to_list()[0]] == ["loud"]


def test_items_that_were_deleted_are_left_out(store: Store) -> None:
    store.record_answers(said(("1", "a", "x"), ("2", "a", "x")))
    store.delete(["1"])
    assert store.gather_answers().counts["joined"] == 1


def test_the_same_from_a_file_by_commands(store: Store, tmp_path: Path) -> None:
    table = tmp_path / "crowd.csv"
    table.write_text(
        "question,worker,answer,time\n1,w1,1,2026-01-01T10:00:00Z\n1,w2,0,2026-01-01T11:00:00Z\n2,w1,,\n"
    )
    names = [f"--column={pair}" for pair in ("item=question", "annotator=worker", "value=answer")]
    done = CliRunner().invoke(app, ["annotate", "record", str(store.path), str(table), *names])
    assert done.output == "3 new, 0 present\n"
    done = CliRunner().invoke(app, ["annotate", "gather", str(store.path)])
    assert done.exit_code == 0 and "joined 1" in done.output
    assert [e["value"] for e in store.items.to_polars(["answers"])["answers"].to_list()[0]] == ["1", "0"]
    with pytest.raises(InputError, match="a table of answers is a"):
        store.record_answers(tmp_path / "crowd.xlsx")
