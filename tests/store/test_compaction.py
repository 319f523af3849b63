"""Compaction: fewer parts, the same items, scores, selections and digests; what was deleted is gone from the disk."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import store_examples as ex
from store_workload import (
    ROWS,
    add_items,
    add_scores,
    column_set,
    item_table,
    layout,
    read_part,
    read_state,
    score_part,
)

from curate.errors import ConflictError, CorruptionError, InputError
from curate.records import REJECTED
from curate.store import Changes, PartStore, compaction, streams
from curate.store.snapshot import Snapshot


def aligned_ids(snapshot: Snapshot) -> list[str]:
    return sorted(i for parts in snapshot.aligned.values() for p in parts for i in p.originals)


def everything_on_disk(store: PartStore) -> str:
    """All values in all files under parts/, and the bytes of all packs."""
    snapshot = store.snapshot()
    tables = [read_part(store, dataclasses.replace(snapshot.items[0], path=str(p.relative_to(store.path)), table=p.parent.name))
              for p in sorted((store.path / "parts").rglob("*.*"))]  # fmt: skip
    packs = [p.read_bytes() for p in sorted((store.path / "blobs").iterdir())]
    return repr([t.to_pylist() for t in tables]) + repr(packs)


# --- What stays ------------------------------------------------------------------------------------------


def test_small_parts_become_one_and_nothing_else_changes(store: PartStore) -> None:
    add_items(store, *"abcde")
    add_scores(store, "score")
    before, state = store.snapshot(), read_state(store)
    report = store.compact(part_rows=2 * ROWS)
    after = store.snapshot()
    assert layout(store) == [(0, 12), (12, 12), (24, 6)]
    assert (report.before, report.after, report.merged, report.written) == (15, 9, 4, 2)
    assert (report.versions, report.erased) == (1, 0) and report.bytes > 0
    assert read_state(store) == state and after.rows == before.rows
    assert after.digest == before.digest and aligned_ids(after) == aligned_ids(before)
    assert after.items[0].originals == tuple(p.part_id for p in before.items[:2])
    assert read_state(store, before.version) == state
    assert store.verify() == []


def test_again_there_is_nothing_to_do_and_more_is_merged_with_more_room(store: PartStore) -> None:
    add_items(store, *"abcde")
    add_scores(store, "score")
    before, state = store.snapshot(), read_state(store)
    store.compact(part_rows=2 * ROWS)
    version = store.snapshot().version
    assert str(store.compact(part_rows=2 * ROWS)) == "9 parts: nothing to merge"
    assert store.snapshot().version == version
    store.compact()
    assert layout(store) == [(0, 30)]
    assert store.snapshot().items[0].originals == tuple(p.part_id for p in before.items)
    assert store.snapshot().digest == before.digest and read_state(store) == state
    assert store.verify() == []


def test_a_dry_run_only_says(store: PartStore) -> None:
    add_items(store, *"abc")
    report = store.compact(dry_run=True)
    assert str(report) == "3 parts would become 1: 3 item parts 1"
    assert store.snapshot().version == 1


def test_old_files_go_with_gc_and_the_catalog_can_be_rebuilt(store: PartStore) -> None:
    add_items(store, *"abc")
    add_scores(store, "score")
    ex.remove(store, [4])
    state, digest = read_state(store), store.snapshot().digest
    store.compact()
    report = store.gc(grace_seconds=0, keep_versions=1)
    assert report.parts == 9 and read_state(store) == state and store.verify() == []
    store.close()
    (store.path / "catalog.sqlite").unlink()
    again = PartStore.rebuild(store.path)
    assert read_state(again) == state and again.snapshot().digest == digest and again.verify() == []
    assert again.compact().versions == 0


def test_seqs_go_on_where_they_were(store: PartStore) -> None:
    add_items(store, *"ab")
    ex.remove(store, [2 * ROWS - 1])
    store.compact()
    add_items(store, "c")
    assert layout(store) == [(0, 2 * ROWS), (2 * ROWS, ROWS)]
    store.compact()
    assert layout(store) == [(0, 3 * ROWS)]
    assert store.verify() == []


def test_a_part_that_was_merged_is_not_taken_again(store: PartStore) -> None:
    parts = add_items(store, *"ab")
    store.compact()
    store.commit(Changes("import", "again", add=parts))
    assert layout(store) == [(0, 2 * ROWS)]
    store.close()
    (store.path / "catalog.sqlite").unlink()
    again = PartStore.rebuild(store.path)
    again.commit(Changes("import", "and again", add=parts))
    assert layout(again) == [(0, 2 * ROWS)] and again.verify() == []


def test_row_groups_do_not_matter(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "GROUP_ROWS", 2 * ROWS)
    add_items(store, *"abcde")
    add_scores(store, "score")
    state = read_state(store)
    store.compact()
    assert layout(store) == [(0, 5 * ROWS)] and read_state(store) == state
    assert ex.ids(store.view()) == [f"{n}-{i}" for n in "abcde" for i in range(ROWS)]
    assert ex.ids(store.view().where("quality > 0.5")) == [f"{n}-5" for n in "abcde"]


# --- What is merged with what ----------------------------------------------------------------------------


def test_parts_of_another_kind_or_schema_stay_apart(store: PartStore) -> None:
    add_items(store, *"ab")
    with store.writer() as writer:
        more = item_table("c").append_column("more", pa.array(range(ROWS)))
        others = [writer.items(more, "instruction"), writer.items(item_table("d"), "label")]
        store.commit(Changes("import", "others", add=others))
    add_items(store, *"ef")
    store.compact()
    assert layout(store) == [(0, 12), (12, 6), (18, 6), (24, 12)]


def test_parts_stay_apart_until_all_of_them_are_scored(store: PartStore) -> None:
    add_items(store, *"ab")
    add_scores(store, "score")
    add_items(store, *"cd")
    store.compact()
    snapshot, made = store.snapshot(), column_set().digest
    assert layout(store) == [(0, 12), (12, 12)]
    assert [(made, p.part_id) in snapshot.aligned for p in snapshot.items] == [True, False]
    with store.writer() as writer:
        parts = score_part(writer, snapshot.items[1], column_set())
        store.commit(Changes("score", "the rest", add=parts))
    state = read_state(store)
    store.compact()
    assert layout(store) == [(0, 24)] and read_state(store) == state


def test_a_hole_is_not_filled(store: PartStore) -> None:
    parts = add_items(store, *"abc")
    store.commit(Changes("drop", "drop", remove=[parts[1].part_id]))
    assert store.compact().versions == 0
    assert layout(store) == [(0, 6), (12, 6)]


def test_files_have_a_limit_too(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(store, *"abcd")
    add_scores(store, "score")
    biggest = max(p.bytes for parts in store.snapshot().aligned.values() for p in parts)
    most = max(biggest, *(p.bytes for p in store.snapshot().items))
    monkeypatch.setattr(compaction, "FILE_BYTES", 2 * most)
    store.compact()
    assert layout(store) == [(0, 12), (12, 12)]
    assert (
        store.compact().versions == 0
    )  # merged files are smaller than what they were made of, but count as much


def test_columns_of_every_name_are_kept(store: PartStore) -> None:
    add_items(store, *"ab")
    add_scores(store, "one", "", 0.0)
    add_scores(store, "other", "other", 5.0)
    store.compact()
    assert read_state(store)["b-1"][1] == 5.125
    store.commit(Changes("back", "back", columns=[column_set("")]))
    assert read_state(store)["b-1"][1] == 0.125


def test_merged_columns_that_nothing_binds_are_collected(store: PartStore) -> None:
    add_items(store, *"ab")
    add_scores(store, "one", "", 0.0)
    add_scores(store, "other", "other", 5.0)
    store.compact()
    store.gc(grace_seconds=0, keep_versions=1)
    digests = {digest for digest, _ in store.snapshot().aligned}
    assert digests == {column_set("other").digest} and store.verify() == []


def test_answers_that_were_asked_for_add_up(store: PartStore) -> None:
    add_items(store, *"ab")
    with store.writer() as writer:
        parts = []
        for part, asked in zip(store.snapshot().items, (ROWS, 2), strict=True):
            table = pa.table({"quality": pa.array(range(ROWS), pa.float32())})
            parts += writer.columns(table, part, column_set(), stats={"asked": asked})
        store.commit(Changes("score", "score", add=parts, columns=[column_set()]))
    store.compact()
    ((merged,),) = store.snapshot().aligned.values()
    assert merged.stats["asked"] == ROWS + 2


# --- What was deleted ------------------------------------------------------------------------------------


def test_deleted_items_leave_nothing_behind(store: PartStore) -> None:
    with store.pack() as pack:
        places = [pack.add(f"picture {i}".encode()) for i in range(ROWS)]
    table = item_table("a").append_column("image", pa.array([pack.uri(*p) for p in places]))
    with store.writer() as writer:
        part = writer.items(table, "instruction", {"packs": [pack.name]})
        store.commit(Changes("import", "a", add=[part]))
    add_items(store, "b")
    add_scores(store, "score")
    ex.remove(store, [1, ROWS + 2])
    state, digest = read_state(store), store.snapshot().digest
    assert "caption 1 of a" in everything_on_disk(store)
    report = store.compact()
    assert report.erased == 2
    store.gc(grace_seconds=0, keep_versions=1)
    left = everything_on_disk(store)
    assert "caption 1 of a" not in left and "b-2" not in left and "caption 2 of a" in left
    assert "[1.0, 0.0]" not in left and "[8.0, 0.0]" not in left  # their vectors
    assert "picture 1" in left  # the others' pictures are in the same pack
    assert read_state(store) == state and store.snapshot().digest == digest
    assert store.verify() == [] and store.compact().versions == 0
    ex.remove(store, [i for i in range(ROWS) if i != 1])
    assert store.compact().erased == ROWS - 1
    store.gc(grace_seconds=0, keep_versions=1)
    assert "picture" not in everything_on_disk(store) and "of a" not in everything_on_disk(store)
    assert store.verify() == [] and ex.ids(store.view()) == [f"b-{i}" for i in range(ROWS) if i != 2]


def test_deleted_rows_are_left_out_of_a_big_part_too(store: PartStore) -> None:
    add_items(store, "a")
    ex.remove(store, [0])
    assert store.compact(part_rows=1).erased == 1
    assert read_part(store, store.snapshot().items[0])["id"].to_pylist() == [
        None,
        *(f"a-{i}" for i in range(1, 6)),
    ]
    assert store.compact(part_rows=1).versions == 0


def test_parts_of_which_every_item_is_deleted_stay_two(store: PartStore) -> None:
    """Emptied, they hold the same rows: nothing but nulls."""
    add_items(store, "a")
    add_items(store, "b")
    add_scores(store, "score")
    ex.remove(store, list(range(2 * ROWS)))
    state, digest = read_state(store), store.snapshot().digest
    assert store.compact(part_rows=ROWS).erased == 2 * ROWS
    assert read_state(store) == state and store.snapshot().digest == digest
    assert [part.rows for part in store.snapshot().items] == [ROWS, ROWS]
    assert store.compact(part_rows=ROWS).versions == 0
    add_items(store, "c")
    add_scores(store, "again")
    assert store.compact(part_rows=3 * ROWS).merged == 3  # with each other, and with what is there
    store.gc(grace_seconds=0, keep_versions=1)
    assert "of a" not in everything_on_disk(store)
    assert store.verify() == [] and ex.ids(store.view()) == [f"c-{i}" for i in range(ROWS)]


def test_columns_that_may_not_be_null_can_be_emptied(store: PartStore) -> None:
    fields = [pa.field("id", pa.string(), nullable=False), pa.field("n", pa.int32(), nullable=False)]
    with store.writer() as writer:
        parts = [
            writer.items(
                pa.table([[f"{p}{i}" for i in range(3)], [1, 2, 3]], schema=pa.schema(fields)), "label"
            )
            for p in "ab"
        ]
        store.commit(Changes("import", "import", add=parts))
    ex.remove(store, [1])
    store.compact()
    assert store.view().to_arrow(["id", "n"]).to_pylist() == [
        {"id": f"{p}{i}", "n": i + 1} for p in "ab" for i in range(3) if (p, i) != ("a", 1)
    ]


def test_tombstones_become_one_part_and_go_on_being_right(store: PartStore) -> None:
    add_items(store, *"ab")
    for seq in (1, 7, 3):
        ex.remove(store, [seq])
    digest = store.snapshot().digest
    store.compact()
    (part,) = store.snapshot().deleted
    assert read_part(store, part)["seq"].to_pylist() == [1, 3, 7] and store.snapshot().digest == digest
    with pytest.raises(ConflictError, match="deleted already"):
        ex.remove(store, [7, 8])
    ex.remove(store, [8])
    assert store.snapshot().rows == 2 * ROWS - 4
    assert store.snapshot().digest != digest
    assert store.compact().erased == 1 and store.verify() == []


def test_selections_stay_as_they_are(store: PartStore) -> None:
    part = ex.add(store, ex.captions(["a", "b", "c"]))
    ex.add(store, ex.captions(["d", "e"], ids=["x", "y"]))
    ex.give_vectors(store, part, np.eye(3, dtype=np.float32))
    ex.select(store, "core", [4, 1])
    ex.remove(store, [0])
    table = store.selection_table("core")
    store.compact()
    assert store.selection_table("core").equals(table)
    assert ex.ids(store.view().within("core")) == ["i0001", "y"]


def test_rejections_are_merged_in_order(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "LIST_ROWS", 3)
    sizes = (3, 1, 1, 3, 2, 1)
    for number, size in enumerate(sizes):
        rows = [{**dict.fromkeys(REJECTED.names), "id": f"{number}-{i}", "row": i} for i in range(size)]
        with store.writer() as writer:
            part = writer.rejected(pa.Table.from_pylist(rows, schema=REJECTED))
            store.commit(Changes("import", f"import {number}", add=[part]))
    before = store.rejected()
    store.compact()
    assert store.rejected().equals(before)
    assert [p.rows for p in store.snapshot().rejected] == [3, 2, 3, 3]
    assert store.compact().versions == 0 and store.verify() == []
    with store.writer() as writer:
        store.commit(Changes("import", "the last again", add=[part]))
    assert store.rejected().equals(before)


# --- Bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["items", "column", "vector", "deleted", "rejected"])
def test_damage_is_not_given_a_valid_hash(store: PartStore, table: str) -> None:
    add_items(store, *"ab")
    add_scores(store, "score")
    ex.remove(store, [1])
    ex.remove(store, [2])
    for n in range(2):
        with store.writer() as writer:
            part = writer.rejected(pa.table({"n": [n]}))
            store.commit(Changes("import", f"rejected {n}", add=[part]))
    damaged = sorted((store.path / "parts" / table).iterdir())[0]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    before = store.snapshot()
    with pytest.raises(CorruptionError, match=rf"{damaged.name} is not what was committed.*curate verify"):
        store.compact()
    assert store.snapshot().items == before.items or table == "rejected"
    assert [p.kind for p in store.verify()] == ["damaged"]


def test_a_part_needs_a_row(store: PartStore) -> None:
    with pytest.raises(InputError, match="part_rows=0"):
        store.compact(part_rows=0)


def test_seqs_are_given_again_only_for_parts_that_go(store: PartStore) -> None:
    parts = add_items(store, *"abc")
    with store.writer() as writer:
        big = writer.items(item_table("x", 2 * ROWS), "instruction")
        for seq, gone in ((0, parts[:1]), (ROWS, [parts[0], parts[2]]), (1000, parts)):
            ids = [p.part_id for p in gone]
            with pytest.raises(InputError, match="removes no item part with seq"):
                store.commit(Changes("x", "x", add=[big], remove=ids, replaces={big.part_id: seq}))
    assert store.snapshot().version == 1


def test_the_hint_is_for_stores_of_many_small_parts(
    store: PartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MANY", 3)
    add_items(store, *"ab")
    assert compaction.hint(store.snapshot()) is None
    add_items(store, "c")
    assert compaction.hint(store.snapshot()) == "3 of 3 item parts are small: `curate compact` merges them"
    store.compact()
    assert compaction.hint(store.snapshot()) is None
