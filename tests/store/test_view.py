"""Views: which rows, in which order, with which values."""

from __future__ import annotations

import math
import os
import signal
import threading
from pathlib import Path

import blake3
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_examples import (
    SCORES,
    add,
    captions,
    column_set,
    give,
    give_scores,
    give_vectors,
    ids,
    new_store,
    remove,
    select,
)

from curate.errors import ExpressionError, InputError, SchemaError, UnknownNameError
from curate.store import Part, PartStore
from curate.store.rowset import RowSet, distinct


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    return new_store(tmp_path)


@pytest.fixture
def scored(store: PartStore) -> tuple[PartStore, Part]:
    """Six captions; scores .9 .1 null .5 .5 .7."""
    part = add(
        store,
        captions(["cat", "dog", "cat", None, "dog", "owl"], width=pa.array([5, 6, 7, 8, 9, 10], pa.int32())),
    )
    give_scores(store, part, [0.9, 0.1, None, 0.5, 0.5, 0.7])
    return store, part


# --- Columns and order ----------------------------------------------------------------------------------------


def test_empty_store(store: PartStore) -> None:
    view = store.view()
    assert len(view) == 0 and view.columns == ["id"] and ids(view) == []
    assert view.to_arrow().schema == pa.schema([("id", pa.string())])
    assert list(view.batches()) == [] and len(view.seqs()) == 0
    assert view.where("id = 'x'").limit(3).distinct("id").to_arrow().num_rows == 0
    assert view.sql("select count(*) as n from view", ["id"]).to_pylist() == [{"n": 0}]


def test_columns_id_first_then_the_kinds_then_the_users_then_scores(store: PartStore) -> None:
    part = add(
        store,
        {"split": ["a"], "caption": ["c"], "_hash": pa.array([1], pa.uint64()), "image": ["/x"], "id": ["1"]},
    )
    give_scores(store, part, [0.5])
    view = store.view()
    assert view.columns == [
        "id",
        "image",
        "caption",
        "split",
        "clip_score",
        "near_duplicate",
        "clip_score_reason",
    ]
    assert view.schema.field("clip_score").metadata == {b"curate.role": b"score"}
    assert view.to_arrow(["_hash"]).to_pydict() == {"_hash": [1]}


def test_rows_are_in_import_order_across_kinds_and_half_scored_parts(store: PartStore) -> None:
    """Parts that differ in kind, in types and in what was scored make separate scans; their order must hold."""
    rng = np.random.default_rng(0)
    expected: list[tuple[str, float | None]] = []
    tables = {}
    for i in range(40):
        n = int(rng.integers(1, 400))
        names = [f"p{i}-{j}" for j in range(n)]
        if i % 7 == 3:
            part = add(store, {"id": names, "instruction": names, "output": names}, "instruction")
        else:
            width = pa.array(range(n), pa.int32() if i % 5 else pa.int64())
            part = add(store, captions(names, names, width=width))
        values = [float(v) for v in rng.random(n, np.float32)]
        if i % 3:
            tables[part.part_id] = {"clip_score": pa.array(values, pa.float32())}
        expected += list(zip(names, values if i % 3 else [None] * n, strict=True))
    give(store, column_set(SCORES), tables)
    view = store.view()
    table = view.to_arrow(["id", "clip_score"])
    assert list(zip(*table.to_pydict().values(), strict=True)) == expected
    kept = [e for e in expected if e[1] is not None and e[1] > 0.5]
    found = view.where("clip_score > 0.5")
    assert found.to_arrow(["id", "clip_score"]).to_pylist() == [{"id": i, "clip_score": s} for i, s in kept]
    assert pa.Table.from_batches(found.batches(["id"], 100)).column(0).to_pylist() == [i for i, _ in kept]
    assert len(found) == len(kept)


