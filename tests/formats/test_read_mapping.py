"""Columns: explicit when names differ, suggested when they are near, refused when they clash."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest

from curate.errors import InputError, SchemaError, UnknownNameError
from curate.formats import open_source


def read(source: Any, kind: str, **options: Any) -> list[dict[str, Any]]:
    rows = [
        row for batch in open_source(source, kind, **options).batches() for row in batch.table.to_pylist()
    ]
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]


LAION = {"URL": ["https://a.org/1.jpg"], "TEXT": ["a cat"], "WIDTH": [5]}


def test_near_names_are_suggested_with_the_argument_to_pass_and_not_applied() -> None:
    with pytest.raises(SchemaError) as error:
        open_source(LAION, "image-text")
    message = str(error.value)
    assert 'columns={"image": "URL", "caption": "TEXT"}' in message
    assert "URL, TEXT, WIDTH" in message
    assert read(LAION, "image-text", columns={"image": "URL", "caption": "TEXT"}) == [
        {"id": None, "image": "https://a.org/1.jpg", "caption": "a cat", "WIDTH": 5}
    ]


@pytest.mark.parametrize(
    ("kind", "names", "suggestion"),
    [
        ("image-text", ["Image", "CAPTION"], '{"image": "Image", "caption": "CAPTION"}'),
        ("image-text", ["image", "captions"], '{"caption": "captions"}'),
        ("instruction", ["question", "answer"], '{"instruction": "question", "output": "answer"}'),
        ("label", ["sentence", "y"], '{"label": "y", "text": "sentence"}'),
        ("label", ["label", "file_name"], '{"image": "file_name"}'),
        ("preference", ["win", "lose"], '{"chosen": "win", "rejected": "lose"}'),
        ("speech", ["path", "sentence"], '{"audio": "path"}'),
    ],
)
def test_what_is_suggested(kind: str, names: list[str], suggestion: str) -> None:
    with pytest.raises(SchemaError) as error:
        open_source({name: ["x"] for name in names}, kind)
    assert f"columns={suggestion}" in str(error.value)


def test_what_is_given_stays_in_the_suggestion() -> None:
    with pytest.raises(SchemaError) as error:
        open_source(LAION, "image-text", columns={"image": "URL"})
    assert 'columns={"image": "URL", "caption": "TEXT"}' in str(error.value)


def test_nothing_near_says_how_to_say_it() -> None:
    with pytest.raises(
        SchemaError, match=re.escape('columns={"chosen": "<its name in the source>", "rejected": ')
    ):
        open_source({"a": ["x"], "b": ["y"]}, "preference")


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'TEXT'"):
        open_source(LAION, "image-text", columns={"image": "URL", "caption": "TEXTS"})
    with pytest.raises(UnknownNameError, match="uuid"):
        open_source({"text": ["x"], "label": ["y"]}, "label", id="uuid")


def test_ids_come_from_id_or_from_the_column_that_is_named() -> None:
    table = {"id": [7], "key": ["k"], "text": ["x"], "label": ["y"]}
    assert read(table, "label")[0]["id"] == "7"
    renamed = read(table, "label", id="key", columns={"source_id": "id"})[0]
    assert renamed == {"id": "k", "text": "x", "label": "y", "source_id": 7}
    assert read(table, "label", columns={"id": "key", "old": "id"})[0]["id"] == "k"
    with pytest.raises(SchemaError, match=re.escape('columns={"source_id": "id"}')):
        open_source(table, "label", id="key")


def test_one_column_may_be_id_and_more() -> None:
    assert read(
        {"path": ["a.jpg"], "label": ["y"]}, "label", id="path", columns={"image": "path"}, root="/r"
    ) == [{"id": "a.jpg", "image": "/r/a.jpg", "label": "y"}]


@pytest.mark.parametrize(
    "name",
    [
        "seq",
        "rank",
        "weight",
        "gain",
        "reason",
        "Rank",
        "image_sha256",
        "image_width",
        "audio_rate",
        "image_data",
    ],
)
def test_names_of_the_store_are_refused_with_the_way_out(name: str) -> None:
    table = {"text": ["x"], "label": ["y"], name: [1]}
    with pytest.raises(SchemaError) as error:
        open_source(table, "label")
    assert f'columns={{"source_{name}": "{name}"}}' in str(error.value)
    assert read(table, "label", columns={f"source_{name}": name})[0][f"source_{name}"] == 1


def test_names_with_an_underscore_in_front() -> None:
    table = {"text": ["x"], "label": ["y"], "_hash": [1]}
    with pytest.raises(SchemaError, match=re.escape('columns={"hash": "_hash"}')):
        open_source(table, "label")
    assert read(table, "label", columns={"hash": "_hash"})[0]["hash"] == 1


def test_names_that_differ_in_case_only() -> None:
    table = {"text": ["x"], "label": ["y"], "Score": [1], "score": [2]}
    with pytest.raises(SchemaError, match="differ in case only"):
        open_source(table, "label")
    assert read(table, "label", columns={"other": "Score"})[0]["other"] == 1
    with pytest.raises(SchemaError, match="differ in case only"):
        open_source({"text": ["x"], "label": ["y"], "LABEL": ["z"]}, "label")


def test_renaming_onto_a_name_that_is_taken() -> None:
    table = {"caption": ["own"], "TEXT": ["other"], "image": ["/a.jpg"]}
    with pytest.raises(SchemaError) as error:
        open_source(table, "image-text", columns={"caption": "TEXT"})
    assert '"source_caption": "caption"' in str(error.value)
    row = read(table, "image-text", columns={"caption": "TEXT", "old": "caption"})[0]
    assert (row["caption"], row["old"]) == ("other", "own")


def test_sql_keywords_spaces_and_emoji_are_names_like_others() -> None:
    table = {
        "text": ["x"],
        "label": ["y"],
        "select": [1],
        "from": [2],
        "a b": [3],
        'quote"d': [4],
        "🦀": [5],
        "ünï": [6],
    }
    row = read(table, "label")[0]
    assert [row[n] for n in ("select", "from", "a b", 'quote"d', "🦀", "ünï")] == [1, 2, 3, 4, 5, 6]


def test_pandas_index_columns_are_left_out() -> None:
    assert (
        "__index_level_0__" not in read({"text": ["x"], "label": ["y"], "__index_level_0__": [0]}, "label")[0]
    )


def test_the_mapping_is_told() -> None:
    source = open_source(LAION, "image-text", columns={"image": "URL", "caption": "TEXT"})
    assert source.mapping == {"image": "URL", "caption": "TEXT", "WIDTH": "WIDTH"}


def test_unknown_kinds_formats_and_sources() -> None:
    with pytest.raises(UnknownNameError, match="image-text"):
        open_source(LAION, "image_text")
    with pytest.raises(UnknownNameError, match="parquet"):
        open_source("x", "label", format="parkett")
    with pytest.raises(InputError, match=r"builtins\.int"):
        open_source(5, "label")
    with pytest.raises(InputError, match="texts="):
        open_source(LAION, "image-text", texts="x.csv")
    with pytest.raises(InputError, match="at least 1"):
        next(open_source(pa.table({"text": ["x"], "label": ["y"]}), "label").batches(0))


def test_a_column_given_to_a_name_that_the_kind_has_not_is_suggested_for_the_one_it_needs() -> None:
    table = {"file_name": ["a.jpg"], "caption": ["a dog"]}
    with pytest.raises(SchemaError) as error:
        open_source(table, "image-text", columns={"image": "file_name", "text": "caption"})
    assert 'Did you mean columns={"image": "file_name", "caption": "caption"}?' in str(error.value)
    with pytest.raises(SchemaError) as error:
        open_source(table | {"site": ["x"]}, "image-text", columns={"place": "site"})
    assert '"place": "site"' in str(error.value)  # names of one's own stay


def test_what_nothing_is_near_to_is_left_to_fill_in_beside_what_is_suggested() -> None:
    with pytest.raises(SchemaError) as error:
        open_source({"path": ["a.jpg"], "noisy": ["cat"]}, "label")
    blank = '"label": "<its name in the source>"'
    assert f'columns={{"image": "path", {blank}}}?' in str(error.value)
    with pytest.raises(SchemaError) as error:
        open_source({"where": ["a.jpg"], "noisy": ["cat"]}, "label")
    assert f'columns={{{blank}, "image": "<its name in the source>"}}' in str(error.value)
