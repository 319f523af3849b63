"""Choosing by vectors that stay with the pieces of a view: the same bytes however many there are, and on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import coreset_deaths as deaths
import numpy as np
import pyarrow as pa
import pytest

import curate
from curate.contracts import Selection, View
from curate.errors import InputError, SchemaError
from curate.memory import ArrayView
from curate.selectors import coreset
from curate.selectors.coreset import clustered, middle, neighbours, rounds
from curate.selectors.coreset.items import (
    Craig,
    FacilityLocation,
    GradMatch,
    GraphCut,
    Herding,
    KCenter,
    Moderate,
    Prototypes,
    SemDeDup,
)
from curate.selectors.coreset.pieces import HeldCloud, PiecePoints
from curate.selectors.coreset.scored import D2, Query
from curate.store import pieces
from curate.vectors import sources

pytest.importorskip("numba")

BOUND: dict[str, Any] = {"cost": "price", "mandatory": "id = 'i014'", "forbidden": "label = 'class 1'"}
ROUNDS = [
    Herding(embedding="v"),
    Herding(embedding="v", **BOUND),
    GraphCut(embedding="v"),
    GraphCut(embedding="v", redundancy=0.5, **BOUND),
    GradMatch(embedding="v"),
    GradMatch(embedding="v", ridge=0.1, **BOUND),
    Herding(embedding="v", group="label"),
]
SEARCHES = [
    FacilityLocation(embedding="v", neighbours=9, reweight=True),
    FacilityLocation(embedding="v", neighbours=9, similarity="euclidean", **BOUND),
    Craig(embedding="v", neighbours=9),
    Craig(embedding="v", group="label", balance="equal"),
    D2(embedding="v", by="price", neighbours=3),
    Query(embedding="v", by="price", known="label = 'class 1'", neighbours=9, mandatory="id = 'i014'"),
    Prototypes(embedding="v", clusters=7, reweight=True),
    Prototypes(embedding="v", clusters=7, sample=0),
    SemDeDup(embedding="v", clusters=5),
    Moderate(embedding="v"),
    Moderate(embedding="v", group="label"),
    FacilityLocation(embedding="v", method="exact"),
]
CENTRES = [
    KCenter(embedding="v"),
    KCenter(embedding="v", cost="price", group="label", balance="equal"),
    KCenter(embedding="v", mandatory="id = 'i014'", forbidden="label = 'class 1'"),
]
WAYS = [*CENTRES, *ROUNDS, *SEARCHES]


def make_table(n: int = 130) -> dict[str, Any]:
    """Copies among them, some without a vector, ids in another order than rows."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((n, 6)).astype(np.float32) + 0.3
    rows[60:70] = rows[3]
    lists: list[Any] = [None if 80 <= i < 91 else row for i, row in enumerate(rows.tolist())]
    lists[5][2] = float("nan")
    return {
        "id": [f"i{(i * 7) % n:03d}" for i in range(n)],
        "price": rng.uniform(1, 2, n),
        "label": [f"class {i % 3}" for i in range(n)],
        "v": pa.array(lists, pa.list_(pa.float32())),
    }


def select(selector: Any, view: View, budget: Any = 20) -> Selection:
    chosen: Selection = selector.select(view, budget, np.random.default_rng(0))
    return chosen


