"""Self-taught weights: features by hand, the meta-gradient, planted noise, every setting."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="extra train not installed")

import torch

from curate.errors import InputError
from curate.scorers.noise import self_taught_weights
from curate.scorers.noise.dynamics.rescaling import FEATURES, SelfTaught, _Loop, describe
from curate.scorers.noise.dynamics.subsets import SelfRescaling
from curate.testing import score_all

SHORT = {"epochs": 2, "hidden": 8, "passes": 2}


def test_features_by_hand() -> None:
    # one item, two passes over three classes: p = (1/2, 1/4, 1/4) and (1/4, 1/2, 1/4)
    passes = torch.log(torch.tensor([[[0.5, 0.25, 0.25]], [[0.25, 0.5, 0.25]]]))
    got = describe(passes, torch.tensor([2]), FEATURES)[0].tolist()
    entropy = -(2 * 0.375 * math.log(0.375) + 0.25 * math.log(0.25)) / math.log(3)
    assert got == pytest.approx([math.log(4), 0.25, 0.0, entropy, 1.0, 0.25 - 0.375], abs=1e-6)
    first = describe(passes, torch.tensor([0]), ("std", "rank", "margin"))[0].tolist()
    assert first == pytest.approx([0.125, 0.0, 0.0], abs=1e-6)


def test_the_rescaler_moves_along_the_meta_gradient() -> None:
    """Without dropout the objective is smooth: a finite difference along one parameter agrees with autograd."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(12, 3)), dtype=torch.float32)
    y = torch.tensor(np.arange(12) % 2)
    loop = _Loop(SelfTaught(dropout=0.0, hidden=4, passes=1, learning_rate=0.5), x, y, 2)
    rows, others = torch.arange(0, 12, 2), torch.arange(1, 12, 2)

    def objective() -> float:
        inner = (loop.weigh(loop.observe(loop.model, rows)) * loop.losses(loop.model, rows)).mean()
        slopes = torch.autograd.grad(inner, loop.model)
        trial = [p - 0.5 * g for p, g in zip(loop.model, slopes, strict=True)]
        seen = loop.observe(trial_at, others)  # what is observed is held fixed, as in the loop
        return float((loop.weigh(seen) * loop.losses(trial, others)).mean().detach())

    inner = (loop.weigh(loop.observe(loop.model, rows)) * loop.losses(loop.model, rows)).mean()
    trial_at = [
        (p - 0.5 * g).detach()
        for p, g in zip(loop.model, torch.autograd.grad(inner, loop.model), strict=True)
    ]
    loop.teach(rows, others)
    slope = loop.rescaler[0].grad[1, 2].item()
    before = [p.detach().clone() for p in loop.rescaler]
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            loop.rescaler[0][1, 2] += sign * 1e-2
        values.append(objective())
        with torch.no_grad():
            for parameter, old in zip(loop.rescaler, before, strict=True):
                parameter.copy_(old)
    assert (values[0] - values[1]) / 2e-2 == pytest.approx(slope, rel=0.05, abs=2e-5)


def test_wrong_labels_weigh_less(planted: Any) -> None:
    found = self_taught_weights(planted.x, planted.labels, 3)
    assert planted.auroc(found.weights) > 0.85  # 0.5 at random
    assert found.weights.mean() == pytest.approx(1) and (found.weights >= 0).all()
    assert found.weights[planted.wrong].mean() < 0.5 * found.weights[~planted.wrong].mean()
    assert found.features.shape == (240, 6)


def test_the_same_seed_gives_the_same_bits(planted: Any) -> None:
    how = SelfTaught(**SHORT)
    first = self_taught_weights(planted.x, planted.labels, 3, how=how).weights
    torch.manual_seed(77)
    np.testing.assert_array_equal(first, self_taught_weights(planted.x, planted.labels, 3, how=how).weights)


def test_every_setting_shows_in_the_scorer(planted: Any) -> None:
    view = planted.view().rearranged(np.arange(100))
    base = score_all(SelfRescaling(**SHORT), view)
    for change in (
        {"features": ("loss", "mean")},
        {"passes": 3},
        {"dropout": 0.6},
        {"hidden": 5},
        {"epochs": 3},
        {"warmup": 0.6},
        {"batch_size": 3},
        {"learning_rate": 0.1},
        {"meta_learning_rate": 0.03},
        {"seed": 1},
    ):
        assert not score_all(SelfRescaling(**SHORT | change), view).equals(base), change
    shared = {f.name for f in fields(SelfTaught)}
    assert shared <= {f.name for f in fields(SelfRescaling)}
    for f in fields(SelfTaught):
        assert SelfRescaling.__dataclass_fields__[f.name].default == f.default, f.name


def test_bad_input_is_refused(planted: Any) -> None:
    with pytest.raises(InputError, match=r"\['luck'\]: some of loss, mean"):
        SelfTaught(features=("luck",))
    for wrong in ({"features": ()}, {"dropout": 1.0}, {"passes": 0}, {"epochs": 0}):
        with pytest.raises(InputError):
            SelfRescaling(**wrong)
    for name, value in {
        "warmup": -1.0,
        "batch_size": 0,
        "learning_rate": -1.0,
        "meta_learning_rate": 0.0,
    }.items():
        with pytest.raises(InputError, match=f"{name}={value}"):
            SelfTaught(**{name: value})
    with pytest.raises(InputError, match=r"all \d+ labels are"):
        self_taught_weights(planted.x, planted.labels * 0, 3)
    with pytest.raises(InputError, match="lower learning_rate"):
        self_taught_weights(planted.x, planted.labels, 3, how=SelfTaught(**SHORT, learning_rate=1e30))
