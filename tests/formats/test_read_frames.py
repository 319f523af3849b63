"""Tables in memory and saved datasets: the same rows, whatever holds them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from curate.errors import InputError, SchemaError
from curate.formats import open_source

Rows = list[dict[str, Any]]
RECORDS = [
    {"id": "a", "text": "one", "label": "x", "n": 1, "f": 0.5, "t": ["p", "q"]},
    {"id": "b", "text": "two", "label": "y", "n": 2, "f": None, "t": []},
    {"id": "c", "text": "ünï 🦀", "label": "x", "n": 3, "f": 1.5, "t": None},
]


def read(source: Any, kind: str = "label", **options: Any) -> tuple[Rows, Rows]:
    batches = list(open_source(source, kind, **options).batches(2))
    rows = [r for b in batches for r in b.table.to_pylist()]
    return [{k: v for k, v in r.items() if k[0] != "_"} for r in rows], [
        r for b in batches for r in b.rejected.to_pylist()
    ]


def frames(folder: Path) -> dict[str, Any]:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    datasets = pytest.importorskip("datasets")
    table = pa.Table.from_pylist(RECORDS)
    dataset = datasets.Dataset.from_list(RECORDS)
    dataset.save_to_disk(str(folder / "saved"))
    return {
        "list of dicts": RECORDS,
        "dict of columns": {name: [r[name] for r in RECORDS] for name in RECORDS[0]},
        "pyarrow": table,
        "record batch": table.to_batches()[0],
        "batch reader": table.to_reader(),
        "pandas": pandas.DataFrame(RECORDS),
        "pandas on arrow": table.to_pandas(types_mapper=pandas.ArrowDtype),
        "polars": polars.DataFrame(RECORDS),
        "polars lazy": polars.LazyFrame(RECORDS),
        "duckdb": duckdb.connect().from_arrow(table),
        "datasets": dataset,
        "saved dataset": folder / "saved",
    }


def test_an_index_of_pandas_that_has_a_name_is_a_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(RECORDS)
    rows, rejected = read(frame.set_index("id"))
    assert (rows, rejected) == read(frame)
    assert read(frame.set_index(["n", "id"]))[0] == rows
    assert read(frame.set_index("id", drop=False))[0] == rows
    assert [r["id"] for r in read(frame.drop(columns="id").set_index(frame["id"].to_numpy()))[0]] != [
        "a",
        "b",
        "c",
    ]


def test_every_frame_gives_the_same_rows(tmp_path: Path) -> None:
    for name, source in frames(tmp_path).items():
        rows, rejected = read(source)
        assert rejected == [], name
        assert rows == RECORDS, name


def test_pandas_missing_values_and_odd_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "text": ["a", None, "c"],
            "label": [1, None, 3],
            5: [1, "x", [2]],
            "when": pandas.to_datetime(["2022-01-01"] * 3),
        }
    )
    rows, rejected = read(frame)
    assert [(r["text"], r["label"], r["5"]) for r in rows] == [("a", "1", "1"), ("c", "3", "[2]")]
    assert [(r["row"], r["code"]) for r in rejected] == [(1, "missing-label")]
    frame.columns = ["text", "label", "label", "when"]
    with pytest.raises(SchemaError, match="label"):
        read(frame)


def test_filtered_frames_keep_their_rows_not_their_index() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(RECORDS).iloc[[2, 0]]
    batches = list(open_source(frame, "label").batches())
    assert batches[0].table["id"].to_pylist() == ["c", "a"]
    assert batches[0].table["_index"].to_pylist() == [0, 1]


def test_records_of_different_keys_and_kinds() -> None:
    rows, _ = read([{"text": "a", "label": 1}, {"label": True, "text": 2, "late": {"x": 1}}])
    assert rows == [
        {"id": None, "text": "a", "label": "1", "late": None},
        {"id": None, "text": "2", "label": "true", "late": {"x": 1}},
    ]
    with pytest.raises(InputError, match="entry 1 is a int"):
        read([{"text": "a", "label": "b"}, 5])
    with pytest.raises(SchemaError, match="different length"):
        read({"text": ["a"], "label": ["b", "c"]})


def test_half_a_character_costs_its_row() -> None:
    rows, rejected = read([{"text": "ok", "label": "x"}, {"text": "\ud800", "label": "x"}])
    assert [r["text"] for r in rows] == ["ok"]
    assert [(r["row"], r["code"]) for r in rejected] == [(1, "invalid-utf8")]


def test_empty_frames_are_an_empty_import_or_an_error() -> None:
    assert read(pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())})) == ([], [])
    with pytest.raises(
        SchemaError, match="the source has no rows and no columns; items of kind 'label' need"
    ):
        read([])


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def pixel(data: bytes) -> tuple[int, ...]:
    value = Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))
    assert isinstance(value, tuple)
    return value


def test_pictures_in_memory_become_bytes() -> None:
    pictures = [
        Image.new("RGB", (2, 2), (10, 0, 0)),
        np.full((2, 2, 3), 20, np.uint8),
        png(30),
        {"bytes": png(40), "path": "ignored.png"},
        {"bytes": None, "path": "/abs/a.png"},
        "/abs/b.png",
        Path("/abs/c.png"),
        None,
        np.zeros((2, 2)),
        7,
    ]
    batches = list(open_source({"image": pictures, "label": ["x"] * 10}, "label").batches())
    table, rejected = batches[0].table, batches[0].rejected
    assert [None if d is None else pixel(d)[0] for d in table["image_data"].to_pylist()] == [
        10,
        20,
        30,
        40,
        None,
        None,
        None,
    ]
    assert table["image"].to_pylist() == [None, None, None, None, "/abs/a.png", "/abs/b.png", "/abs/c.png"]
    assert [(r["row"], r["code"]) for r in rejected.to_pylist()] == [
        (7, "missing-content"),
        (8, "type-image"),
        (9, "type-image"),
    ]
    assert "float64" in rejected["reason"][1].as_py()


def test_sounds_in_memory_become_bytes() -> None:
    samples = np.linspace(-1, 1, 100, dtype=np.float32)
    batch = next(open_source([{"audio": {"array": samples, "sampling_rate": 8000}}], "speech").batches())
    back, rate = soundfile.read(io.BytesIO(batch.table["audio_data"][0].as_py()), dtype="float32")
    assert rate == 8000
    assert np.array_equal(back, samples)


def test_arrays_of_bytes_and_wrong_types() -> None:
    table = pa.table({"image": pa.array([png(1), None], pa.large_binary()), "label": ["x", "y"]})
    rows, rejected = read(table)
    assert [r["image_data"] for r in rows] == [png(1)]
    assert [r["code"] for r in rejected] == ["missing-content"]
    with pytest.raises(SchemaError, match="holds int64"):
        read(pa.table({"image": [1], "label": ["x"]}))


def test_datasets_with_media_classes_and_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    file = tmp_path / "f.png"
    file.write_bytes(png(60))
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    train = datasets.Dataset.from_dict(
        {"image": [{"bytes": png(50), "path": None}, str(file)], "label": [1, 0]}, features=features
    )
    test = datasets.Dataset.from_dict(
        {"image": [{"bytes": png(70), "path": "x.png"}], "label": [-1]}, features=features
    )
    both = datasets.DatasetDict(train=train, test=test)
    both.save_to_disk(str(tmp_path / "saved"))
    for source in (both, tmp_path / "saved"):
        batches = list(open_source(source, "label").batches())
        rows = [r for b in batches for r in b.table.to_pylist()]
        rejected = [r for b in batches for r in b.rejected.to_pylist()]
        assert [(r["label"], r["split"]) for r in rows] == [("dog", "train"), ("cat", "train")]
        assert pixel(rows[0]["image_data"]) == (50, 0, 0)
        assert rows[1]["image"] == str(file) or pixel(rows[1]["image_data"]) == (60, 0, 0)
        assert [(r["row"], r["code"]) for r in rejected] == [(0, "missing-label")]
        assert rejected[0]["source"].endswith("[test]")
    assert (
        open_source(tmp_path / "saved", "label").fingerprint()
        == open_source(tmp_path / "saved", "label").fingerprint()
    )
    picked = next(open_source(train.select([1]), "label").batches()).table
    assert picked["label"].to_pylist() == ["cat"]


def test_datasets_that_cannot_be_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    stream = object.__new__(datasets.IterableDataset)  # making a real one imports torch
    with pytest.raises(InputError, match="streaming"):
        read(stream)
    own = datasets.DatasetDict(train=datasets.Dataset.from_list([{"text": "a", "label": "b", "split": "c"}]))
    with pytest.raises(InputError, match="rename_column"):
        read(own)
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(InputError, match="saved dataset"):
        read(tmp_path)


def test_class_numbers_without_a_name_stay_numbers() -> None:
    from curate.formats.hf import _name_classes

    assert _name_classes(pa.array([0, 1, -1, 7, None]), ["cat", "dog"]).to_pylist() == [
        "cat",
        "dog",
        None,
        "7",
        None,
    ]
