"""Each export format is read back by the library its users have, and compared with what went in."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from formats_exporting import hashes

from curate.contracts import score, vector
from curate.formats.export import FORMATS, export
from curate.formats.manifest import check_export, read_manifest

SCHEMA = pa.schema(
    [
        pa.field("caption", pa.string()),
        pa.field("id", pa.string()),
        pa.field("image", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("sharp", pa.bool_()),
        score("clip_score"),
        vector("clip", 3),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("facts", pa.struct([("a", pa.int64()), ("b", pa.string())])),
        pa.field("image_sha256", pa.binary(4)),
        pa.field("rank", pa.int32()),
        pa.field("weight", pa.float32()),
        pa.field("gain", pa.float32()),
        pa.field("reason", pa.string()),
    ]
)
ROWS = [
    {
        "id": "img-1",
        "caption": "a cat",
        "image": "/data/1.jpg",
        "width": 10,
        "sharp": True,
        "clip_score": 0.5,
        "clip": [1.0, 2.0, 3.0],
        "tags": ["x", "y"],
        "facts": {"a": 1, "b": "p"},
        "image_sha256": b"\x00\x01\xab\xff",
        "rank": 0,
        "weight": 1.5,
        "gain": 9.0,
        "reason": "top",
    },
    {
        "id": "a/b 😀",
        "caption": 'say "hi",\nplease',
        "image": None,
        "width": None,
        "sharp": None,
        "clip_score": None,
        "clip": None,
        "tags": [],
        "facts": None,
        "image_sha256": None,
        "rank": 1,
        "weight": 0.5,
        "gain": None,
        "reason": "",
    },
    {
        "id": "007",
        "caption": "",
        "image": "/data/3.jpg",
        "width": -3,
        "sharp": False,
        "clip_score": 0.25,
        "clip": [0.0, -1.0, 0.5],
        "tags": None,
        "facts": {"a": None, "b": "é"},
        "image_sha256": b"abcd",
        "rank": 2,
        "weight": 1.0,
        "gain": 0.125,
        "reason": "NA",
    },
]
ORDER = ["id", "image", "caption", *[n for n in SCHEMA.names if n not in ("id", "image", "caption")]]
EXPECTED = [{**row, "image_sha256": row["image_sha256"] and row["image_sha256"].hex()} for row in ROWS]
GIVEN = {"input": "d1", "seed": 7}
# The library of WebDataset leaves its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS, SCHEMA)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_the_cards_snippet(folder: Path) -> object:
    """Execute the lines under "How to load it" as a user would, and return `data`."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    assert code is not None
    scope: dict[str, object] = {}
    with inside(folder):
        exec(code[1], scope)
    return scope["data"]


def test_parquet_round_trips_through_pyarrow_and_polars(tmp_path: Path) -> None:
    result = export(
        table().to_batches(), tmp_path / "out", format="parquet", kind="image-text", manifest=GIVEN
    )
    assert (result.written, result.rows, result.failed) == (True, 3, 0)
    read = pq.read_table(tmp_path / "out" / "data" / "train-00000.parquet", page_checksum_verification=True)
    assert read.column_names == ORDER
    assert read.to_pylist() == [{name: row[name] for name in ORDER} for row in EXPECTED]
    assert read.schema.field("clip").type == pa.list_(pa.float32(), 3)
    frame = pl.read_parquet(tmp_path / "out" / "data" / "*.parquet")
    assert frame["id"].to_list() == ["img-1", "a/b 😀", "007"]
    assert frame["clip"].dtype == pl.Array(pl.Float32, 3)
    assert frame["clip"].to_list() == [[1.0, 2.0, 3.0], None, [0.0, -1.0, 0.5]]


def test_the_snippet_of_each_card_loads_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    plain = table().select([n for n in SCHEMA.names if n not in ("image", "image_sha256")])
    for name in FORMATS:
        export(plain.to_batches(), tmp_path / name, format=name, kind="image-text", manifest=GIVEN)
    ids = [row["id"] for row in ROWS]
    parquet = run_the_cards_snippet(tmp_path / "parquet")
    assert parquet["id"] == ids and parquet["caption"] == [row["caption"] for row in ROWS]
    saved = run_the_cards_snippet(tmp_path / "datasets")
    assert saved["id"] == ids and saved["clip"][2] == [0.0, -1.0, 0.5]
    lines = run_the_cards_snippet(tmp_path / "jsonl")
    assert lines["id"].to_list() == ids and lines["facts"].to_list()[2] == {"a": None, "b": "é"}
    cells = run_the_cards_snippet(tmp_path / "csv")
    assert list(cells["id"]) == ids and list(cells["reason"]) == ["top", "", "NA"]
    stream = run_the_cards_snippet(tmp_path / "webdataset")
    with inside(tmp_path / "webdataset"):
        samples = list(stream)
    assert [s["json"]["id"] for s in samples] == ids and [s["txt"] for s in samples] == [
        r["caption"] for r in ROWS
    ]


