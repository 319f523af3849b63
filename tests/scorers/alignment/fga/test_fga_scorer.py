"""The registered scorer: its promises, its columns, and rows that cannot be scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from curate.errors import InputError
from curate.scorers.alignment import FgaBlip2
from curate.scorers.alignment.fga.scorer import parse_elements
from curate.testing import ArrayView, check_scorer, score_all

pytest.importorskip("torch", reason="extra train not installed")


@pytest.fixture
def view(pictures: list[np.ndarray], tmp_path: Path) -> ArrayView:
    for i, one in enumerate(pictures):
        Image.fromarray(one).save(tmp_path / f"{i}.png")
    (tmp_path / "5.png").write_bytes(b"")
    return ArrayView(
        {
            "id": [f"i{i}" for i in range(6)],
            "image": [str(tmp_path / f"{i}.png") for i in range(6)],
            "text": ["a red car", "two dogs", "!", "a blue car on the street", "a guitar", "a dog"],
            "parts": [["car (object)", "dog"], [], ["car"], None, ["guitar (object)"], ["dog"]],
        }
    )


def test_the_scorer_keeps_the_contract(view: ArrayView, blip2: Path) -> None:
    check_scorer(FgaBlip2(model=str(blip2), device="cpu"), view, tolerance=1e-5)
    check_scorer(FgaBlip2(model=str(blip2), device="cpu", elements="parts"), view, tolerance=1e-5)


def test_columns_say_what_was_found(view: ArrayView, blip2: Path) -> None:
    scorer = FgaBlip2(model=str(blip2), device="cpu", elements="parts", batch_size=2)
    scored = score_all(scorer, view).to_pydict()
    plain = score_all(FgaBlip2(model=str(blip2), device="cpu"), view)
    assert plain.column_names == ["fga_blip2", "fga_blip2_reason"]
    assert plain["fga_blip2"].to_pylist() == pytest.approx(scored["fga_blip2"], abs=1e-5)
    assert [one is None for one in scored["fga_blip2"]] == [False, False, True, False, False, True]
    assert scored["fga_blip2_reason"][2].startswith("empty")
    assert scored["fga_blip2_reason"][5].startswith("empty")
    named = scored["fga_blip2_elements"]
    assert [one["element"] for one in named[0]] == ["car (object)", "dog"]
    lists = [None if cell is None else [one["score"] for one in cell] for cell in named]
    assert lists[0][1] is None and 0 < lists[0][0] < 1
    assert lists[1:4] == [[], None, None] and len(lists[4]) == 1
    assert scored["fga_blip2_element_mean"] == [lists[0][0], None, None, None, lists[4][0], None]
    assert scored["fga_blip2_notes"] == ["'dog' is not in the caption", *[None] * 5]


def test_a_store_keeps_what_was_found(view: ArrayView, blip2: Path, tmp_path: Path) -> None:
    import curate

    store = curate.open(str(tmp_path / "pairs.curate"), create=True)
    table = view.to_arrow(["id", "image", "text", "parts"]).rename_columns(
        ["id", "image", "caption", "parts"]
    )
    pyarrow.parquet.write_table(table.take([0, 1, 3, 4]), tmp_path / "items.parquet")
    store.add(str(tmp_path / "items.parquet"), kind="image-text", id="id")
    store.score("fga-blip2", model=str(blip2), elements="parts", device="cpu")
    kept = store.sql(
        "select id, fga_blip2, fga_blip2_elements from items join fga_blip2 using (id) order by id"
    )
    scored = score_all(FgaBlip2(model=str(blip2), elements="parts", device="cpu"), view).to_pydict()
    for row, i in zip(kept.to_pylist(), (0, 1, 3, 4), strict=True):
        assert row["fga_blip2"] == pytest.approx(scored["fga_blip2"][i], abs=1e-5)
        names = [one["element"] for one in row["fga_blip2_elements"] or ()]
        assert names == [one["element"] for one in scored["fga_blip2_elements"][i] or ()]
    assert kept["fga_blip2_elements"][0].as_py()[1] == {"element": "dog", "score": None}
    assert "dog" in str(store.explain("i0"))


def test_the_elements_that_rules_ask_about_are_scored(blip2: Path, tmp_path: Path) -> None:
    import curate

    rows = []
    for i, caption in enumerate(["a red car on the street", "two dogs"]):
        Image.new("RGB", (40, 30), (200 * i, 20, 20)).save(tmp_path / f"{i}.png")
        rows.append({"id": f"i{i}", "image": str(tmp_path / f"{i}.png"), "caption": caption})
    with curate.open(tmp_path / "asked.curate", create=True) as store:
        store.add(rows, kind="image-text", id="id")
        store.score("elements")
        store.score("fga-blip2", model=str(blip2), elements="elements_questions", device="cpu")
        kept = store.items.to_polars(["id", "fga_blip2_elements"]).sort("id")
    found = kept["fga_blip2_elements"].to_list()[0]
    assert [one["element"] for one in found] == [
        "car (object)",
        "red car (color)",
        "street (location)",
        "car on street (spatial)",
    ]
    assert [one["score"] is None for one in found] == [False, False, False, True]  # "on the street" it says


def test_the_words_that_are_read_are_a_parameter(view: ArrayView, blip2: Path) -> None:
    scored = score_all(FgaBlip2(model=str(blip2), elements="parts", max_words=2), view)
    assert [one["score"] for one in scored["fga_blip2_elements"][0].as_py()] == [None, None]


def test_elements_come_in_several_forms() -> None:
    assert parse_elements(None) is None
    assert parse_elements(["a", "b (object)"]) == ["a", "b (object)"]
    assert parse_elements('["a"]') == ["a"]
    assert parse_elements('{"a (object)": [0, 1], "b": null}') == ["a (object)", "b"]
    assert parse_elements("{'a (object)': [0, 1]}") == ["a (object)"]
    assert parse_elements([("a", 1), ("b", 0)]) == ["a", "b"], "a map of Arrow"
    assert parse_elements({"a": [1], "b": None}) == ["a"], "a struct of Arrow"
    asked = [
        {"question": "Is there a dog?", "type": "animal/human", "element": "dog"},
        {"question": "No dog?", "type": "animal/human", "element": "dog", "answer": "no"},
        {"question": "Why?", "type": "other", "element": None},
        {"element": "red (color)", "type": "color", "mean": 0.5},
        {"element": "car", "type": None},
    ]
    assert parse_elements(asked) == ["dog (animal/human)", "red (color)", "car"], "questions, people's votes"
    for wrong in ("a red car", "12", '"a"', 3, [3], "[1]", "{", "__import__('os')"):
        with pytest.raises(InputError, match="elements: "):
            parse_elements(wrong)


def test_unreadable_elements_leave_the_row_null_with_a_reason(view: ArrayView, blip2: Path) -> None:
    table = view.to_arrow(["id", "image", "text"]).append_column("parts", pa.array(["[]", *["a car"] * 5]))
    scored = FgaBlip2(model=str(blip2), elements="parts").score(table.combine_chunks().to_batches()[0])
    assert scored["fga_blip2"][0].is_valid and scored["fga_blip2"].null_count == 5
    assert scored["fga_blip2_reason"][1].as_py() == "elements: 'a car' is no list of phrases"


@pytest.mark.parametrize(
    ("wrong", "match"), [({"batch_size": 0}, "batch_size 0"), ({"max_words": 0}, "max_words 0")]
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        FgaBlip2(**wrong)
