"""Compaction while others write, and writes that were worked out before it."""

from __future__ import annotations

from typing import Any

import pytest
import store_examples as ex
from store_workload import (
    ROWS,
    add_items,
    add_scores,
    column_set,
    item_table,
    layout,
    read_state,
    score_part,
)

from curate.errors import BusyError, ConflictError
from curate.store import Changes, PartStore, compaction, merge


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Any, times: int = 1) -> list[int]:
    """Have `act` happen after the first files were written, before they are committed."""
    plain, calls = merge.merge_group, list[int]()

    def merge_group(*args: Any) -> Any:
        done = plain(*args)
        if len(calls) < times:
            calls.append(1)
            act(len(calls))
        return done

    monkeypatch.setattr(merge, "merge_group", merge_group)
    return calls


def test_scores_that_come_meanwhile_are_not_lost(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(store, *"abcd")
    other = PartStore.open(store.path)
    meanwhile(monkeypatch, lambda _: add_scores(other, "meanwhile"))
    store.compact(part_rows=2 * ROWS, alongside=True)
    assert layout(store) == [(0, 12), (12, 12)]
    assert read_state(store)["d-1"] == ("caption 1 of d", 0.125, [19.0, 0.0]) and store.verify() == []


def test_only_what_was_in_the_way_is_merged_again(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = add_items(store, *"abcdef")
    other = PartStore.open(store.path)

    def score_one(_: int) -> None:
        with other.writer() as writer:
            base = next(p for p in other.snapshot().items if p.part_id == parts[2].part_id)
            made = column_set()
            other.commit(Changes("score", "c", add=score_part(writer, base, made), columns=[made]))

    meanwhile(monkeypatch, score_one)
    report = store.compact(part_rows=2 * ROWS, alongside=True)
    assert layout(store) == [(0, 12), (12, 6), (18, 6), (24, 12)]  # c has scores now, d has none
    assert report.versions == 2 and store.verify() == []
    assert read_state(store)["c-1"][1] == 0.125 and read_state(store)["d-1"][1] is None


def test_what_is_deleted_meanwhile_stays_deleted(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(store, *"ab")
    other = PartStore.open(store.path)
    meanwhile(monkeypatch, lambda _: ex.remove(other, [3]))
    assert store.compact(alongside=True).erased == 0
    assert "a-3" not in read_state(store) and store.verify() == []
    assert store.compact().erased == 1


def test_a_score_for_a_replaced_part_conflicts_and_can_be_made_again(store: PartStore) -> None:
    add_items(store, *"ab")
    with store.writer() as writer:
        late = [p for base in store.snapshot().items for p in score_part(writer, base, column_set())]
        with pytest.raises(BusyError, match=r"process \d+ on .* is writing .*--alongside"):
            store.compact()
        store.compact(alongside=True)
        with pytest.raises(ConflictError, match=r"item part .* is not live.*run again"):
            store.commit(Changes("score", "late", add=late, columns=[column_set()]))
    add_scores(store, "again")
    assert read_state(store)["a-1"][1] == 0.125 and store.verify() == []


def test_selections_and_deletions_worked_out_before_are_right_after(store: PartStore) -> None:
    add_items(store, *"ab")
    seqs = store.view().where("id = 'b-2'").seqs()
    ex.remove(store, [0])
    store.compact()
    ex.remove(store, [*seqs])
    assert "b-2" not in read_state(store) and len(read_state(store)) == 2 * ROWS - 2


def test_an_import_worked_out_before_runs_again(store: PartStore) -> None:
    add_items(store, *"ab")
    version = store.snapshot().version
    store.compact()
    with store.writer() as writer:
        part = writer.items(item_table("c"), "instruction")
        with pytest.raises(ConflictError, match="run again"):
            store.commit(Changes("import", "c", add=[part], items_at=version))
        store.commit(Changes("import", "c", add=[part], items_at=store.snapshot().version))
    assert len(read_state(store)) == 3 * ROWS


def test_it_gives_up_when_others_never_stop(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(store, *"ab")
    other = PartStore.open(store.path)
    calls = meanwhile(monkeypatch, lambda n: add_scores(other, f"{n}", f"{n}"), times=100)
    with pytest.raises(BusyError, match="each of the 5 times"):
        store.compact(alongside=True)
    assert len(calls) == 5 and store.verify() == [] and len(read_state(store)) == 2 * ROWS


def test_several_commits_end_as_one(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add_items(store, *"abcd")
    monkeypatch.setattr(compaction, "COMMIT_EVERY", -1.0)
    assert store.compact(part_rows=2 * ROWS).versions == 2
    assert layout(store) == [(0, 12), (12, 12)]
