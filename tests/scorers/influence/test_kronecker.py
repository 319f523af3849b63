"""EK-FAC of a single layer, where its formula can be written down."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.influence import ekfac

torch = pytest.importorskip("torch", reason="extra train not installed")
pytest.importorskip("kronfluence", reason="extra influence not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


def squared(model, batch):
    return 0.5 * ((model(batch[0])[:, 0] - batch[1]) ** 2).sum()


@pytest.mark.slow
def test_one_linear_layer_is_its_formula():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    a = (rng.standard_normal((60, 4)) @ rng.standard_normal((4, 4))).astype(np.float32)
    y = rng.standard_normal(60).astype(np.float32)
    model = torch.nn.Sequential(torch.nn.Linear(4, 1, bias=False))
    w = model[0].weight.detach().numpy()[0]
    before = model[0].weight.detach().clone()
    g = (a @ w - y)[:, None] * a
    _, basis = np.linalg.eigh(a.T @ a)
    corrected = ((g @ basis) ** 2).mean(0)
    damped = corrected + 0.1 * corrected.mean()
    pairs = (g @ basis) / damped @ (g[:5] @ basis).T
    expected = np.stack([pairs[:, [0, 3]].mean(1), pairs[:, [1, 2, 4]].mean(1)], axis=1)
    data = torch.utils.data.TensorDataset(torch.from_numpy(a), torch.from_numpy(y))
    target = torch.utils.data.Subset(data, range(5))
    got = ekfac(model, data, target, loss=squared, groups=["x", "y", "y", "x", "y"])
    assert np.allclose(got.by_task, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())
    assert got.tasks == ("x", "y") and np.array_equal(got.score, got.by_task.max(axis=1))
    assert torch.equal(before, model[0].weight) and type(model[0]) is torch.nn.Linear


def test_what_it_cannot_do_is_said():
    data = torch.utils.data.TensorDataset(torch.ones(3, 2), torch.ones(3))
    with pytest.raises(InputError, match="0 target items"):
        ekfac(torch.nn.Linear(2, 1), data, torch.utils.data.Subset(data, []), loss=squared)
    with pytest.raises(InputError, match="no linear or convolutional layer"):
        ekfac(torch.nn.LayerNorm(2), data, data, loss=squared)
