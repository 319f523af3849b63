"""k-center over the pieces of a view: the same bytes however many there are, and on a cluster."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.contracts import Selection, View
from curate.errors import InputError, SchemaError
from curate.memory import ArrayView
from curate.selectors.coreset import k_center
from curate.selectors.coreset.items import KCenter
from curate.selectors.coreset.pieces import HeldCloud, PiecePoints, finite

pytest.importorskip("numba")

WAYS = [
    KCenter(embedding="v"),
    KCenter(embedding="v", cost="price", group="label", balance="equal"),
    KCenter(embedding="v", mandatory="id = 'i014'", forbidden="label = 'class 1'"),
]


def make_table(n: int = 130) -> dict[str, Any]:
    """Copies among them, some without a vector, ids in another order than rows."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, 6)).astype(np.float32)
    rows[60:70] = rows[3]
    lists: list[Any] = [None if 80 <= i < 91 else row for i, row in enumerate(rows.tolist())]
    lists[5][2] = float("nan")
    return {
        "id": [f"i{(i * 7) % n:03d}" for i in range(n)],
        "price": rng.uniform(1, 2, n),
        "label": [f"class {i % 3}" for i in range(n)],
        "v": pa.array(lists, pa.list_(pa.float32())),
    }


def select(selector: Any, view: View, budget: Any = 30) -> Selection:
    chosen: Selection = selector.select(view, budget, np.random.default_rng(0))
    return chosen


def assert_same(one: Selection, other: Selection) -> None:
    assert one.index.tolist() == other.index.tolist()
    assert one.gain is not None and other.gain is not None
    assert one.gain.tobytes() == other.gain.tobytes() and one.random == other.random


class Cut(ArrayView):
    """A view in pieces of so many rows."""

    rows = 10

    def resident(self, make: Any, rows: int | None = None) -> Any:
        return super().resident(make, self.rows)


@pytest.mark.parametrize("rows", [65, 44, 10])
@pytest.mark.parametrize("how", WAYS, ids=str)
def test_any_number_of_pieces_chooses_the_same(
    how: KCenter, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cut, "rows", rows)
    view = Cut(make_table())
    with view.resident(partial(PiecePoints, column="v")) as held:
        assert len(held.firsts) == -(-130 // rows)
        assert np.flatnonzero(~finite(held, 130)).tolist() == [5, *range(80, 91)]
    assert_same(select(how, view), select(how, ArrayView(make_table())))


def test_it_is_the_function() -> None:
    rows = np.random.default_rng(1).standard_normal((40, 3))
    chosen = select(KCenter(embedding="v"), Cut({"id": [f"{i:03d}" for i in range(40)]}, {"v": rows}), 8)
    assert_same(chosen, k_center(rows, 8, rng=np.random.default_rng(chosen.seed)))


def test_rows_come_back_in_the_order_asked_for() -> None:
    view = Cut({"id": [str(i) for i in range(40)]}, {"v": np.arange(80.0).reshape(40, 2)})
    with view.resident(partial(PiecePoints, column="v")) as held:
        cloud = HeldCloud(held, np.arange(40)[::-1], 2)
        assert cloud.take(np.array([0, 25, 1, 39, 12]))[:, 0].tolist() == [78, 28, 76, 0, 54]
        assert cloud.take(np.arange(0)).shape == (0, 2)
        far = cloud.nearest(np.array([[0.0, 1], [78, 79]], np.float32))
        assert (
            far[[0, 1, 39]].tolist() == [0, 8, 0]
            and np.isinf(cloud.nearest(np.empty((0, 2), np.float32))).all()
        )


def test_pieces_that_cannot_be() -> None:
    with pytest.raises(SchemaError, match="one length is meant"):
        select(KCenter(embedding="v"), Cut({"v": [[1.0]] * 10 + [[1.0, 2]] * 10}), 1)
    with pytest.raises(InputError, match="none of 30 items has a finite 'v'"):
        select(KCenter(embedding="v"), Cut({"v": pa.nulls(30, pa.list_(pa.float32()))}), 1)


@pytest.mark.slow
def test_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="extra ray not installed")
    from curate.run.ray_runner import RayRunner
    from curate.store import StoreView

    table = pa.table(make_table())
    images = pa.array([f"https://a.org/{i}.jpg" for i in range(len(table))])
    table = table.append_column("image", images).append_column("caption", table["id"])
    whole = StoreView.resident
    monkeypatch.setattr(StoreView, "resident", lambda view, make, rows=None: whole(view, make, 20))
    runner = RayRunner(None, 2)
    try:
        with curate.open(tmp_path / "s.curate", create=True) as store:
            store.add(table, kind="image-text", check="none", part_rows=10)
            for how in WAYS:
                assert_same(select(how, store.items.worked_by(runner)), select(how, store.items))
    finally:
        runner.close()
