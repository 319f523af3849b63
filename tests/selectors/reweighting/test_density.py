"""Instance selection: likelihoods against SciPy's, neighbours against all distances, shares of classes restored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.reweighting import density_scores, instance_selection


def test_the_gaussian_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="extra noise not installed")
    x = np.random.default_rng(0).normal(size=(80, 3)) @ np.array([[2.0, 0.5, 0], [0, 1, 0.3], [0, 0, 0.2]])
    covariance = np.cov(x.T, bias=True) + 1e-5 * np.eye(3)
    expected = stats.multivariate_normal(x.mean(0), covariance).logpdf(x)
    assert np.allclose(density_scores(x), expected)
    assert np.allclose(density_scores(x, method="ppca", variance=1.0), expected, atol=0.01)


def test_ppca_is_a_gaussian_with_one_noise_for_the_rest() -> None:
    stats = pytest.importorskip("scipy.stats", reason="extra noise not installed")
    x = np.random.default_rng(1).normal(size=(400, 4)) * np.array([5.0, 1.0, 0.5, 0.5])
    x -= x.mean(0)
    values, axes = np.linalg.eigh(x.T @ x / 400)
    assert 0.9 < values[-1] / values.sum() < 0.95 < values[-2:].sum() / values.sum()
    levels = np.array([values[:2].mean(), values[:2].mean(), values[2], values[3]])
    expected = stats.multivariate_normal(np.zeros(4), (axes * levels) @ axes.T).logpdf(x)
    assert np.allclose(density_scores(x, method="ppca"), expected)


def test_neighbours_are_those_of_all_distances_within_the_class() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 2)), np.repeat(["a", "b"], 30)
    found = density_scores(x, labels, method="knn", neighbours=3)
    for i in range(60):
        own = np.flatnonzero(labels == labels[i])
        distances = np.sort(np.linalg.norm(x[own] - x[i], axis=1))
        assert found[i] == pytest.approx(-distances[3], abs=1e-6)
    few = density_scores(x[:3], method="knn", neighbours=9)
    assert few[0] == pytest.approx(-max(np.linalg.norm(x[1] - x[0]), np.linalg.norm(x[2] - x[0])))


@pytest.mark.parametrize("method", ["gaussian", "ppca", "knn"])
def test_outliers_are_low_also_where_there_are_more_features_than_items(method: str) -> None:
    rng = np.random.default_rng(0)
    for n, d in ((300, 4), (20, 50)):
        x, labels = rng.normal(size=(2 * n, d)), np.repeat([0, 1], n)
        x[[3, n + 5]] *= 6
        scores = density_scores(x, labels, method=method)  # type: ignore[arg-type]
        assert np.isfinite(scores).all()
        assert scores[:n].argmin() == 3 and scores[n:].argmin() == 5


def test_the_densest_of_each_class_by_hand() -> None:
    scores = np.array([3.0, 1.0, 2.0, 0.0, 9.0, 8.0])
    chosen = instance_selection(scores, ["a", "a", "a", "a", "b", "b"], 0.5)
    assert chosen.index.tolist() == [4, 0, 2] and np.allclose(chosen.weight, 1)
    assert chosen.gain is not None and chosen.gain.tolist() == [9, 3, 2]
    heavier = instance_selection(scores, ["a", "a", "a", "a", "b", "b"], 0.5, class_weights=[0.5, 2.0])
    assert heavier.index[0] == 4 and heavier.weight is not None
    assert heavier.weight[0] / heavier.weight[1] == pytest.approx(4)
    assert heavier.weight.mean() == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=5, max_size=60), st.data())
def test_any_classes(labels: list[int], data: st.DataObject) -> None:
    sizes = np.unique(labels, return_counts=True)[1]
    count = data.draw(st.integers(len(sizes), len(labels)))
    scores = np.random.default_rng(0).permutation(len(labels)).astype(float)
    chosen = instance_selection(scores, labels, count)
    assert len(chosen) == count
    kept = np.array(labels)[chosen.index]
    assert len(np.unique(kept)) == len(sizes)
    for i, (name, size) in enumerate(zip(np.unique(labels), sizes, strict=True)):
        own = scores[np.array(labels) == name]
        taken = chosen.by_row[(np.array(labels) == name) & (chosen.by_row > 0)]
        assert len(taken) >= 1 and taken.sum() / count == pytest.approx(size / len(labels), rel=1e-4), i
        assert set(scores[chosen.index[kept == name]]) == set(np.sort(own)[::-1][: (kept == name).sum()])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": np.array([[np.nan, 1.0], [0, 0]])}, r"not finite in 1 row, as \[0\]"),
        ({"x": np.zeros(3)}, r"\(rows, dimensions\)"),
        ({"labels": [1, 2]}, "2 labels for 3 rows"),
        ({"labels": ["a", None, "b"]}, "missing"),
        ({"method": "kde"}, "gaussian, ppca or knn"),
        ({"variance": 0.0}, "variance=0.0"),
        ({"neighbours": 0}, "neighbours=0"),
    ],
)
def test_what_cannot_be(options: dict[str, object], message: str) -> None:
    asked = {"x": np.zeros((3, 2)), **options}
    with pytest.raises(InputError, match=message):
        density_scores(asked.pop("x"), asked.pop("labels", None), **asked)  # type: ignore[arg-type]


def test_what_cannot_be_selected() -> None:
    for budget in (0, 7, "x"):
        with pytest.raises(InputError, match="budget"):
            instance_selection(np.arange(6.0), None, budget)
    with pytest.raises(InputError, match="each of 3 classes keeps one"):
        instance_selection(np.arange(6.0), [0, 0, 1, 1, 2, 2], 2)
    with pytest.raises(InputError, match="finite"):
        instance_selection(np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="one for each of 1 class"):
        instance_selection(np.arange(6.0), None, 2, class_weights=[1, 2])
    with pytest.raises(InputError, match="all 6 weights are 0"):
        instance_selection(np.arange(6.0), None, 2, class_weights=[0])
    same = density_scores(np.ones((5, 3)))
    assert np.isfinite(same).all() and np.ptp(same) == 0  # identical items
