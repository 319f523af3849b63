"""Croissant metadata, judged and used by `mlcroissant`: it must read back the rows that were exported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import mlcroissant
import pyarrow as pa
import pytest
from PIL import Image

from curate.contracts import score, vector
from curate.formats.export import FORMATS, export

GIVEN = {
    "input": "d1",
    "title": 'Cats & "dogs" </script>',
    "description": "Two\nlines.",
    "license": "https://spdx.org/licenses/CC0-1.0.html",
    "citation": "@misc{x}",
    "url": "https://example.org/cats",
    "date_published": "2024-05-06",
}
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("image", pa.string()),
        pa.field("caption", pa.string()),
        score("clip_score"),
        vector("clip", 2),
        pa.field("width", pa.int32()),
        pa.field("large", pa.uint64()),
        pa.field("sharp", pa.bool_()),
        pa.field("facts", pa.struct([("a", pa.int64()), ("b", pa.string())])),
        pa.field("tags", pa.list_(pa.string())),
    ]
)
ROWS = [
    {
        "id": f"img-{n}",
        "image": f"/data/{n}.jpg",
        "caption": text,
        "clip_score": n / 4,
        "clip": [n + 0.5, -1.0],
        "width": 10 * n,
        "large": 2**40 + n,
        "sharp": n % 2 == 0,
        "facts": {"a": n, "b": "é"},
        "tags": ["x", f"t{n}"],
    }
    for n, text in enumerate(["a cat", 'quotes " and, commas', "two\nlines", "=1+1", "😀"])
]


def write(out: Path, name: str, **options: Any) -> None:
    rows = pa.Table.from_pylist(ROWS, SCHEMA)
    options = {"kind": "image-text", "manifest": GIVEN, "shard_rows": 2, **options}
    if name == "webdataset":
        rows, options["kind"] = rows.drop_columns(["image"]), "instruction"
    export(rows.to_batches(), out, format=name, **options)  # type: ignore[arg-type]


def records(out: Path, name: str = "items") -> list[dict[str, Any]]:
    found = mlcroissant.Dataset(jsonld=out / "croissant.json").records(name)
    return [{key.removeprefix("items/"): plain(value) for key, value in record.items()} for record in found]


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key.rpartition("/")[2]: plain(inner) for key, inner in value.items()}
    return value.item() if hasattr(value, "item") else value


@pytest.mark.parametrize("name", FORMATS)
def test_metadata_are_valid(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out", name)
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "out" / "croissant.json")
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert dataset.metadata.name == GIVEN["title"]
    assert str(dataset.metadata.description).startswith("Two\nlines. 5 ")
    assert dataset.metadata.license == [GIVEN["license"]]


@pytest.mark.parametrize("name", FORMATS)
def test_every_data_file_is_there_with_its_checksum(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out", name)
    document = json.loads((tmp_path / "out" / "croissant.json").read_text())
    listed = {o["contentUrl"]: o for o in document["distribution"] if o["@type"] == "cr:FileObject"}
    assert len(listed) == 3
    for path, described in listed.items():
        data = (tmp_path / "out" / path).read_bytes()
        assert described["sha256"] == hashlib.sha256(data).hexdigest()
        assert described["contentSize"] == f"{len(data)} B"


@pytest.mark.parametrize("name", ["parquet", "jsonl"])
def test_records_are_the_rows(tmp_path: Path, name: str) -> None:
    write(tmp_path / "out", name)
    assert records(tmp_path / "out") == ROWS


def test_records_of_csv_have_nested_values_as_json(tmp_path: Path) -> None:
    write(tmp_path / "out", "csv")
    found = records(tmp_path / "out")
    nested = ("clip", "facts", "tags")
    for record, row in zip(found, ROWS, strict=True):
        assert {name: json.loads(record[name]) for name in nested} == {name: row[name] for name in nested}
        guarded = "'" + row["caption"] if row["caption"].startswith("=") else row["caption"]
        assert record["caption"] == guarded
        for name in ("id", "clip_score", "width", "large", "sharp"):
            assert record[name] == row[name]


def test_embedded_images_come_out_as_images(tmp_path: Path) -> None:
    for n in range(2):
        Image.new("RGB", (2, 2), (n, 5, 9)).save(tmp_path / f"{n}.png")
    rows = pa.table(
        {"id": ["a", "b"], "image": [str(tmp_path / f"{n}.png") for n in range(2)], "caption": ["x", "y"]}
    )
    export(
        rows.to_batches(),
        tmp_path / "out",
        format="parquet",
        kind="image-text",
        manifest=GIVEN,
        media="embed",
    )
    found = list(mlcroissant.Dataset(jsonld=tmp_path / "out" / "croissant.json").records("items"))
    assert [record["items/image"].getpixel((0, 0)) for record in found] == [(0, 5, 9), (1, 5, 9)]


def test_deep_nesting_is_left_out_rather_than_wrong(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a"], "turns": [[{"who": "me", "said": "hi"}]], "grid": [[[1, 2]]]})
    export(rows.to_batches(), tmp_path / "out", format="parquet", kind="speech", manifest=GIVEN)
    document = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert [f["name"] for f in document["recordSet"][0]["field"]] == ["id"]
    assert document["description"].endswith("Columns too deeply nested to be described: 'turns', 'grid'.")
    assert records(tmp_path / "out") == [{"id": "a"}]


def test_no_rows_are_no_records(tmp_path: Path) -> None:
    for name in ("parquet", "csv"):
        export([], tmp_path / name, format=name, kind="image-text", manifest=GIVEN, schema=SCHEMA)
        assert records(tmp_path / name) == []
