"""Nearest neighbours: all pairs by hand, ties, copies, both backends, memory of blocks, what is refused."""

from __future__ import annotations

from typing import get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, MissingExtraError
from curate.scorers.noise import (
    class_gaussian,
    knn_agreement,
    knn_distance,
    knn_shapley,
    lemon,
    mahalanobis_distance,
)
from curate.scorers.noise.neighbours import candidates, search
from curate.scorers.noise.neighbours.search import Metric, nearest, nearest_blocks, usable

BACKENDS = ("numpy", "faiss")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "faiss":
        pytest.importorskip("faiss", reason="extra select not installed")
    return str(request.param)


def brute_force(x: np.ndarray, k: int, metric: Metric, queries: np.ndarray | None = None) -> np.ndarray:
    """Every pair in float64; a stable sort leaves ties in the order of rows."""
    base = x.astype(np.float64)
    asked = base if queries is None else queries.astype(np.float64)
    if metric == "cosine":
        base = base / np.linalg.norm(base, axis=1, keepdims=True)
        asked = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    squared = ((asked[:, None] - base[None]) ** 2).sum(axis=2)
    if queries is None:
        np.fill_diagonal(squared, np.inf)
    return np.argsort(squared, axis=1, kind="stable")[:, :k]


def test_by_hand(backend: str) -> None:
    x = np.array([[0.0, 1.0], [0.0, 3.0], [4.0, 3.0], [0.0, 1.0]])
    found = nearest(x, 2, metric="euclidean", backend=backend)
    assert found.rows.tolist() == [[3, 1], [0, 3], [1, 0], [0, 1]]
    np.testing.assert_allclose(found.distance, [[0, 2], [2, 2], [4, 20**0.5], [0, 2]], rtol=1e-6)
    found = nearest(x, 2, metric="cosine", backend=backend)
    assert found.rows.tolist() == [[1, 3], [0, 3], [0, 1], [0, 1]]
    np.testing.assert_allclose(found.distance, [[0, 0], [0, 0], [0.4, 0.4], [0, 0]], rtol=1e-6)
    assert (found.rows.dtype, found.distance.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("metric", get_args(Metric))
def test_every_pair_is_compared(metric: Metric, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_BLOCK", 70)  # several blocks, several tiles
    monkeypatch.setattr(search, "_EXACT", 4000)
    monkeypatch.setattr(candidates, "_TILE", 90)
    x = np.random.default_rng(0).standard_normal((400, 6)) + 3
    assert np.array_equal(nearest(x, 7, metric=metric, backend=backend).rows, brute_force(x, 7, metric))
    asked = x[:33] + 0.01
    found = nearest(x, 7, metric=metric, queries=asked, backend=backend)
    assert np.array_equal(found.rows, brute_force(x, 7, metric, asked))


def test_far_from_the_origin_small_distances_survive(backend: str) -> None:
    # |x|^2 is 1e8 here and distances squared about 1: products in float32 would be off by ten
    x = np.random.default_rng(1).standard_normal((300, 4)) + 5000
    assert np.array_equal(
        nearest(x, 5, metric="euclidean", backend=backend).rows, brute_force(x, 5, "euclidean")
    )
    two = np.concatenate([x, x[:150] * -1])  # two such clouds: centring does not help
    found = nearest(two, 5, metric="euclidean", backend=backend).rows
    assert (found == brute_force(two, 5, "euclidean")).mean() > 0.99  # float32 itself ties some


def test_ties_go_to_the_lower_row(backend: str) -> None:
    grid = np.stack(np.meshgrid(np.arange(12), np.arange(12)), -1).reshape(-1, 2).astype(np.float32)
    for k in (3, 6, 20):
        found = nearest(grid, k, metric="euclidean", backend=backend)
        assert np.array_equal(found.rows, brute_force(grid, k, "euclidean"))


def test_copies_in_any_number(backend: str) -> None:
    same = np.ones((500, 3), np.float32)
    found = nearest(same, 4, backend=backend)
    assert found.rows[0].tolist() == [1, 2, 3, 4]
    assert found.rows[2].tolist() == [0, 1, 3, 4]
    assert found.rows[499].tolist() == [0, 1, 2, 3]
    assert not found.distance.any()
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((9, 5))[rng.integers(0, 9, 300)]
    assert np.array_equal(
        nearest(mixed, 60, metric="euclidean", backend=backend).rows, brute_force(mixed, 60, "euclidean")
    )


def test_one_direction_is_one_point_for_the_cosine(backend: str) -> None:
    ray = np.array([[1.0, 2.0, 3.0]]) * np.linspace(0.1, 70, 50)[:, None]
    found = nearest(ray.astype(np.float32), 3, backend=backend)
    assert not found.distance.any()
    assert found.rows[20].tolist() == [0, 1, 2]


def test_the_row_itself_comes_first_if_asked_for(backend: str) -> None:
    x = np.array([[1.0], [1.0], [3.0]])
    found = nearest(x, 2, metric="euclidean", include_self=True, backend=backend)
    assert found.rows.tolist() == [[0, 1], [1, 0], [2, 0]]
    assert found.distance[:, 0].tolist() == [0, 0, 0]


@given(st.integers(0, 2**32 - 1), st.sampled_from(get_args(Metric)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_both_backends_give_the_same(seed: int, metric: Metric, coarse: bool) -> None:
    pytest.importorskip("faiss", reason="extra select not installed")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((int(rng.integers(5, 200)), int(rng.integers(1, 9)))) + rng.normal(0, 3)
    if coarse:
        x = np.round(x) + 0.5
    k = int(rng.integers(1, len(x)))
    ours, theirs = (nearest(x, k, metric=metric, backend=name) for name in BACKENDS)
    assert np.array_equal(ours.rows, theirs.rows)
    assert np.array_equal(ours.distance, theirs.distance)
    assert (np.diff(ours.distance, axis=1) >= 0).all()


def test_blocks_are_the_whole(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((100, 3))
    whole = nearest(x, 4, backend=backend)
    monkeypatch.setattr(search, "_BLOCK", 30)
    blocks = list(nearest_blocks(x, 4, backend=backend))
    assert [block.low for block in blocks] == [0, 30, 60, 90]
    assert np.array_equal(np.concatenate([block.rows for block in blocks]), whole.rows)
    assert np.array_equal(np.concatenate([block.distance for block in blocks]), whole.distance)


def test_numbers_of_any_type() -> None:
    x = np.arange(12).reshape(6, 2)
    wanted = nearest(x.astype(np.float64), 2, metric="euclidean").rows
    for dtype in (np.int16, np.uint8, np.float16, np.float32):
        assert np.array_equal(nearest(x.astype(dtype), 2, metric="euclidean").rows, wanted)


def test_usable_rows() -> None:
    x = np.array([[1, 2], [0, 0], [np.nan, 1], [np.inf, 0], [1e30, 0]])
    assert usable(x).tolist() == [True, False, False, False, False]
    assert usable(x, "euclidean").tolist() == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"k": 4}, "k=4 neighbours: 3 rows are there"),
        (
            {"x": np.array([[0, 0], [1, 1], [0, 0.0]]), "k": 1},
            "2 rows of x are NaN, infinite or zero, as 0, 2",
        ),
        ({"x": np.array([[np.nan], [1.0]]), "k": 1}, "1 row of x"),
        ({"queries": np.ones((1, 3))}, "3 dimensions, x has 2"),
        ({"queries": np.zeros((1, 2))}, "1 row of queries"),
        ({"x": np.ones(4)}, "shape"),
        ({"metric": "manhattan"}, "metric 'manhattan'"),
        ({"queries": np.ones((1, 2)), "include_self": True}, "include_self"),
        ({"x": np.ones((1, 2)), "k": 1}, "0 rows are there"),
        ({"k": -1}, "k=-1"),
        ({"k": 10**10}, "k=10,000,000,000 neighbours: 3 rows are there"),
        ({"k": 2.5}, r"k=2\.5: how many neighbours is a whole number"),
        ({"backend": "annoy"}, "backend 'annoy': 'auto', 'faiss', 'numpy'"),
    ],
)
def test_what_cannot_be_searched(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"x": np.ones((4, 2)), "k": 2} | change
    with pytest.raises(InputError, match=message):
        nearest(**arguments)  # type: ignore[arg-type]


def test_without_faiss_numpy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> object:
        raise MissingExtraError(f"{module}: extra {extra}")

    monkeypatch.setattr(candidates, "require", missing)
    assert nearest(np.eye(3), 1).rows.shape == (3, 1)
    with pytest.raises(MissingExtraError, match="select"):
        nearest(np.eye(3), 1, backend="faiss")


def test_lists_and_frames_are_arrays() -> None:
    x, labels = np.random.default_rng(0).standard_normal((30, 3)), np.arange(30) % 2
    frame = pl.DataFrame(x, schema=["a", "b", "c"])
    for told in (x.tolist(), frame):
        assert np.array_equal(nearest(told, 2).rows, nearest(x, 2).rows)  # type: ignore[arg-type]
        assert np.array_equal(knn_shapley(told, labels.tolist()), knn_shapley(x, labels))
        assert np.array_equal(knn_agreement(told, labels).score, knn_agreement(x, labels).score)
        assert np.array_equal(class_gaussian(told, labels).margin, class_gaussian(x, labels).margin)
        assert np.array_equal(knn_distance(told), knn_distance(x))
        assert np.array_equal(mahalanobis_distance(told), mahalanobis_distance(x))
        assert np.array_equal(lemon(told, told, k=3).score, lemon(x, x, k=3).score)
    for function in (knn_shapley, knn_agreement, class_gaussian):
        with pytest.raises(InputError, match="is object: numbers are meant"):
            function(x.astype(object), labels)
