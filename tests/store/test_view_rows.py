"""Views: which rows they hold, what names them, who may use them at once."""

from __future__ import annotations

import math
import os
import signal
import threading

import numpy as np
import pyarrow as pa
import pytest
from store_examples import (
    add,
    captions,
    give_scores,
    give_vectors,
    ids,
    remove,
    select,
)

from curate.errors import ExpressionError, InputError, SchemaError, UnknownNameError
from curate.store import Part, PartStore

# --- Choosing rows ---------------------------------------------------------------------------------------


def test_a_null_score_is_neither_above_nor_below(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    assert ids(view.where("clip_score > 0.5")) == ["i0000", "i0005"]
    assert ids(view.where("not (clip_score > 0.5)")) == ["i0001", "i0003", "i0004"]
    assert ids(view.where("clip_score is null or clip_score > 0.8")) == ["i0000", "i0002"]


def test_conditions_add_up_and_a_limit_stays_where_it_was_put(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    assert ids(view.where("clip_score >= 0.5").where("width > 5")) == ["i0003", "i0004", "i0005"]
    assert ids(view.limit(4).where("clip_score >= 0.5")) == ["i0000", "i0003"]
    assert ids(view.where("clip_score >= 0.5").limit(2)) == ["i0000", "i0003"]
    assert ids(view.limit(2).limit(5)) == ["i0000", "i0001"] and len(view.limit(0)) == 0
    assert ids(view.where("width > 5").limit(3).distinct("caption")) == ["i0001", "i0002", "i0003"]


def test_known_rows_give_the_same_as_conditions(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view().where("clip_score >= 0.5")
    before = view.to_arrow()
    assert len(view) == 4  # from here on the rows are known, and the condition is not evaluated again
    assert view.to_arrow().equals(before)
    assert next(view.batches(None, 10)).equals(before.combine_chunks().to_batches()[0])


def test_distinct_keeps_the_lowest_id(store: PartStore) -> None:
    add(store, captions(["cat", "dog", "cat", None], ["z", "m", "b", "q"]))
    add(store, captions(["dog", "cat", None, "owl"], ["n", "c", "a", "k"]))
    view = store.view()
    assert ids(view.distinct("caption")) == ["m", "b", "a", "k"]  # in import order; a null equals a null
    assert ids(view.where("id > 'b'").distinct(["caption"])) == ["m", "q", "c", "k"]
    assert len(view.distinct(["caption", "id"])) == 8


@pytest.mark.parametrize(
    ("prefer", "kept"),
    [
        ("width", ["c", "e"]),
        ("width desc", ["c", "e"]),
        ("width asc", ["b", "e"]),
        ("score", ["d", "f"]),
        ("note asc", ["a", "e"]),
    ],
)
def test_distinct_prefers_the_best_then_the_lowest_id(store: PartStore, prefer: str, kept: list[str]) -> None:
    add(
        store,
        captions(
            ["x", "x", "x", "x", "y", "y"],
            ["b", "a", "d", "c", "e", "f"],
            width=pa.array([1, 2, 3, 3, None, None], pa.int32()),
            score=pa.array([math.nan, None, 0.2, 0.1, math.nan, -1.0], pa.float32()),
            note=["n", "m", "o", None, "same", "same"],
        ),
    )
    assert sorted(ids(store.view().distinct("caption", prefer=prefer))) == kept


def test_distinct_on_what_cannot_be_compared(scored: tuple[PartStore, Part]) -> None:
    store, part = scored
    give_vectors(store, part, np.zeros((6, 2), np.float32))
    view = store.view()
    with pytest.raises(SchemaError, match="'pixels' holds fixed_size_list"):
        view.distinct("pixels")
    with pytest.raises(UnknownNameError, match="Did you mean 'caption'"):
        view.distinct("captoin")
    with pytest.raises(InputError, match="at least one column"):
        view.distinct([]).ids()
    with pytest.raises(InputError, match="'width up' is not a column"):
        view.distinct("caption", prefer="width up").ids()
    with pytest.raises(UnknownNameError, match="'widht'"):
        view.distinct("caption", prefer="widht")


def test_of_kind_and_parts(store: PartStore) -> None:
    first = add(store, captions(["a"], ["1"]))
    second = add(store, {"id": ["2"], "instruction": ["do"], "output": ["done"]}, "instruction")
    third = add(store, captions(["b"], ["3"]))
    view = store.view()
    assert ids(view.of_kind("image-text")) == ["1", "3"]
    assert ids(view.parts([third.part_id, second.part_id])) == ["2", "3"]
    assert ids(view.limit(2).parts([second.part_id, third.part_id])) == ["2"]
    assert len(view.parts([])) == 0 and first.part_id in {p.part_id for p in view.snapshot.items}
    with pytest.raises(UnknownNameError, match="Known: image-text, instruction"):
        view.of_kind("speech")
    with pytest.raises(UnknownNameError, match="item part"):
        view.parts(["nothing"])


def test_removed_items_are_gone_from_every_method(scored: tuple[PartStore, Part]) -> None:
    store, part = scored
    give_vectors(store, part, np.arange(12, dtype=np.float32).reshape(6, 2))
    remove(store, [0, 4])
    view = store.view()
    assert len(view) == 4 and ids(view) == ["i0001", "i0002", "i0003", "i0005"]
    np.testing.assert_array_equal(view.seqs(), [1, 2, 3, 5])
    assert ids(view.distinct("caption")) == ["i0001", "i0002", "i0003", "i0005"]
    np.testing.assert_array_equal(view.vectors("pixels").to_numpy(), [[2, 3], [4, 5], [6, 7], [10, 11]])
    assert view.take(np.array([3, 0]), ["id"]).column(0).to_pylist() == ["i0005", "i0001"]
    assert view.sql("select id, _row from view order by _row desc limit 1", ["id"]).to_pylist() == [
        {"id": "i0005", "_row": 3}
    ]
    with pytest.raises(InputError, match="seq 4 and 0 more"):
        view.at(np.array([4]))


def test_within_a_selection_and_outside_it(scored: tuple[PartStore, Part]) -> None:
    store, _ = scored
    remove(store, [1])
    select(store, "core", [5, 1, 3])  # best first; item 1 has been removed since
    view = store.view()
    assert ids(view.within("core")) == ["i0003", "i0005"]
    assert ids(view.within("core", inside=False)) == ["i0000", "i0002", "i0004"]
    assert ids(view.where("clip_score > 0.6").within("core")) == ["i0005"]
    with pytest.raises(UnknownNameError, match=r"unknown selection 'cor'\. Did you mean 'core'"):
        view.within("cor")


def test_at_takes_seqs_in_any_order_and_refuses_strangers(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    assert ids(view.at(np.array([5, 0, 5]))) == ["i0000", "i0005"]
    assert ids(view.at(np.array([5, 0])).where("clip_score > 0.8")) == ["i0000"]
    assert len(view.at(np.array([], np.int64))) == 0
    for strangers in ([6], [-1], [0, 99]):
        with pytest.raises(InputError, match="no such item in this view"):
            view.at(np.array(strangers))
    with pytest.raises(InputError, match="seq 1 and 0 more"):
        view.where("clip_score > 0.5").at(np.array([0, 1]))
    with pytest.raises(InputError, match="seq 0"):
        view.where("clip_score > 2").at(np.array([0]))  # no row at all is left


def test_take_keeps_order_and_repeats(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view().where("clip_score >= 0.5")
    table = view.take(np.array([3, 0, 3]), ["clip_score", "id"])
    assert table.column("id").to_pylist() == ["i0005", "i0000", "i0005"]
    assert table.column_names == ["clip_score", "id"]
    assert view.take(np.array([], np.int64), ["id"]).num_rows == 0
    for bad in (4, -1):
        with pytest.raises(InputError, match="counted from 0"):
            view.take(np.array([bad]), ["id"])


# --- Errors, identity, isolation -------------------------------------------------------------------------


def test_errors_come_before_anything_is_read(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    with pytest.raises(UnknownNameError, match=r"unknown column 'clip_scor'\. Did you mean 'clip_score'"):
        view.where("clip_scor > 1")
    with pytest.raises(ExpressionError, match="compares caption"):
        view.where("caption > 3")
    with pytest.raises(UnknownNameError):
        view.to_arrow(["nothing"])
    with pytest.raises(UnknownNameError):
        view.batches(["nothing"])
    with pytest.raises(InputError, match="0 or more"):
        view.limit(-1)
    with pytest.raises(InputError, match="1 or more"):
        view.batches(rows=0)


def test_digest_names_rows_and_how_they_were_chosen(scored: tuple[PartStore, Part]) -> None:
    store, part = scored
    all_, kept, wide = (lambda v: (v, v.where("clip_score > 0.5"), v.where("width > 6")))(store.view())
    assert (
        len({all_.digest, kept.digest, wide.digest, all_.limit(3).digest, all_.distinct("caption").digest})
        == 5
    )
    assert (
        all_.where("clip_score   >  0.5").digest
        == kept.digest
        == store.view().where("clip_score > 0.5").digest
    )
    assert (
        all_.at(np.array([1, 2])).digest
        == all_.at(np.array([2, 1])).digest
        != all_.at(np.array([1, 3])).digest
    )
    assert all_.distinct("caption").digest != all_.distinct("caption", prefer="width").digest
    give_scores(store, part, [0.0] * 6, digest="set-2")  # the same name, another configuration
    assert store.view().digest == all_.digest and store.view().where("width > 6").digest == wide.digest
    assert store.view().where("clip_score > 0.5").digest != kept.digest
    add(store, captions(["new"], ["new"]))
    assert store.view().digest != all_.digest
    assert all_.where("clip_score > 0.5").digest == kept.digest  # the old version is what it was


def test_digest_reads_nothing(scored: tuple[PartStore, Part]) -> None:
    store, _ = scored
    view = store.view().where("clip_score > 0.5").distinct("caption").limit(2)
    for path in (store.path / "parts").rglob("*.*"):
        path.unlink()
    assert len(view.digest) == 32


def test_a_view_keeps_its_version(scored: tuple[PartStore, Part]) -> None:
    store, part = scored
    view = store.view().where("clip_score > 0.5")
    remove(store, [0])
    give_scores(store, part, [0.0] * 6, digest="set-2")
    assert ids(view) == ["i0000", "i0005"]
    assert ids(store.view()) == ["i0001", "i0002", "i0003", "i0004", "i0005"]
    assert len(store.view().where("clip_score > 0.5")) == 0


def test_threads_share_a_view(scored: tuple[PartStore, Part]) -> None:
    view, found = scored[0].view(), []
    threads = [
        threading.Thread(target=lambda n=n: found.append((n, len(view.where(f"width > {n}")))))
        for n in range(4, 11)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(4, 6), (5, 5), (6, 4), (7, 3), (8, 2), (9, 1), (10, 0)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_view_survives_a_fork(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view().where("clip_score > 0.5")
    assert len(view.to_arrow(["id"])) == 2
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # rather than wait for ever
        os._exit(0 if view.to_arrow(["id"]).num_rows == 2 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_seqs_at_positions_with_and_without_a_list_of_all(
    store: PartStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = add(store, captions(list("abc"), ["1", "2", "3"]))
    add(store, captions(list("de"), ["4", "5"]))
    last = add(store, captions(list("fg"), ["6", "7"]))
    positions = np.array([4, 0, 2, 2])
    assert store.view().seqs_at(positions).tolist() == [4, 0, 2, 2]
    some = store.view().parts([first.part_id, last.part_id])
    for many in (1 << 23, 8):  # in memory, then in a file
        monkeypatch.setattr("curate.store.view.MANY", many)
        assert some.seqs_at(positions).tolist() == [6, 0, 2, 2]
        assert some.where("id <> '2'").seqs_at(np.array([3, 1])).tolist() == [6, 2]
    remove(store, [5, 6])
    remove(store, [1])
    view = store.view()
    assert view.seqs_at(np.array([3, 1])).tolist() == [4, 2]
    assert view.seqs_at(np.array([], np.int64)).tolist() == []
    for wrong in (-1, 4):
        with pytest.raises(InputError, match=f"rows {wrong} to {wrong}: the view has 4"):
            view.seqs_at(np.array([wrong]))
