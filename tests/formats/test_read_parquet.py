"""Parquet: files, folders, globs and URLs; types, damage, batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from formats_reading import read, write

from curate.errors import InputError
from curate.formats import open_source


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def test_parquet_files_globs_folders_and_urls(tmp_path: Path) -> None:
    for i in range(3):
        parquet(tmp_path / "data" / f"part-{i}.parquet", text=[f"{i}{j}" for j in range(5)], label=["x"] * 5)
    expected = [f"{i}{j}" for i in range(3) for j in range(5)]
    for source in (
        tmp_path / "data",
        f"{tmp_path}/data/*.parquet",
        f"{tmp_path}/**/part-*.parquet",
        f"file://{tmp_path}/data",
    ):
        rows, _ = read(source, rows=4)
        assert [r["text"] for r in rows] == expected
        assert [r["_index"] for r in rows] == [0, 1, 2, 3, 4] * 3
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "data"), "/curate-read", recursive=True)
    assert [r["text"] for r in read("memory://curate-read/*.parquet")[0]] == expected
    assert [r["text"] for r in read("memory://curate-read")[0]] == expected


def test_batches_have_the_size_asked_for_across_files_and_row_groups(tmp_path: Path) -> None:
    for i in range(10):
        parquet(tmp_path / f"{i}.parquet", text=[f"{i}{j}" for j in range(7)], label=["x"] * 7)
    source = open_source(tmp_path, "label")
    assert [len(b.table) for b in source.batches(20)] == [20, 20, 20, 10]
    first, again = list(source.batches(20)), list(source.batches(20))
    assert all(a.table.equals(b.table) for a, b in zip(first, again, strict=True))


def test_parquet_types_are_made_plain_and_unified(tmp_path: Path) -> None:
    parquet(
        tmp_path / "1.parquet",
        text=pa.array(["a"], pa.large_string()),
        label=pa.array(["c"]).dictionary_encode(),
        n=pa.array([1], pa.int32()),
        h=pa.array([0.5], pa.float16()),
        v=pa.array([[1.0]], pa.large_list(pa.float32())),
    )
    parquet(
        tmp_path / "2.parquet",
        text=["b"],
        label=pa.array([4], pa.int8()),
        n=pa.array([2**40], pa.int64()),
        extra=[True],
    )
    table = pa.concat_tables([b.table for b in open_source(tmp_path, "label").batches()])
    assert {f.name: str(f.type) for f in table.schema} == {
        "id": "string", "text": "string", "label": "string", "n": "int64", "h": "float", "v": "list<item: float>",
        "extra": "bool", "_source": "string", "_index": "int64",
    }  # fmt: skip
    assert table["label"].to_pylist() == ["c", "4"]


def test_a_file_that_is_no_parquet_is_listed_among_others_and_an_error_alone(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a"], label=["x"])
    write(tmp_path / "b.parquet", b"PAR1 but not really")
    write(tmp_path / "c.parquet", b"")
    rows, rejected = read(tmp_path)
    assert [r["text"] for r in rows] == ["a"]
    assert [(Path(r["source"]).name, r["row"], r["code"]) for r in rejected] == [
        ("b.parquet", None, "unreadable-file"), ("c.parquet", None, "unreadable-file"),
    ]  # fmt: skip
    for name in ("b.parquet", "c.parquet"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


def test_damage_in_the_middle_of_a_parquet_file_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    text = [f"{i:06d}" * 50 for i in range(4000)]
    pq.write_table(
        pa.table({"text": text, "label": ["x"] * 4000}),
        file,
        row_group_size=1000,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    parquet(tmp_path / "y.parquet", text=["good"], label=["x"])
    rows, rejected = read(tmp_path, rows=1000)
    assert [r["code"] for r in rejected] == ["unreadable-file"]
    assert rejected[0]["row"] in (1000, 2000)
    assert len(rows) == rejected[0]["row"] + 1
    assert rows[-1]["text"] == "good"


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    bad = pa.array([b"ok", b"\xff", b"fine"], pa.binary()).view(pa.string())
    pq.write_table(
        pa.table({"text": bad, "label": ["x"] * 3, "own": pa.array([b"a", b"b", b"\xfe"]).view(pa.string())}),
        tmp_path / "x.parquet",
    )
    rows, rejected = read(tmp_path / "x.parquet")
    assert [r["text"] for r in rows] == ["ok"]
    assert [(r["row"], r["code"]) for r in rejected] == [(1, "invalid-utf8"), (2, "invalid-utf8")]
