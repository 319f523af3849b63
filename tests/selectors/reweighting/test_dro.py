"""Class weights: one step by hand, what lags behind gets more, losses of two denoisers on the same noise."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.selectors.reweighting import ClassDro, class_dro, diffusion_losses


def test_one_step_by_hand() -> None:
    dro = ClassDro(2, eta=1.0, smoothing=0.1)
    ours, theirs, codes = np.array([2.0, 1.0, 0.5]), np.array([1.0, 2.0, 0.5]), np.array([0, 0, 1])
    share = dro.step(ours, theirs, codes)
    # class 0: the mean of max(1, 0) and max(-1, 0) is 0.5; class 1: 0
    alpha = np.exp([0.5, 0.0]) / np.exp([0.5, 0.0]).sum()
    assert np.allclose(share, 0.9 * alpha + 0.05)
    found = dro.result()
    assert np.allclose(found.share, share) and found.steps == 1
    assert np.allclose(found.weight, share / np.array([2 / 3, 1 / 3]))
    assert np.allclose(found.excess, [0.5, 0.0])
    assert (found.weight * np.array([2, 1])).sum() / 3 == pytest.approx(1)


def test_an_absent_class_keeps_its_last_excess() -> None:
    dro = ClassDro(2, smoothing=0.0)
    dro.step(np.array([1.0, 0.0]), np.zeros(2), np.array([0, 1]))
    second = dro.step(np.array([0.0]), np.zeros(1), np.array([1]))
    assert second[0] / second[1] == pytest.approx(
        np.exp(2.0)
    )  # twice exp(1), though the second batch had no class 0


def test_the_result_is_the_mean_over_steps_and_what_lags_gets_more() -> None:
    rng = np.random.default_rng(0)

    def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes = rng.integers(0, 3, 50)
        reference = rng.random(50)
        return reference + np.array([0.0, 0.05, 0.3])[codes], reference, codes

    batches = [batch() for _ in range(40)]
    found = class_dro(batches, 3)
    assert found.share.sum() == pytest.approx(1) and found.share.argmax() == 2
    dro = ClassDro(3)
    shares = [dro.step(*b) for b in batches]
    assert np.allclose(found.share, np.mean(shares, 0))
    even = class_dro([(b[1], b[1], b[2]) for b in batches], 3)
    assert np.allclose(even.share, 1 / 3)


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="1 class"):
        ClassDro(1)
    with pytest.raises(InputError, match="no step"):
        class_dro([], 2)
    with pytest.raises(InputError, match="not finite in 1 of 2"):
        class_dro([(np.array([1.0, np.nan]), np.zeros(2), np.array([0, 1]))], 2)
    with pytest.raises(InputError, match="one of each"):
        class_dro([(np.zeros(3), np.zeros(2), np.array([0, 1]))], 2)
    with pytest.raises(InputError, match="classes from 0 to 2"):
        class_dro([(np.zeros(2), np.zeros(2), np.array([0, 2]))], 2)
    with pytest.raises(InputError, match="eta=0"):
        ClassDro(2, eta=0)
    unseen = class_dro([(np.ones(2), np.zeros(2), np.array([0, 0]))], 2)
    assert np.isnan(unseen.weight[1]) and np.isfinite(unseen.share).all()


def test_two_denoisers_see_the_same_noise() -> None:
    torch = pytest.importorskip("torch", reason="extra train not installed")
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(64, 1, 4, 4)).astype(np.float32))
    alphas = np.linspace(0.99, 0.01, 10)
    seen = []

    def zero(noisy: object, t: object) -> object:
        seen.append((noisy, t))
        return torch.zeros_like(noisy)

    ours, theirs = diffusion_losses((zero, zero), x, alphas, np.random.default_rng(0))
    assert ours.shape == (64,) and np.array_equal(ours, theirs)
    assert torch.equal(seen[0][0], seen[1][0]) and torch.equal(seen[0][1], seen[1][1])
    assert ours.mean() == pytest.approx(1, abs=0.1)  # the variance of the noise

    def knowing(noisy: object, t: object, condition: object) -> object:
        kept = torch.from_numpy(alphas.astype(np.float32))[t].reshape(-1, 1, 1, 1)
        return (noisy - kept.sqrt() * condition) / (1 - kept).sqrt()

    exact, _ = diffusion_losses((knowing, knowing), x, alphas, np.random.default_rng(0), condition=x)
    assert exact.max() < 1e-4
    with pytest.raises(InputError, match="cumulative products"):
        diffusion_losses((zero, zero), x, np.array([0.0, 0.5]), np.random.default_rng(0))
