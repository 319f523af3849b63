"""Classes as Gaussians: distances by hand, shrinkage as scikit-learn's, trimming, small classes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise import class_gaussian
from curate.scorers.noise.neighbours.gaussian import ClassGaussian
from curate.scorers.noise.neighbours.moments import Tail, class_shapes, mahalanobis, shrink
from curate.testing import ArrayView, score_all

CROSS = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
"""Mean 0, covariance half the identity."""


def clouds(n: int = 300, flips: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    x = np.eye(3, 6)[truth] * 6 + rng.standard_normal((n, 6)) * [1, 1, 1, 1, 1, 30]
    wrong = np.sort(rng.choice(n, flips, replace=False))
    given = truth.copy()
    given[wrong] = (given[wrong] + 1) % 3
    return x, given, wrong


def test_by_hand() -> None:
    x = np.concatenate([CROSS, CROSS + np.array([10, 0])])
    found = class_gaussian(x, np.repeat([0, 1], 4), shrinkage=0, trim=0)
    # the shared covariance is half the identity: distances count double; without itself 1 becomes 4/3
    np.testing.assert_allclose(found.own, 2 * (4 / 3) ** 2, rtol=1e-4)
    np.testing.assert_allclose(found.margin[[0, 1]], [2 * 81 - 32 / 9, 2 * 121 - 32 / 9], rtol=1e-4)
    assert found.nearest.tolist() == [0] * 4 + [1] * 4


def test_planted_flips_are_found_though_one_dimension_is_loud() -> None:
    x, given, wrong = clouds()
    for covariance in ("shared", "class"):
        found = class_gaussian(x, given, covariance=covariance)  # type: ignore[arg-type]
        assert np.flatnonzero(found.margin < 0).tolist() == wrong.tolist()
        assert (found.nearest[wrong] == (given[wrong] + 2) % 3).all()


def test_shrinkage_is_scikit_learns() -> None:
    peer = pytest.importorskip("sklearn.covariance", reason="extra noise not installed")
    x = np.random.default_rng(0).standard_normal((40, 8)) * np.arange(1, 9)
    x -= x.mean(0)
    empirical = x.T @ x / len(x)
    np.testing.assert_allclose(shrink(empirical, len(x), "oas"), peer.oas(x)[0], rtol=1e-10)
    np.testing.assert_allclose(
        shrink(empirical, len(x), 0.3), peer.shrunk_covariance(empirical, 0.3), rtol=1e-10
    )
    assert np.array_equal(shrink(empirical, len(x), 0), empirical)


def test_mahalanobis_is_by_definition() -> None:
    x, given, _ = clouds(60, 0)
    for covariance in ("shared", "class"):
        shapes = class_shapes(x, given, covariance=covariance, shrinkage=0.1, trim=0)  # type: ignore[arg-type]
        got = mahalanobis(x, shapes)
        for c in range(3):
            own = [x[given == k] - x[given == k].mean(0) for k in range(3)]
            rows = own[c] if covariance == "class" else np.concatenate(own)
            inverse = np.linalg.inv(shrink(rows.T @ rows / len(rows), len(rows), 0.1))
            apart = x - x[given == c].mean(0)
            np.testing.assert_allclose(got[:, c], np.einsum("ij,jk,ik->i", apart, inverse, apart), rtol=1e-4)


def test_what_is_trimmed_does_not_shape_the_class() -> None:
    x = np.concatenate(
        [
            CROSS,
            CROSS,
            [[100.0, 0], [0, 90]],
            CROSS + np.array([10, 0]),
            CROSS + np.array([10, 0]),
            [[10, 5], [10, 6]],
        ]
    )
    codes = np.repeat([0, 1], 10)
    shapes = class_shapes(x, codes, trim=0.2)
    assert np.flatnonzero(~shapes.kept).tolist() == [8, 9, 18, 19]
    np.testing.assert_allclose(shapes.means, [[0, 0], [10, 0]], atol=1e-12)
    assert shapes.counts.tolist() == [8, 8]
    assert class_shapes(x, codes, trim=0.1).counts.tolist() == [9, 9]
    assert np.abs(class_shapes(x, codes, trim=0).means[0]).max() > 5


def test_small_classes_borrow() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.standard_normal((50, 2)), rng.standard_normal((50, 2)) + 30, [[9.0, 9], [9, 9.1]]]
    )
    codes = np.repeat([0, 1, 2], [50, 50, 2])
    options: dict[str, object] = {"covariance": "class", "shrinkage": 0.0, "trim": 0}

    def shapes(tail: Tail) -> tuple[np.ndarray, np.ndarray]:
        found = class_shapes(x, codes, tail=tail, **options)  # type: ignore[arg-type]
        return found.means[2], np.linalg.inv(found.factors[2] @ found.factors[2].T)

    mean, alone = shapes(Tail(size=0))
    assert np.trace(alone) < 0.01  # two points: no shape at all
    _, borrowed = shapes(Tail(size=20, heads=1))
    theirs = np.cov(x[:50].T, bias=True)
    np.testing.assert_allclose(
        borrowed, 0.1 * alone + 0.9 * theirs, rtol=1e-3
    )  # 2 of 20: it lacks nine tenths
    np.testing.assert_allclose(
        shapes(Tail(size=20, heads=1, borrow=0.5))[1], 0.55 * alone + 0.45 * theirs, rtol=1e-3
    )
    both = (theirs + np.cov(x[50:100].T, bias=True)) / 2
    np.testing.assert_allclose(shapes(Tail(size=20, heads=2))[1], 0.1 * alone + 0.9 * both, rtol=1e-3)
    pulled, _ = shapes(Tail(size=20, heads=1, pull=1.0))
    np.testing.assert_allclose(pulled, 0.1 * mean + 0.9 * x[:50].mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        shapes(Tail(size=200, heads=1))[1], alone, rtol=1e-3
    )  # nobody is large enough to lend


def test_dimensions_without_spread_say_nothing() -> None:
    x, given, wrong = clouds()
    flat = np.column_stack([x, np.zeros(300), np.full(300, 7.0)])
    assert np.flatnonzero(class_gaussian(flat, given).margin < 0).tolist() == wrong.tolist()
    assert np.isfinite(class_gaussian(np.ones((6, 2)), np.arange(6) % 2).margin).all()


def test_labels_need_not_be_dense() -> None:
    x, given, _ = clouds()
    assert np.array_equal(class_gaussian(x, given * 7).nearest, class_gaussian(x, given).nearest * 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(6, int)}, "all 6 labels are 0"),
        ({"labels": np.array([0, 0, 0, 0, 0, 1])}, "class 1 has one row"),
        ({"labels": np.zeros(5, int)}, "shape"),
        ({"trim": 0.5}, "trim=0.5"),
        ({"shrinkage": 2}, "shrinkage 2"),
        ({"shrinkage": "best"}, "shrinkage 'best'"),
        ({"covariance": "none"}, "covariance 'none'"),
        ({"x": np.full((6, 2), np.inf)}, "row 0 is not finite"),
    ],
)
def test_what_is_refused(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"x": np.arange(12.0).reshape(6, 2), "labels": np.arange(6) % 2} | change
    with pytest.raises(InputError, match=message):
        class_gaussian(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"size": -1}, {"heads": 0}, {"borrow": 1.5}, {"pull": -0.1}])
def test_tails_that_make_no_sense(change: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Tail(**change)  # type: ignore[arg-type]


# --- The scorer -----------------------------------------------------------------------------------------------------


def view_of(x: np.ndarray, given: np.ndarray) -> ArrayView:
    table = {"id": [f"{i:04d}" for i in range(len(x))], "label": [f"c{g}" for g in given]}
    return ArrayView(table, {"pixel_embedding": x.astype(np.float32)})


def test_the_scorer_flags_and_suggests() -> None:
    x, given, wrong = clouds()
    scored = score_all(ClassGaussian(), view_of(x, given))
    assert np.flatnonzero(scored["gaussian_label_issue"].to_numpy()).tolist() == wrong.tolist()
    suggested = scored["gaussian_suggested_label"]
    assert suggested.null_count == 300 - len(wrong)
    assert suggested[int(wrong[0])].as_py() == f"c{(given[wrong[0]] + 2) % 3}"


def test_every_parameter_of_the_scorer_counts() -> None:
    x, given, _ = clouds()
    given[given == 2] = 1
    given[:7] = 2  # a small class
    view = view_of(x, given)
    for base, change in (
        ({}, {"covariance": "class"}),
        ({}, {"shrinkage": 0.5}),
        ({}, {"trim": 0.0}),
        ({"covariance": "class"}, {"tail": 5}),
        ({"covariance": "class"}, {"borrow": 0.5}),
        ({"covariance": "class"}, {"heads": 1}),
        ({}, {"pull": 0.5}),
    ):
        plain, other = (score_all(ClassGaussian(**p), view)["class_gaussian"] for p in (base, base | change))  # type: ignore[arg-type]
        assert not np.allclose(plain.to_numpy(), other.to_numpy()), change


def test_the_only_item_of_a_class_is_not_scored() -> None:
    x, given, _ = clouds(60, 0)
    given[5] = 9
    scored = score_all(ClassGaussian(), view_of(x, given))
    assert scored["class_gaussian_reason"][5].as_py().startswith("the only item of its class")
    assert scored["class_gaussian"].null_count == 1
