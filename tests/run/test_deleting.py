"""Items that have to go: out of every view, and in the end out of every file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

import curate
from curate.cli import app
from curate.errors import ConflictError, ExpressionError, InputError, UnknownNameError
from curate.report.funnel import make_step

SECRET = "please forget whoever said this"
ROWS = {
    "id": ["a", "b", "7", "d"],
    "text": ["one", SECRET, "three", "four"],
    "label": ["x", "y", "x", "y"],
}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        opened.add(pl.DataFrame(ROWS), kind="label", part_rows=2)
        opened.score("text-basics")
        opened.keep("text_words > 0", name="all")
        yield opened


def test_items_go_by_id_and_with_them_scores_and_places_in_selections(store: Any) -> None:
    record = store.delete(["b", 7, "b"])
    assert record.counts == {"rows": 4, "deleted": 2} and "delete by id: rows 4, deleted 2" in str(record)
    assert make_step(record, 4).note == "2 deleted"
    assert store.items.to_polars(["id"])["id"].to_list() == ["a", "d"] and len(store) == 2
    assert store.sql("select * from text_basics").num_rows == 2
    assert store.selections["all"].to_polars()["id"].to_list() == ["a", "d"]
    assert store.at(record.version - 1).to_polars(["id"]).height == 4
    assert store.score("text-basics").counts["rows"] == 2
    with pytest.raises(UnknownNameError, match="unknown item 'b'"):
        store.explain("b")


def test_a_selection_holds_what_is_still_what_was_chosen(store: Any) -> None:
    store.select("top", by="text_characters", budget=3, name="long")
    changed = pl.DataFrame({**ROWS, "text": ["one", "another text of b", "three", "four"]})
    assert store.add(changed, kind="label", on_conflict="update").counts["updated"] == 1
    chosen = store.selections["long"]
    assert chosen.to_polars().select("id", "rank").rows() == [("7", 1), ("d", 2)] and len(chosen) == 2
    assert store.sql("select id from long order by rank")["id"].to_pylist() == ["7", "d"]
    assert "1 more were chosen, and deleted or replaced since" in chosen._repr_html_()
    assert chosen.info.rows == 3
    store.delete(["7", "d"])
    assert len(chosen) == 0 and chosen.to_arrow().num_rows == 0 and "0 items of 2" in chosen._repr_html_()
    store.delete(where="true")
    assert store.sql("select * from long").num_rows == 0 and chosen._repr_html_()


def test_items_go_by_what_they_are(store: Any) -> None:
    assert store.delete(where="label = 'x' and text_words > 0").counts["deleted"] == 2
    before = store.parts.snapshot().version
    assert store.delete(where="label = 'x'").counts["deleted"] == 0
    assert store.delete([]).counts["deleted"] == 0
    assert store.parts.snapshot().version == before


def test_all_or_none(store: Any) -> None:
    with pytest.raises(InputError, match="1 of 2 ids are no items, such as 'c'; nothing was deleted"):
        store.delete(["a", "c"])
    for arguments in ({}, {"ids": ["a"], "where": "label = 'x'"}):
        with pytest.raises(InputError, match="by their ids, or by an expression"):
            store.delete(**arguments)
    with pytest.raises(UnknownNameError, match="lable"):
        store.delete(where="lable = 'x'")
    with pytest.raises(ExpressionError):
        store.delete(where="read_text('/etc/passwd') = ''")
    assert len(store) == 4


def test_of_two_who_delete_the_same_item_one_is_told(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.parts.writer

    def late() -> Any:
        monkeypatch.setattr(store.parts, "writer", writer)
        with curate.open(store.path) as other:
            other.delete("a")
        return writer()

    monkeypatch.setattr(store.parts, "writer", late)
    with pytest.raises(ConflictError, match="deleted already"):
        store.delete(["a", "d"])
    assert len(store) == 3


def test_an_import_brings_back_what_its_source_still_has(store: Any) -> None:
    store.delete("b")
    assert store.add(pl.DataFrame(ROWS), kind="label").counts["added"] == 1
    assert store.score("text-basics").computed == 1


def test_compaction_and_collection_erase_what_was_deleted(store: Any) -> None:
    def holds() -> list[str]:
        found = [p for p in store.path.rglob("*.parquet") if SECRET in pl.read_parquet(p).write_ndjson()]
        return [path.name for path in found]

    assert holds()
    store.delete("b")
    assert holds()  # older versions can still be read
    store.compact()
    store.gc(grace_seconds=0, keep_versions=1)
    assert not holds() and store.verify() == []
    assert store.items.to_polars(["id"])["id"].to_list() == ["a", "7", "d"]


def test_the_command_deletes_and_says_how_to_erase(store: Any, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("a\nd\n")
    path = str(store.path)
    done = CliRunner().invoke(app, ["delete", path, "--ids", str(tmp_path / "ids.txt")])
    assert "deleted 2" in done.output and f"curate compact {path}" in done.output
    assert "deleted 1" in CliRunner().invoke(app, ["delete", path, "b"]).output
    assert "nothing" not in CliRunner().invoke(app, ["delete", path, "--where", "label = 'x'"]).output
    assert len(store) == 0
    with pytest.raises(InputError, match="one of them is meant"):
        CliRunner().invoke(
            app, ["delete", path, "b", "--ids", str(tmp_path / "ids.txt")], catch_exceptions=False
        )
