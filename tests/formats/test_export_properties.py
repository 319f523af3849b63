"""Whatever the texts and ids are, they come back from every format as they were."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
import webdataset
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.formats.export import export
from curate.formats.manifest import check_export
from curate.formats.writers.media import safe_key
from curate.formats.writers.text import GUARDED

csv.field_size_limit(20_000_000)
# The library of WebDataset leaves its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

TEXT = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", " ", '"', '""', "'", ",", "\n", "\r", "\r\n", "\x00", "\\", "\\n", "null", "NA", "NaN", "007", "1e5", "true",
         "=1+1", "'=x", "-", "\u2028", "\u0085", "😀", "a,b\n\"c\"", "#", "\ufeff", "2024-01-01", "x" * 1_000_000]
    ),
)  # fmt: skip
ROWS = st.lists(
    st.tuples(
        TEXT,
        st.none() | TEXT,
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.lists(TEXT, max_size=2),
    ),
    max_size=6,
    unique_by=lambda row: row[0],
)


def exported(rows: list[tuple[Any, ...]], folder: str, name: str) -> Path:
    schema = pa.schema(
        [("id", pa.string()), ("text", pa.string()), ("x", pa.float64()), ("tags", pa.list_(pa.string()))]
    )
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
    out = Path(folder) / "out"
    result = export(
        table.to_batches(),
        out,
        format=name,
        kind="speech",
        manifest={"input": "d"},
        schema=schema,
        shard_rows=4,
    )
    assert result.rows == len(rows) and check_export(out) == []
    return out


@settings(max_examples=40, deadline=None)
@given(ROWS)
@example([("a", "x" * 1_000_000, None, []), ("a/../😀\n", 'say "x",\r\n', -0.0, ["", "\x00"])])
def test_parquet(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = exported(rows, folder, "parquet")
        assert pl.read_parquet(out / "data" / "*.parquet").rows() == rows


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_jsonl(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = exported(rows, folder, "jsonl")
        data = b"".join(p.read_bytes() for p in sorted((out / "data").iterdir()))
        read = [json.loads(line) for line in data.split(b"\n")[:-1]]
        assert [tuple(row.values()) for row in read] == rows


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_csv(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = exported(rows, folder, "csv")
        read = []
        for file in sorted((out / "data").iterdir()):
            # Python's own reader: it keeps every character, but cannot tell null from an empty text.
            with file.open(newline="", encoding="utf-8") as lines:
                read += list(csv.reader(lines))[1:]
        found = [[re.sub(GUARDED, "", cell) for cell in row] for row in read]
        assert [(row[0], row[1]) for row in found] == [(id_, text or "") for id_, text, _, _ in rows]
        assert [float(row[2]) if row[2] else None for row in found] == [x for _, _, x, _ in rows]
        assert [json.loads(row[3]) for row in found] == [tags for *_, tags in rows]
        assert all(cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n") for row in read for cell in row[:2])


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.none() | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20),
        max_size=5,
    )
)
def test_csv_keeps_null_and_empty_text_apart(texts: list[str | None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [(f"{n}", text, None, []) for n, text in enumerate(texts)]
        out = exported(rows, folder, "csv")
        query = "select text is null from read_csv(?, all_varchar=true, allow_quoted_nulls=false, header=true, delim=',', quote='\"', escape='\"', new_line='\\n')"
        found = []
        for file in sorted((out / "data").iterdir()):
            found += [null for (null,) in duckdb.execute(query, [str(file)]).fetchall()]
        assert found == [text is None for text in texts]


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_saved_dataset(rows: list[tuple[Any, ...]]) -> None:
    import datasets

    with tempfile.TemporaryDirectory() as folder:
        out = exported(rows, folder, "datasets")
        loaded = datasets.load_from_disk(str(out), keep_in_memory=True)
        assert [tuple(row.values()) for row in loaded.to_list()] == rows


@settings(max_examples=25, deadline=None)
@given(ROWS)
@example([("a/b", "x", None, []), ("a%2Fb", "y", None, []), ("..", "z", None, []), ("", "e", None, [])])
def test_webdataset(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = exported(rows, folder, "webdataset")
        shards = [str(p) for p in sorted(out.glob("shard-*.tar"))]
        samples = list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode())
        assert [tuple(s["json"].values()) for s in samples] == rows
        assert [s["txt"] for s in samples] == [text or "" for _, text, _, _ in rows]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=120), st.text(max_size=120))
def test_keys_are_safe_and_differ_when_ids_do(one: str, other: str) -> None:
    keys = [safe_key(one), safe_key(other)]
    assert (keys[0] == keys[1]) == (one == other)
    for key in keys:
        assert 0 < len(key) <= 84 and key.isascii() and not set(key) & set("./\\ \n\x00") and key[0] != "-"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=6), st.binary(max_size=6))
def test_no_id_can_imitate_the_key_of_a_long_one(one: bytes, other: bytes) -> None:
    long = "a" * 90 + one.hex()
    assert safe_key(safe_key(long)) != safe_key(long) and safe_key(safe_key(long) + other.hex()) != safe_key(
        long
    )
