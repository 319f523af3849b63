"""What an export says about itself: manifest, card, and the check of both against the files."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import score
from curate.errors import InputError
from curate.formats.card import escape
from curate.formats.export import export
from curate.formats.manifest import check_export, read_manifest

STEPS = [
    {
        "kind": "import",
        "name": "photos/",
        "before": 0,
        "after": 5,
        "reasons": {"truncated": 2},
        "seconds": 3.0,
    },
    {
        "kind": "keep",
        "title": "keep",
        "expression": "clip_score > 0.2 | x",
        "before": 5,
        "after": 4,
        "reasons": {"clip_score > 0.2": 1},
    },
    {
        "kind": "select",
        "name": "top",
        "title": "top",
        "params": {"budget": 0.5, "by": None},
        "before": 4,
        "after": 4,  # a select leaves the current set as it is
        "counts": {"kept": 2, "dropped": 2},
    },
]
GIVEN: dict[str, Any] = {
    "input": "d1",
    "recipe": {"steps": [{"import": "photos/"}]},
    "recipe_digest": "r1",
    "steps": STEPS,
    "store_version": 12,
    "seed": 7,
    "selection": {"name": "core", "budget": 0.5, "memory": 99},
    "counts": {"items": 5, "dropped": {"clip_score > 0.2": 1}},
}


def write(out: Path, manifest: dict[str, Any] | None = None, **options: Any) -> Any:
    rows = pa.table(
        {
            "id": ["a", "b", "c"],
            "text": ["x", "y", "z"],
            "label": ["cat", "dog", "cat"],
            "s": [1.0, 2.0, 3.0],
        },
        pa.schema([("id", pa.string()), ("text", pa.string()), ("label", pa.string()), score("s")]),
    )
    options = {
        "format": "parquet",
        "kind": "label",
        "manifest": GIVEN if manifest is None else manifest,
        **options,
    }
    return export(rows.to_batches(), out, **options)


def test_manifest_says_what_it_is_and_how_it_came_about(tmp_path: Path) -> None:
    result = write(tmp_path / "out")
    found = read_manifest(tmp_path / "out")
    assert found == read_manifest(tmp_path / "out" / "manifest.json")
    assert found["digest"] == result.digest and len(result.digest) == 32
    expected = {"manifest_version": 1, "format": "parquet", "kind": "label", "media": "reference", "seed": 7}
    assert {key: found[key] for key in expected} == expected
    assert found["recipe"] == {"steps": [{"import": "photos/"}]} and found["store_version"] == 12
    assert found["selection"] == {"name": "core", "budget": 0.5}
    assert found["counts"] == {
        "items": 5,
        "dropped": {"clip_score > 0.2": 1},
        "rows": 3,
        "failed": 0,
        "classes": {"cat": 2, "dog": 1},
    }
    assert found["columns"][0] == {"name": "id", "type": "string", "role": "detail"}
    assert found["columns"][3] == {"name": "s", "type": "float", "role": "score"}
    assert set(found["versions"]) >= {"curate", "python", "pyarrow", "polars", "duckdb"}
    assert [f["path"] for f in found["files"]] == ["README.md", "croissant.json", "data/train-00000.parquet"]
    assert (result.files, result.bytes) == (3, sum(f["bytes"] for f in found["files"]))


def test_manifest_holds_nothing_that_differs_between_two_runs(tmp_path: Path) -> None:
    write(tmp_path / "out")
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert "seconds" not in text and "memory" not in text and str(tmp_path) not in text
    slower = {**GIVEN, "steps": [{**step, "seconds": 99.0, "reused": True} for step in STEPS]}
    write(tmp_path / "again", slower)
    assert (tmp_path / "again" / "manifest.json").read_text() == text


def test_numbers_that_json_cannot_hold_become_null(tmp_path: Path) -> None:
    import numpy as np

    write(
        tmp_path / "out",
        {"input": "d", "stats": {"x": float("nan"), "y": np.float32(0.5), "z": {3, 1}, "p": Path("a")}},
    )
    assert read_manifest(tmp_path / "out")["stats"] == {"x": None, "y": 0.5, "z": [1, 3], "p": "a"}


def test_check_names_everything_that_is_not_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "out")
    out = tmp_path / "out"
    assert check_export(out) == []
    (out / "extra.txt").write_text("x")
    (out / ".DS_Store").write_text("x")
    (out / "croissant.json").unlink()
    (out / "README.md").write_text("short")
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["seed"] = 8
    (out / "manifest.json").write_text(json.dumps(manifest))
    problems = check_export(out)
    assert problems[0] == "manifest.json: its own checksum does not match: it was edited or damaged"
    assert re.fullmatch(r"README\.md: 5 bytes, the manifest says [\d,]+", problems[1])
    assert problems[2:] == ["croissant.json: missing", "extra.txt: not in the manifest"]


def test_one_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    write(tmp_path / "out")
    data = tmp_path / "out" / "data" / "train-00000.parquet"
    good = data.read_bytes()
    for place in range(0, len(good), 97):
        data.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        assert len(check_export(tmp_path / "out")) == 1
    data.write_bytes(good)
    assert check_export(tmp_path / "out") == []


def test_a_manifest_cannot_point_outside(tmp_path: Path) -> None:
    write(tmp_path / "out")
    (tmp_path / "secret").write_text("x")
    file = tmp_path / "out" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["files"] = [
        {"path": path, "bytes": 1, "blake3": ""} for path in ("../secret", "/etc/passwd", "")
    ]
    file.write_text(json.dumps(manifest))
    problems = check_export(tmp_path / "out")
    assert [p for p in problems if "points outside" in p] == [
        "'../secret': the manifest points outside of the export",
        "'/etc/passwd': the manifest points outside of the export",
        "'': the manifest points outside of the export",
    ]


def test_what_is_not_a_manifest_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_manifest(tmp_path)
    file = tmp_path / "manifest.json"
    for content, message in (
        ("{", "cannot be read as a manifest"),
        ("[]", "not a manifest of curate"),
        ('{"manifest_version": 1}', "no list of files"),
        ('{"manifest_version": 99, "files": []}', "has version 99; this curate reads up to 1: update curate"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=message):
            read_manifest(tmp_path)


def front_matter(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def test_card_has_the_front_matter_that_hugging_face_reads(tmp_path: Path) -> None:
    write(tmp_path / "out", {**GIVEN, "license": "cc0-1.0", "title": "Cats: and dogs"})
    front = front_matter((tmp_path / "out" / "README.md").read_text())
    assert front == {
        "pretty_name": "Cats: and dogs",
        "license": "cc0-1.0",
        "size_categories": ["n<1K"],
        "task_categories": ["text-classification"],
        "tags": ["curate", "label"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
        ],
    }


def test_card_tells_the_funnel(tmp_path: Path) -> None:
    write(tmp_path / "out")
    card = html.unescape((tmp_path / "out" / "README.md").read_text())
    assert "3 items of kind `label`, the selection <code>core</code>, as Parquet." in card
    assert "| keep | <code>clip_score > 0.2 | x</code> | 5 | 4 |" in card
    assert "| select top | top <code>budget=0.5</code> | 4 | 2 |" in card
    assert "- photos/: truncated: 2" in card and "- keep: clip_score > 0.2: 1" in card
    assert "| classes: cat | 2 |" in card and "| s | " not in card
    assert "| <code>s</code> | <code>float</code> | score, higher = keep |" in card
    assert "No licence was given" in card and "Seed: <code>7</code>." in card


ATTACKS = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://evil/x.png)",
    "| a | b |\n|---|---|",
    "# heading",
    "- list",
    "1. list",
    "```\ncode",
    "`tick` **bold** _it_ ~~s~~",
    "<!-- comment",
    "https://evil.example www.evil.example me@evil.example",
    "---\nlicense: mit",
    "\u202ereversed",
    "$x^2$",
    "&lt;b&gt;",
    "</code><b>x",
]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_nothing_from_data_or_recipe_becomes_markup(tmp_path: Path) -> None:
    for number, attack in enumerate(ATTACKS):
        steps = [
            {
                "kind": attack,
                "name": attack,
                "title": attack,
                "params": {attack: attack},
                "reasons": {attack: 1},
            }
        ]
        given_ = {
            "input": "d",
            "title": attack,
            "description": attack,
            "steps": steps,
            "counts": {attack: {attack: 1}},
        }
        rows = pa.table({"id": [attack], "text": [attack], "label": [attack], attack: [1]})
        export(rows.to_batches(), tmp_path / f"{number}", format="parquet", kind="label", manifest=given_)
        card = (tmp_path / f"{number}" / "README.md").read_text()
        assert (
            front_matter(card)["license"] == "unknown"
            and front_matter(card)["pretty_name"] == re.sub("[\n\u202e]", " ", attack).strip()
        )
        body = card.split("---\n", 2)[2]
        parser = _Tags()
        parser.feed(body)
        assert parser.tags <= {"code"}
        assert "](" not in body and "://" not in body and "www." not in body
        assert [line for line in body.splitlines() if line.startswith("#")][1:] == [
            "## How it was curated",
            "## Columns",
            "## Counts",
            "## Known limits",
            "## How to load it",
        ]
        assert body.count("```") == 2


@given(st.text(max_size=80))
def test_escaped_text_shows_as_the_text(text: str) -> None:
    shown = escape(text)
    assert "\n" not in shown and not re.search(r"[<>`*\[\]|\\]", shown)
    control = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
    plain = re.sub(control, " ", text).strip()
    assert re.sub(r"&#(\d+);", lambda m: chr(int(m[1])), shown) == plain


def test_long_texts_are_cut() -> None:
    assert escape("x" * 1_000_000) == "x" * 300 + "…"
