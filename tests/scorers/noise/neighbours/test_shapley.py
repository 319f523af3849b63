"""kNN-Shapley: against all subsets, against cleanlab, sums, truncation, trusted items, what is refused."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.noise import knn_shapley, shapley_of_neighbours
from curate.scorers.noise.neighbours import shapley
from curate.scorers.noise.neighbours.search import nearest
from curate.scorers.noise.neighbours.shapley import KnnShapley, chosen_search
from curate.testing import ArrayView, score_all


def by_permutations(order: np.ndarray, match: np.ndarray, k: int) -> np.ndarray:
    """The definition: the mean gain of each player over every order in which all of them may enter."""
    n = len(order)
    value = np.zeros(n)
    nearness = np.argsort(order)  # of each player

    def worth(players: list[int]) -> float:
        chosen = sorted(players, key=lambda p: nearness[p])[:k]
        return sum(match[nearness[p]] for p in chosen) / k

    orders = list(permutations(range(n)))
    for entering in orders:
        for i, player in enumerate(entering):
            value[player] += worth(list(entering[: i + 1])) - worth(list(entering[:i]))
    return value / len(orders)


def test_it_is_the_shapley_value() -> None:
    rng = np.random.default_rng(0)
    for k in (1, 2, 4):
        order, labels = rng.permutation(6), rng.integers(0, 2, 6)
        found = shapley_of_neighbours(order[None], labels, k, query_labels=np.array([1]), players=6)
        np.testing.assert_allclose(found, by_permutations(order, labels[order] == 1, k), atol=1e-12)


def test_by_hand() -> None:
    # nearest first: right, wrong, right; k = 2. s3 = 1/3; s2 = s3 - 1/2; s1 = s2 + 1/2
    found = shapley_of_neighbours(
        np.array([[2, 0, 1]]), np.array([0, 1, 1]), 2, query_labels=np.array([1]), players=3
    )
    np.testing.assert_allclose(found, [1 / 3 - 1 / 2, 1 / 3, 1 / 3])
    # cut off: the third gets nothing, and the others that much less
    found = shapley_of_neighbours(np.array([[2, 0, 1]]), np.array([0, 1, 1]), 2, query_labels=np.array([1]))
    np.testing.assert_allclose(found, [-1 / 2, 0, 0])


def some(n: int = 150, d: int = 4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.integers(0, classes, n)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_parity_with_cleanlab(k: int) -> None:
    peer = pytest.importorskip("cleanlab.data_valuation", reason="extra noise not installed")
    x, y = some()
    theirs = peer.data_shapley_knn(y, features=x, metric="cosine", k=k)
    np.testing.assert_allclose(knn_shapley(x, y, k=k, form="cleanlab", width=k), theirs, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_values_sum_to_the_share_of_right_votes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = some(int(rng.integers(4, 60)), 2, int(rng.integers(1, 5)), seed)
    k = int(rng.integers(1, len(y)))
    value = knn_shapley(x, y, k=k, form="exact", width=k)
    votes = y[nearest(x, k).rows] == y[:, None]
    assert value.sum() == pytest.approx(votes.mean(), abs=1e-12)


def test_truncation_is_wrong_by_no_more_than_promised() -> None:
    x, y = some()
    exact = knn_shapley(x, y, k=5, form="exact")
    worst = [np.abs(knn_shapley(x, y, k=5, width=width) - exact).max() for width in (5, 20, 100)]
    assert worst == sorted(worst, reverse=True)
    assert all(error <= 1 / width for error, width in zip(worst, (5, 20, 100), strict=True))
    np.testing.assert_array_equal(knn_shapley(x, y, k=5, width=149), exact)
    np.testing.assert_array_equal(knn_shapley(x, y, k=5, width=1000), exact)


def test_a_table_of_neighbours_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = some()
    rows = nearest(x, 30).rows
    wanted = knn_shapley(x, y, k=5, width=30)
    np.testing.assert_allclose(shapley_of_neighbours(rows, y, 5), wanted, atol=1e-15)
    monkeypatch.setattr(shapley, "_PIECE", 100)
    np.testing.assert_allclose(shapley_of_neighbours(rows, y, 5), wanted, atol=1e-15)


def test_missing_neighbours_count_as_wrong_and_get_nothing() -> None:
    rows = np.array([[1, -1], [0, -1]])
    np.testing.assert_allclose(shapley_of_neighbours(rows, np.array([7, 7]), 1), [0.5, 0.5])


def test_a_validation_set_judges() -> None:
    x = np.array([[0.0], [1.0], [10.0], [11.0]])
    y = np.array([0, 1, 1, 0])
    value = knn_shapley(
        x, y, np.array([[0.4], [10.4]]), np.array([0, 1]), k=1, form="exact", metric="euclidean"
    )
    # of each query: right, wrong, wrong | right, in the order of distance
    expected = np.zeros(4)
    for order, label in (((0, 1, 2, 3), 0), ((2, 3, 1, 0), 1)):
        expected[list(order)] += by_permutations(np.arange(4), y[list(order)] == label, 1)
    np.testing.assert_allclose(value, expected / 2, atol=1e-12)
    assert value[[0, 2]].min() > value[[1, 3]].max()


def test_metric_and_k_count() -> None:
    x, y = some()
    assert not np.allclose(knn_shapley(x, y, k=5), knn_shapley(x, y, k=5, metric="euclidean"))
    assert not np.allclose(knn_shapley(x, y, k=5), knn_shapley(x, y, k=6))


def test_approximate_search_finds_most() -> None:
    pytest.importorskip("faiss", reason="extra select not installed")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 3000)
    x = np.eye(5, 8)[y] * 3 + rng.standard_normal((3000, 8))
    exact, rough = (knn_shapley(x, y, width=50, search=search) for search in ("exact", "approximate"))
    assert np.corrcoef(exact, rough)[0, 1] > 0.95
    assert not np.array_equal(exact, rough)
    assert chosen_search("auto", 10**6, 10) == "exact"
    assert chosen_search("auto", 10**6, 10**6) == "approximate"


def test_many_items_without_faiss_are_searched_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapley, "load_faiss", lambda backend: None)
    assert chosen_search("auto", 10**6, 10**6) == "exact"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "k=0"),
        ({"k": 6}, "k=6 neighbours: 5 items vote"),
        ({"k": 3, "width": 2}, "width=2"),
        ({"form": "rough"}, "form 'rough'"),
        ({"search": "guess"}, "search 'guess'"),
        ({"k": 2.5}, r"k=2\.5: how many"),
        ({"width": 9.5}, r"width=9\.5: how many"),
        ({"labels": np.arange(5)}, "labels have shape"),
        ({"labels": np.full(6, 0.5)}, "whole numbers"),
        ({"validation": np.ones((2, 2))}, "both their features and their labels"),
        (
            {"validation": np.ones((2, 2)), "validation_labels": np.ones(3, int)},
            "validation_labels have shape",
        ),
        ({"validation": np.ones((0, 2)), "validation_labels": np.ones(0, int)}, "no items"),
        ({"features": np.full((6, 2), np.nan)}, "6 rows of x"),
    ],
)
def test_what_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "features": np.ones((6, 2)),
        "labels": np.arange(6) % 2,
        "k": 2,
        "width": 10,
    }
    with pytest.raises(InputError, match=message):
        knn_shapley(**(arguments | change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "k", "message"),
    [
        (np.ones((3, 2), int), 1, "shape"),
        (np.ones((2, 2), int), 3, "k=3 of 2"),
        (np.full((2, 2), 9), 1, "neighbour 9"),
        (np.full((2, 2), np.nan), 1, "neighbours are float64"),
    ],
)
def test_tables_that_do_not_fit(rows: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shapley_of_neighbours(rows, np.array([0, 1]), k)


# --- The scorer -----------------------------------------------------------------------------------------------------


def planted(n: int = 120) -> tuple[ArrayView, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 3
    x = np.eye(3, 4)[truth] * 6 + rng.standard_normal((n, 4))
    wrong = np.array([3, 40, 77])
    given = truth.copy()
    given[wrong] = (given[wrong] + 1) % 3
    table = {
        "id": [f"{i:03d}" for i in range(n)],
        "label": [f"c{g}" for g in given],
        "good": [i % 2 == 0 for i in range(n)],
    }
    return ArrayView(table, {"pixel_embedding": x.astype(np.float32)}), wrong


def test_the_scorer_finds_planted_errors() -> None:
    view, wrong = planted()
    scored = score_all(KnnShapley(width=50), view)
    values = scored["knn_shapley"].to_numpy()
    assert np.sort(np.argsort(values)[:3]).tolist() == wrong.tolist()
    assert np.flatnonzero(scored["knn_harmful"].to_numpy()).tolist() == wrong.tolist()
    assert 0.5 < values.mean() < 1.1


def test_every_parameter_of_the_scorer_counts() -> None:
    view, _ = planted()
    plain = score_all(KnnShapley(), view)["knn_shapley"].to_numpy()
    for change in (
        {"k": 3},
        {"width": 20},
        {"form": "exact", "k": 3},
        {"form": "cleanlab"},
        {"metric": "euclidean"},
    ):
        other = score_all(KnnShapley(**change), view)["knn_shapley"].to_numpy()  # type: ignore[arg-type]
        assert not np.allclose(other, plain), change
    cleanlabs = score_all(KnnShapley(form="cleanlab"), view)
    assert cleanlabs["knn_shapley"].to_numpy().min() >= 0
    assert (cleanlabs["knn_harmful"].to_numpy() == (cleanlabs["knn_shapley"].to_numpy() < 0.5)).mean() > 0.95


def test_trusted_items_judge_the_others() -> None:
    view, wrong = planted()
    scored = score_all(KnnShapley(trusted="good"), view)
    assert scored["knn_shapley"].null_count == 60
    assert scored["knn_shapley_reason"][0].as_py() == "trusted: others are judged by it"
    values = scored["knn_shapley"].to_numpy()
    assert set(np.argsort(values)[:2]) == {3, 77}  # 40 is trusted, wrongly
    for name in ("all", "none"):
        table = view.to_arrow(["id", "label"]).append_column("good", pa.array([name == "all"] * 120))
        with pytest.raises(InputError, match="true"):
            KnnShapley(trusted="good").fit(
                ArrayView(table, {"pixel_embedding": view.vectors("pixel_embedding").array})
            )
    with pytest.raises(InputError, match="not true or false"):
        KnnShapley(trusted="label").fit(view)


def test_a_search_that_is_approximate_is_noted() -> None:
    pytest.importorskip("faiss", reason="extra select not installed")
    view, _ = planted()
    assert KnnShapley().fit(view).notes == ()
    (note,) = KnnShapley(search="approximate").fit(view).notes
    assert "approximately" in note
    assert KnnShapley(search="exact").fit(view).notes == ()


def test_a_k_beyond_the_width_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="width=5"):
        KnnShapley(k=6, width=5)


@pytest.mark.data
def test_flipped_digits_rank_lower_than_by_cleanlabs_form(data_dir: Path) -> None:
    from sklearn.metrics import average_precision_score

    with np.load(data_dir / "usps" / "usps_train.npz") as data:
        names = list(data)
        x, y = (data[name][:1500] for name in names[:2])
    x = x.reshape(len(x), -1).astype(np.float32)
    y = y.astype(np.int64).ravel()
    rng = np.random.default_rng(0)
    flipped = rng.random(len(y)) < 0.2
    noisy = np.where(flipped, (y + rng.integers(1, 10, len(y))) % 10, y)
    ours, theirs = (
        average_precision_score(flipped, -knn_shapley(x, noisy, form=form))
        for form in ("truncated", "cleanlab")
    )
    assert ours > 0.93
    assert ours > theirs
