"""Closed forms against torch's backward pass; losses that drop."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.influence import el2n, grand, last_layer_gradients, loss_drop, project

N, K, D = 9, 4, 6


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N, D)).astype(np.float32)
    weights, bias = rng.standard_normal((K, D)).astype(np.float32), rng.standard_normal(K).astype(np.float32)
    logits = features @ weights.T + bias
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return features, weights, bias, probs, rng.integers(0, K, N)


def test_gradients_are_those_of_a_backward_pass(model):
    torch = pytest.importorskip("torch", reason="extra train not installed")
    features, weights, bias, probs, labels = model
    expected = []
    for h, y in zip(features, labels, strict=True):
        w, b = (torch.from_numpy(a).clone().requires_grad_() for a in (weights, bias))
        loss = torch.nn.functional.cross_entropy((w @ torch.from_numpy(h) + b)[None], torch.tensor([y]))
        loss.backward()
        expected.append(torch.cat([w.grad, b.grad[:, None]], 1).reshape(-1).numpy())
    got = last_layer_gradients(probs, labels, features)
    assert np.allclose(got, expected, atol=1e-6)
    assert np.allclose(grand(probs, labels, features), np.linalg.norm(expected, axis=1), rtol=1e-5)
    without = last_layer_gradients(probs, labels, features, bias=False)
    assert np.allclose(grand(probs, labels, features, bias=False), np.linalg.norm(without, axis=1), rtol=1e-5)


def test_projected_they_are_the_projections(model):
    pytest.importorskip("numba", reason="extra select not installed")
    features, _, _, probs, labels = model
    whole = last_layer_gradients(probs, labels, features)
    assert np.allclose(
        last_layer_gradients(probs, labels, features, dim=16, seed=3), project(whole, 16, seed=3), atol=1e-5
    )


def test_el2n_by_hand():
    probs = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    assert np.allclose(el2n(probs, np.array([0, 0])), [np.sqrt(0.09 + 0.04 + 0.01), np.sqrt(2)])
    runs = np.stack([probs, probs[::-1]])
    assert np.allclose(el2n(runs, np.array([0, 0])).sum(), np.sqrt(0.14) + np.sqrt(2))


def test_grand_averages_runs(model):
    features, _, _, probs, labels = model
    runs = grand(np.stack([probs, probs]), labels, np.stack([features, 2 * features]))
    expected = (grand(probs, labels, features) + grand(probs, labels, 2 * features)) / 2
    assert np.allclose(runs, expected)


def test_rows_not_finite_stay_so(model):
    features, _, _, probs, labels = model
    probs = probs.copy()
    probs[2] = np.nan
    assert np.isnan(el2n(probs, labels)[2]) and np.isnan(grand(probs, labels, features)[2])
    assert np.isnan(last_layer_gradients(probs, labels, features)[2]).all()


def test_what_does_not_fit_is_refused(model):
    features, _, _, probs, labels = model
    for call, told in [
        (lambda: el2n(probs, labels[:3]), "shape"),
        (lambda: el2n(probs, labels + 2), "labels lie outside"),
        (lambda: grand(probs, labels, features[:4]), "features of shape"),
        (lambda: last_layer_gradients(probs, labels, features[:4]), "features of shape"),
    ]:
        with pytest.raises(InputError, match=told):
            call()


def test_loss_drop_by_hand():
    before, after = np.array([2.0, 4.0, 0.0, 1.0, np.nan, 1.0]), np.array([1.0, 1.0, 0.0, 1.5, 1.0, np.inf])
    assert np.allclose(loss_drop(before, after), [0.5, 0.75, 0, -0.5, np.nan, np.nan], equal_nan=True)
    assert np.allclose(loss_drop(before, after, normalise=False)[:4], [1, 3, 0, -0.5])
    with pytest.raises(InputError, match="negative, as in row 1"):
        loss_drop(np.array([1.0, -1.0]), np.array([1.0, 1.0]))
    with pytest.raises(InputError, match="shapes"):
        loss_drop(np.ones(2), np.ones(3))


def test_lists_count_and_labels_are_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    probs, labels, seen = rng.dirichlet(np.ones(3), 8), rng.integers(0, 3, 8), rng.standard_normal((8, 4))
    given = probs.tolist(), labels.tolist()
    assert np.array_equal(el2n(*given), el2n(probs, labels))
    assert np.array_equal(grand(*given, seen.tolist()), grand(probs, labels, seen))
    whole = last_layer_gradients(*given, seen.tolist(), dim=16)
    assert np.array_equal(whole, last_layer_gradients(probs, labels, seen, dim=16))
    assert np.array_equal(project(seen.tolist(), 16), project(seen, 16))
    for wrong in (labels + 0.5, labels.astype(str)):
        with pytest.raises(InputError, match=r"whole numbers 0 \.\.\. 2"):
            el2n(probs, wrong)
