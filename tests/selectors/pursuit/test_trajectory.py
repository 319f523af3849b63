"""Subspaces, checkpoints, and gradients read from a store or a column as they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import InputError
from curate.fitting import Blanked
from curate.memory import ArrayVectors, ArrayView
from curate.scorers.influence import GradientStore, Header, Projection
from curate.selectors.pursuit import leading_directions, pursue, target_subspaces, usual_product
from curate.selectors.pursuit.gradients import hold_column, open_column
from curate.selectors.pursuit.trajectory import Trajectory

Array = np.ndarray[Any, Any]


def test_the_strongest_directions() -> None:
    rows = np.array([[3.0, 0, 0], [0, -2, 0], [3, 0, 0]])
    assert leading_directions(rows, 1) == pytest.approx(np.array([[1.0], [0], [0]]))
    assert leading_directions(rows, 5) == pytest.approx(np.eye(3)[:, :2])  # no more than they span


@pytest.mark.parametrize(
    ("rows", "rank"),
    [(np.zeros((2, 3)), 1), (np.ones((2, 3)), 0), (np.full((2, 3), np.nan), 1), (np.ones(3), 1)],
)
def test_no_subspace(rows: Array, rank: int) -> None:
    with pytest.raises(InputError):
        leading_directions(rows, rank)
    with pytest.raises(InputError, match="3 checkpoints"):
        target_subspaces(np.ones((2, 4)), 1, 3)


def test_what_the_targets_own_items_have() -> None:
    rows = np.array([[1.0, 0], [0, 1], [1, 1]])  # with the mean of the others: 0.5, 0.5 and 1
    found = [usual_product(rows, share) for share in (0.0, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([0.5, 0.5, 0.75, 1.0])
    assert usual_product(rows, 1.0, rates=[4.0, 1.0]) == pytest.approx(2.5)  # (2, 1) . ((2, 0) + (0, 1)) / 2
    assert usual_product(rows, 0.5, subspaces=[np.array([[1.0], [0]])]) == pytest.approx(0.5)
    assert usual_product(rows[:1]) == -np.inf


def test_what_they_would_have_in_a_pool_of_another_kind() -> None:
    rows = np.array([[1.0, 0], [0, 1], [1, 1]])
    as_pool = 2 * rows + [1, 0]  # with the mean of the others' rows: 1.5, 2 and 2.5
    assert [usual_product(rows, q, as_pool=as_pool) for q in (0.0, 0.5, 1.0)] == pytest.approx([1.5, 2, 2.5])
    assert usual_product(rows, 1.0, as_pool=as_pool, rates=[4.0, 1.0]) == pytest.approx(
        7.0
    )  # (6, 2) . (1, 0.5)
    assert usual_product(rows, 0.3, as_pool=rows) == usual_product(rows, 0.3)
    for other in (rows[:2], rows * np.nan):
        with pytest.raises(InputError, match="the same 3 items"):
            usual_product(rows, 0.5, as_pool=other)


def make_kinds(seed: int, d: int = 200, m: int = 60) -> tuple[Array, Array, Array]:
    """Plain gradients at length 1 of m wanted items, and Adam-preconditioned ones of these and of 5 m items of a pool, the
    first m of the wanted kind."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.standard_normal(d))
    centres = spread * rng.standard_normal((5, d))
    of = np.repeat([0, 0, 1, 2, 3, 4], m)
    plain = centres[of] + 2 * spread * rng.standard_normal((len(of), d))
    last = spread * rng.standard_normal(d)
    stepped = (last + plain) / np.sqrt(spread**2 + plain**2)
    plain, stepped = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (plain, stepped))
    return plain[:m], stepped[:m], stepped[m:]


@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_wanted_kind_are_above_the_usual_where_the_pool_is_preconditioned(seed: int) -> None:
    wanted, as_pool, pool = make_kinds(seed)
    products = pool @ wanted.mean(0)
    above = products > usual_product(wanted, 0.5, as_pool=as_pool)
    assert 0.3 <= above[:60].mean() <= 0.7 and above[60:].mean() <= 0.02
    chosen = pursue(pool, wanted.mean(0), 20, least=usual_product(wanted, 0.5, as_pool=as_pool))
    assert above[chosen.index].all()
    assert not (products > usual_product(wanted, 0.5)).any()  # as if none were typical


@pytest.mark.parametrize(
    ("rows", "share"), [(np.ones((0, 2)), 0.5), (np.ones(2), 0.5), (np.ones((2, 2)), 1.5), ([[np.nan]], 0.5)]
)
def test_nothing_usual(rows: Any, share: float) -> None:
    with pytest.raises(InputError, match="share"):
        usual_product(rows, share)


def test_rows_as_they_count() -> None:
    rows = np.arange(8.0).reshape(2, 4)
    assert Trajectory(4, None, None).plain
    assert Trajectory(4, [4.0, 0.25], None).bring(rows).tolist() == [[0, 2, 1, 1.5], [8, 10, 3, 3.5]]
    seen = Trajectory(4, [4.0, 1.0], [np.array([[1.0], [0]]), np.eye(2)])
    assert seen.bring(rows).tolist() == [[0, 2, 3], [8, 6, 7]]
    assert (seen.brought(rows) == seen.bring(rows)).all()


@pytest.mark.parametrize("precision", ["fp16", "int8", "1-bit"])
@pytest.mark.parametrize("normalised", [True, False])
def test_a_gradient_store_is_pursued_as_it_lies(tmp_path: Path, precision: Any, normalised: bool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 2, 24)).astype(np.float32)
    header = Header(300, 24, ("a", "b"), 1000, Projection(24), precision=precision, normalised=normalised)
    store = GradientStore.create(tmp_path / "g", header)
    for t in range(2):
        store.write(np.arange(300), t, rows[:, t])
    store.commit()
    held = store.to_numpy().astype(np.float32)
    target = held[:20].mean(0)
    for how in ({}, {"shards": 3}, {"rates": [0.7, 0.3]}, {"subspaces": target_subspaces(held[:20], 6, 2)}):
        assert (
            pursue(store, target, 15, **how).index.tolist() == pursue(held, target, 15, **how).index.tolist()
        )


def test_a_column_of_which_some_is_missing() -> None:
    rows = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    rows[1], rows[2, 0] = np.nan, np.inf
    column = open_column(ArrayView({"x": [1, 2, 3, 4]}, {"g": rows}), "g")
    assert column.hidden.tolist() == [False, True, True, False]
    assert np.concatenate(list(column.chunks())).tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 0], [9, 10, 11]]
    assert column.take(np.array([3, 1])).tolist() == [[9, 10, 11], [0, 0, 0]]
    lists = open_column(ArrayView({"g": [[1.0, 2], None, [3, 4]]}), "g")
    assert lists.to_numpy().tolist() == [[1, 2], [0, 0], [3, 4]]
    assert Blanked(ArrayVectors(rows.astype(np.float16)), np.zeros(4, bool)).dtype == np.float32
    with (
        pytest.raises(InputError, match="none of 4"),
        hold_column(ArrayView({"x": [1, 2, 3, 4]}, {"g": np.full((4, 3), np.nan, np.float32)}), "g"),
    ):
        raise AssertionError("there is nothing to hold")