def test_parquet_uses_dictionaries_where_values_repeat(tmp_path: Path) -> None:
    export(table().to_batches(), tmp_path / "out", format="parquet", kind="image-text", manifest=GIVEN)
    group = pq.ParquetFile(tmp_path / "out" / "data" / "train-00000.parquet").metadata.row_group(0)
    columns = [group.column(n) for n in range(group.num_columns)]
    encoded = {c.path_in_schema for c in columns if "RLE_DICTIONARY" in c.encodings}
    # not: id, image, clip_score, clip, weight, gain (unique or real numbers), sharp (a bit is smaller)
    assert encoded == {
        "caption",
        "width",
        "tags.list.element",
        "facts.a",
        "facts.b",
        "image_sha256",
        "rank",
        "reason",
    }
    assert {c.compression for c in columns} == {"ZSTD"}


def test_jsonl_holds_one_object_a_row_in_column_order(tmp_path: Path) -> None:
    export(table().to_batches(), tmp_path / "out", format="jsonl", kind="image-text", manifest=GIVEN)
    lines = (tmp_path / "out" / "data" / "train-00000.jsonl").read_bytes().split(b"\n")
    assert lines[-1] == b"" and len(lines) == 4
    read = [json.loads(line) for line in lines[:-1]]
    assert read == [{name: row[name] for name in ORDER} for row in EXPECTED]
    assert [list(row) for row in read] == [ORDER] * 3


def test_jsonl_writes_numbers_that_are_not_finite_as_null_and_says_so(tmp_path: Path) -> None:
    values = pa.table(
        {"id": ["a", "b", "c"], "x": [float("nan"), float("inf"), 2.0], "v": [[1.0], [float("-inf")], None]}
    )
    export(values.to_batches(), tmp_path / "out", format="jsonl", kind="speech", manifest=GIVEN)
    lines = (tmp_path / "out" / "data" / "train-00000.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "a", "x": None, "v": [1.0]},
        {"id": "b", "x": None, "v": [None]},
        {"id": "c", "x": 2.0, "v": None},
    ]
    notes = read_manifest(tmp_path / "out")["notes"]
    assert notes == [
        "Column 'v': 1 value that is no finite number was written as null.",
        "Column 'x': 2 values that are no finite numbers were written as null.",
    ]


def test_csv_is_read_alike_by_pandas_duckdb_and_polars(tmp_path: Path) -> None:
    export(table().to_batches(), tmp_path / "out", format="csv", kind="image-text", manifest=GIVEN)
    file = tmp_path / "out" / "data" / "train-00000.csv"
    header, first = file.read_text().splitlines()[:2]
    assert header == ",".join(ORDER)
    assert first.startswith(
        'img-1,/data/1.jpg,a cat,10,true,0.5,"[1.0,2.0,3.0]","[""x"",""y""]","{""a"":1,""b"":""p""}",'
    )
    frame = pd.read_csv(file, dtype={"id": str, "caption": str}, keep_default_na=False)
    assert list(frame["id"]) == ["img-1", "a/b 😀", "007"]
    assert list(frame["caption"]) == ["a cat", 'say "hi",\nplease', ""]
    assert [json.loads(text) if text else None for text in frame["clip"]] == [row["clip"] for row in ROWS]
    # A quoted nothing is an empty text, a bare nothing is null: readers that can tell them apart do.
    query = (
        "select image, caption, reason, facts from read_csv(?, all_varchar=true, allow_quoted_nulls=false)"
    )
    assert duckdb.execute(query, [str(file)]).fetchall() == [
        ("/data/1.jpg", "a cat", "top", '{"a":1,"b":"p"}'),
        (None, 'say "hi",\nplease', "", None),
        ("/data/3.jpg", "", "NA", '{"a":null,"b":"é"}'),
    ]
    assert pl.read_csv(file, infer_schema=False)["image_sha256"].to_list() == ["0001abff", None, "61626364"]


