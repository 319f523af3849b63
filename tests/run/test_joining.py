"""Plain columns joined to items by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.errors import InputError, SchemaError, UnknownNameError


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        opened.add(
            pl.DataFrame({"id": list("abcde"), "text": list("vwxyz"), "label": ["l"] * 5}),
            kind="label",
            part_rows=2,
        )
        yield opened


def test_columns_come_beside_their_items_whatever_the_order(store: Any) -> None:
    record = store.join(
        {"id": ["d", "a"], "stars": [4, 1], "note": ["good", None]},
        name="checked",
        origin={"made_by": "people"},
    )
    rows = store.items.to_polars(["id", "stars", "note", "checked_reason"])
    assert rows["stars"].to_list() == [1, None, None, 4, None]
    assert rows["note"].to_list() == [None, None, None, "good", None]
    assert rows["checked_reason"].null_count() == 2
    assert record.counts == {"rows": 5, "joined": 2, "without_a_row": 3}
    assert store.items.where("stars > 2").to_polars(["id"])["id"].to_list() == ["d"]
    assert store.parts.snapshot().sets["checked"].params["made_by"] == "people"
    told = [d for d in store.explain("d").decisions if d.step == "join checked, made by people"]
    assert told[0].verdict == "joined" and "stars = 4" in told[0].because


def test_explain_tells_the_lists_that_people_read(store: Any) -> None:
    answers = [[{"annotator": "ann", "value": "v"}], [{"annotator": "bob", "value": "w"}]]
    store.join({"id": ["a", "b"], "answers": answers, "delta": [-0.0, 1.0]}, name="asked")
    store.attach([[0.5, 0.25]] * 5, name="v", ids="rows")
    told = store.explain("a")
    assert told.scores == {"answers": answers[0], "delta": 0.0}
    assert "delta = 0\n" in str(told) and "ann" in told.decisions[0].because
    assert "ann" in told._repr_html_()
    assert store.explain("c").decisions[0].verdict == "not joined"


def test_the_same_again_does_nothing_and_another_replaces_it(store: Any) -> None:
    store.join({"id": ["a"], "stars": [1]}, name="checked")
    before = store.parts.snapshot().version
    assert store.join(pl.DataFrame({"id": ["a"], "stars": [1]}), name="checked").reused
    assert store.parts.snapshot().version == before
    store.join({"id": ["b"], "stars": [2]}, name="checked", origin={"round": 2})
    assert store.items.to_polars(["stars"])["stars"].to_list() == [None, 2, None, None, None]
    assert store.at(before).to_polars(["stars"])["stars"].to_list() == [1, None, None, None, None]
    assert not list(store.verify())


def test_ids_of_another_column_and_items_that_were_removed(store: Any) -> None:
    store.add(
        pl.DataFrame({"id": ["a"], "text": ["new"], "label": ["l"]}), kind="label", on_conflict="update"
    )
    store.join({"item": ["a", "e"], "stars": [1, 5]}, name="checked", key="item")
    got = dict(store.items.to_polars(["id", "stars"]).iter_rows())
    assert got == {"a": 1, "b": None, "c": None, "d": None, "e": 5}


def test_what_cannot_be_joined_is_refused(store: Any) -> None:
    with pytest.raises(InputError, match="'z'"):
        store.join({"id": ["a", "z"], "stars": [1, 2]}, name="n")
    with pytest.raises(InputError, match="more than one row"):
        store.join({"id": ["a", "a"], "stars": [1, 2]}, name="n")
    with pytest.raises(InputError, match="row 1"):
        store.join({"id": ["a", None], "stars": [1, 2]}, name="n")
    with pytest.raises(SchemaError, match="'label' already"):
        store.join({"id": ["a"], "label": ["x"]}, name="n")
    with pytest.raises(SchemaError, match="attach"):
        store.join({"id": ["a"], "v": [[1.0, 2.0]]}, name="n")
    with pytest.raises(SchemaError, match="alone"):
        store.join({"id": ["a"]}, name="n")
    with pytest.raises(SchemaError, match="no frame"):
        store.join({"id": ["a"], "x": [1, 2]}, name="n")
    with pytest.raises(UnknownNameError, match="key"):
        store.join({"id": ["a"], "x": [1]}, name="n", key="key")
