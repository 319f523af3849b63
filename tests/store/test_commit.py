"""Commits: what becomes visible, what is refused, and what is asked for twice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from store_workload import ROWS, add_items, add_scores, column_set, item_table, read_state, score_part

from curate.errors import (
    ConflictError,
    InputError,
    SchemaError,
    UnknownNameError,
)
from curate.store import Changes, Commit, PartStore, SelectionInfo


def test_items_get_contiguous_seqs_that_are_never_used_again(store: PartStore) -> None:
    a, b = add_items(store, "a", "b")
    store.commit(Changes("drop", "drop", remove=[b.part_id]))
    add_items(store, "c")
    add_items(store, "b")  # the same file again: a new place in the order
    found = [(p.part_id, p.seq_lo) for p in store.snapshot().items]
    assert [seq for _, seq in found] == [0, 2 * ROWS, 3 * ROWS]
    assert found[0][0] == a.part_id and found[2][0] == b.part_id
    assert store.snapshot(1).rows == 2 * ROWS and store.snapshot(2).rows == ROWS
    assert store.verify() == []


def test_the_same_token_commits_once(store: PartStore) -> None:
    changes = Changes("import", "t", add=add_items(store, "a"), message="again")
    assert store.commit(changes) == Commit(2)
    assert store.commit(changes) == Commit(2, replayed=True)
    assert PartStore.open(store.path).commit(changes) == Commit(2, replayed=True)
    assert [entry["message"] for entry in store.history()] == ["again", ""]
    with pytest.raises(InputError, match="needs a token"):
        store.commit(Changes("import", ""))


def test_a_part_that_is_live_stays_as_it_is(store: PartStore) -> None:
    part = add_items(store, "a")[0]
    store.commit(Changes("import", "other token", add=[part]))
    assert [(p.part_id, p.seq_lo, p.added) for p in store.snapshot().items] == [(part.part_id, 0, 1)]


def test_what_is_removed_must_be_live(store: PartStore) -> None:
    part = add_items(store, "a")[0]
    store.commit(Changes("drop", "1", remove=[part.part_id]))
    for part_id in (part.part_id, "unknown"):
        with pytest.raises(ConflictError, match=f"part {part_id}.*not live any more"):
            store.commit(Changes("drop", "2", remove=[part_id]))
    assert store.snapshot().version == 2


def test_a_swept_or_cut_file_is_not_committed(store: PartStore) -> None:
    with store.writer() as writer:
        part = writer.items(item_table("a"), "instruction")
        path = store.path / part.path
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        with pytest.raises(ConflictError, match=f"holds {len(data) - 1} bytes, not {len(data)}"):
            store.commit(Changes("import", "a", add=[part]))
        path.unlink()
        with pytest.raises(ConflictError, match="is gone"):
            store.commit(Changes("import", "a", add=[part]))
        packed = writer.items(item_table("b"), "instruction", {"packs": ["0" * 32]})
        with pytest.raises(ConflictError, match=r"0\.pack is gone"):
            store.commit(Changes("import", "b", add=[packed]))
    assert store.snapshot().version == 0


def test_scores_belong_to_live_items_of_as_many_rows(store: PartStore) -> None:
    part = add_items(store, "a")[0]
    base = store.snapshot().items[0]
    with store.writer() as writer:
        new = score_part(writer, base, column_set())
        with pytest.raises(SchemaError, match=r"5 rows for item part .* of 6 rows"):
            writer.columns(pa.table({"quality": pa.array(range(5), pa.float32())}), base, column_set())
        short = dataclasses.replace(new[0], part_id="short", rows=5)
        with pytest.raises(SchemaError, match=r"part short has 5 rows, item part .* has 6"):
            store.commit(Changes("score", "short", add=[short]))
        store.commit(Changes("drop", "drop", remove=[part.part_id]))
        with pytest.raises(ConflictError, match=r"item part .* is not live"):
            store.commit(Changes("score", "late", add=new))


def test_removing_items_removes_what_is_aligned_to_them(store: PartStore) -> None:
    part = add_items(store, "a", "b")[0]
    add_scores(store, "score")
    store.commit(Changes("drop", "drop", remove=[part.part_id]))
    left = {base for _, base in store.snapshot().aligned}
    assert left == {store.snapshot().items[0].part_id}
    assert len(store.snapshot(2).aligned) == 2
    assert store.verify() == []


def test_the_first_of_two_scorings_of_the_same_items_stays(store: PartStore) -> None:
    add_items(store, "a")
    first = add_scores(store, "one process", shift=0.0)
    second = add_scores(store, "another one", shift=1.0)
    assert {p.part_id for p in first}.isdisjoint(p.part_id for p in second)
    (parts,) = store.snapshot().aligned.values()
    assert {p.part_id for p in parts} == {p.part_id for p in first}
    assert read_state(store)["a-1"][1] == 0.125


def test_replacing_scores_in_one_commit(store: PartStore) -> None:
    add_items(store, "a")
    old = add_scores(store, "old")
    with store.writer() as writer:
        new = score_part(writer, store.snapshot().items[0], column_set(), 2.0)
        store.commit(Changes("score", "new", add=new, remove=[p.part_id for p in old]))
        assert read_state(store)["a-1"][1:] == (2.125, [1.0, 2.0])
        assert read_state(store, 2)["a-1"][1:] == (0.125, [1.0, 0.0])
        back = [p.part_id for p in new]
        store.commit(Changes("score", "old again", add=old, remove=back))  # a part may come back
    assert read_state(store) == read_state(store, 2)
    assert store.verify() == []


def test_names_are_bound_and_unbound(store: PartStore) -> None:
    add_items(store, "a")
    add_scores(store, "plain", "", 0.0)
    add_scores(store, "other", "other", 5.0)
    assert store.snapshot().sets["quality"].digest == column_set("other").digest
    assert store.snapshot(2).sets["quality"] == column_set("")
    assert read_state(store)["a-0"][1] == 5.0 and read_state(store, 2)["a-0"][1] == 0.0
    store.commit(Changes("score", "back", columns=[column_set("")]))  # its parts are still there
    assert read_state(store)["a-0"][1] == 0.0
    store.commit(Changes("drop", "drop", drop_columns=["quality"]))
    assert store.snapshot().sets == {} and read_state(store)["a-0"][1] is None
    with pytest.raises(InputError, match="quality more than once"):
        store.commit(Changes("score", "twice", columns=[column_set()], drop_columns=["quality"]))


def test_selections_are_bound_and_unbound(store: PartStore) -> None:
    add_items(store, "a")
    infos = [SelectionInfo("core", f"digest {i}", 1, i or None, 1, {"random": 0.5}) for i in range(2)]
    for i, info in enumerate(infos):
        rows = {"seq": [i], "rank": [0], "weight": [1.0], "gain": [None], "reason": [""]}
        with store.writer() as writer:
            part = writer.selection(pa.table(rows), info.digest)
            store.commit(Changes("select", info.digest, add=[part], selections=[info]))
        assert store.snapshot().selections == {"core": info}
        assert store.selection_table("core")["seq"].to_pylist() == [i]
    assert store.selection_table("core", 2)["seq"].to_pylist() == [0]
    assert store.selection_table("core").schema.types == [
        pa.int64(),
        pa.int32(),
        pa.float32(),
        pa.float32(),
        pa.string(),
    ]
    store.commit(Changes("drop", "drop", drop_selections=["core"]))
    with pytest.raises(UnknownNameError, match="unknown selection 'core'"):
        store.selection_table("core")


def test_an_item_is_deleted_once(store: PartStore) -> None:
    add_items(store, "a")
    with store.writer() as writer:
        store.commit(Changes("delete", "1", add=[writer.deleted(np.array([4, 2, 2]))]))
        assert store.snapshot().rows == ROWS - 2
        with pytest.raises(ConflictError, match="1 of 2 items are deleted already, the first with seq 2"):
            store.commit(Changes("delete", "2", add=[writer.deleted(np.array([0, 2]))]))
        with pytest.raises(InputError, match="seqs 0 to 5 were given"):
            store.commit(Changes("delete", "3", add=[writer.deleted(np.array([6]))]))
        with pytest.raises(SchemaError, match="at least one"):
            writer.deleted(np.array([], dtype=np.int64))
        store.commit(Changes("delete", "4", add=[writer.deleted(np.array([0, 1]))]))
    assert sorted(read_state(store)) == ["a-3", "a-5"]


def test_items_and_tombstones_go_together(store: PartStore) -> None:
    part = add_items(store, "a")[0]
    with store.writer() as writer:
        gone = writer.deleted(np.array([1]))
        store.commit(Changes("delete", "1", add=[gone]))
        with pytest.raises(ConflictError, match="1 tombstone of its items stays live"):
            store.commit(Changes("drop", "2", remove=[part.part_id]))
        store.commit(Changes("drop", "3", remove=[part.part_id, gone.part_id]))
        assert store.snapshot().rows == 0
        with pytest.raises(ConflictError, match="are in no live part"):
            store.commit(Changes("delete", "4", add=[writer.deleted(np.array([2]))]))


def test_a_change_can_depend_on_the_items_it_was_worked_out_from(store: PartStore) -> None:
    add_items(store, "a")
    add_scores(store, "score")  # scores do not matter
    with store.writer() as writer:
        part = writer.items(item_table("b"), "instruction")
        store.commit(Changes("import", "b", add=[part], items_at=1))
        other = writer.items(item_table("c"), "instruction")
        with pytest.raises(ConflictError, match="items of version 1, but version 3 added"):
            store.commit(Changes("import", "c", add=[other], items_at=1))


def test_a_finished_step_is_recalled(store: PartStore) -> None:
    assert store.recall("step") is None
    store.commit(Changes("score", "1", step=("step", {"n": np.int64(3), "reasons": {"ü": 1}})))
    assert store.recall("step") == {"n": 3, "reasons": {"ü": 1}}
    store.commit(Changes("score", "2", step=("step", {"n": 4})))
    assert PartStore.open(store.path).recall("step") == {"n": 4}
    assert store.verify() == []


def test_a_commit_that_fails_changes_nothing(store: PartStore) -> None:
    part = add_items(store, "a")[0]
    before = (store.snapshot(), store.history())
    with pytest.raises(ConflictError):
        store.commit(
            Changes("mixed", "m", columns=[column_set()], remove=[part.part_id, "unknown"], step=("s", {}))
        )
    assert (store.snapshot(), store.history(), store.recall("s")) == (*before, None)
