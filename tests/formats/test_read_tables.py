"""Parquet, CSV and JSON: every row arrives or is listed, with its place and the reason."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.formats import open_source

Rows = list[dict[str, Any]]


def read(source: Any, kind: str = "label", rows: int = 8192, **options: Any) -> tuple[Rows, Rows]:
    """(rows, rejections)"""
    batches = list(open_source(source, kind, **options).batches(rows))
    return [r for b in batches for r in b.table.to_pylist()], [
        r for b in batches for r in b.rejected.to_pylist()
    ]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def lines(*records: Any) -> bytes:
    return b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in records)


# --- JSON ---------------------------------------------------------------------------------------------------------


def test_json_lines(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.jsonl",
        lines({"text": "a", "label": 3, "n": 1}, {"text": "b", "label": "x", "extra": [1, 2]}),
    )
    rows, rejected = read(file)
    assert rejected == []
    assert rows == [
        {"id": None, "text": "a", "label": "3", "n": 1, "extra": None, "_source": str(file), "_index": 0},
        {
            "id": None,
            "text": "b",
            "label": "x",
            "n": None,
            "extra": [1, 2],
            "_source": str(file),
            "_index": 1,
        },
    ]


def test_bad_lines_are_listed_with_their_number_and_the_rest_is_kept(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.jsonl",
        b'{"text": "a", "label": "1"}\n'
        b"\n"
        b'{"text": "b", "label": \n'
        b'{"text": "\xff\xfe", "label": "1"}\n'
        b"[1, 2]\n"
        b'{"text": "half \\ud800", "label": "1"}\n'
        b'{"text": "c"}\n'
        b'{"text": "d", "label": "2"}',
    )
    rows, rejected = read(file)
    assert [(r["text"], r["_index"]) for r in rows] == [("a", 0), ("d", 6)]
    assert [(r["row"], r["code"]) for r in rejected] == [
        (1, "malformed"), (2, "invalid-utf8"), (3, "malformed"), (4, "invalid-utf8"), (5, "missing-label"),
    ]  # fmt: skip
    assert rejected[0]["reason"].startswith("line 3: not JSON")
    assert rejected[1]["reason"].startswith("line 4: not UTF-8")
    assert rejected[0]["source"] == str(file)
    assert json.loads(rejected[4]["data"]) == {"text": "c", "label": None}


def test_mixed_types_become_text_and_lists_in_a_text_column_are_refused(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.jsonl",
        lines(
            *(
                {"text": t, "label": "l", "own": o}
                for t, o in [("a", 1), (2, "x"), (2.5, None), (True, [1]), (["b"], 0), ({"c": 1}, 0)]
            )
        ),
    )
    rows, rejected = read(file)
    assert [r["text"] for r in rows] == ["a", "2", "2.5", "true", '["b"]', '{"c": 1}']
    assert [r["own"] for r in rows] == ["1", "x", None, "[1]", "0", "0"]
    assert rejected == []
    lists = write(
        tmp_path / "y.jsonl", lines({"text": ["a", "b"], "label": "l"}, {"text": None, "label": "l"})
    )
    rows, rejected = read(lists)
    assert rows == []
    assert [(r["row"], r["code"]) for r in rejected] == [(0, "type-text"), (1, "missing-content")]


def test_types_are_those_of_the_whole_source_not_of_its_beginning(tmp_path: Path) -> None:
    """More than one block of 16 MB; the last line changes a column from integers to text."""
    filler = "x" * 10_000
    records = [{"text": filler, "label": "l", "own": i, "part": {"a": i}} for i in range(3500)]
    records.append({"text": "end", "label": "l", "own": "last", "part": {"b": "new"}, "late": 2.5})
    file = write(tmp_path / "x.jsonl", lines(*records))
    assert file.stat().st_size > 2 * (16 << 20)
    batches = list(open_source(file, "label").batches(1000))
    assert {str(b.table.schema.field("own").type) for b in batches} == {"string"}
    assert [len(b.table) for b in batches] == [1000, 1000, 1000, 501]
    assert batches[0].table["own"][999].as_py() == "999"
    assert batches[-1].table.slice(500).select(["own", "part", "late"]).to_pylist() == [
        {"own": "last", "part": {"a": None, "b": "new"}, "late": 2.5}
    ]
    assert [i for b in batches for i in b.table["_index"].to_pylist()] == list(range(3501))


def test_text_that_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    file = write(
        tmp_path / "x.jsonl",
        lines({"id": 12345678901234567890123, "text": "2022-01-01T00:00:00", "label": "007", "own": {"t": "2022-01-01"}, "n": 2**60 + 1, "f": 0.5},
              {"id": 2**63, "text": "x", "label": "y", "own": None, "n": 1.5, "f": 1}),
    )  # fmt: skip
    rows, _ = read(file)
    assert rows[0]["id"] == "12345678901234567890123"
    assert rows[1]["id"] == "9223372036854775808"
    assert rows[0]["text"] == "2022-01-01T00:00:00"
    assert rows[0]["label"] == "007"
    assert rows[0]["own"] == {"t": "2022-01-01"}
    assert [r["f"] for r in rows] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed_json(tmp_path: Path, suffix: str, pack: Any) -> None:
    file = write(tmp_path / f"x.jsonl{suffix}", pack(lines({"text": "a", "label": "b"})))
    assert [r["text"] for r in read(file)[0]] == ["a"]
    cut = write(tmp_path / f"y.jsonl{suffix}", pack(lines({"text": "b", "label": "c"}))[:-8])
    rows, rejected = read(tmp_path)
    assert [r["text"] for r in rows][:1] == ["a"]
    assert [(r["source"], r["code"]) for r in rejected] == [(str(cut), "unreadable-file")]


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a", "label": "b"}, {"text": "c", "label": "d"}]',
        '{"version": 1, "data": [{"text": "a", "label": "b"},\n {"text": "c", "label": "d"}]}',
        '[\n  {\n    "text": "a",\n    "label": "b"\n  },\n  {"text": "c", "label": "d"}\n]',
        '{"text": "a", "label": "b"}\n{"text": "c", "label": "d"}\n',
        '\ufeff{"text": "a", "label": "b"}\r\n{"text": "c", "label": "d"}\r\n',
    ],
)
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_arrays_of_objects_and_lines_are_told_apart(tmp_path: Path, content: str, suffix: str) -> None:
    rows, rejected = read(write(tmp_path / f"x{suffix}", content))
    assert [(r["text"], r["label"]) for r in rows] == [("a", "b"), ("c", "d")]
    assert rejected == []


def test_json_documents_that_are_no_tables(tmp_path: Path) -> None:
    rows, rejected = read(write(tmp_path / "x.json", '[{"text": "a", "label": "b"}, 3]'))
    assert (len(rows), rejected[0]["code"], rejected[0]["row"]) == (1, "malformed", 1)
    for content in ("[1, 2", '{\n"a": 1}', '{\n"a": [{}], "b": [{}]}'):
        with pytest.raises(InputError):
            read(write(tmp_path / "y.json", content))


# --- CSV ----------------------------------------------------------------------------------------------------------


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
    assert "data row 2: 1 cells where the header has 2" in rejected[0]["reason"]
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


# --- Parquet --------------------------------------------------------------------------------------------------------


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


# --- All ------------------------------------------------------------------------------------------------------------


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


def test_a_line_longer_than_memory_should_hold_is_passed_over(tmp_path: Path) -> None:
    huge = b'{"text": "' + b"y" * 40_000_000 + b'", "label": "x"}'
    file = write(tmp_path / "x.jsonl", lines({"text": "a", "label": "x"}, huge, {"text": "b", "label": "x"}))
    rows, rejected = read(file, max_text_bytes=1000)
    assert [(r["text"], r["_index"]) for r in rows] == [("a", 0), ("b", 2)]
    assert [(r["row"], r["code"]) for r in rejected] == [(1, "too-long")]
    assert rejected[0]["reason"].startswith(f"line 2: {len(huge)} bytes")


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


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
RECORD = st.fixed_dictionaries(
    {"text": TEXT, "label": TEXT},
    optional={"own": st.one_of(st.none(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXT, st.booleans()), "t": TEXT},
)  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(RECORD, min_size=1, max_size=8), st.booleans())
def test_json_text_round_trips(tmp_path: Path, records: Rows, escaped: bool) -> None:
    content = "".join(json.dumps(r, ensure_ascii=escaped) + "\n" for r in records)
    rows, rejected = read(write(tmp_path / "x.jsonl", content))
    assert rejected == []
    assert [(r["text"], r["label"]) for r in rows] == [(r["text"], r["label"]) for r in records]
    if any("t" in r for r in records):
        assert [r["t"] for r in rows] == [r.get("t") for r in records]


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


def test_all_rows_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row that can be read; line 1: not JSON"):
        read(write(tmp_path / "x.jsonl", "not json\nneither\n"))
    rows, rejected = read(write(tmp_path / "y.jsonl", lines({"text": "", "label": "x"})))
    assert (rows, [r["code"] for r in rejected]) == ([], ["missing-content"])


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
