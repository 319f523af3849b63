"""Outliers: distances and energies by hand, cleanlab's score, planted strangers, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise.neighbours.outlier import (
    Outlier,
    confidence,
    energy,
    knn_distance,
    mahalanobis_distance,
    typicality,
)
from curate.testing import ArrayView, score_all

LINE = np.array([[0.0], [1.0], [3.0], [20.0]])


def test_distances_by_hand() -> None:
    np.testing.assert_allclose(knn_distance(LINE, 2, metric="euclidean"), [2, 1.5, 2.5, 18])
    np.testing.assert_allclose(knn_distance(LINE, 2, of="last", metric="euclidean"), [3, 2, 3, 19])
    found = knn_distance(LINE[3:], 2, metric="euclidean", reference=LINE[:3])
    np.testing.assert_allclose(found, [18])


def test_scales_by_hand() -> None:
    far = np.array([1.0, 2, 6])
    np.testing.assert_allclose(typicality(far), [2 / 3, 1 / 2, 1 / 4])
    np.testing.assert_allclose(typicality(far, "exp"), np.exp([-0.5, -1, -3]))
    np.testing.assert_allclose(typicality(far, "raw"), -far)
    assert typicality(np.array([0.0, 0, 0, 5])).tolist() == [1, 1, 1, 0]
    assert len(typicality(np.array([]))) == 0
    with pytest.raises(InputError, match="scale 'log'"):
        typicality(far, "log")  # type: ignore[arg-type]


def test_parity_with_cleanlab() -> None:
    pytest.importorskip("cleanlab", reason="extra noise not installed")
    from cleanlab.internal.outlier import transform_distances_to_scores

    x = np.random.default_rng(0).standard_normal((80, 6))
    far = knn_distance(x, 10)
    theirs = transform_distances_to_scores(far, t=1, scaling_factor=float(np.median(far)))
    np.testing.assert_allclose(typicality(far, "exp"), theirs)


def test_energy_and_confidence_by_hand() -> None:
    logits = np.array([[0.0, 0.0], [3.0, 0.0], [1000.0, 0.0]])
    np.testing.assert_allclose(energy(logits), [np.log(2), np.log(1 + np.exp(3)), 1000])
    np.testing.assert_allclose(energy(logits, 2.0)[:2], [2 * np.log(2), 2 * np.log(1 + np.exp(1.5))])
    np.testing.assert_allclose(confidence(np.array([[0.2, 0.8], [0.5, 0.5]])), [0.8, 0.5])


def test_mahalanobis_sees_directions() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 2)) * [10, 0.1]
    strange = np.array([[0.0, 2.0], [15.0, 0.0]])
    far = mahalanobis_distance(strange, reference=x, shrinkage=0)
    assert far[0] > 10 > 2 > far[1]
    assert mahalanobis_distance(strange, reference=x, shrinkage=1)[0] < 1
    # two classes: what lies between them is far from both, and near to their common mean
    two = np.concatenate([x + np.array([0, 5]), x - np.array([0, 5])])
    labels = np.repeat([0, 1], 400)
    assert mahalanobis_distance(np.zeros((1, 2)), labels, reference=two, shrinkage=0)[0] > 20
    assert mahalanobis_distance(np.zeros((1, 2)), reference=two, shrinkage=0)[0] < 1
    loud = np.concatenate([x, [[0, 300.0]]])
    trimmed = mahalanobis_distance(strange, reference=loud, shrinkage=0, trim=0.01)
    assert trimmed[0] > 2 * mahalanobis_distance(strange, reference=loud, shrinkage=0)[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: knn_distance(LINE, 4, metric="euclidean"), "k=4"),
        (lambda: knn_distance(LINE, 1, of="median", metric="euclidean"), "of 'median'"),
        (lambda: energy(np.ones((2, 2)), 0), "temperature 0"),
        (lambda: energy(np.ones((2, 0))), "shape"),
        (lambda: confidence(np.array([[1.0, 2.0]])), "with sum 3"),
        (lambda: confidence(np.array([[-1.0, 2.0]])), "They look like logits"),
        (lambda: mahalanobis_distance(np.array([[np.nan]])), "row 0 is not finite"),
        (lambda: mahalanobis_distance(LINE, np.zeros(3, int)), "3 labels for 4 rows"),
    ],
)
def test_what_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()  # type: ignore[operator]


# --- The scorer -----------------------------------------------------------------------------------------------------


def planted() -> ArrayView:
    """Two classes of directions, and the last item like neither."""
    rng = np.random.default_rng(0)
    x = np.eye(2, 5)[np.arange(60) % 2] * 5 + rng.standard_normal((60, 5)) * 0.4
    x[59] = [0, 0, 4, 0, 0]
    probs = np.full((60, 2), [0.9, 0.1])
    probs[59] = 0.5
    logits = np.log(probs) + 3
    logits[59] = -1
    table = {"id": [f"{i:03d}" for i in range(60)], "label": ["ab"[i % 2] for i in range(60)]}
    return ArrayView(table, {"pixel_embedding": x, "probs": probs, "logits": logits})


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"of": "last"},
        {"metric": "euclidean"},
        {"scale": "exp"},
        {"scale": "raw"},
        {"method": "mahalanobis"},
        {"method": "mahalanobis", "label": "label"},
        {"method": "energy", "embedding": "logits"},
        {"method": "confidence", "embedding": "probs"},
    ],
)
def test_the_stranger_is_last(params: dict[str, str]) -> None:
    values = score_all(Outlier(**params), planted())["outlier"].to_numpy()  # type: ignore[arg-type]
    assert values.argmin() == 59


def test_every_parameter_of_the_scorer_counts() -> None:
    view = planted()
    distance = {"method": "mahalanobis"}
    for base, change in (
        ({}, {"k": 3}),
        ({}, {"of": "last"}),
        ({}, {"metric": "euclidean"}),
        ({}, {"scale": "exp"}),
        ({}, distance),
        (distance, {"label": "label"}),
        (distance, {"shrinkage": 0.9}),
        ({"method": "energy", "embedding": "logits"}, {"temperature": 3.0}),
    ):
        plain, other = (score_all(Outlier(**p), view)["outlier"].to_numpy() for p in (base, base | change))  # type: ignore[arg-type]
        assert not np.allclose(plain, other), change
    with pytest.raises(InputError, match="'mahalanobis'"):
        Outlier(label="label")


def test_rows_without_a_vector_say_why() -> None:
    x = np.random.default_rng(0).standard_normal((20, 3))
    x[2], x[5], x[7, 1] = np.nan, 0, np.inf
    scored = score_all(Outlier(k=3), ArrayView({"n": list(range(20))}, {"pixel_embedding": x}))
    reasons = scored["outlier_reason"]
    assert reasons[2].as_py() == "no pixel_embedding"
    assert reasons[5].as_py() == reasons[7].as_py() == "pixel_embedding is zero or not finite"
    assert scored["outlier"].null_count == 3
    with pytest.raises(InputError, match="k=17 neighbours: 16"):
        Outlier(k=17).fit(ArrayView({"n": list(range(20))}, {"pixel_embedding": x}))
