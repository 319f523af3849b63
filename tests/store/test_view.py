"""Views: columns, order, values, SQL."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from store_examples import (
    SCORES,
    add,
    captions,
    column_set,
    give,
    give_scores,
    ids,
)

from curate.errors import ExpressionError, InputError, SchemaError, UnknownNameError
from curate.store import Part, PartStore

# --- Columns and order -----------------------------------------------------------------------------------


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


# --- Values ----------------------------------------------------------------------------------------------


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


# --- SQL -------------------------------------------------------------------------------------------------


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
