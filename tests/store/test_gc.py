"""Garbage collection deletes what no kept version needs, and nothing else."""

from __future__ import annotations

import os
import time

import numpy as np
import pyarrow as pa
import pytest
from store_workload import ROWS, add_items, add_scores, column_set, item_table, read_state

from curate.errors import InputError, UnknownNameError
from curate.store import Changes, GcReport, NewPart, PartStore, SelectionInfo


def exists(store: PartStore, *parts: NewPart) -> list[bool]:
    return [(store.path / part.path).exists() for part in parts]


def collect(store: PartStore, keep_versions: int = 1) -> GcReport:
    report = store.gc(grace_seconds=0, keep_versions=keep_versions)
    assert store.verify() == []
    return report


def test_a_removed_part_goes_with_the_last_version_that_has_it(store: PartStore) -> None:
    a, b = add_items(store, "a", "b")
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    assert collect(store, keep_versions=2) == GcReport()
    assert exists(store, a, b) == [True, True]
    assert collect(store) == GcReport(parts=1, bytes=a.bytes, expired=[1])
    assert exists(store, a, b) == [False, True]
    with pytest.raises(UnknownNameError, match="deleted by gc; tag or pin versions"):
        store.snapshot(1)
    assert [entry["available"] for entry in store.history()] == [True, False]
    assert collect(store) == GcReport()
    assert len(read_state(store)) == ROWS


def test_versions_within_the_grace_period_are_kept(store: PartStore) -> None:
    (a,) = add_items(store, "a")
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    assert store.gc(grace_seconds=60, keep_versions=1) == GcReport()
    assert len(read_state(store, 1)) == ROWS


def test_tags_keep_versions(store: PartStore) -> None:
    (a,) = add_items(store, "a")
    store.tag("paper")
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    store.commit(Changes("note", "note"))
    assert collect(store) == GcReport()
    assert len(read_state(store, "paper")) == ROWS
    store.untag("paper")
    assert collect(store).expired == [1]
    with pytest.raises(UnknownNameError, match="version '1'"):
        store.tag("paper", 1)


def test_pins_keep_versions(store: PartStore) -> None:
    (a,) = add_items(store, "a")
    with store.pin() as version:
        assert version == 1
        store.commit(Changes("drop", "drop", remove=[a.part_id]))
        assert collect(store) == GcReport()
        assert len(read_state(store, version)) == ROWS
    assert collect(store).parts == 1


def test_files_that_were_never_committed(store: PartStore) -> None:
    with store.writer() as writer:
        part = writer.items(item_table("a"), "instruction")
    assert store.gc(grace_seconds=60) == GcReport()
    old = time.time() - 61
    os.utime(store.path / part.path, (old, old))
    assert store.gc(grace_seconds=60) == GcReport(orphans=1, bytes=part.bytes)
    assert exists(store, part) == [False]


def test_folders_in_tmp_that_belong_to_nobody(store: PartStore) -> None:
    folder = store.path / "tmp" / "unknown"
    folder.mkdir()
    (folder / "x").write_bytes(b"12345")
    assert store.gc(grace_seconds=60).folders == 0
    assert store.gc(grace_seconds=0) == GcReport(folders=1, bytes=5)
    assert not folder.exists()


def test_scores_under_a_name_that_was_bound_anew(store: PartStore) -> None:
    add_items(store, "a")
    old = add_scores(store, "old", "")
    new = add_scores(store, "new", "other")
    assert collect(store, keep_versions=2).parts == 0
    assert collect(store) == GcReport(parts=2, bytes=sum(p.bytes for p in old), expired=[2])
    assert exists(store, *old, *new) == [False, False, True, True]
    # bound again, its parts are not there: the items count as not scored, and can be scored again
    store.commit(Changes("bind", "bind", columns=[column_set("")]))
    assert store.verify() == []
    assert read_state(store)["a-0"][1] is None
    assert add_scores(store, "again", "") == old
    assert read_state(store)["a-0"][1] == 0.0
    assert collect(store).parts == 2  # now the others
    assert exists(store, *old, *new) == [True, True, False, False]


def test_scores_not_bound_yet_are_kept(store: PartStore) -> None:
    """A run commits scores part by part and binds the name at the end."""
    add_items(store, "a")
    parts = add_scores(store, "score")
    store.commit(Changes("drop", "drop", drop_columns=["quality"]))
    assert collect(store).parts == 2
    store.commit(Changes("score", "in progress", add=_write_again(store)))
    assert collect(store).parts == 0
    store.commit(Changes("score", "bind", columns=[column_set()]))
    assert exists(store, *parts) == [True, True] and read_state(store)["a-1"][1] == 0.125


