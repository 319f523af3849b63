"""Gradients of torch models: equal to backward passes, by vmap and without, raw and as Adam steps, at every checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.influence import (
    AdamMoments,
    Checkpoint,
    GradientStore,
    PerSample,
    Plan,
    adam_moments,
    collect_gradients,
    project,
    select_parameters,
)

torch = pytest.importorskip("torch", reason="extra train not installed")
pytest.importorskip("numba", reason="extra select not installed")
N = 11


@pytest.fixture
def model():
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((N, 5)).astype(np.float32)), torch.from_numpy(
        rng.integers(0, 3, N)
    )


def loss(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def branching_loss(model, batch):
    value = loss(model, batch)
    return value if value.item() > -1 else value * 0  # vmap cannot look at a value


def batch_of(items):
    return lambda rows: tuple(tensor[torch.from_numpy(rows)] for tensor in items)


def backward(model, items, names=None):
    out = []
    for i in range(N):
        model.zero_grad()
        loss(model, tuple(tensor[i : i + 1] for tensor in items)).backward()
        named = dict(model.named_parameters())
        out.append(np.concatenate([named[n].grad.reshape(-1).numpy() for n in names or named]))
    model.zero_grad()
    return np.stack(out)


@pytest.mark.parametrize(
    ("of", "method", "used"),
    [
        (loss, "auto", "vmap"),
        (loss, "backward", "backward"),
        (branching_loss, "auto", "backward"),
    ],
)
def test_each_way_gives_the_gradients_of_backward_passes(tmp_path, model, items, of, method, used):
    plan = Plan(dim=None, normalised=False, method=method, batch_size=4)
    got = collect_gradients(model, batch_of(items), tmp_path / "g", rows=N, loss=of, plan=plan)
    assert got.method == used and bool(got.reason) == (of is branching_loss) and got.computed == N
    assert np.allclose(got.store.to_numpy(), backward(model, items), rtol=2e-3, atol=1e-5)
    assert got.store.header.parameters == got.store.header.dim == 75


def test_what_vmap_cannot_do_it_says_when_it_alone_is_asked_for(model, items):
    with pytest.raises(RuntimeError, match="vmap"):
        PerSample(model, branching_loss, dict(model.named_parameters()), "vmap").gradients(items)


def test_projected_on_the_fly_is_projected(tmp_path, model, items):
    got = collect_gradients(
        model, batch_of(items), tmp_path / "g", rows=N, loss=loss, plan=Plan(dim=32, seed=4)
    )
    expected = project(backward(model, items), 32, seed=4)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(got.store.to_numpy(), expected, atol=1e-3)


def test_some_parameters(tmp_path, model, items):
    plan = Plan(dim=None, normalised=False, parameters=("2.*",))
    got = collect_gradients(model, batch_of(items), tmp_path / "g", rows=N, loss=loss, plan=plan)
    expected = backward(model, items, ["2.weight", "2.bias"])
    assert np.allclose(got.store.to_numpy(), expected, rtol=2e-3, atol=1e-5)
    model[0].requires_grad_(False)
    assert list(select_parameters(model)) == ["2.weight", "2.bias"]
    with pytest.raises(InputError, match=r"no parameter is called 'head\.\*': there are 0.weight"):
        select_parameters(model, ("head.*",))
    model.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter of the model is trained"):
        select_parameters(model)
    plain = PerSample(model, loss, select_parameters(model, ("2.*",)), "backward").gradients(items)
    assert np.allclose(plain["2.bias"].numpy(), expected[:, -3:], atol=1e-6)
    assert not model[2].bias.requires_grad  # as it was


def trained(model, items, **options):
    """A checkpoint after some steps of Adam, and its moments; the model is put back."""
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, **options)
    for _ in range(5):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(items[0]), items[1]).backward()
        optimiser.step()
    values = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.load_state_dict(start)
    return values, optimiser.state_dict()


def test_adam_steps_at_checkpoints(tmp_path, model, items):
    values, state = trained(model, items)
    moments = adam_moments(state, dict(model.named_parameters()))
    plan = Plan(dim=None, normalised=False)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    got = collect_gradients(
        model,
        batch_of(items),
        tmp_path / "g",
        rows=N,
        loss=loss,
        plan=plan,
        checkpoints=[Checkpoint(values, 1e-2, moments), Checkpoint(None, 2e-3, moments)],
    )
    assert (
        got.store.shape == (N, 150)
        and got.store.header.kind == "adam"
        and got.store.header.rates == (1e-2, 2e-3)
    )
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters()) and model.training
    first, second = (
        np.concatenate([state["state"][k][which].reshape(-1).numpy() for k in range(4)])
        for which in ("exp_avg", "exp_avg_sq")
    )
    for t, parameters in enumerate((values, before)):
        model.load_state_dict(parameters)
        g = backward(model, items)
        expected = (0.9 * first + 0.1 * g) / np.sqrt(0.999 * second + 0.001 * g**2 + 1e-8)
        assert np.allclose(got.store.to_numpy()[:, 75 * t : 75 * (t + 1)], expected, rtol=2e-3, atol=1e-3)


def test_moments_are_found_by_name_number_and_group(model, items):
    parameters = dict(model.named_parameters())
    _, state = trained(model, items)
    by_number = adam_moments(state, parameters)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim == 1]
    groups = torch.optim.AdamW(
        [{"params": decayed}, {"params": rest, "weight_decay": 0.0}], lr=1e-2, betas=(0.8, 0.99)
    )
    torch.nn.functional.cross_entropy(model(items[0]), items[1]).backward()
    groups.step()
    by_group = adam_moments(groups.state_dict(), parameters)
    assert by_group.betas == (0.8, 0.99) and by_number.betas == (0.9, 0.999)
    named = torch.optim.AdamW(list(reversed(list(model.named_parameters()))), lr=1e-2, betas=(0.8, 0.99))
    named.step()
    by_name = adam_moments(named.state_dict(), parameters)
    for name, p in parameters.items():
        assert by_number.first[name].shape == by_group.first[name].shape == p.shape
        assert torch.allclose(by_group.first[name], by_name.first[name])


def test_moments_of_something_else_are_refused(model, items):
    _, state = trained(model, items)
    other = dict(torch.nn.Linear(2, 2).named_parameters())
    with pytest.raises(InputError, match="another model: it has 4 parameters"):
        adam_moments(state, other)
    with pytest.raises(InputError, match="holds no moments"):
        adam_moments({"state": {}, "param_groups": [{"params": [0]}]}, other)
    sgd = torch.optim.SGD(list(other.values()), lr=0.1, momentum=0.9)
    (next(iter(other.values())) ** 2).sum().backward()
    sgd.step()
    with pytest.raises(InputError):
        adam_moments(sgd.state_dict(), other)


def test_one_step_of_adam_by_hand():
    moments = AdamMoments({"w": torch.tensor([1.0])}, {"w": torch.tensor([4.0])})
    got = moments.step("w", torch.tensor([[3.0], [0.0]]))
    assert np.allclose(
        got.numpy()[:, 0], [(0.9 + 0.3) / np.sqrt(3.996 + 0.009 + 1e-8), 0.9 / np.sqrt(3.996 + 1e-8)]
    )


def test_it_goes_on_after_an_interruption(tmp_path, model, items):
    calls: list[int] = []

    def stopping(rows):
        calls.extend(rows.tolist())
        if len(calls) > 6:
            raise KeyboardInterrupt
        return batch_of(items)(rows)

    arguments = {"rows": N, "loss": loss, "plan": Plan(dim=16, batch_size=2, precision="int8")}
    with pytest.raises(KeyboardInterrupt):
        collect_gradients(model, stopping, tmp_path / "g", **arguments)
    assert GradientStore.open(tmp_path / "g").done.sum() == 6
    got = collect_gradients(model, batch_of(items), tmp_path / "g", **arguments)
    assert got.computed == 5
    whole = collect_gradients(model, batch_of(items), tmp_path / "whole", **arguments)
    assert np.allclose(got.store.to_numpy(), whole.store.to_numpy(), atol=0.02)
    assert collect_gradients(model, batch_of(items), tmp_path / "g", **arguments)[1:] == ("", "", 0)


def test_what_is_of_another_model_is_refused(tmp_path, model, items):
    arguments = {"rows": N, "loss": loss, "plan": Plan(dim=16)}
    collect_gradients(model, batch_of(items), tmp_path / "g", **arguments)
    with torch.no_grad():
        model[0].bias += 1
    with pytest.raises(InputError, match="other checkpoints"):
        collect_gradients(model, batch_of(items), tmp_path / "g", **arguments)
    wider = torch.nn.Sequential(torch.nn.Linear(5, 9), torch.nn.Tanh(), torch.nn.Linear(9, 3))
    with pytest.raises(InputError, match="other parameters"):
        collect_gradients(wider, batch_of(items), tmp_path / "g", **arguments)
    values = dict(wider.named_parameters())
    with pytest.raises(InputError, match=r"another model: '0.weight' is \(9, 5\) there and \(8, 5\) here"):
        collect_gradients(
            model, batch_of(items), tmp_path / "h", checkpoints=[Checkpoint(values)], **arguments
        )
    with pytest.raises(InputError, match=r"it lacks 2\.bias"):
        lacking = {n: p for n, p in model.named_parameters() if n != "2.bias"}
        collect_gradients(
            model, batch_of(items), tmp_path / "h", checkpoints=[Checkpoint(lacking)], **arguments
        )
    moments = AdamMoments({}, {})
    with pytest.raises(InputError, match="checkpoint 1 has no moments"):
        both = [Checkpoint(moments=moments), Checkpoint()]
        collect_gradients(model, batch_of(items), tmp_path / "h", checkpoints=both, **arguments)


def test_items_without_a_finite_gradient_are_told(tmp_path, model, items):
    items[0][3] = float("nan")
    got = collect_gradients(model, batch_of(items), tmp_path / "g", rows=N, loss=loss, plan=Plan(dim=16))
    assert got.store.usable.tolist() == [i != 3 for i in range(N)]


def test_a_loss_that_is_no_scalar_is_refused(model, items):
    wrong = PerSample(model, lambda m, b: m(b[0]), dict(model.named_parameters()))
    with pytest.raises(InputError, match=r"shape \(1, 3\): a scalar"):
        wrong.gradients(items)
    with pytest.raises(InputError, match="one number of rows"):
        PerSample(model, loss, dict(model.named_parameters()), "backward").gradients((items[0], items[1][:2]))
    with pytest.raises(InputError, match="'auto', 'vmap' or 'backward'"):
        PerSample(model, loss, {}, "fast")


def test_convolutions_and_batch_normalisation_pass_through_vmap():
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 3, 3),
            torch.nn.BatchNorm2d(3),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(48, 2),
        )
        images = torch.randn(4, 1, 6, 6)
    net.eval()
    batch = images, torch.tensor([0, 1, 0, 1])
    both = [PerSample(net, loss, dict(net.named_parameters()), method) for method in ("vmap", "backward")]
    one, other = (way.gradients(batch) for way in both)
    assert [way.used for way in both] == ["vmap", "backward"]
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)
