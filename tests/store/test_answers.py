"""Answers are added once, never changed and never lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import store_answers
from store_answers import answer, batch, table

import curate
from curate.errors import ConflictError, ExpressionError, InputError, SchemaError, UnknownNameError
from curate.records import ANSWERS
from curate.store import Changes, PartStore, failpoints

HERE = Path(__file__).parent


def pairs(found: pa.Table) -> list[tuple[str, str | None]]:
    return list(zip(found["item"].to_pylist(), found["value"].to_pylist(), strict=True))


def test_an_answer_is_added_once(store: PartStore) -> None:
    assert store.record_answers(table(answer("a"), answer("b"))) == {"new": 2, "present": 0}
    version = store.snapshot().version
    assert store.record_answers(table(answer("a"), answer("b"))) == {"new": 0, "present": 2}
    assert store.snapshot().version == version, "nothing new makes no version"
    assert store.record_answers(table(answer("c"), answer("a"), answer("c"))) == {"new": 1, "present": 1}
    assert store.answers().to_arrow(["item"])["item"].to_pylist() == ["a", "b", "c"]
    assert store.answers().schema == store.answers().to_arrow().schema == ANSWERS
    assert store.verify() == []


def test_the_first_of_two_rows_with_one_key_stays(store: PartStore) -> None:
    store.record_answers(table(answer("a", value="1"), answer("a", value="2")))
    store.record_answers(table(answer("a", value="3")))
    assert pairs(store.answers().to_arrow()) == [("a", "1")]


@pytest.mark.parametrize("part", ["source", "answer_id", "control"])
def test_each_part_of_the_key_tells_rows_apart(store: PartStore, part: str) -> None:
    found = store.record_answers(table(answer("a"), answer("a", **{part: "other"})))
    assert found["new"] == 2


def test_versions_of_an_answer_are_rows_and_the_newest_is_what_counts(store: PartStore) -> None:
    store.record_answers(table(answer("a", value="1"), answer("a", control="comment", value="hm")))
    store.record_answers(table(answer("a", minute=1, value="2")))
    assert len(store.answers()) == 3
    assert pairs(store.answers().latest().to_arrow()) == [("a", "2")], "the comment was taken away"
    skipped = answer("a", minute=2, control="", value=None, skipped=True)
    store.record_answers(table(skipped))
    assert store.answers().latest().to_arrow(["skipped"])["skipped"].to_pylist() == [True]
    assert len(store.answers().where("not skipped").latest()) == 1


def test_what_was_withdrawn_counts_no_more_but_an_earlier_answer_does(store: PartStore) -> None:
    gone = answer("a", minute=5, answer_id="2", control="", value=None, status="withdrawn")
    store.record_answers(table(answer("a", minute=1, answer_id="2", value="2"), gone))
    assert store.answers().latest().where("status = 'ok'").to_arrow().num_rows == 0
    store.record_answers(table(answer("a", minute=0, answer_id="1", value="1")))
    assert pairs(store.answers().latest().to_arrow()) == [("a", "1")]


def test_conditions_and_columns(store: PartStore) -> None:
    store.record_answers(table(answer("a"), answer("b", round=2), answer("c", round=2, status="stale")))
    view = store.answers().where("round = 2").where("status = 'ok'")
    assert (len(view), view.to_polars()["item"].to_list()) == (1, ["b"])
    assert view.to_pandas(["item"]).item.tolist() == ["b"]
    assert "item" in repr(view) and "<table" in view._repr_html_()
    with pytest.raises(UnknownNameError, match="rounds"):
        store.answers().where("rounds = 2")
    with pytest.raises(ExpressionError):
        store.answers().where("round; drop table answers")
    with pytest.raises(UnknownNameError, match="column of answers"):
        store.answers().to_arrow(["rating"])


def test_no_answers_yet(store: PartStore) -> None:
    assert (len(store.answers()), len(store.answers().latest())) == (0, 0)
    assert store.answers().to_arrow().schema == ANSWERS
    assert store.answers().to_arrow(["item"]).column_names == ["item"]
    assert store.record_answers(table()) == {"new": 0, "present": 0}


def test_frames_of_any_kind_and_what_may_be_left_out(store: PartStore) -> None:
    names = ["item", "annotator", "round", "control", "value", "created_at", "source", "answer_id"]
    small = table(answer("a")).select(names)
    store.record_answers(small)
    import polars as pl

    store.record_answers(pl.from_arrow(table(answer("b")).select(names)))
    store.record_answers(table(answer("c")).select(names).to_pandas())
    store.record_answers(table(answer("d")).select(names).to_pydict())
    found = store.answers().to_arrow()
    assert found["item"].to_pylist() == ["a", "b", "c", "d"]
    assert found["updated_at"].to_pylist() == found["created_at"].to_pylist()
    assert set(found["status"].to_pylist()) == {"ok"} and set(found["skipped"].to_pylist()) == {False}


def test_rows_that_say_nothing_are_refused(store: PartStore) -> None:
    with pytest.raises(SchemaError, match="'annotator'"):
        store.record_answers(table(answer("a")).drop_columns(["annotator"]))
    with pytest.raises(UnknownNameError, match="comment"):
        store.record_answers(table(answer("a")).append_column("comment", pa.array(["x"])))
    with pytest.raises(SchemaError, match="'round'"):
        late = table(answer("a"))
        store.record_answers(late.set_column(2, "round", pa.array(["first"])))
    with pytest.raises(InputError, match="row 1 of the answers has no 'item'"):
        store.record_answers(table(answer("a"), {**answer("b"), "item": None}))
    with pytest.raises(InputError, match="'fine'"):
        store.record_answers(table(answer("a", status="fine")))
    with pytest.raises(SchemaError, match="no table of answers"):
        store.record_answers(3)
    assert store.snapshot().version == 0


def test_answers_are_a_table_of_sql_and_versions_of_the_store(tmp_path: Path) -> None:
    with curate.open(tmp_path / "store", create=True) as store:
        assert store.sql("select count(*) as n from answers")["n"].to_pylist() == [0]
        store.record_answers(table(answer("a"), answer("b", value="2")))
        found = store.sql("select avg(cast(value as double)) as mean from answers where control = 'rating'")
        assert found["mean"].to_pylist() == [3.0]
        store.tag("before")
        store.record_answers(table(answer("c")))
        assert (len(store.answers), len(store.parts.answers("before"))) == (3, 2)
        assert store.answers.columns[:9] == [
            *("item", "annotator", "round", "control", "value", "skipped", "created_at", "touched"),
            "model_version",
        ]


def test_compaction_collection_and_rebuilding_keep_answers(store: PartStore) -> None:
    for number in range(20):
        store.record_answers(batch(number))
    before = store.answers().to_arrow()
    store.compact()
    assert len(store.snapshot().answers) == 1
    store.gc(grace_seconds=0, keep_versions=1)
    assert store.answers().to_arrow() == before
    assert store.record_answers(batch(3)) == {"new": 0, "present": 8}
    store.record_answers(batch(20))
    assert store.verify() == []
    after = store.answers().to_arrow()
    store.close()
    (store.path / "catalog.sqlite").unlink()
    again = PartStore.rebuild(store.path)
    assert again.answers().to_arrow() == after and again.verify() == []


def test_answers_are_published_and_cloned(store: PartStore, tmp_path: Path) -> None:
    store.record_answers(batch(0))
    store.publish(str(tmp_path / "there"))
    copy, _ = PartStore.clone(str(tmp_path / "there"), tmp_path / "copy")
    assert copy.answers().to_arrow() == store.answers().to_arrow()
    assert copy.uuid == store.uuid
    assert copy.record_answers(batch(0)) == {"new": 0, "present": 8}
    store.record_answers(batch(1))
    store.publish(str(tmp_path / "there"))
    copy, _ = PartStore.clone(str(tmp_path / "there"), tmp_path / "copy")
    assert len(copy.answers()) == 12 and copy.verify() == []


def test_a_commit_that_did_not_see_the_newest_answers_is_refused(store: PartStore) -> None:
    store.record_answers(batch(0))
    seen = store.snapshot().version
    store.record_answers(batch(1))
    with store.writer() as writer:
        part = writer.answers(batch(2))
        with pytest.raises(ConflictError, match="answers of version 1, but version 2"):
            store.commit(Changes("answers", "late", add=[part], answers_at=seen))


@pytest.mark.parametrize("place", ["answers.write", "part.rename", "commit.commit", "commit.after"])
def test_a_failure_at_any_place_loses_and_doubles_nothing(store: PartStore, place: str) -> None:
    failpoints.arm(f"{place}:1:eio")
    try:
        for _ in range(2):  # the first may fail; an unknown outcome is looked up
            try:
                store.record_answers(batch(0))
            except (curate.errors.StoreError, OSError):
                failpoints.arm(None)
    finally:
        failpoints.arm(None)
    assert len(store.answers()) == 8


def sizes(paths: list[Path]) -> list[int]:
    return [path.stat().st_size if path.exists() else 0 for path in paths]


@pytest.mark.crash
def test_processes_that_are_killed_neither_lose_nor_double_an_answer(
    store: PartStore, tmp_path: Path
) -> None:
    rng = random.Random(0)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
    logs = [tmp_path / f"log-{i}" for i in range(3)]
    for _ in range(2):
        running = [
            subprocess.Popen(
                [sys.executable, store_answers.__file__, str(store.path), str(log), log.name], env=environment
            )
            for log in logs
        ]
        before = sizes(logs)
        while any(new == old for new, old in zip(sizes(logs), before, strict=True)):
            time.sleep(0.01)
        time.sleep(rng.random() / 4)
        for process in running:
            process.kill()
            process.wait()
    acknowledged = {int(line) for log in logs if log.exists() for line in log.read_text().split()}
    found = Counter(store.answers().to_arrow(["item"])["item"].to_pylist())
    assert set(found.values()) == {1}
    assert {f"item-{i}" for n in acknowledged for i in range(4 * n, 4 * n + 8)} <= set(found)
    assert store.verify() == []
