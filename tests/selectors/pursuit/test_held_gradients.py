"""Pursuit over the pieces of a view: the same bytes however many there are, whoever holds them, and whoever dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pursuit_deaths import DiesOnce

import curate
from curate import fitting
from curate.contracts import Selection, View
from curate.errors import InputError, SchemaError
from curate.memory import ArrayView
from curate.selectors.pursuit import gradients as module
from curate.selectors.pursuit.gradients import hold_column
from curate.selectors.pursuit.items import Pursuit

Array = np.ndarray[Any, Any]
WAYS = [
    Pursuit(),
    Pursuit(target="split = 'wanted'", tasks="task"),
    Pursuit(target="split = 'wanted'", rank=3, checkpoints=2, rates=(0.9, 0.1)),
    Pursuit(rank=4, forbidden="label = 'class 1'", mandatory="id = 'i014'"),
    Pursuit(group="label", balance="equal", passes=4),
]


def make_table(n: int = 130, seed: int = 0) -> dict[str, Any]:
    """Items around six centres, the last twelve wanted; some without gradients, ids in another order than rows."""
    rng = np.random.default_rng(seed)
    of = np.concatenate([rng.integers(0, 6, n - 12), np.arange(12) % 2])
    rows = (rng.standard_normal((6, 24))[of] + rng.standard_normal((n, 24))).astype(np.float32)
    rows[40] = rows[3]
    lists: list[Any] = [None if 80 <= i < 91 else row for i, row in enumerate(rows.tolist())]
    lists[5][2] = float("nan")
    return {
        "id": [f"i{(i * 7) % n:03d}" for i in range(n)],
        "split": ["pool"] * (n - 12) + ["wanted"] * 12,
        "task": [f"task {j}" for j in of % 2],
        "label": [f"class {j}" for j in of],
        "gradients": pa.array(lists, pa.list_(pa.float32())),
    }


def select(selector: Any, view: View, budget: Any = 30) -> Selection:
    return selector.select(view, budget, np.random.default_rng(0))


def assert_same(one: Selection, other: Selection) -> None:
    """Byte for byte."""
    for name in ("index", "weight", "gain", "residual", "round", "scale"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert list(one.reason) == list(other.reason) and one.random == other.random


@pytest.mark.parametrize("rows", [65, 44, 17, 10])
@pytest.mark.parametrize("how", WAYS, ids=str)
def test_any_number_of_pieces_chooses_the_same(
    how: Pursuit, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = ArrayView(make_table())
    whole = select(how, view)
    monkeypatch.setattr(fitting, "PIECE_ROWS", rows)  # of ten rows one has no gradients at all
    with hold_column(view, "gradients") as (held, hidden):
        assert len(held.firsts) == -(-130 // rows) and np.flatnonzero(hidden).tolist() == [5, *range(80, 91)]
    assert_same(select(how, view), whole)
    assert len(whole) == 30 and not hidden[whole.index].any()


def test_pieces_by_their_width(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    view = ArrayView({"x": np.arange(4000)}, {"gradients": rng.standard_normal((4000, 8)).astype(np.float16)})
    whole = select(Pursuit(), view, 20)
    monkeypatch.setattr(fitting, "PIECE_NUMBERS", 1)
    with hold_column(view, "gradients") as (held, _):
        assert list(held.firsts) == [0, 1024, 2048, 3072]
    assert_same(select(Pursuit(), view, 20), whole)


def test_pieces_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "PIECE_ROWS", 2)
    with pytest.raises(SchemaError, match="one length is meant"):
        select(Pursuit(), ArrayView({"gradients": [[1.0, 2], [1.0, 3], [1.0], None]}), 1)
    with pytest.raises(InputError, match="none of 3 items has finite"):
        select(Pursuit(), ArrayView({"gradients": pa.nulls(3, pa.list_(pa.float32()))}), 1)


@pytest.mark.slow
def test_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="extra ray not installed")
    from curate.run.ray_runner import RayRunner

    table = pa.table(make_table())
    images = pa.array([f"https://a.org/{i}.jpg" for i in range(len(table))])
    table = table.append_column("image", images).append_column("caption", table["id"])
    monkeypatch.setattr(fitting, "PIECE_ROWS", 20)
    monkeypatch.setenv("CURATE_TEST_MARK", str(tmp_path / "mark"))
    runner = RayRunner(None, 2)
    try:
        with curate.open(tmp_path / "s.curate", create=True) as store:
            store.add(table, kind="image-text", check="none", part_rows=10)
            ways = WAYS[1:4]
            here = [select(how, store.items) for how in ways]
            for how, alone in zip(ways, here, strict=True):
                assert_same(select(how, store.items.worked_by(runner)), alone)
            monkeypatch.setattr(module, "PieceShard", DiesOnce)
            assert_same(select(ways[1], store.items.worked_by(runner)), here[1])
            assert (tmp_path / "mark").exists()
    finally:
        runner.close()
