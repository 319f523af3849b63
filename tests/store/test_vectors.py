"""Vectors: mapped, not read; copied only when that cannot be helped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from store_examples import (
    VECTORS,
    add,
    captions,
    column_set,
    give,
    give_scores,
    give_vectors,
    new_store,
    rows_of_vectors,
)

from curate.contracts import detail, vector
from curate.errors import CorruptionError, InputError, SchemaError, UnknownNameError
from curate.store import Part, PartStore

RNG = np.random.default_rng(0)


def two_parts(tmp_path: Path, dtype: type = np.float32) -> tuple[PartStore, list[Part], np.ndarray]:
    store = new_store(tmp_path)
    parts = [
        add(store, captions(["x"] * n, [f"{k}{i}" for i in range(n)], n=np.arange(n)))
        for k, n in ((0, 5), (1, 3))
    ]
    values = (RNG.random((8, 4)) * 100).astype(dtype)
    tables = {
        parts[0].part_id: {"pixels": rows_of_vectors(values[:5])},
        parts[1].part_id: {"pixels": rows_of_vectors(values[5:])},
    }
    give(store, column_set(VECTORS, "pixels", "set-v"), tables)
    return store, parts, values


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.uint32, np.int8])
def test_vectors_are_what_was_written(tmp_path: Path, dtype: type) -> None:
    store, _, values = two_parts(tmp_path, dtype)
    vectors = store.view().vectors("pixels")
    assert vectors.shape == (8, 4) and len(vectors) == 8 and vectors.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(vectors.to_numpy(), values)
    np.testing.assert_array_equal(np.concatenate(list(vectors.chunks())), values)
    np.testing.assert_array_equal(vectors.take(np.array([7, 0, 5, 0])), values[[7, 0, 5, 0]])
    assert vectors.take(np.array([], np.int64)).shape == (0, values.shape[1])
    assert [len(c) for c in vectors.chunks()] == [5, 3] and vectors.valid.all()
    assert repr(vectors) == f"<vectors 'pixels': 8 x 4 {np.dtype(dtype)}>"


def test_chunks_are_windows_onto_the_file(tmp_path: Path) -> None:
    store, parts, _ = two_parts(tmp_path)
    vectors = store.view().vectors("pixels")
    for chunk in vectors.chunks():
        assert not chunk.flags.writeable and not chunk.flags.owndata
    first, again = next(vectors.chunks()), next(vectors.chunks())
    assert np.shares_memory(first, again)
    one = store.view().parts([parts[0].part_id]).vectors("pixels")
    assert np.shares_memory(one.to_numpy(), next(one.chunks()))
    run = store.view().where("n between 1 and 3").parts([parts[0].part_id]).vectors("pixels")
    assert not next(run.chunks()).flags.owndata and len(run) == 3  # consecutive rows need no copy


def test_mapping_reads_nothing(tmp_path: Path) -> None:
    store, _, _ = two_parts(tmp_path)
    vectors = store.view().vectors("pixels")
    for path in (store.path / "parts" / "vector").iterdir():
        path.unlink()
    assert vectors.shape == (8, 4)
    with pytest.raises(CorruptionError, match="curate verify"):
        next(vectors.chunks())


def test_rows_of_a_filtered_view(tmp_path: Path) -> None:
    store, _, values = two_parts(tmp_path)
    rows = [0, 2, 4, 5, 7]  # n is 0..4, then 0..2
    view = store.view().where("n % 2 = 0")
    np.testing.assert_array_equal(view.vectors("pixels").to_numpy(), values[rows])
    np.testing.assert_array_equal(view.vectors("pixels").take(np.array([4, 1])), values[[7, 2]])
    table = view.to_arrow(["id", "pixels"])
    assert table.column("id").to_pylist() == ["00", "02", "04", "10", "12"]
    np.testing.assert_array_equal(np.array(table.column("pixels").to_pylist(), np.float32), values[rows])
    streamed = [row for batch in view.batches(["pixels"], 2) for row in batch.column(0).to_pylist()]
    np.testing.assert_array_equal(np.array(streamed, np.float32), values[rows])
    np.testing.assert_array_equal(
        np.array(view.take(np.array([4, 0]), ["pixels"]).column(0).to_pylist(), np.float32), values[[7, 0]]
    )
    assert store.view().where("n > 99").vectors("pixels").to_numpy().shape == (0, 4)


@pytest.mark.parametrize(("dtype", "missing"), [(np.float32, np.nan), (np.uint32, 0)])
def test_rows_that_could_not_be_scored(tmp_path: Path, dtype: type, missing: float) -> None:
    store = new_store(tmp_path)
    part = add(store, captions(["x"] * 3))
    values = np.array([[1, 2], [3, 4], [5, 6]], dtype)
    give_vectors(store, part, values, valid=[True, False, True])
    vectors = store.view().vectors("pixels")
    np.testing.assert_array_equal(vectors.to_numpy(), np.array([[1, 2], [missing] * 2, [5, 6]], dtype))
    np.testing.assert_array_equal(vectors.valid, [True, False, True])
    np.testing.assert_array_equal(store.view().where("id > 'i0000'").vectors("pixels").valid, [False, True])
    assert store.view().to_arrow(["pixels"]).column(0).to_pylist() == [[1, 2], None, [5, 6]]


def test_items_that_have_not_been_scored_yet(tmp_path: Path) -> None:
    store, parts, _ = two_parts(tmp_path)
    add(store, captions(["new"] * 2, ["n0", "n1"], n=[0, 1]))
    with pytest.raises(SchemaError, match="2 of 10 items have no 'pixels' yet: score them first"):
        store.view().vectors("pixels")
    with pytest.raises(SchemaError, match="1 of 3 items"):
        store.view().where("n = 0").vectors("pixels")
    assert len(store.view().parts([p.part_id for p in parts]).vectors("pixels")) == 8
    assert store.view().to_arrow(["pixels"]).column(0).to_pylist()[8:] == [None, None]


def test_columns_that_hold_no_vectors(tmp_path: Path) -> None:
    store, parts, _ = two_parts(tmp_path)
    give_scores(store, parts[0], [0.1] * 5)
    with pytest.raises(
        SchemaError, match=r"'clip_score' holds float, not vectors\. Columns with vectors: pixels"
    ):
        store.view().vectors("clip_score")
    with pytest.raises(UnknownNameError, match="Did you mean 'pixels'"):
        store.view().vectors("pixel")
    with pytest.raises(SchemaError, match="plain values"):
        store.view().sql("select 1 from view", ["pixels"])


def test_rows_out_of_range(tmp_path: Path) -> None:
    store, _, _ = two_parts(tmp_path)
    for rows in ([8], [-1]):
        with pytest.raises(InputError, match="which has 8 rows"):
            store.view().vectors("pixels").take(np.array(rows))


def test_parts_of_different_width(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    set_ = column_set(
        pa.schema([vector("pixels"), pa.field("pixels_reason", pa.string())]), "pixels", "set-v"
    )
    parts = [add(store, captions(["x"], [str(k)])) for k in range(2)]
    give(store, set_, {parts[0].part_id: {"pixels": rows_of_vectors(np.ones((1, 2), np.float32))}})
    give(store, set_, {parts[1].part_id: {"pixels": rows_of_vectors(np.ones((1, 3), np.float32))}})
    with pytest.raises(SchemaError, match="vectors of 2 float32 and of 3 float32"):
        store.view().vectors("pixels").to_numpy()


def test_a_part_in_which_nothing_could_be_answered_is_nan_not_an_error(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    first, second = (add(store, captions(["x"] * 2, [f"{k}0", f"{k}1"])) for k in (0, 1))
    set_ = column_set(VECTORS, "pixels", "set-v")
    give(store, set_, {first.part_id: {"pixels": pa.nulls(2, pa.list_(pa.float32()))}})
    with pytest.raises(
        SchemaError, match=r"'pixels' holds no vector for any item\. Columns with vectors: none"
    ):
        store.view().vectors("pixels")  # no length is known yet
    give(store, set_, {second.part_id: {"pixels": rows_of_vectors(np.ones((2, 3), np.float32))}})
    found = store.view().vectors("pixels")
    assert found.shape == (4, 3) and found.valid.tolist() == [False, False, True, True]
    assert np.isnan(found.to_numpy()[:2]).all() and (found.take(np.array([3, 0]))[0] == 1).all()
    assert np.isnan(found.take(np.array([3, 0]))[1]).all()
    assert store.view().to_arrow(["pixels"])["pixels"].to_pylist() == [None, None, [1.0] * 3, [1.0] * 3]
    assert store.verify() == []


def test_a_detail_may_be_a_list_of_any_length(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    part = add(store, captions(["x"] * 3))
    curve = detail("curve", pa.list_(pa.float32()))
    set_ = column_set(pa.schema([curve, pa.field("curve_reason", pa.string())]), "curve", "set-c")
    values = [[0.5, None], None, [1.0, 2.0, 3.0]]
    give(store, set_, {part.part_id: {"curve": pa.array(values, pa.list_(pa.float32()))}})
    view = store.view()
    assert view.to_arrow(["curve"])["curve"].to_pylist() == values
    assert view.take(np.array([2]), ["curve"])["curve"].to_pylist() == values[2:]
    assert [p.table for p in store.snapshot().aligned["set-c", part.part_id]] == ["column"]
    with pytest.raises(SchemaError, match="not vectors"):
        view.vectors("curve")
    assert store.verify() == []
