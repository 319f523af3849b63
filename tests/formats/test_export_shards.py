"""Which rows exports take, how they are cut into shards, and which are refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import InputError, SchemaError, UnknownNameError
from curate.formats.export import FORMATS, export
from curate.formats.manifest import check_export, read_manifest
from curate.formats.writers.shards import Limits, split

GIVEN = {"input": "d1", "seed": 7}


UNUSUAL = pa.table(
    {
        "id": pa.array(["a", "b"]).dictionary_encode(),
        "when": pa.array([datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "local": pa.array([datetime(2024, 1, 2, 3, 4, 5), None], pa.timestamp("s")),
        "day": pa.array([date(2024, 1, 2), None]),
        "lasted": pa.array([timedelta(seconds=3), None], pa.duration("ms")),
        "price": pa.array([Decimal("1.20"), None]),
        "raw": pa.array([b"\x00\xff", None]),
        "half": pa.array([1.5, None], pa.float16()),
        "nothing": pa.nulls(2),
        "long": pa.array(["x", None], pa.large_string()),
        "seen": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
        "big": pa.array([2**64 - 1, None], pa.uint64()),
        "nested": pa.array([[[1], []], None], pa.list_(pa.list_(pa.int8()))),
    }
)


@pytest.mark.parametrize("name", FORMATS)
def test_unusual_types_are_written_by_every_format(tmp_path: Path, name: str) -> None:
    result = export(UNUSUAL.to_batches(), tmp_path / "out", format=name, kind="speech", manifest=GIVEN)
    assert result.rows == 2 and check_export(tmp_path / "out") == []


def test_unusual_types_have_readable_texts(tmp_path: Path) -> None:
    export(UNUSUAL.to_batches(), tmp_path / "out", format="jsonl", kind="speech", manifest=GIVEN)
    first, second = (tmp_path / "out" / "data" / "train-00000.jsonl").read_text().splitlines()
    assert json.loads(first) == {
        "id": "a",
        "when": "2024-01-02T03:04:05.000678Z",
        "local": "2024-01-02T03:04:05.000",
        "day": "2024-01-02",
        "lasted": "PT3S",
        "price": "1.20",
        "raw": "AP8=",
        "half": 1.5,
        "nothing": None,
        "long": "x",
        "seen": [{"key": "k", "value": 1}],
        "big": 2**64 - 1,
        "nested": [[1], []],
    }
    assert set(json.loads(second).values()) == {"b", None}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("parquet", ["data/train-00000.parquet", "data/train-00001.parquet", "data/train-00002.parquet"]),
        ("csv", ["data/train-00000.csv", "data/train-00001.csv", "data/train-00002.csv"]),
        ("webdataset", ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]),
    ],
)
def test_shards_end_after_shard_rows(tmp_path: Path, name: str, files: list[str]) -> None:
    rows = pa.table({"id": [f"{n}" for n in range(5)], "text": ["x"] * 5})
    export(rows.to_batches(), tmp_path / "out", format=name, kind="speech", manifest=GIVEN, shard_rows=2)
    listed = {f["path"]: f["rows"] for f in read_manifest(tmp_path / "out")["files"] if f["rows"] is not None}
    assert listed == dict(zip(files, [2, 2, 1], strict=True))


def test_shards_end_once_they_weigh_shard_bytes(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a", "b", "c", "d"], "text": ["x" * 10, "x" * 9, "x" * 40, "x"]})
    export(rows.to_batches(), tmp_path / "out", format="jsonl", kind="speech", manifest=GIVEN, shard_bytes=21)
    # weights 11 + 10 reach 21; then 41; then 2
    assert [f["rows"] for f in read_manifest(tmp_path / "out")["files"] if f["path"].startswith("data/")] == [
        2,
        1,
        1,
    ]


def test_split_keeps_every_row_once_in_order() -> None:
    schema = pa.schema([("id", pa.int64())])
    batches = [pa.record_batch({"id": np.arange(start, start + 7)}, schema) for start in range(0, 49, 7)]
    found = [
        (number, [r for t in chunks for r in t["id"].to_pylist()])
        for number, chunks in split(batches, schema, Limits(10, 10**9))
    ]
    assert found == [(n, list(range(10 * n, min(49, 10 * n + 10)))) for n in range(5)]


def test_no_rows_and_no_schema_give_the_columns_of_the_kind(tmp_path: Path) -> None:
    export([], tmp_path / "out", format="parquet", kind="preference", manifest=GIVEN)
    assert pq.read_schema(tmp_path / "out" / "data" / "train-00000.parquet").names == [
        "id",
        "prompt",
        "chosen",
        "rejected",
    ]


def test_what_cannot_be_exported_is_refused_with_a_reason(tmp_path: Path) -> None:
    def attempt(rows: pa.Table | list[pa.RecordBatch], **options: object) -> None:
        batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
        settings = {"format": "parquet", "kind": "speech", "manifest": GIVEN, **options}
        export(batches, tmp_path / "out", **settings)  # type: ignore[arg-type]

    good = pa.table({"id": ["a"], "text": ["x"]})
    with pytest.raises(SchemaError, match="without an `id` column"):
        attempt(pa.table({"text": ["x"]}))
    with pytest.raises(SchemaError, match="`id` is null"):
        attempt(pa.table({"id": pa.array([None], pa.string())}))
    with pytest.raises(SchemaError, match="two columns of one name: 'text'"):
        attempt([pa.RecordBatch.from_arrays([pa.array(["a"])] * 3, names=["id", "text", "text"])])
    with pytest.raises(SchemaError, match=r"lacks \['text'\] and has \['other'\]"):
        attempt([good.to_batches()[0], pa.record_batch({"id": ["b"], "other": ["x"]})])
    with pytest.raises(SchemaError, match="column 'text' is list"):
        attempt([good.to_batches()[0], pa.record_batch({"id": ["b"], "text": [[1]]})])
    with pytest.raises(UnknownNameError, match="Did you mean 'parquet'"):
        attempt(good, format="parqet")
    with pytest.raises(UnknownNameError, match="unknown way to export media 'link'"):
        attempt(good, media="link")
    with pytest.raises(InputError, match="csv cannot hold the bytes"):
        attempt(good, format="csv", media="embed")
    with pytest.raises(InputError, match="at least 1 row"):
        attempt(good, shard_rows=0)
    with pytest.raises(InputError, match=r"keys \['digest'\] are written by the export itself"):
        attempt(good, manifest={"digest": "x"})
    assert list(tmp_path.iterdir()) == []
