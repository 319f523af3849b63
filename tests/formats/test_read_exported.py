"""What was exported is read back: every format, its media, its ids, and nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from formats_exporting import png, write

from curate.errors import InputError, SchemaError
from curate.formats import open_source

TEXTS = ["=1+1", "'=2", "it's plain", "-"]


def rows(folder: Path) -> pa.Table:
    paths = [folder / f"{n}.png" for n in range(4)]
    for n, path in enumerate(paths):
        path.write_bytes(png(n))
    return pa.table({
        "id": ["a", "b/c", "=d", "😀"], "image": [str(p) for p in paths], "caption": TEXTS,
        "image_sha256": [None] * 4, "image_width": [4] * 4, "score": [0.5, 1.0, None, 2.0],
        "rank": [1, 0, 3, 2], "weight": [1.0] * 4, "reason": ["x", None, "y", "z"],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("format", "media"),
    [
        *(("parquet", media) for media in ("reference", "copy", "embed")),
        *(("datasets", media) for media in ("reference", "copy", "embed")),
        *((format, media) for format in ("jsonl", "csv") for media in ("reference", "copy")),
        ("webdataset", "embed"),
    ],
)
def test_every_format_comes_back(tmp_path: Path, format: str, media: str) -> None:
    given = rows(tmp_path)
    write(given, tmp_path / "out", format=format, media=media, shard_rows=3)
    source = open_source(str(tmp_path / "out"), "image-text")
    (batch,) = source.batches()
    table = batch.table.sort_by("id")
    assert batch.rejected.num_rows == 0
    assert table["id"].to_pylist() == sorted(given["id"].to_pylist())
    assert dict(zip(table["id"].to_pylist(), table["caption"].to_pylist(), strict=True)) == dict(
        zip(given["id"].to_pylist(), TEXTS, strict=True)
    )
    assert set(table.column_names) - {"image_data", "_source", "_index"} == {
        "id", "image", "caption", "score", "selection_rank", "selection_weight", "selection_reason"
    }  # fmt: skip
    if media == "copy":
        assert all(Path(uri).read_bytes().startswith(b"\x89PNG") for uri in table["image"].to_pylist())


def test_names_that_are_asked_for_go_before(tmp_path: Path) -> None:
    write(rows(tmp_path), tmp_path / "out", format="parquet", media="reference")
    asked = {"place": "rank", "facts": "score"}
    names = open_source(str(tmp_path / "out"), "image-text", columns=asked).mapping
    assert (names["place"], names["facts"], names["selection_weight"]) == ("rank", "score", "weight")
    assert "selection_rank" not in names


@pytest.mark.parametrize(
    ("format", "media", "part"),
    [
        ("parquet", "copy", "data/train-00001.parquet"),
        ("parquet", "reference", "data/*1.parquet"),
        ("csv", "copy", "data/train-00001.csv"),
        ("webdataset", "embed", "shard-000001.tar"),
    ],
)
def test_a_file_of_an_export_comes_back_as_the_folder_does(
    tmp_path: Path, format: str, media: str, part: str
) -> None:
    write(rows(tmp_path), tmp_path / "out", format=format, media=media, shard_rows=3)
    (whole,) = open_source(str(tmp_path / "out"), "image-text").batches()
    (batch,) = open_source(str(tmp_path / "out" / part), "image-text").batches()
    assert batch.rejected.num_rows == 0
    names = [name for name in whole.table.column_names if name not in ("_source", "_index")]
    assert batch.table.num_rows == 1
    assert batch.table.select(names) == whole.table.select(names).slice(3)


def test_a_file_beside_those_of_an_export_is_read_as_it_is(tmp_path: Path) -> None:
    write(rows(tmp_path), tmp_path / "out", format="csv", media="reference")
    (tmp_path / "out" / "data" / "mine.csv").write_text("caption,image,rank_\na,b.png,1\n")
    assert "rank_" in open_source(str(tmp_path / "out" / "data" / "mine.csv"), "image-text").mapping


def test_a_file_of_a_saved_dataset_names_the_folder(tmp_path: Path) -> None:
    write(rows(tmp_path), tmp_path / "out", format="datasets", media="reference")
    with pytest.raises(InputError, match=r"is a part of the saved dataset .*out, which is read as a whole"):
        open_source(str(tmp_path / "out" / "data" / "train-00000.arrow"), "image-text")


def test_all_names_that_are_taken_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as told:
        open_source(rows(tmp_path), "image-text")
    for name in ("image_sha256", "image_width", "rank", "weight", "reason"):
        assert f'"source_{name}": "{name}"' in str(told.value)
    assert "import its folder" in str(told.value)


def test_a_fact_that_is_asked_for_comes_along(tmp_path: Path) -> None:
    write(rows(tmp_path), tmp_path / "out", format="parquet", media="reference")
    names = open_source(str(tmp_path / "out"), "image-text", columns={"was_wide": "image_width"}).mapping
    assert names["was_wide"] == "image_width" and "image_sha256" not in names


def test_a_manifest_of_another_tool_is_a_file_like_any_other(tmp_path: Path) -> None:
    for text in ("[1]", '{"name": "app"}', "{", json.dumps({"manifest_version": 1})):
        (tmp_path / "manifest.json").write_text(text)
        (tmp_path / "rows.csv").write_text("id,text,label\na,b,c\n")
        with pytest.raises(InputError, match="holds csv, json: say which to read"):
            open_source(str(tmp_path), "label")
        (batch,) = open_source(str(tmp_path), "label", format="csv").batches()
        assert batch.table["id"].to_pylist() == ["a"]