def assert_same(one: Selection, other: Selection) -> None:
    """Byte for byte."""
    for name in ("index", "gain", "weight"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert one.random == other.random


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few rows are many blocks, clusters and tasks."""
    monkeypatch.setattr(sources, "BLOCK", 32)
    monkeypatch.setattr(neighbours, "_EXACT", 20)
    monkeypatch.setattr(neighbours, "_TASK", 300)
    monkeypatch.setattr(clustered, "_TASK", 300)


class Cut(ArrayView):
    """A view in pieces of so many rows."""

    rows = 10

    def _pieces(self, rows: int | None) -> Any:
        return super()._pieces(self.rows)


@pytest.mark.parametrize("how", WAYS, ids=str)
def test_many_pieces_choose_the_same(how: Any) -> None:
    whole = select(how, ArrayView(make_table()))
    view = Cut(make_table())
    assert len(list(view.spread(lambda piece, first: first))) == 13
    assert np.flatnonzero(~sources.survey(view, "v")).tolist() == [5, *range(80, 91)]
    assert_same(select(how, view), whole)


@pytest.mark.parametrize(
    "selector", [KCenter, Herding, GraphCut, GradMatch, FacilityLocation, Prototypes], ids=str
)
def test_it_is_the_function(selector: Any) -> None:
    rows = np.random.default_rng(1).standard_normal((40, 3)) + 0.2
    chosen = select(selector(embedding="v"), Cut({"id": [f"{i:03d}" for i in range(40)]}, {"v": rows}), 8)
    function = getattr(coreset, selector.name.replace("-", "_"))
    assert_same(chosen, function(rows, 8, rng=np.random.default_rng(chosen.seed)))


def test_rows_come_back_in_the_order_asked_for() -> None:
    view = Cut({"id": [str(i) for i in range(40)]}, {"v": np.arange(80.0).reshape(40, 2)})
    with view.resident(partial(PiecePoints, column="v", mean=np.zeros(2, np.float32))) as held:
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
    with pytest.raises(InputError, match="1 row of 'v' is too long, as row 13: leave them out"):
        select(
            KCenter(embedding="v"),
            Cut({"x": range(30)}, {"v": np.where(np.arange(30) == 13, 1e18, 1)[:, None]}),
            1,
        )


@pytest.mark.parametrize("rows", [44])
@pytest.mark.parametrize("last", [129, 130])
def test_a_median_that_nobody_sees_whole(last: int, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {name: values[:last] for name, values in make_table().items()}
    whole = select(Moderate(embedding="v"), ArrayView(table))
    monkeypatch.setattr(middle, "_WHOLE", 0)
    monkeypatch.setattr(Cut, "rows", rows)
    monkeypatch.setattr(np, "median", None)
    assert_same(select(Moderate(embedding="v"), Cut(table)), whole)


@pytest.mark.parametrize("how", [*ROUNDS[:3], *SEARCHES[:2]], ids=str)
def test_the_order_of_import_changes_no_byte(how: Any) -> None:
    view = ArrayView(make_table())
    order = np.random.default_rng(1).permutation(130)
    one, other = select(how, view), select(how, view.rearranged(order))
    assert one.index.tolist() == order[other.index].tolist()
    assert one.gain.tobytes() == other.gain.tobytes() and one.random == other.random  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[curate.Store]:
    """The items in parts of ten, in pieces of twenty: `v` are vectors, `lists` the same as lists that came with the items."""
    vectors = np.array(
        [[np.nan] * 6 if row is None else row for row in make_table()["v"].to_pylist()], np.float32
    )
    table = pa.table(make_table()).rename_columns(["id", "price", "label", "lists"])
    images = pa.array([f"https://a.org/{i}.jpg" for i in range(len(table))])
    table = table.append_column("image", images).append_column("caption", table["id"])
    whole = pieces.cut
    with (
        pytest.MonkeyPatch.context() as patch,
        curate.open(tmp_path_factory.mktemp("coreset") / "s.curate", create=True) as opened,
    ):
        patch.setattr(pieces, "cut", lambda view, known, rows=None: whole(view, known, 20))
        opened.add(table, kind="image-text", check="none", part_rows=10)
        opened.attach(vectors, name="v", ids=table["id"].to_pylist())
        yield opened


@pytest.mark.parametrize("how", [*WAYS, replace(SEARCHES[0], embedding="lists")], ids=str)
def test_by_others_who_forget(how: Any, store: curate.Store) -> None:
    few = store.items.where("price > 1.1")
    assert_same(select(how, few.worked_by(deaths.Afar())), select(how, few))


@pytest.mark.slow
def test_on_a_cluster(store: curate.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="extra ray not installed")
    from curate.run.ray_runner import RayRunner

    monkeypatch.setenv("CURATE_TEST_MARK", str(tmp_path))
    ways = (ROUNDS[1], SEARCHES[1])
    alone = [select(how, store.items) for how in ways]
    runner = RayRunner(None, 2)
    try:
        there = store.items.worked_by(runner)
        for how in (CENTRES[1], SEARCHES[3], SEARCHES[7]):
            assert_same(select(how, there), select(how, store.items))
        monkeypatch.setattr(rounds, "_of_piece", deaths.deadly_piece)
        monkeypatch.setattr(neighbours, "_in_clusters", deaths.die_in_clusters)
        for how, chosen in zip(ways, alone, strict=True):
            assert_same(select(how, there), chosen)
        assert (tmp_path / "clusters").exists() and (tmp_path / "rounds").exists()
    finally:
        runner.close()
