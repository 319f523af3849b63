"""GradMatch and CRAIG, and the gradients they read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.choosing import Constraints
from curate.errors import InputError
from curate.selectors.coreset import (
    craig,
    el2n,
    forgetting_events,
    grad_match,
    grand,
    last_layer_gradients,
)


def residual(x: Any, chosen: Any, target: Any) -> float:
    w = chosen.weight * (1 / len(chosen))
    mixed = w @ x[chosen.index]
    scale = max(0.0, float(mixed @ target) / float(mixed @ mixed))
    return float(np.linalg.norm(scale * mixed - target) / np.linalg.norm(target))


def test_weights_match_the_target() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 30)) + 0.3
    chosen = grad_match(x, 20)
    assert len(chosen) == 20
    assert chosen.weight is not None and (chosen.weight > 0).all()
    assert chosen.weight.mean() == pytest.approx(1, rel=1e-5)
    assert chosen.random["objective"] < 0.5 * chosen.random["random"]
    assert residual(x, chosen, x.mean(0)) <= chosen.random["objective"] + 1e-5


def test_the_weights_are_those_of_non_negative_least_squares() -> None:
    nnls: Any = pytest.importorskip("scipy.optimize").nnls
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((200, 40)), rng.standard_normal(40)
    chosen = grad_match(x, 9, target=target)
    rows = chosen.index
    best, distance = nnls(x[rows].T.astype(np.float64), target)
    assert (best > 0).sum() == 9
    assert chosen.random["objective"] == pytest.approx(distance / np.linalg.norm(target), abs=1e-5)
    np.testing.assert_allclose(chosen.weight, best / best.mean(), rtol=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.integers(1, 6))
def test_any_budget_is_met_while_rows_help(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.abs(rng.standard_normal((n, d))) + 0.1  # all point along their mean
    k = int(rng.integers(1, n + 1))
    chosen = grad_match(x, k)
    assert len(np.unique(chosen.index)) == len(chosen) == k
    assert chosen.weight is not None and (chosen.weight > 0).all()
    assert np.isfinite(chosen.random["objective"])


def test_copies_do_not_crowd_out_the_others() -> None:
    rng = np.random.default_rng(0)
    once = rng.standard_normal((30, 40))
    x = np.repeat(once, 5, axis=0)
    chosen = grad_match(x, 25)
    assert len(np.unique(chosen.index // 5)) == 25


def test_mandatory_rows_come_first_even_if_they_do_not_help() -> None:
    x = np.array([[-1.0, 0], [1, 0], [0, 1], [1, 1], [1, 1.1]])
    chosen = grad_match(x, 3, within=Constraints(np.array([0, 2])), target=np.array([1.0, 2]))
    assert chosen.index[:2].tolist() == [0, 2] and len(chosen) == 3
    assert chosen.weight is not None and 0 < chosen.weight[0] < 1e-4


def test_classes_and_costs() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, 8)) + 1
    group = np.repeat([0, 1, 2], 30)
    chosen = grad_match(x, 12, within=Constraints(group=group))
    assert np.bincount(group[chosen.index]).tolist() == [4, 4, 4]
    assert group[chosen.index[:3]].tolist() == [0, 1, 2]
    dear = grad_match(x, 10, within=Constraints(cost=np.where(np.arange(90) < 45, 5.0, 1.0)))
    assert (5 * (dear.index < 45) + (dear.index >= 45)).sum() <= 10


def test_ridge_spreads_the_weight() -> None:
    x = np.random.default_rng(3).standard_normal((200, 20)) + 0.5
    spread = [float((c.weight**2).mean()) for c in (grad_match(x, 15), grad_match(x, 15, ridge=1.0))]  # type: ignore[operator]
    assert spread[1] < spread[0]


@pytest.mark.parametrize(
    ("x", "options", "match"),
    [
        (np.zeros((3, 2)), {}, "all gradients are zero"),
        (np.array([[1.0, 0], [-1, 0]]), {}, "the target is zero"),
        (np.ones((3, 2)), {"target": np.ones(3)}, "3 dimensions, x has 2"),
        (np.ones((3, 2)), {"ridge": -1}, "ridge -1"),
        (np.ones((3, 2)), {"ridge": np.inf}, "ridge inf"),
        (np.full((3, 2), np.nan), {}, "not finite"),
    ],
)
def test_what_cannot_be_matched_is_an_error(x: Any, options: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        grad_match(x, 1, **options)


def test_craig_weighs_by_how_many_each_stands_for() -> None:
    pytest.importorskip("numba")
    x = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
    chosen = craig(x, 3)
    cloud = np.array([0, 0, 0, 1, 1, 2])[chosen.index]
    weights = dict(zip(cloud.tolist(), chosen.weight.tolist(), strict=True))  # type: ignore[union-attr]
    assert weights == {0: pytest.approx(1.5), 1: pytest.approx(1), 2: pytest.approx(0.5)}
    group = np.array([0, 0, 0, 0, 1, 1])
    apart = craig(x, 3, within=Constraints(group=group))
    assert np.bincount(group[apart.index]).tolist() == [2, 1]
    of_groups = np.bincount(group[apart.index], apart.weight)
    np.testing.assert_allclose(of_groups, [2, 1], rtol=1e-5)  # 4 and 2 items, mean 1 over three


def test_gradients_of_the_last_layer_are_those_of_autograd() -> None:
    torch: Any = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((5, 3)).astype(np.float32), np.array([0, 1, 2, 1, 0])
    layer = torch.nn.Linear(3, 3)
    logits = layer(torch.from_numpy(features))
    probabilities = logits.softmax(1).detach().numpy()
    ours = last_layer_gradients(probabilities, labels, features).reshape(5, 3, 4)
    for i in range(5):
        loss = torch.nn.functional.cross_entropy(logits[i : i + 1], torch.tensor(labels[i : i + 1]))
        weight, bias = torch.autograd.grad(loss, [layer.weight, layer.bias], retain_graph=True)
        np.testing.assert_allclose(ours[i, :, :3], weight, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(ours[i, :, 3], bias, rtol=1e-4, atol=1e-6)
    lengths = np.linalg.norm(ours.reshape(5, -1), axis=1)
    np.testing.assert_allclose(grand(probabilities, labels, features), lengths, rtol=1e-5)
    np.testing.assert_allclose(
        el2n(probabilities, labels),
        np.linalg.norm(last_layer_gradients(probabilities, labels), axis=1),
        rtol=1e-5,
    )


def test_lengths_and_forgetting_by_hand() -> None:
    p = np.array([[0.6, 0.4], [1.0, 0.0]])
    np.testing.assert_allclose(el2n(p, np.array([0, 1])), [np.sqrt(0.32), np.sqrt(2)], rtol=1e-6)
    correct = np.array([[0, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1]])
    assert forgetting_events(correct).tolist() == [2, 0, np.inf, 0]
    with pytest.raises(InputError, match=r"outside 0 \.\.\. 1"):
        el2n(p, np.array([0, 2]))
    with pytest.raises(InputError, match="one for each of the 2 rows"):
        el2n(p, np.array([0]))
    with pytest.raises(InputError, match=r"\(items, epochs\)"):
        forgetting_events(np.ones(3))
    with pytest.raises(InputError, match="GB"):
        last_layer_gradients(np.ones((70_000, 100)) / 100, np.zeros(70_000, int), np.ones((70_000, 100)))
