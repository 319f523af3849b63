"""Which items are meant, and what receipts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import curate
from curate.annotators.tasks import PullReceipt, PushReceipt
from curate.annotators.tasks.items import chosen_items, rows_of
from curate.errors import CurateError, InputError


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with curate.open(tmp_path / "s.curate", create=True) as opened:
        rows = {"id": list("abcd"), "text": list("wxyz"), "label": ["l"] * 4, "n": [1, 2, 3, 4]}
        opened.add(pl.DataFrame(rows), kind="label", part_rows=2)
        yield opened


def ids(view: Any) -> list[str]:
    return [row["id"] for row in rows_of(view, ["id"])]


def test_all_that_is_said_must_hold(store: Any) -> None:
    assert ids(chosen_items(store)) == list("abcd")
    assert ids(chosen_items(store, ids=["d", "b", "d"])) == ["b", "d"]
    assert ids(chosen_items(store, ids=pl.Series(["d", "b"]), where="n > 2")) == ["d"]
    kept = store.keep("n < 3", name="few")
    assert ids(chosen_items(store, within="few")) == ids(chosen_items(store, within=kept)) == ["a", "b"]
    assert list(rows_of(chosen_items(store, ids=["a"]), ["id", "n"])) == [{"id": "a", "n": 1}]


def test_what_is_not_there_is_said(store: Any) -> None:
    with pytest.raises(InputError, match=r"1 of 2 ids .*'z'"):
        chosen_items(store, ids=["a", "z"])
    with pytest.raises(InputError, match="nothing is left"):
        chosen_items(store, ids=["a"], where="n > 3")
    with pytest.raises(CurateError, match="few"):
        chosen_items(store, within="few")


def test_receipts_are_read_by_name_and_by_key_and_print_what_happened() -> None:
    pushed = PushReceipt(created=1200, present=3, round=2, reasons={"no picture": 2})
    assert pushed.created == pushed["created"] == dict(pushed)["created"] == 1200
    assert str(pushed) == "1,200 created, 3 present; 2 x no picture"
    assert pushed == PushReceipt(created=1200, present=3, round=2, reasons={"no picture": 2})
    many = PushReceipt(created=9, reasons={**{f"{n} is none of these": 1 for n in range(7)}, "no label": 2})
    assert str(many).split("; ")[1:] == [
        "2 x no label",
        *(f"1 x {n} is none of these" for n in range(4)),
        "3 x 3 other reasons",
    ]
    with pytest.raises(KeyError):
        pushed["colour"]
    assert (
        str(PullReceipt()) == "nothing new"
        and str(PushReceipt()) == "nothing to do"
        and len(PullReceipt()) == len(list(PullReceipt()))
    )
