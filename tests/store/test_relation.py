"""Which files a query reads, and how."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from store_examples import SCORES, add, captions, column_set, give, new_store

from curate.contracts import score
from curate.store import PartStore
from curate.store.view import StoreView


def text_of(view: StoreView, names: list[str]) -> str:
    with view._lean().open(names) as (_, sql):
        return sql


def plan_of(view: StoreView, names: list[str]) -> str:
    with view._lean().open(names) as (cursor, sql):
        return cursor.execute(f"EXPLAIN {sql}").fetchall()[0][1]


def scored_store(tmp_path: Path, scored: list[bool]) -> PartStore:
    store = new_store(tmp_path)
    parts = [
        add(store, captions(["x"] * 4, [f"{k}{i}" for i in range(4)], n=[1, 2, 3, 4]))
        for k in range(len(scored))
    ]
    tables = {
        p.part_id: {"clip_score": pa.array([0.1, 0.2, 0.3, 0.4], pa.float32())}
        for p, s in zip(parts, scored, strict=True)
        if s
    }
    give(store, column_set(SCORES), tables)
    other = column_set(pa.schema([score("sharpness")]), "sharpness", "set-2")
    give(store, other, {parts[0].part_id: {"sharpness": pa.array([1.0] * 4, pa.float32())}})
    return store


def test_only_files_and_columns_that_are_needed(tmp_path: Path) -> None:
    store = scored_store(tmp_path, [True, True])
    items = text_of(store.view(), ["caption"])
    assert "/column/" not in items and "POSITIONAL" not in items and items.count("read_parquet") == 1
    scores = text_of(store.view(), ["clip_score"])
    assert "/items/" not in scores and scores.count(".parquet'") == 2  # not even the items are opened
    both = text_of(store.view().where("clip_score > 0.2"), ["caption"])
    assert both.count("read_parquet") == 2 and both.count("POSITIONAL JOIN") == 1


def test_parts_that_lie_alike_are_read_together(tmp_path: Path) -> None:
    store = scored_store(tmp_path, [True, True, False, False, True])
    assert text_of(store.view(), ["id"]).count("read_parquet") == 1
    assert text_of(store.view(), ["id", "clip_score"]).count("UNION ALL") == 2  # scored, not, scored
    assert text_of(store.view(), ["id", "clip_score", "sharpness"]).count("UNION ALL") == 3


def test_parts_without_rows_are_not_opened(tmp_path: Path) -> None:
    store = scored_store(tmp_path, [True] * 4)
    assert text_of(store.view().at(store.view().seqs()[[5, 6]]), ["id"]).count(".parquet'") == 1
    chosen = store.view().where("n > 3 and id > '2'")
    assert len(chosen) == 2
    assert text_of(chosen, ["caption"]).count(".parquet'") == 2


def test_no_mask_where_no_row_lacks(tmp_path: Path) -> None:
    store = scored_store(tmp_path, [True] * 3)
    view = store.view()
    assert "get_bit" not in text_of(view, ["id"])
    assert "get_bit" not in text_of(view.at(view.seqs()[4:8]), ["id"])  # the whole second part
    assert text_of(view.at(view.seqs()[1:8]), ["id"]).count("get_bit") == 1


def test_conditions_on_items_are_pushed_into_the_scan(tmp_path: Path) -> None:
    """Row groups are skipped by their statistics then: the scan itself carries the filter, no operator after it."""
    store = scored_store(tmp_path, [True] * 3)
    plan = plan_of(store.view().where("n > 3"), ["id"])
    assert "Filters" in plan and "Positional" not in plan and "POSITIONAL" not in plan
    assert "─ Filter ─" not in plan and "│           FILTER" not in plan


def test_aligned_files_are_scanned_side_by_side(tmp_path: Path) -> None:
    """Not joined: a POSITIONAL JOIN of anything but plain scans would hold its right side in memory."""
    store = scored_store(tmp_path, [True] * 3)
    plan = plan_of(store.view().where("clip_score > 0.2"), ["id", "n"]).upper().replace("_", " ")
    assert "POSITIONAL SCAN" in plan and "POSITIONAL JOIN" not in plan


def test_numbering_rows_does_not_hide_them_from_conditions(tmp_path: Path) -> None:
    store = scored_store(tmp_path, [True] * 3)
    query = "explain select _row from view where n > 3"
    with store.view()._lean().open(["n"]) as (cursor, sql):
        from curate.store.outputs import _position

        view = store.view()._lean()
        cursor.execute(f'CREATE TEMP VIEW "view" AS SELECT c0 AS n, {_position(view)} AS _row FROM ({sql})')
        assert "WINDOW" not in cursor.execute(query).fetchall()[0][1].upper()
    assert store.view().sql("select _row from view where n > 3", ["n"]).to_pydict() == {"_row": [3, 7, 11]}
