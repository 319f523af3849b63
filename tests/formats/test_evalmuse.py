"""EvalMuse-40K's files: messy types, strings in place of lists, faults that stay in their row, and back again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.errors import InputError, SchemaError
from curate.formats.evalmuse import ELEMENT_TYPES, SCHEMA, element_type, read, split_element, write

ENTRY: dict[str, Any] = {
    "prompt_id": "00805",
    "prompt": "a red guitar",
    "type": "real",
    "img_path": "SD_v1.5/00805.png",
    "total_score": [3, 4, 4],
    "element_score": {"guitar (object-Instrument)": [1, 1, 1], "red (Color )": [0, 1, 0]},
    "promt_meaningless": [0, 0, 0],
    "split_confidence": [0, 1, 0],
    "attribute_confidence": [1, 1, 1],
    "fidelity_label": ["hand", "face"],
}


def entry(**changes: Any) -> dict[str, Any]:
    return {**ENTRY, **changes}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("object-vehicle", "object"),
        ("other-weather", "other"),
        ("attribute-style-artist/works", "attribute"),
        ("Animal/Human ", "animal/human"),
        ("animal", "animal/human"),
        ("COUNTING", "counting"),
        ("colour", "color"),
        ("", "other"),
        ("zeitgeist", "other"),
        *((name, name) for name in ELEMENT_TYPES),
    ],
)
def test_types_are_one_of_twelve(written: str, expected: str) -> None:
    assert element_type(written) == expected
    assert len(ELEMENT_TYPES) == 12


def test_keys_are_cut_at_the_last_bracket() -> None:
    assert split_element("guitar (object)") == ("guitar", "object")
    assert split_element("a cat (big) (animal/human) ") == ("a cat (big)", "animal/human")
    assert split_element("two dogs") == ("two dogs", "")
    assert split_element("dog (animal") == ("dog", "animal")


def test_an_entry_as_it_should_be() -> None:
    table = read([ENTRY])
    assert table.schema == SCHEMA
    row = table.to_pylist()[0]
    assert row["id"] == row["img_path"] == "SD_v1.5/00805.png" and row["generator"] == "SD_v1.5"
    assert row["total_score"] == [3, 4, 4] and row["score"] == pytest.approx(11 / 3)
    assert [(e["name"], e["type"]) for e in row["element_score"]] == [("guitar", "object"), ("red", "color")]
    assert row["element_score"][1]["mean"] == pytest.approx(1 / 3)
    assert row["prompt_meaningless"] == [0, 0, 0] and row["fidelity_label"] == ["hand", "face"]
    assert row["problem"] is None


def test_what_others_write_is_read_too() -> None:
    plain = read([ENTRY])
    text = {key: str(ENTRY[key]) for key in ("total_score", "element_score", "split_confidence")}
    assert read([entry(**text)]).equals(plain)
    assert read([entry(element_score=json.dumps(ENTRY["element_score"]))]).equals(plain)
    assert read([entry(total_score=["3", 4.0, "4"])]).equals(plain)
    renamed = {k: v for k, v in ENTRY.items() if k != "promt_meaningless"} | {"prompt_meaningless": [0, 0, 0]}
    assert read([renamed]).equals(plain)
    assert read(plain.to_pylist()).equals(plain)  # its own rows
    assert read([entry(total_score=3.5)]).to_pylist()[0]["score"] == 3.5  # a mean in place of a list
    assert read([entry(total_score=[3, None, 5])]).to_pylist()[0]["score"] == 4
    test = read([entry(element_score=None)]).to_pylist()[0]
    assert test["element_score"] is None and test["problem"] is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"total_score": [3, 7]}, "total_score: 7 is not from 1 to 5"),
        ({"total_score": ["good"]}, "total_score: 'good' is no number"),
        ({"total_score": [float("nan")]}, "is no number"),
        ({"element_score": [1, 0]}, "element_score: list"),
        ({"element_score": {"cat (animal)": [2]}}, "element 'cat (animal)': 2 is not from 0 to 1"),
        ({"split_confidence": "maybe"}, "split_confidence: 'maybe'"),
        ({"element_score": "__import__('os')"}, "element_score: str"),
    ],
)
def test_faults_stay_in_their_row(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    table = read([ENTRY, entry(img_path="b/1.png", **changes)])
    assert table["problem"][0].as_py() is None
    assert problem in table["problem"][1].as_py()
    assert table["prompt"][1].as_py() == "a red guitar"
    with pytest.raises(InputError, match=r"row 1 \(b/1.png\)"):
        write(table, tmp_path / "out.json")


def test_an_image_listed_twice_keeps_both_rows() -> None:
    assert read([ENTRY, ENTRY])["id"].to_pylist() == ["SD_v1.5/00805.png", "SD_v1.5/00805.png#2"]
    assert read([]).schema == SCHEMA


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    expected = read([ENTRY, entry(img_path="a.png")])
    entries = [ENTRY, entry(img_path="a.png")]
    for text in (
        json.dumps(entries),
        "\ufeff" + json.dumps(entries),
        json.dumps({str(i): e for i, e in enumerate(entries)}),
        "\n".join(map(json.dumps, entries)),
    ):
        file.write_text(text, encoding="utf-8")
        assert read(file).equals(expected)
    assert expected["generator"].to_pylist() == ["SD_v1.5", None]
    write(expected, file)
    assert "promt_meaningless" in json.loads(file.read_text())[0]
    assert json.loads(file.read_text())[0]["total_score"] == [3, 4, 4]
    assert read(str(file)).equals(expected)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        read(tmp_path / "none.json")
    file = tmp_path / "bad.json"
    for content, message in (
        (b"[{]", "is no JSON"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"3", "one int"),
        (b"[3]", "entry 0 is int"),
    ):
        file.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(file)
    with pytest.raises(InputError, match="3 holds no ratings"):
        read(3)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="entry 1 has no img_path; it has prompt"):
        read([ENTRY, {"prompt": "x"}])
    with pytest.raises(SchemaError, match="no column prompt_id"):
        write(read([ENTRY]).drop_columns(["prompt_id"]), file)


WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda t: t.strip() != ""
)
BITS = st.none() | st.lists(st.none() | st.sampled_from([0, 1]), max_size=4)
ENTRIES = st.fixed_dictionaries(
    {
        "prompt_id": WORDS,
        "prompt": WORDS,
        "img_path": WORDS,
        "type": st.sampled_from(["real", "synthetic"]),
        "total_score": st.none() | st.lists(st.integers(1, 5), max_size=6),
        "element_score": st.none() | st.dictionaries(WORDS, BITS, max_size=4),
        "promt_meaningless": BITS,
        "split_confidence": BITS,
        "attribute_confidence": BITS,
        "fidelity_label": st.none() | st.lists(WORDS, max_size=3),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENTRIES, max_size=4))
def test_there_and_back(tmp_path: Path, entries: list[dict[str, Any]]) -> None:
    table = read(entries)
    assert table["problem"].null_count == len(entries)
    assert len(set(table["id"].to_pylist())) == len(entries) or any("#" in e["img_path"] for e in entries)
    file = tmp_path / "there.json"
    write(table, file)
    assert read(file).equals(table)
    assert json.loads(file.read_text(encoding="utf-8")) == entries
