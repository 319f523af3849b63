"""Items with several labels, written in every format and read back; what the manifest and the card count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
import yaml
from formats_reading import read

from curate.formats.export import Format, export
from curate.formats.manifest import read_manifest

SETS = [["cat", "a|b, c"], [], ["cat"], ["dog"]]


def batch(
    label: list[str | None] | None = None, sets: list[list[str] | None] | None = None
) -> pa.RecordBatch:
    columns = {"id": ["a", "b", "c", "d"], "text": ["w", "x", "y", "z"]}
    columns |= {"label": pa.array(label, pa.string())} if label else {}
    return pa.record_batch({**columns, "labels": pa.array(sets or SETS, pa.list_(pa.string()))})


@pytest.mark.parametrize("format", get_args(Format))
def test_sets_come_back_from_every_format(tmp_path: Path, format: Format) -> None:
    if format == "datasets":
        pytest.importorskip("datasets", reason="extra hf not installed")
    export([batch()], tmp_path / "out", format=format, kind="label", manifest={"input": "x"})
    rows, rejected = read(tmp_path / "out")
    assert [row["labels"] for row in rows] == SETS and not rejected
    assert "label" not in rows[0]


def test_an_item_counts_for_each_of_its_labels(tmp_path: Path) -> None:
    export([batch()], tmp_path / "out", format="jsonl", kind="label", manifest={"input": "x"})
    counts = read_manifest(tmp_path / "out")["counts"]
    assert counts["classes"] == {"(none)": 1, "a|b, c": 1, "cat": 2, "dog": 1}
    card = (tmp_path / "out" / "README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["task_ids"] == ["multi-label-classification"]
    assert "An item counts for each of its labels." in card
    described = json.loads((tmp_path / "out" / "croissant.json").read_text())["recordSet"][0]["field"]
    assert next(field for field in described if field["name"] == "labels")["isArray"]


def test_one_label_counts_before_several(tmp_path: Path) -> None:
    mixed = batch(["x", None, None, None], [["cat"], None, [], ["cat", "dog"]])
    export([mixed], tmp_path / "out", format="jsonl", kind="label", manifest={"input": "x"})
    counts = read_manifest(tmp_path / "out")["counts"]
    assert counts["classes"] == {"(none)": 2, "cat": 1, "dog": 1, "x": 1}
