"""Tables inside archives, by chained addresses as fsspec writes them."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.errors import InputError
from curate.formats import open_source


@pytest.fixture
def archive(tmp_path: Path) -> str:
    table = io.BytesIO()
    pq.write_table(pa.table({"id": ["p"], "text": ["x"], "label": ["y"]}), table)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as packed:
        packed.writestr("a/rows.jsonl", '{"id": "one", "text": "x", "label": "y"}\n')
        packed.writestr("a/more.jsonl.gz", gzip.compress(b'{"id": "two", "text": "x", "label": "y"}\n'))
        packed.writestr("b/rows.csv", "id,text,label\nthree,x,y\n")
        packed.writestr("p.parquet", table.getvalue())
        packed.writestr("pictures/a.jpg", b"")
        packed.writestr("mixed/a.jpg", b"")
        packed.writestr("mixed/metadata.csv", "file_name,label\na.jpg,y\n")
    return f"::{tmp_path / 'data.zip'}"


@pytest.mark.parametrize(
    ("inside", "ids"),
    [
        ("zip://a/rows.jsonl", ["one"]),
        ("zip://a/*.jsonl*", ["two", "one"]),
        ("zip://a", ["two", "one"]),
        ("zip://b/", ["three"]),
        ("zip://p.parquet", ["p"]),
    ],
)
def test_tables_in_an_archive_are_read(archive: str, inside: str, ids: list[str]) -> None:
    source = open_source(inside + archive, "label")
    (batch,) = source.batches()
    assert batch.table["id"].to_pylist() == ids and batch.rejected.num_rows == 0
    assert batch.table["_source"][0].as_py().endswith(archive)


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("zip://pictures", "inside an archive only tables are read .* unpack it first"),
        ("zip://mixed", "inside an archive only tables are read"),
        ("zip://none.csv", "there is nothing at zip://none.csv"),
    ],
)
def test_what_has_no_address_in_an_archive_is_refused(archive: str, inside: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        open_source(inside + archive, "label")


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"zip://a.csv::.*none.zip cannot be opened"):
        open_source(f"zip://a.csv::{tmp_path / 'none.zip'}", "label")