FORMULAS = [
    "=1+1",
    "+A1",
    "-2",
    "@sum",
    "\t=x",
    "\rcmd",
    "'=kept",
    "''-x",
    "'tis",
    "safe = fine",
    "",
    None,
    "=cmd|'/c calc'!A0",
]


def test_csv_guards_formulas_and_the_guard_comes_off(tmp_path: Path) -> None:
    rows = pa.table({"id": [f"{n}" for n in range(len(FORMULAS))], "text": FORMULAS, "=1": FORMULAS})
    export(rows.to_batches(), tmp_path / "out", format="csv", kind="speech", manifest=GIVEN)
    raw = pl.read_csv(tmp_path / "out" / "data" / "train-00000.csv", infer_schema=False)
    assert raw["text"].to_list()[:5] == ["'=1+1", "'+A1", "'-2", "'@sum", "'\t=x"]
    assert raw["text"].to_list()[6:10] == ["''=kept", "'''-x", "'tis", "safe = fine"]
    assert raw.columns == ["id", "text", "'=1"]
    assert not any(value and value[0] in "=+-@\t\r" for column in raw for value in column)
    data = run_the_cards_snippet(tmp_path / "out")
    assert list(data["text"]) == [text or "" for text in FORMULAS]
    assert list(data["'=1"]) == [text or "" for text in FORMULAS]
    assert "apostrophe" in " ".join(read_manifest(tmp_path / "out")["notes"])


def test_csv_does_not_guard_numbers(tmp_path: Path) -> None:
    rows = pa.table({"id": ["a"], "x": [-5], "y": [-0.5]})
    export(rows.to_batches(), tmp_path / "out", format="csv", kind="speech", manifest=GIVEN)
    assert (tmp_path / "out" / "data" / "train-00000.csv").read_text() == "id,x,y\na,-5,-0.5\n"


def test_saved_dataset_has_the_features_that_datasets_itself_would_give(tmp_path: Path) -> None:
    import datasets

    export(table().to_batches(), tmp_path / "out", format="datasets", kind="image-text", manifest=GIVEN)
    saved = datasets.load_from_disk(str(tmp_path / "out"))
    assert saved.features == datasets.Features.from_arrow_schema(
        pa.schema([(n, saved.data.schema.field(n).type) for n in ORDER])
    )
    assert saved.to_list() == [{name: row[name] for name in ORDER} for row in EXPECTED]
    assert saved.split == "train"


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_rows_give_the_same_bytes_however_they_are_batched(tmp_path: Path, name: str) -> None:
    rows = pa.Table.from_pylist([{**ROWS[n % 3], "id": f"{n}"} for n in range(500)], SCHEMA).drop_columns(
        ["image"]
    )
    for folder, size in (("one", 500), ("two", 500), ("three", 7)):
        batches = rows.to_batches(max_chunksize=size)
        export(batches, tmp_path / folder, format=name, kind="image-text", manifest=GIVEN, shard_rows=200)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") == hashes(tmp_path / "three")
    assert read_manifest(tmp_path / "one")["counts"]["rows"] == 500


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows_give_a_valid_empty_data_set(tmp_path: Path, name: str) -> None:
    schema = SCHEMA if name != "webdataset" else SCHEMA.remove(SCHEMA.get_field_index("image"))
    result = export([], tmp_path / "out", format=name, kind="image-text", manifest=GIVEN, schema=schema)
    assert (result.rows, check_export(tmp_path / "out")) == (0, [])
    if name == "parquet":
        read = pq.read_table(tmp_path / "out" / "data")
        assert (read.num_rows, read.column_names) == (0, ORDER)
    if name == "csv":
        assert (tmp_path / "out" / "data" / "train-00000.csv").read_text() == ",".join(ORDER) + "\n"
    if name == "datasets":
        import datasets

        assert datasets.load_from_disk(str(tmp_path / "out")).column_names == ORDER
    if name == "jsonl":
        assert (tmp_path / "out" / "data" / "train-00000.jsonl").read_bytes() == b""
    if name == "webdataset":
        assert (tmp_path / "out" / "shard-000000.tar").read_bytes() == b"\0" * 10240