def test_order_holds_with_several_threads_over_many_row_groups(store: PartStore) -> None:
    n = 300_000
    for lo in range(0, 2 * n, n):
        add(store, captions(["x"] * n, [f"{lo + i:07d}" for i in range(n)], v=np.arange(lo, lo + n)))
    view = store.view()
    assert view.where("v % 3 = 0").to_arrow(["v"]).column(0).to_pylist() == list(range(0, 2 * n, 3))
    np.testing.assert_array_equal(view.where("v % 3 = 0").seqs(), np.arange(0, 2 * n, 3))
    streamed = [v for b in view.where("v % 3 = 0").batches(["v"], 5000) for v in b.column(0).to_pylist()]
    assert streamed == list(range(0, 2 * n, 3))


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 100])
def test_batches_are_exactly_as_long_as_asked(scored: tuple[PartStore, Part], rows: int) -> None:
    view = scored[0].view()
    found = list(view.batches(["id", "caption"], rows))
    assert [len(b) for b in found] == [rows] * (6 // rows) + ([6 % rows] if 6 % rows else [])
    assert pa.Table.from_batches(found).equals(view.to_arrow(["id", "caption"]))


def test_batches_join_pieces_of_several_parts(store: PartStore) -> None:
    for i in range(5):
        add(store, captions(["x"] * 3, [f"{i}{j}" for j in range(3)]))
    assert [b.column(0).to_pylist() for b in store.view().batches(["id"], 4)] == [
        ["00", "01", "02", "10"],
        ["11", "12", "20", "21"],
        ["22", "30", "31", "32"],
        ["40", "41", "42"],
    ]


# --- Choosing rows -----------------------------------------------------------------------------------------------


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


# --- Values ---------------------------------------------------------------------------------------------------------


def test_roles_are_computed_by_kind(store: PartStore) -> None:
    add(store, captions(["a cat"], ["1"]))
    add(
        store,
        {
            "id": ["2", "3", "4"],
            "instruction": ["sum", "add", None],
            "input": ["1 2", None, None],
            "output": ["3", "4", None],
        },
        "instruction",
    )
    view = store.view()
    assert "text" not in view.columns
    assert view.to_arrow(["text"]).column(0).to_pylist() == ["a cat", "sum\n1 2\n3", "add\n4", None]
    assert view.to_arrow(["image"]).column(0).to_pylist() == ["/m/1.png", None, None, None]
    assert ids(view.where("length(text) > 6")) == ["2"]
    with pytest.raises(UnknownNameError, match="'audio'"):
        view.to_arrow(["audio"])


def test_a_column_of_that_name_goes_before_the_role(store: PartStore) -> None:
    add(store, {"id": ["1"], "instruction": ["do"], "output": ["done"], "text": ["my own"]}, "instruction")
    add(store, captions(["a cat"], ["2"]))
    assert store.view().to_arrow(["text"]).column(0).to_pylist() == ["my own", "a cat"]


def test_addresses_inside_the_store_become_absolute(store: PartStore) -> None:
    add(
        store,
        {
            "id": ["1", "2", "3"],
            "image": ["store:blobs/a.pack#bytes=0,9", "/m/b.png", None],
            "caption": ["store:x"] * 3,
        },
    )
    table = store.view().to_arrow(["image", "caption"])
    assert table.column("image").to_pylist() == [f"{store.path}/blobs/a.pack#bytes=0,9", "/m/b.png", None]
    assert table.column("caption").to_pylist() == ["store:x"] * 3


def test_types_come_back_as_declared(store: PartStore) -> None:
    table = pa.table(
        {
            "id": ["1", "2"],
            "sha": pa.array([b"a" * 32, None], pa.binary(32)),
            "lang": pa.array(["en", "de"]).dictionary_encode(),
            "big": pa.array([2**64 - 1, 0], pa.uint64()),
            "when": pa.array([0, None], pa.timestamp("us", "UTC")),
            "tags": pa.array([["a", "b"], []], pa.list_(pa.string())),
            "half": pa.array([np.float16(0.5), None], pa.float16()),
            "long": pa.array(["x", "y"], pa.large_string()),
        }
    )
    add(store, table, "label")
    found = store.view().to_arrow()
    assert found.schema.field("lang").type == pa.string() and found.schema.field("long").type == pa.string()
    for name in ("sha", "big", "when", "tags", "half"):
        assert found.schema.field(name).type == table.schema.field(name).type, name
    assert found.to_pylist() == table.to_pylist()


def test_parts_of_different_types_are_widened(store: PartStore) -> None:
    add(store, captions(["a"], ["1"], n=pa.array([1], pa.int32())))
    add(store, captions(["b"], ["2"], n=pa.array([2**40], pa.int64()), only=pa.array([1.5], pa.float32())))
    table = store.view().to_arrow(["n", "only"])
    assert table.schema.types == [pa.int64(), pa.float32()]
    assert table.to_pydict() == {"n": [1, 2**40], "only": [None, 1.5]}


def test_a_column_that_is_text_here_and_a_number_there(store: PartStore) -> None:
    add(store, captions(["a"], ["1"], n=[1]))
    add(store, captions(["b"], ["2"], n=["one"]))
    with pytest.raises(SchemaError, match="disagree about the type of a column"):
        store.view().to_arrow()


@pytest.mark.parametrize(
    "name",
    [
        "order",
        "group",
        "select",
        "SELECT",
        'a"b',
        "a'b",
        "a.b",
        "ä ö",
        "file_index",
        "file_row_number",
        "filename",
        "seq",
        "c0",
        "_",
        "💥",
        "--x",
        "a;b",
    ],
)
def test_columns_may_be_called_anything(store: PartStore, name: str) -> None:
    add(store, captions(["a", "b"], ["1", "2"], **{name: [7, 8]}))
    add(store, captions(["c"], ["3"], **{name: [9]}))
    view = store.view()
    quoted = '"' + name.replace('"', '""') + '"'
    found = view.where(f"{quoted} >= 8")
    assert ids(found) == ["2", "3"] and found.seqs().tolist() == [1, 2]
    assert found.to_arrow([name]).to_pydict() == {name: [8, 9]}
    assert view.compute(f"{quoted} + 1").to_pylist() == [8, 9, 10]
    assert ids(view.distinct(name)) == ["1", "2", "3"]
    assert view.sql(f"select max({quoted}) as m from view", [name]).to_pylist() == [{"m": 9}]


def test_columns_that_differ_by_case_alone(store: PartStore) -> None:
    add(store, captions(["a"], ["1"], Score=[1], score=[2]))
    add(store, captions(["b"], ["2"], Score=[3], score=[4]))
    view = store.view()
    assert view.to_arrow(["score", "Score"]).to_pydict() == {"score": [2, 4], "Score": [1, 3]}
    assert ids(view.where("score > 3")) == ["2"] and ids(view.where("Score < 2")) == ["1"]
    with pytest.raises(ExpressionError, match="differ by case alone"):
        view.where("score > Score")
    with pytest.raises(SchemaError, match="differ by more than case"):
        view.sql("select 1 from view", ["score", "Score"])


def test_compute(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    assert view.compute("width * 2").to_pylist() == [10, 12, 14, 16, 18, 20]
    assert view.where("width > 8").compute("case when clip_score > 0.6 then 'good' end").to_pylist() == [
        None,
        "good",
    ]
    with pytest.raises(ExpressionError, match="does not fit the columns"):
        view.compute("caption * 2")


def test_frames(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view().where("clip_score > 0.6")
    assert view.to_polars(["id", "width"]).rows() == [("i0000", 5), ("i0005", 10)]


def test_pandas_frame(scored: tuple[PartStore, Part]) -> None:
    pytest.importorskip("pandas")
    assert scored[0].view().to_pandas(["width"])["width"].tolist() == [5, 6, 7, 8, 9, 10]


def test_hf_dataset(store: PartStore) -> None:
    pytest.importorskip("datasets")
    add(store, captions(["a"], ["1"], image_sha256=pa.array([b"s" * 32], pa.binary(32))))
    assert list(store.view().to_hf()) == [
        {"id": "1", "image": "/m/1.png", "caption": "a", "image_sha256": b"s" * 32}
    ]


# --- SQL ---------------------------------------------------------------------------------------------------------------


def test_sql_sees_the_view_and_the_position_of_its_rows(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    query = "select caption, list(_row order by _row) as rows from view group by caption order by caption nulls last"
    assert view.sql(query, ["caption"]).to_pylist() == [
        {"caption": "cat", "rows": [0, 2]},
        {"caption": "dog", "rows": [1, 4]},
        {"caption": "owl", "rows": [5]},
        {"caption": None, "rows": [3]},
    ]
    rows = view.where("width > 6").sql("select _row, width from view", ["width"])
    assert rows.to_pydict() == {"_row": [0, 1, 2, 3], "width": [7, 8, 9, 10]}
    assert rows.schema.field("_row").type == pa.int64()
    pairs = "select a._row, b._row from view a join view b using (caption) where a._row < b._row order by all"
    assert [
        tuple(r.values()) for r in view.sql(pairs, ["caption"]).rename_columns(["a", "b"]).to_pylist()
    ] == [(0, 2), (1, 4)]


def test_sql_in_batches(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    query = "select width, _row from view order by width desc"
    found = list(view.sql_batches(query, ["width"], rows=2048))
    assert pa.Table.from_batches(found).equals(view.sql(query, ["width"]))
    with pytest.raises(InputError, match="one SELECT"):
        next(view.sql_batches("drop view view", ["width"]))


@pytest.mark.parametrize(
    "query",
    [
        "copy view to 'x.csv'",
        "select 1; select 2",
        "create table x as select 1",
        "attach 'x.db'",
        "",
        "set memory_limit = '1GB'",
        "insert into view values (1)",
        "drop view view",
    ],
)
def test_sql_runs_one_select_only(scored: tuple[PartStore, Part], query: str) -> None:
    with pytest.raises(InputError, match="one SELECT over the relation `view`"):
        scored[0].view().sql(query, ["id"])


def test_sql_errors_name_what_is_wrong(scored: tuple[PartStore, Part]) -> None:
    view = scored[0].view()
    with pytest.raises(InputError, match='"widht" not found'):
        view.sql("select widht from view", ["width"])
    with pytest.raises(InputError, match="cannot be run"):
        view.sql("selec 1", ["width"])
    with pytest.raises(UnknownNameError, match="Did you mean 'width'"):
        view.sql("select 1 from view", ["widht"])
    with pytest.raises(InputError, match="give a list of names"):
        view.sql("select 1 from view", "width")
    with pytest.raises(InputError, match="asked for twice"):
        view.sql("select 1 from view", ["id", "id"])


# --- Errors, identity, isolation -------------------------------------------------------------------------------


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


def test_seqs_at_positions_with_and_without_a_list_of_all(store: PartStore) -> None:
    add(store, captions(list("abc"), ["1", "2", "3"]))
    add(store, captions(list("de"), ["4", "5"]))
    positions = np.array([4, 0, 2, 2])
    assert store.view().seqs_at(positions).tolist() == [4, 0, 2, 2]
    remove(store, [1])
    view = store.view()
    assert view.seqs_at(np.array([3, 1])).tolist() == [4, 2]
    assert view.seqs_at(np.array([], np.int64)).tolist() == []
    for wrong in (-1, 4):
        with pytest.raises(InputError, match=f"rows {wrong} to {wrong}: the view has 4"):
            view.seqs_at(np.array([wrong]))


@given(st.lists(st.integers(-5, 5), max_size=12))
def test_distinct_is_what_numpy_says(values: list[int]) -> None:
    assert distinct(np.array(values, np.int64)).tolist() == np.unique(values).tolist()


def test_marking_in_blocks_marks_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.rowset._BLOCK", 2)
    chosen = RowSet(10, np.zeros(6, bool))
    chosen.mark(np.array([15, 3, 10, 12, 99]))
    assert chosen.seqs().tolist() == [10, 12, 15]


def test_what_lies_between_parts_is_in_no_set_of_their_rows(store: PartStore) -> None:
    for i in range(3):
        add(store, captions(["x"] * 2, [f"{i}{j}" for j in range(2)]))
    first, second, third = store.snapshot().items
    chosen = RowSet(0, np.array([True, False, True, True, False, True]))
    assert chosen.inside((first, second, third)) is chosen
    assert chosen.inside((first, third)).seqs().tolist() == [0, 5]
    assert chosen.inside((second,)).seqs().tolist() == [2, 3]
    assert chosen.of(1, 4).base is chosen.flags  # no copy of what is known
    assert chosen.of(5, 8).tolist() == [True, False, False]


def test_a_set_is_named_by_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.store.rowset._BLOCK", 4)
    chosen = RowSet(10, np.isin(np.arange(11), [0, 3, 4, 10]))
    members = np.array([10, 13, 14, 20], np.int64)
    assert chosen.hexdigest() == blake3.blake3(members.tobytes()).hexdigest()
    assert chosen.spans(members) and not chosen.spans(members + 1) and not chosen.spans(members - 1)
