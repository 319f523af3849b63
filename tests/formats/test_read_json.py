"""JSON lines and arrays: every row arrives or is listed, with its line and the reason."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from formats_reading import Rows, lines, read, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.formats import open_source


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


def test_a_line_longer_than_memory_should_hold_is_passed_over(tmp_path: Path) -> None:
    huge = b'{"text": "' + b"y" * 40_000_000 + b'", "label": "x"}'
    file = write(tmp_path / "x.jsonl", lines({"text": "a", "label": "x"}, huge, {"text": "b", "label": "x"}))
    rows, rejected = read(file, max_text_bytes=1000)
    assert [(r["text"], r["_index"]) for r in rows] == [("a", 0), ("b", 2)]
    assert [(r["row"], r["code"]) for r in rejected] == [(1, "too-long")]
    assert rejected[0]["reason"].startswith(f"line 2: {len(huge):,} bytes")


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
