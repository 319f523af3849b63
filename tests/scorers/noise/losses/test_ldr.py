"""LDR and ALDR: values by hand, the limits, exact gradients, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="extra train not installed")

import torch

from curate.errors import InputError
from curate.scorers.noise import aldr_kl, class_margins, ldr_kl
from curate.scorers.noise.losses.ldr import (
    aldr_kl_multilabel,
    aldr_lambda,
    differences,
    ldr_kl_multilabel,
    prepare_logits,
    soft_maximum,
)
from curate.scorers.noise.losses.values import aldr_kl_values, aldr_lambda_values, ldr_kl_values

LOGITS = np.array([[2.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-1.0, 3.0, 0.5]])
LABELS = np.array([0, 1, 0])


def tensors(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(LOGITS, dtype=dtype, requires_grad=True), torch.tensor(LABELS)


def test_by_hand() -> None:
    # row 0, lam 2, margin 0.5: d = (0, -1.5, -0.5); 2 log((1 + e^-0.75 + e^-0.25) / 3)
    expected = 2 * math.log((1 + math.exp(-0.75) + math.exp(-0.25)) / 3)
    logits, labels = tensors()
    assert ldr_kl(logits[:1], labels[:1], 2.0, 0.5).item() == pytest.approx(expected, rel=1e-12)
    assert ldr_kl_values(LOGITS[:1], LABELS[:1], 2.0, 0.5)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.3, 1.0, 10.0, 1e6, math.inf])
def test_tensors_and_arrays_agree(lam: float) -> None:
    got = ldr_kl(*tensors(), lam, 0.3, reduction="none").detach().numpy()
    np.testing.assert_allclose(got, ldr_kl_values(LOGITS, LABELS, lam, 0.3), rtol=1e-10, atol=1e-12)


def test_lambda_one_is_cross_entropy_less_log_k() -> None:
    logits, labels = tensors()
    entropy = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    got = ldr_kl(logits, labels, 1.0, 0.0, reduction="none")
    torch.testing.assert_close(got, entropy - math.log(3))


def test_limits_are_the_worst_class_and_the_mean() -> None:
    logits, labels = tensors()
    delta = differences(logits, labels, 0.2)
    for small in (0.0, 1e-9):
        got = ldr_kl(logits, labels, small, 0.2, reduction="none")
        torch.testing.assert_close(got, delta.max(1).values, rtol=1e-6, atol=1e-8)
    for large in (math.inf, 1e9):
        got = ldr_kl(logits, labels, large, 0.2, reduction="none")
        torch.testing.assert_close(got, delta.mean(1), rtol=1e-6, atol=1e-8)


def test_a_huge_lambda_keeps_its_digits_in_single_precision() -> None:
    logits, labels = tensors(torch.float32)
    got = ldr_kl(logits, labels, 1e7, 0.2, reduction="none")
    torch.testing.assert_close(got, differences(logits, labels, 0.2).mean(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("lam", [0.1, 1.0, 10.0])
def test_the_gradient_is_p_less_the_label(lam: float) -> None:
    logits, labels = tensors()
    ldr_kl(logits, labels, lam, 0.1, reduction="sum").backward()
    p = torch.softmax(differences(logits, labels, 0.1) / lam, 1)
    expected = p - torch.nn.functional.one_hot(labels, 3)
    torch.testing.assert_close(logits.grad, expected.detach())


@pytest.mark.parametrize("margin", [0.0, 0.4, np.array([0.1, 0.2, 0.3]), np.arange(9.0).reshape(3, 3) / 10])
def test_gradients_are_those_of_finite_differences(margin: object) -> None:
    logits, labels = tensors()
    given_ = margin if isinstance(margin, float) else torch.tensor(margin)
    for lam in (0.5, 3.0, torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)):
        assert torch.autograd.gradcheck(lambda f, lam=lam: ldr_kl(f, labels, lam, given_), (logits,))
    lam = aldr_lambda(logits)
    assert torch.autograd.gradcheck(lambda f: aldr_kl(f, labels, lam, given_), (logits,))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 50), st.floats(0, 2))
def test_properties(seed: int, lam: float, margin: float) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 7))
    logits, labels = rng.normal(0, 3, (5, k)), rng.integers(0, k, 5)
    loss = ldr_kl_values(logits, labels, lam, margin)
    mean = ldr_kl_values(logits, labels, math.inf, margin)
    worst = ldr_kl_values(logits, labels, 0.0, margin)
    assert (loss >= mean - 1e-9).all() and (loss <= worst + 1e-9).all()
    assert (ldr_kl_values(logits, labels, lam * 2, margin) <= loss + 1e-9).all()  # falls as lam grows
    np.testing.assert_allclose(ldr_kl_values(logits + 7, labels, lam, margin), loss, atol=1e-9)
    heat = aldr_lambda_values(logits, lam0=lam, alpha=2.5)
    assert (heat <= lam + 1e-9).all() and (heat >= lam * (1 - 1 / 2.5) - 1e-9).all()


def test_margins_by_class() -> None:
    logits, labels = tensors()
    by_class = torch.tensor([0.5, 0.1, 0.0], dtype=torch.float64)
    got = ldr_kl(logits, labels, 1.0, by_class, reduction="none")
    alone = [ldr_kl(logits[i : i + 1], labels[i : i + 1], 1.0, float(by_class[labels[i]])) for i in range(3)]
    torch.testing.assert_close(got, torch.stack(alone))
    pairs = by_class[:, None].expand(3, 3)
    torch.testing.assert_close(ldr_kl(logits, labels, 1.0, pairs, reduction="none"), got)
    np.testing.assert_allclose(got.detach(), ldr_kl_values(LOGITS, LABELS, 1.0, by_class.numpy()))


def test_rare_classes_get_larger_margins() -> None:
    np.testing.assert_allclose(class_margins(np.array([16, 1, 0]), largest=0.4), [0.2, 0.4, 0.4])
    np.testing.assert_allclose(class_margins(np.array([16, 1]), power=0.5), [0.125, 0.5])
    with pytest.raises(InputError, match=">= 0"):
        class_margins(np.array([3, -1]))


# --- ALDR ---------------------------------------------------------------------------------------------------------


def test_aldr_by_hand() -> None:
    logits, labels = tensors()
    # flat: KL = 0, so lam = lam0 and the penalty is 0; every d but one is the margin
    flat = aldr_lambda(logits[1:2], lam0=2.0)
    assert flat.item() == pytest.approx(2.0)
    value = aldr_kl(logits[1:2], labels[1:2], flat, 0.3, lam0=2.0).item()
    assert value == pytest.approx(2 * math.log((1 + 2 * math.exp(0.15)) / 3))
    # one class certain: KL = log K, lam = lam0 (1 - 1/alpha)
    sure = aldr_lambda(torch.tensor([[1e4, 0.0, 0.0]]), lam0=2.0, alpha=4.0)
    assert sure.item() == pytest.approx(1.5, abs=1e-3)
    loss = aldr_kl(
        torch.tensor([[1e4, 0.0, 0.0]]), torch.tensor([0]), torch.tensor([1.5]), 0.0, lam0=2.0, alpha=4.0
    )
    assert loss.item() == pytest.approx(1.5 * math.log(1 / 3) - 4 * math.log(3) / 4 * 0.25, rel=1e-5)


def test_aldr_of_tensors_is_that_of_arrays() -> None:
    logits, labels = tensors()
    for lam0, alpha in ((10.0, 2.0), (0.5, 1.1)):
        heat = aldr_lambda_values(LOGITS, lam0=lam0, alpha=alpha)
        np.testing.assert_allclose(aldr_lambda(logits, lam0=lam0, alpha=alpha), heat)
        got = aldr_kl(logits, labels, None, 0.1, lam0=lam0, alpha=alpha, reduction="none").detach()
        np.testing.assert_allclose(got, aldr_kl_values(LOGITS, LABELS, heat, lam0=lam0, alpha=alpha))
        np.testing.assert_allclose(aldr_kl(LOGITS, LABELS, lam0=lam0, alpha=alpha), got.mean())


def test_exact_steps_climb_the_objective() -> None:
    rng = np.random.default_rng(1)
    logits, labels = torch.tensor(rng.normal(0, 4, (50, 4))), torch.tensor(rng.integers(0, 4, 50))
    lam, before = torch.full((50,), 3.0, dtype=torch.float64), None
    for _ in range(40):
        value = aldr_kl(logits, labels, lam, 0.1, lam0=3.0, reduction="none")
        if before is not None:
            assert (value >= before - 1e-9).all()
        before, lam = value, aldr_lambda(logits, lam, lam0=3.0, labels=labels, margin=0.1)
    # and at its end the derivative by lam is 0
    inner = lam.clone().requires_grad_()
    aldr_kl(logits, labels, inner, 0.1, lam0=3.0, reduction="sum").backward()
    assert inner.grad.abs().max() < 1e-3


def test_an_item_that_is_not_finite_keeps_its_temperature() -> None:
    logits = torch.tensor([[1.0, 2.0], [math.nan, 0.0], [math.inf, 0.0]])
    got = aldr_lambda(logits, torch.tensor([3.0, 4.0, 5.0]), lam0=6.0)
    assert got[1:].tolist() == [4.0, 5.0] and got[0] != 3.0


# --- Many labels --------------------------------------------------------------------------------------------------


def test_multilabel_is_binary_cross_entropy_less_log_two() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.3]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1.0, 0.0, math.nan]], dtype=torch.float64)
    got = ldr_kl_multilabel(logits, targets, 1.0, 0.0, reduction="none")
    binary = torch.nn.functional.binary_cross_entropy_with_logits(
        logits[:, :2], targets[:, :2], reduction="none"
    )
    torch.testing.assert_close(got[:, :2], binary - math.log(2))
    assert got[0, 2] == 0  # nobody said
    torch.testing.assert_close(ldr_kl_multilabel(logits, targets, 1.0, 0.0), (binary - math.log(2)).mean())
    assert ldr_kl_multilabel(logits, targets, 0.0, 0.1, reduction="none")[0].tolist() == [0, 0, 0]
    mean = ldr_kl_multilabel(logits, targets, math.inf, 0.1, reduction="none")[0, 0].item()
    assert mean == pytest.approx((0.1 - 2.0) / 2)


def test_multilabel_gradients_and_adaptive_temperature() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1.0, 1.0], [0.0, -1.0]])
    assert torch.autograd.gradcheck(lambda f: ldr_kl_multilabel(f, targets, 0.7), (logits,))
    lam = torch.full((2, 2), 2.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: aldr_kl_multilabel(f, targets, lam, lam0=3.0), (logits,))
    # two classes with logits (f, 0) are the general loss of two classes
    pair = torch.stack([logits, torch.zeros_like(logits)], -1).reshape(-1, 2)
    known = torch.tensor([0, 1, 2])
    whole = aldr_kl(pair[known], torch.tensor([0, 0, 1]), None, 0.1, reduction="mean")
    torch.testing.assert_close(aldr_kl_multilabel(logits, targets), whole)
    with pytest.raises(InputError, match="1, 0, or NaN"):
        ldr_kl_multilabel(logits, torch.tensor([[0.5, 1.0], [0.0, 0.0]]))
    with pytest.raises(InputError, match="shape"):
        ldr_kl_multilabel(logits, targets[:1])


# --- What people train with ------------------------------------------------------------------------------------------


def test_preparation_scales_each_row() -> None:
    logits, _ = tensors()
    assert prepare_logits(logits, "none") is logits
    got = prepare_logits(logits, "unit-mean")
    torch.testing.assert_close(got[0], logits[0] / 1.0)
    torch.testing.assert_close(got[1], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(got[2].abs().mean(), torch.tensor(1.0, dtype=torch.float64))
    soft = prepare_logits(logits, "softplus-unit-mean")
    assert (soft > 0).all() and soft[1].tolist() == pytest.approx([1, 1, 1])
    assert torch.autograd.gradcheck(lambda f: prepare_logits(f[::2], "unit-mean"), (logits,))
    with pytest.raises(InputError, match="prepare"):
        prepare_logits(logits, "twice")


def test_half_precision_is_computed_in_single() -> None:
    half = torch.tensor(LOGITS, dtype=torch.bfloat16, requires_grad=True)
    loss = ldr_kl(half, torch.tensor(LABELS), 10.0)
    assert loss.dtype == torch.float32
    loss.backward()
    assert half.grad is not None and half.grad.dtype == torch.bfloat16


def test_reductions() -> None:
    rows = ldr_kl(*tensors(), reduction="none")
    assert rows.shape == (3,)
    torch.testing.assert_close(ldr_kl(*tensors()), rows.mean())
    torch.testing.assert_close(ldr_kl(*tensors(), reduction="sum"), rows.sum())
    with pytest.raises(InputError, match="reduction"):
        ldr_kl(*tensors(), reduction="median")


@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_bad_input_is_refused(kind: str) -> None:
    make = torch.tensor if kind == "tensor" else np.array
    logits, labels = make(LOGITS.tolist()), make(LABELS.tolist())
    for loss in (ldr_kl, aldr_kl):
        with pytest.raises(InputError, match=r"row 1: 3.*row 2: -1"):
            loss(logits, make([0, 3, -1]))
        with pytest.raises(InputError, match="classes >= 2"):
            loss(logits[:, :1], labels)
        with pytest.raises(InputError, match="labels have shape"):
            loss(logits, labels[:2])
        with pytest.raises(InputError, match="whole numbers"):
            loss(logits, make([0.0, 1.0, 2.0]))
        with pytest.raises(InputError, match="margin"):
            loss(logits, labels, None if loss is aldr_kl else 1.0, make([0.1, 0.2]))
    with pytest.raises(InputError, match="lam"):
        ldr_kl(logits, labels, -1.0)
    with pytest.raises(InputError, match="positive"):
        ldr_kl(logits, labels, make([1.0, 0.0, 2.0]))
    for loss in (ldr_kl, aldr_kl):
        with pytest.raises(InputError, match=r"lam has shape \(2,\): a number, or one for each of \(3,\)"):
            loss(logits, labels, make([1.0, 2.0]))
        with pytest.raises(InputError, match="lam is <U4: numbers"):
            loss(logits, labels, "warm")
    for wrong in ({"alpha": 1.0}, {"alpha": float("nan")}, {"lam0": float("nan")}, {"lam0": float("inf")}):
        with pytest.raises(InputError, match="alpha"):
            aldr_kl(logits, labels, **wrong)


def test_nan_logits_give_a_nan_loss_as_in_torch() -> None:
    logits = torch.tensor([[math.nan, 1.0], [1.0, 0.0]])
    got = ldr_kl(logits, torch.tensor([0, 0]), reduction="none")
    assert got[0].isnan() and got[1].isfinite()


def test_soft_maximum_of_one_class_apart_is_exact() -> None:
    assert soft_maximum(torch.tensor([0.0, -200.0]), 1.0).item() == pytest.approx(-math.log(2))


@pytest.mark.parametrize("loss", [ldr_kl, aldr_kl])
def test_lists_are_arrays_and_labels_follow_the_logits(loss: Callable[..., Any]) -> None:
    by_array = loss(LOGITS, LABELS)
    assert loss(LOGITS.tolist(), LABELS.tolist()) == by_array
    logits = torch.tensor(LOGITS, requires_grad=True)
    by_tensor = loss(logits, LABELS)  # labels as a loader that is not torch's gives them
    by_tensor.backward()
    assert by_tensor.item() == pytest.approx(by_array, rel=1e-9)
    assert logits.grad is not None and logits.grad.abs().sum() > 0
    with pytest.raises(InputError, match="labels are <U3: whole numbers"):
        loss(logits, ["cat", "dog", "cat"])


@pytest.mark.filterwarnings("error")
def test_without_gradients_too_logits_that_are_not_finite_give_nan() -> None:
    for odd in (np.nan, np.inf):
        logits = np.where(np.arange(3)[:, None] == 1, odd, LOGITS)
        with np.errstate(invalid="ignore"):
            values = aldr_kl_values(logits, LABELS)
        assert np.isnan(values).tolist() == [False, True, False]
        assert aldr_lambda_values(logits)[1] == 10.0
