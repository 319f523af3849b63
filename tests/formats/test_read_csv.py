"""CSV and TSV: every row arrives or is listed, with its number and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from formats_reading import read, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import InputError


def test_csv_types_are_found_and_text_is_left_as_written(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.csv",
        "id,text,label,n,f,b,zip,empty\n"
        '01,"a, ""b""\nc",1.0,1,1,true,007,\n'
        "2,d,3,-5,2.5e3,False,123,\n"
        "3,e,03,,nan,,45,\n",
    )
    rows, rejected = read(file)
    assert rejected == []
    assert [r["id"] for r in rows] == ["01", "2", "3"]
    assert [r["text"] for r in rows] == ['a, "b"\nc', "d", "e"]
    assert [r["label"] for r in rows] == ["1.0", "3", "03"]
    assert [r["n"] for r in rows] == [1, -5, None]
    assert [r["b"] for r in rows] == [True, False, None]
    assert [r["zip"] for r in rows] == ["007", "123", "45"]
    assert rows[1]["f"] == 2500.0
    assert rows[2]["f"] != rows[2]["f"]
    assert rows[0]["empty"] is None


def test_bad_csv_rows_are_listed_and_the_rest_is_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.csv",
        b"text,label\na,1\nonly one cell\nb\xff,2\nthree,cells,here\nc,3\n,4\nd,\n\nnul\0byte,5\n",
    )
    rows, rejected = read(file)
    assert [(r["text"], r["_index"]) for r in rows] == [("a", 0), ("c", 4), ("nul\0byte", 7)]
    assert [(r["row"], r["code"]) for r in rejected] == [
        (1, "malformed"), (2, "invalid-utf8"), (3, "malformed"), (5, "missing-content"), (6, "missing-label"),
    ]  # fmt: skip
    assert "data row 2: 1 cell where the header has 2" in rejected[0]["reason"]
    assert rejected[0]["data"] == '"only one cell"'
    assert "data row 3: column 'text' is not UTF-8" in rejected[1]["reason"]


@pytest.mark.parametrize(
    ("suffix", "mark"), [(".csv", ","), (".csv", ";"), (".csv", "|"), (".csv", "\t"), (".tsv", "\t")]
)
def test_delimiters(tmp_path: Path, suffix: str, mark: str) -> None:
    file = write(tmp_path / f"x{suffix}", f"text{mark}label\na b{mark}c\n")
    assert [(r["text"], r["label"]) for r in read(file)[0]] == [("a b", "c")]


def test_csv_headers(tmp_path: Path) -> None:
    unnamed = read(write(tmp_path / "a.csv", ",text,label\n0,x,y\n"))[0]
    assert unnamed[0]["column_0"] == 0
    assert read(write(tmp_path / "b.csv", "\ufefftext,label\nx,y\n"))[0][0]["text"] == "x"
    for content, match in {
        b"": "empty",
        b"text,label\n": "no rows",
        b"text,text,label\nx,y,z\n": "more than once",
        b"te\xffxt,label\nx,y\n": "header",
        "text,label\nx,y\n".encode("utf-16"): "UTF-16",
    }.items():
        with pytest.raises(InputError, match=match):
            read(write(tmp_path / "c.csv", content))


def test_columns_that_change_type_between_files(tmp_path: Path) -> None:
    write(tmp_path / "1.csv", "text,label,n\na,l,1\n")
    write(tmp_path / "2.csv", "text,label,n,m\nb,l,x,2\n")
    rows, _ = read(tmp_path / "*.csv")
    assert [(r["n"], r["m"]) for r in rows] == [("1", None), ("x", 2)]
    assert [Path(r["_source"]).name for r in rows] == ["1.csv", "2.csv"]


def test_csv_rows_keep_their_numbers_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.formats.text._BLOCK", 512)
    content = "".join(f"t{i},l\n" if i % 7 else f"only {i}\n" for i in range(1000))
    rows, rejected = read(write(tmp_path / "x.csv", "text,label\n" + content), max_text_bytes=100)
    assert [r["_index"] for r in rows] == [i for i in range(1000) if i % 7]
    assert [r["text"] for r in rows] == [f"t{i}" for i in range(1000) if i % 7]
    assert [r["row"] for r in rejected] == list(range(0, 1000, 7))
    assert [r["data"] for r in rejected][:2] == ['"only 0"', '"only 7"']


def test_a_csv_row_larger_than_a_block_ends_its_file_and_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.formats.text._BLOCK", 512)
    write(tmp_path / "1.csv", "text,label\na,l\n" + "x" * 2000 + ",l\nb,l\n")
    write(tmp_path / "2.csv", "text,label\nc,l\n")
    rows, rejected = read(tmp_path, max_text_bytes=100)
    assert [r["text"] for r in rows] in (["a", "c"], ["c"])
    assert [r["code"] for r in rejected] == ["unreadable-file"]
    assert "rows from" in rejected[0]["reason"]


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8))
def test_csv_text_round_trips(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    import csv

    with (tmp_path / "x.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(cells)
    rows, rejected = read(tmp_path / "x.csv")
    assert rejected == []
    assert [(r["text"], r["label"]) for r in rows] == cells
