"""Deduplication by hash, then by value: the same rows as one GROUP BY, in however many bins and files it is done."""

from __future__ import annotations

import datetime
import decimal
import errno
import math
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from store_examples import add, captions, ids, new_store

from curate.errors import StoreError
from curate.store import PartStore, bins, survivors

VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "text": (pa.string(), ["", "a", "A", "a ", "ä", None]),
    "double": (pa.float64(), [0.0, -0.0, 1.5, math.nan, -math.nan, math.inf, None]),
    "single": (pa.float32(), [0.0, -0.0, 1.5, math.nan, None]),
    "whole": (pa.int64(), [-(2**63), -1, 0, 1, 2**63 - 1, None]),
    "truth": (pa.bool_(), [True, False, None]),
    "bytes": (pa.binary(), [b"", b"\0", b"\0\0", b"a", None]),
    "fixed": (pa.binary(2), [b"ab", b"\0\0", None]),
    "amount": (pa.decimal128(20, 2), [decimal.Decimal("1.50"), decimal.Decimal("-1.50"), None]),
    "day": (pa.date32(), [datetime.date(2024, 2, 29), datetime.date(1969, 12, 31), None]),
    "moment": (pa.timestamp("us", "UTC"), [0, 1, -1, None]),
}


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    """Three parts of 60 rows with every type of column; ids in no order."""
    store, rng = new_store(tmp_path), np.random.default_rng(3)
    numbers = rng.permutation(180)
    for first in (0, 60, 120):
        columns = {
            name: pa.array([values[i] for i in rng.integers(0, len(values), 60)], type_)
            for name, (type_, values) in VALUES.items()
        }
        texts = [f"{i:04d}" for i in numbers[first : first + 60]]
        add(store, captions([f"caption {i % 7}" for i in rng.integers(0, 50, 60)], texts, **columns))
    return store


@pytest.fixture(params=["as it is", "by hash", "many bins in files", "no hash tells", "many pieces"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "as it is":
        monkeypatch.setattr(survivors, "_repeats", lambda query, columns: False)
    if request.param == "many bins in files":
        monkeypatch.setattr(bins, "BIN_ROWS", 10)
        monkeypatch.setattr(survivors, "BIN_ROWS", 0)
        monkeypatch.setattr(bins, "_HELD", 100)
    elif request.param == "no hash tells":
        monkeypatch.setattr(survivors, "_hashes", lambda column: np.zeros(len(column), np.uint64))
        monkeypatch.setattr(survivors, "BIN_ROWS", 0)
    elif request.param == "many pieces":
        monkeypatch.setattr("curate.store.query.PIECE", 60)


@pytest.mark.usefixtures("way")
def test_the_same_rows_as_one_group_by(store: PartStore) -> None:
    view = store.view().where("id >= '0020'")
    for names in (*([name] for name in VALUES), ["double", "text"], ["caption", "day", "truth"]):
        kept = view.sql(f"select min(id) as id from view group by {', '.join(names)}", ["id", *names])
        assert sorted(ids(view.distinct(names))) == sorted(kept.column("id").to_pylist()), names


@pytest.mark.usefixtures("way")
def test_the_same_rows_as_one_window(store: PartStore) -> None:
    view = store.view()
    order = "isnan(double) or double is null, double desc, id"
    kept = view.sql(
        f"select id from view qualify row_number() over (partition by text, day order by {order}) = 1",
        ["id", "text", "day", "double"],
    )
    assert sorted(ids(view.distinct(["text", "day"], prefer="double"))) == sorted(
        kept.column("id").to_pylist()
    )


def test_a_full_disk_is_said_and_nothing_is_left(store: PartStore, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(SpooledTemporaryFile):  # type: ignore[type-arg]
        def rollover(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    before = ids(store.view().distinct("text"))
    with monkeypatch.context() as patch:
        patch.setattr(survivors, "_repeats", lambda query, columns: False)
        patch.setattr(bins, "SpooledTemporaryFile", Full)
        patch.setattr(bins, "_HELD", 100)
        with pytest.raises(StoreError, match=r"cannot set rows aside in .*: No space left on device"):
            store.view().distinct("text").ids()
    assert ids(store.view().distinct("text")) == before
    assert not list((store.path / "tmp").iterdir())
