"""`training_dynamics`: by hand, against a plain computation, gaps, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.scorers.noise import training_dynamics
from curate.scorers.noise.dynamics import measures
from curate.scorers.noise.dynamics.measures import Trajectory

HALF = math.log(3.0)
"""Two logits (HALF, 0) are the probabilities 3/4 and 1/4."""


def test_by_hand() -> None:
    # p of class 0, epoch by epoch: 3/4, 1/4, 3/4, 1/4
    logits = np.array([[[HALF, 0.0]], [[0.0, HALF]], [[HALF, 0.0]], [[0.0, HALF]]])
    found = training_dynamics(logits, np.array([0]), beta=0.5)
    assert found.confidence[0] == pytest.approx(0.5)
    assert found.variability[0] == pytest.approx(0.25)
    assert found.closeness[0] == pytest.approx(0.25)
    assert found.correctness[0] == pytest.approx(0.5)
    assert (found.forgetting[0], found.learnt[0], found.epochs[0]) == (2, True, 4)
    assert found.margin[0] == pytest.approx(0.0, abs=1e-7)
    # target of class 0: 3/8, 5/16, 17/32, 25/64, of a total of 15/16
    target = (25 / 64) / (15 / 16)
    assert found.target[0] == pytest.approx(target, rel=1e-5)
    assert found.suggested[0] == 1
    entropy = -(target * math.log(target) + (1 - target) * math.log(1 - target)) / math.log(2)
    assert found.ambiguity[0] == pytest.approx(entropy, rel=1e-5)


def test_margin_and_learning_by_hand() -> None:
    logits = np.array([[[1.0, 5.0, 2.0], [0, 0, 9]], [[3.0, 1.0, 0.5], [0, 0, 9]]])
    found = training_dynamics(logits, np.array([0, 1]))
    assert found.margin.tolist() == [(-4.0 + 2.0) / 2, -9.0]
    assert found.learnt.tolist() == [True, False]
    assert found.forgetting.tolist() == [0, 0]
    assert found.suggested.tolist() == [0, 2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_it_is_what_a_plain_computation_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e, n, k = int(rng.integers(1, 6)), int(rng.integers(1, 8)), int(rng.integers(2, 5))
    logits, labels = rng.normal(0, 2, (e, n, k)).astype(np.float32), rng.integers(0, k, n)
    found = training_dynamics(logits, labels)
    p = np.exp(logits.astype(float))
    p /= p.sum(2, keepdims=True)
    own = p[:, np.arange(n), labels]
    np.testing.assert_allclose(found.confidence, own.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.variability, own.std(0), atol=1e-6)
    right = logits.argmax(2) == labels
    np.testing.assert_allclose(found.correctness, right.mean(0))
    np.testing.assert_array_equal(found.forgetting, (right[:-1] & ~right[1:]).sum(0))
    assert (found.ambiguity <= 1 + 1e-6).all() and (found.target > 0).all() and (found.target < 1).all()


def test_an_epoch_in_which_an_item_was_not_seen_does_not_count() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(5, 3, 4)), np.array([0, 1, 2])
    logits[2, 1] = np.nan
    logits[:, 2, 3] = np.inf
    found = training_dynamics(logits, labels)
    alone = training_dynamics(np.delete(logits, 2, 0)[:, 1:2], labels[1:2])
    for name in found._fields:
        assert getattr(found, name)[1] == pytest.approx(getattr(alone, name)[0]), name
    assert found.epochs.tolist() == [5, 4, 0]
    assert np.isnan(found.confidence[2]) and np.isnan(found.margin[2]) and np.isnan(found.target[2])


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 50, 4)), rng.integers(0, 4, 50)
    whole = training_dynamics(logits, labels)
    monkeypatch.setattr(measures, "_BLOCK", 28)
    for a, b in zip(whole, training_dynamics(logits, labels), strict=True):
        np.testing.assert_array_equal(a, b)


def test_beta_decides_how_long_an_early_belief_lasts() -> None:
    early = np.array([[[5.0, 0.0]]] * 3 + [[[0.0, 5.0]]] * 3)
    slow, fast = (training_dynamics(early, np.array([0]), beta=beta).target[0] for beta in (0.95, 0.1))
    assert slow > 0.4 and fast < 0.05


def test_half_precision_logs_are_read_to_their_digits() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(4, 30, 5)), rng.integers(0, 5, 30)
    half = training_dynamics(logits.astype(np.float16), labels)
    np.testing.assert_allclose(half.margin, training_dynamics(logits, labels).margin, atol=4e-3)


def test_bad_input_is_refused() -> None:
    labels = np.array([0, 1])
    with pytest.raises(InputError, match="no epoch"):
        training_dynamics([], labels)
    with pytest.raises(InputError, match=r"epoch 1 has logits of shape \(3, 2\), \(2, 2\)"):
        training_dynamics([np.zeros((2, 2)), np.zeros((3, 2))], labels)
    with pytest.raises(InputError, match="row 1: 2"):
        training_dynamics(np.zeros((1, 2, 2)), np.array([0, 2]))
    with pytest.raises(InputError, match="no item has finite logits"):
        training_dynamics(np.full((2, 2, 2), np.nan), labels)
    with pytest.raises(InputError, match="shape"):
        training_dynamics(np.zeros((2, 2)), labels)
    with pytest.raises(InputError, match="classes >= 2"):
        training_dynamics(np.zeros((1, 2, 1)), np.array([0, 0]))
    with pytest.raises(InputError, match="beta"):
        Trajectory(labels, 2, beta=1.0)