def _write_again(store: PartStore) -> list[NewPart]:
    from store_workload import score_part

    with store.writer() as writer:
        return score_part(writer, store.snapshot().items[0], column_set())


def test_selections_that_were_made_anew(store: PartStore) -> None:
    add_items(store, "a")
    parts = []
    for i in range(2):
        rows = {"seq": [i], "rank": [0], "weight": [1.0], "gain": [None], "reason": [""]}
        with store.writer() as writer:
            parts.append(writer.selection(pa.table(rows), f"digest {i}"))
            info = SelectionInfo("core", f"digest {i}", 1, None, 1)
            store.commit(Changes("select", f"{i}", add=parts[-1:], selections=[info]))
    assert collect(store).expired == [2]
    assert exists(store, *parts) == [False, True]
    assert store.selection_table("core")["seq"].to_pylist() == [1]


def test_packs_live_as_long_as_the_items_that_point_into_them(store: PartStore) -> None:
    packs = []
    for data in (b"used", b"loose"):
        with store.pack() as pack:
            pack.add(data)
        packs.append(store.path / "blobs" / f"{pack.name}.pack")
    with store.writer() as writer:
        part = writer.items(item_table("a"), "instruction", {"packs": [packs[0].stem]})
        store.commit(Changes("import", "a", add=[part]))
    assert collect(store) == GcReport(packs=1, bytes=5)
    assert [p.exists() for p in packs] == [True, False]
    store.commit(Changes("drop", "drop", remove=[part.part_id]))
    assert collect(store) == GcReport(parts=1, packs=1, bytes=part.bytes + 4, expired=[1])
    assert [p.exists() for p in packs] == [False, False]


def test_a_part_that_came_back_is_kept(store: PartStore) -> None:
    (a,) = add_items(store, "a")
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    store.commit(Changes("import", "back", add=[a]))
    collect(store)
    assert exists(store, a) == [True] and len(read_state(store)) == ROWS


def test_a_part_that_was_collected_can_be_written_again(store: PartStore) -> None:
    (a,) = add_items(store, "a")
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    collect(store)
    assert add_items_again(store, "a") == [a]
    assert sorted(read_state(store)) == sorted(f"a-{i}" for i in range(ROWS))
    assert store.snapshot().items[0].seq_lo == ROWS


def add_items_again(store: PartStore, name: str) -> list[NewPart]:
    with store.writer() as writer:
        parts = [writer.items(item_table(name), "instruction")]
        store.commit(Changes("import", "again", add=parts))
    return parts


def test_a_dry_run_tells_the_same_and_does_nothing(store: PartStore) -> None:
    a, b = add_items(store, "a", "b")
    add_scores(store, "score")
    with store.writer() as writer:
        writer.deleted(np.array([0]))  # written, never committed
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    files = sorted(store.path.rglob("*.*"))
    planned = store.gc(grace_seconds=0, keep_versions=1, dry_run=True)
    assert sorted(store.path.rglob("*.*")) == files
    assert (planned.parts, planned.orphans, planned.expired) == (3, 1, [1, 2])
    assert len(read_state(store, 1)) == 2 * ROWS
    assert collect(store) == planned
    assert exists(store, a, b) == [False, True]


@pytest.mark.parametrize("wrong", [{"grace_seconds": -1}, {"keep_versions": 0}])
def test_at_least_the_newest_version_is_kept(store: PartStore, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least the newest version is kept"):
        store.gc(**wrong)


def test_a_rebuilt_catalog_knows_what_was_collected(store: PartStore) -> None:
    a, _ = add_items(store, "a", "b")
    add_scores(store, "old", "")
    add_scores(store, "new", "other")
    store.commit(Changes("drop", "drop", remove=[a.part_id]))
    collect(store)
    before = [(entry["version"], entry["available"]) for entry in store.history()]
    store.close()
    (store.path / "catalog.sqlite").unlink()
    again = PartStore.rebuild(store.path)
    assert [(entry["version"], entry["available"]) for entry in again.history()] == before
    assert again.verify() == []


def test_a_rebuilt_catalog_knows_what_was_collected_and_made_again(store: PartStore) -> None:
    """The manifests add the same scores twice and never remove them."""
    add_items(store, "a")
    add_scores(store, "old", "")
    add_scores(store, "new", "other")
    collect(store)
    add_scores(store, "old again", "")
    before, state = store.history(), read_state(store)
    store.close()
    (store.path / "catalog.sqlite").unlink()
    again = PartStore.rebuild(store.path)
    assert again.verify() == []
    assert (again.history(), read_state(again)) == (before, state)
