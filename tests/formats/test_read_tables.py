"""What holds for every table: long texts, ids, addresses, formats, fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest
from formats_reading import lines, read, write

from curate.errors import InputError
from curate.formats import open_source


def test_long_texts(tmp_path: Path) -> None:
    million = "ü" * 500_000
    file = write(
        tmp_path / "x.jsonl", lines({"text": million, "label": "x"}, {"text": "y" * 11_000_000, "label": "x"})
    )
    rows, rejected = read(file)
    assert [r["text"] == million for r in rows] == [True]
    assert [(r["row"], r["code"]) for r in rejected] == [(1, "too-long")]
    assert len(rejected[0]["data"]) <= 1000
    assert [r["code"] for r in read(file, max_text_bytes=999_999)[1]] == ["too-long", "too-long"]
    assert len(read(file, max_text_bytes=11_000_000)[0]) == 2


def test_ids(tmp_path: Path) -> None:
    ids: list[Any] = ["a/b/../c", "🦀 crab", "with space", "", None, 5, "x" * 512, "x" * 513, "ü" * 257]
    rows, rejected = read([{"id": i, "text": "t", "label": "l"} for i in ids])
    assert [r["id"] for r in rows] == ["a/b/../c", "🦀 crab", "with space", None, None, "5", "x" * 512]
    assert [(r["row"], r["code"]) for r in rejected] == [(7, "id-too-long"), (8, "id-too-long")]


def test_relative_addresses_start_at_the_table(tmp_path: Path) -> None:
    addresses = [
        "a.jpg",
        "./b/c.jpg",
        "../d.jpg",
        "/abs/e.jpg",
        "https://x.org/f.jpg",
        "file:///g.jpg",
        "store:blobs/x",
        "s3://b/../k",
    ]
    file = write(tmp_path / "t" / "x.jsonl", lines(*({"image": a, "label": "l"} for a in addresses)))
    here = str(tmp_path / "t")
    expected = [
        f"{here}/a.jpg", f"{here}/b/c.jpg", f"{tmp_path}/d.jpg", "/abs/e.jpg", "https://x.org/f.jpg", "file:///g.jpg",
        f"{here}/store:blobs/x", "s3://b/../k",
    ]  # fmt: skip
    assert [r["image"] for r in read(file)[0]] == expected
    assert [r["image"] for r in read(file, root="/data/images")[0]][:3] == [
        "/data/images/a.jpg",
        "/data/images/b/c.jpg",
        "/data/d.jpg",
    ]
    memory = fsspec.filesystem("memory")
    memory.put(str(file), "/curate-rel/x.jsonl")
    assert read("memory://curate-rel/x.jsonl")[0][0]["image"] == "memory:///curate-rel/a.jpg"


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", "")
    (tmp_path / "empty").mkdir()
    for source, match in {
        "trian.jsonl": "Did you mean .*train.jsonl",
        "zzz/deep/file.csv": "holds: empty, train.jsonl",
        "*.parquet": "no file matches .*holds: empty, train.jsonl",
        "empty": "is empty",
        "train.jsonl": "no rows",
    }.items():
        with pytest.raises(InputError, match=match):
            read(f"{tmp_path}/{source}")
    with pytest.raises(InputError, match="nothing at"):
        read("memory://curate-none/x.csv")
    with pytest.raises(InputError, match="nope"):
        read("nope://x")


def test_formats_that_cannot_be_told(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.csv", "text,label\na,b\n")
    write(tmp_path / "a" / "x.jsonl", lines({"text": "c", "label": "d"}))
    with pytest.raises(InputError, match="csv, jsonl: say which"):
        read(tmp_path / "a")
    assert [r["text"] for r in read(tmp_path / "a", format="jsonl")[0]] == ["c"]
    with pytest.raises(InputError, match="holds no parquet files"):
        read(tmp_path / "a", format="parquet")
    with pytest.raises(InputError, match="unpack it first"):
        read(write(tmp_path / "x.zip", "PK"))
    with pytest.raises(InputError, match=r"\.xlsx"):
        read(write(tmp_path / "x.xlsx", "PK"))
    plain = write(tmp_path / "noname", "text,label\na,b\n")
    assert [r["text"] for r in read(plain, format="csv")[0]] == ["a"]


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    import os

    file = write(tmp_path / "x.csv", "text,label\na,b\n")
    first = open_source(file, "label").fingerprint()
    assert first is not None
    assert open_source(file, "label").fingerprint() == first
    os.utime(file, ns=(1, 1))
    touched = open_source(file, "label").fingerprint()
    write(file, "text,label\na,bb\n")
    os.utime(file, ns=(1, 1))
    assert len({first, touched, open_source(file, "label").fingerprint()}) == 3
    assert open_source({"text": ["a"], "label": ["b"]}, "label").fingerprint() is None


def test_all_rows_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row that can be read; line 1: not JSON"):
        read(write(tmp_path / "x.jsonl", "not json\nneither\n"))
    rows, rejected = read(write(tmp_path / "y.jsonl", lines({"text": "", "label": "x"})))
    assert (rows, [r["code"] for r in rejected]) == ([], ["missing-content"])
