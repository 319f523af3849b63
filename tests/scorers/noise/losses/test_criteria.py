"""`AldrKl` and `Elr`: what they remember, that a checkpoint resumes it, that they train; `elr` by hand."""

from __future__ import annotations

import io
import math
import pickle

import numpy as np
import pytest

pytest.importorskip("torch", reason="extra train not installed")

import torch

from curate.errors import InputError
from curate.scorers.noise.losses import criteria
from curate.scorers.noise.losses.criteria import AldrKl, Elr
from curate.scorers.noise.losses.elr import elr, elr_target
from curate.scorers.noise.losses.ldr import aldr_kl, aldr_lambda, prepare_logits


def batch(n: int = 4, k: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(0, 3, (n, k)), dtype=torch.float32), torch.tensor(rng.integers(0, k, n))


def test_temperatures_are_remembered_by_item() -> None:
    logits, labels = batch()
    criterion = AldrKl(10, lam0=2.0, alpha=1.5, margin=0.2)
    index = torch.tensor([7, 0, 3, 9])
    first = criterion(logits, labels, index)
    lam = aldr_lambda(logits, lam0=2.0, alpha=1.5)
    torch.testing.assert_close(criterion.lam[index], lam)
    assert (criterion.lam[[1, 2, 4, 5, 6, 8]] == 2.0).all()
    torch.testing.assert_close(first, aldr_kl(logits, labels, lam, 0.2, lam0=2.0, alpha=1.5))
    criterion(logits, labels, index)
    torch.testing.assert_close(criterion.lam[index], aldr_lambda(logits, lam, lam0=2.0, alpha=1.5))


def test_eval_leaves_the_memory_alone() -> None:
    logits, labels = batch()
    index = torch.arange(4)
    for criterion, memory in ((AldrKl(4).eval(), "lam"), (Elr(4, 3).eval(), "target")):
        before = getattr(criterion, memory).clone()
        criterion(logits, labels, index)
        assert torch.equal(getattr(criterion, memory), before)


def test_parameters_reach_the_loss() -> None:
    logits, labels = batch()
    index = torch.arange(4)
    base = AldrKl(4)(logits, labels, index)
    for changed in ({"lam0": 1.0}, {"alpha": 5.0}, {"margin": 1.0}, {"prepare": "unit-mean"}):
        assert AldrKl(4, **changed)(logits, labels, index) != base
    assert AldrKl(4, reduction="none")(logits, labels, index).shape == (4,)
    scaled = prepare_logits(logits, "unit-mean")
    torch.testing.assert_close(AldrKl(4, prepare="unit-mean")(logits, labels, index), aldr_kl(scaled, labels))
    elr_base = Elr(4, 3)(logits, labels, index)
    for changed in ({"beta": 0.1}, {"strength": 9.0}):
        assert Elr(4, 3, **changed)(logits, labels, index) != elr_base


def test_a_checkpoint_resumes_exactly() -> None:
    logits, labels = batch()
    index = torch.arange(4)
    for make in (lambda: AldrKl(4, lam0=1.0), lambda: Elr(4, 3)):
        criterion = make()
        criterion(logits, labels, index)
        file = io.BytesIO()
        torch.save(criterion.state_dict(), file)
        file.seek(0)
        resumed = make()
        resumed.load_state_dict(torch.load(file, weights_only=True))
        assert torch.equal(resumed(logits, labels, index), criterion(logits, labels, index))
        twin = pickle.loads(pickle.dumps(criterion))  # noqa: S301
        assert torch.equal(twin(logits, labels, index), criterion(logits, labels, index))


def test_many_labels_have_a_temperature_each() -> None:
    criterion = AldrKl(5, labels=2)
    logits = torch.tensor([[4.0, 0.0], [0.0, -4.0]])
    loss = criterion(logits, torch.tensor([[1.0, 0.0], [math.nan, 0.0]]), torch.tensor([4, 1]))
    assert criterion.lam.shape == (5, 2) and loss.isfinite()
    assert criterion.lam[4, 0] < 10 and criterion.lam[4, 1] == 10 and criterion.lam[1, 1] < 10


def test_elr_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0]])  # p = (0.75, 0.25)
    target = elr_target(torch.zeros(1, 2), logits, beta=0.6)
    torch.testing.assert_close(target, torch.tensor([[0.3, 0.1]]))
    loss = elr(logits, torch.tensor([1]), target, strength=2.0)
    expected = -math.log(0.25) + 2 * math.log(1 - 0.3 * 0.75 - 0.1 * 0.25)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="beta"):
        elr_target(target, logits, beta=1.0)
    with pytest.raises(InputError, match="targets have shape"):
        elr(logits, torch.tensor([1]), torch.zeros(1, 3))


def test_elr_gradients_are_those_of_finite_differences() -> None:
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.softmax(logits.flip(0), 1) * 0.8
    labels = torch.tensor([0, 1, 2, 0, 1])
    assert torch.autograd.gradcheck(lambda f: elr(f, labels, target), (logits.requires_grad_(),))


def test_bad_batches_do_not_poison_the_memory() -> None:
    logits, labels = batch()
    logits[1] = math.nan
    index = torch.arange(4)
    aldr, early = AldrKl(4), Elr(4, 3)
    assert aldr(logits, labels, index).isnan() and early(logits, labels, index).isnan()
    assert aldr.lam.isfinite().all() and early.target.isfinite().all()


@pytest.mark.parametrize("index", [[0, 1, 2, 4], [-1, 0, 1, 2], [0, 1]])
def test_an_index_that_is_no_row_is_refused(index: list[int]) -> None:
    logits, labels = batch()
    for criterion in (AldrKl(4), Elr(4, 3)):
        with pytest.raises(InputError, match="index"):
            criterion(logits, labels, torch.tensor(index))


def test_classes_are_built_once_and_nothing_else_is_there() -> None:
    assert criteria.AldrKl is AldrKl and AldrKl.__module__ == criteria.__name__
    with pytest.raises(AttributeError):
        _ = criteria.Nothing
    with pytest.raises(InputError, match="alpha"):
        AldrKl(3, alpha=0.5)


def test_aldr_trains_a_model() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    x = torch.tensor(np.eye(3)[truth] * 3 + rng.normal(size=(300, 3)), dtype=torch.float32)
    given = truth.copy()
    given[:60] = rng.integers(0, 3, 60)
    model, criterion = torch.nn.Linear(3, 3), AldrKl(300, lam0=1.0)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    labels, index = torch.tensor(given), torch.arange(300)
    for _ in range(60):
        optimiser.zero_grad()
        criterion(model(x), labels, index).backward()
        optimiser.step()
    assert (model(x).argmax(1).numpy() == truth).mean() > 0.9
