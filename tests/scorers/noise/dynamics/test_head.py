"""`train_head`: it learns, repeats itself, leaves global state alone; every setting shows; what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="extra train not installed")

import torch

from curate.errors import InputError
from curate.scorers.noise import Head, ldr_kl_multilabel, train_head
from curate.scorers.noise.losses.values import aldr_lambda_values, ldr_kl_values

SHORT = Head(epochs=4, hidden=8)


def test_it_learns_and_shows_every_epoch(planted: Any) -> None:
    seen = []
    run = train_head(
        planted.x, planted.labels, 3, head=Head(epochs=6), on_epoch=lambda e, z: seen.append((e, z))
    )
    assert [e for e, _ in seen] == list(range(6))
    assert all(z.shape == (240, 3) and z.dtype == np.float32 for _, z in seen)
    np.testing.assert_array_equal(seen[-1][1], run.logits)
    assert (run.logits.argmax(1) == planted.truth).mean() > 0.9
    np.testing.assert_allclose(run.predict(planted.x[:10]), run.logits[:10], rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_and_no_global_state_moves(planted: Any) -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - that it is left alone is what is tested
    before, threads = torch.random.get_rng_state().clone(), torch.get_num_threads()
    first = train_head(planted.x, planted.labels, 3, head=SHORT)
    assert torch.equal(torch.random.get_rng_state(), before) and torch.get_num_threads() == threads
    torch.manual_seed(99)
    again = train_head(planted.x, planted.labels, 3, head=SHORT)
    np.testing.assert_array_equal(first.logits, again.logits)
    other = train_head(planted.x, planted.labels, 3, head=replace(SHORT, seed=1))
    assert not np.array_equal(first.logits, other.logits)


def test_losses_are_those_of_the_last_epoch_and_their_mean(planted: Any) -> None:
    logits: list[np.ndarray] = []
    head = replace(SHORT, loss="ldr", lam=2.0, margin=0.3)
    run = train_head(planted.x, planted.labels, 3, head=head, on_epoch=lambda _, z: logits.append(z.copy()))
    values = np.array([ldr_kl_values(z, planted.labels, 2.0, 0.3) for z in logits])
    np.testing.assert_allclose(run.final_loss, values[-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.mean_loss, values.mean(0), rtol=1e-4, atol=1e-5)
    assert run.lam is None


def sets_of(planted: Any) -> np.ndarray:
    """Two labels that overlap: of class 0 or 1, and of class 1 or 2."""
    return np.column_stack([planted.labels < 2, planted.labels > 0])


@pytest.mark.parametrize("loss", ["ce", "ldr", "aldr"])
def test_sets_of_labels_are_learnt_label_by_label(planted: Any, loss: Any) -> None:
    given, logits = sets_of(planted), list[np.ndarray]()
    head = replace(SHORT, loss=loss, epochs=8, lam=2.0, lam0=2.0, margin=0.3)
    run = train_head(planted.x, given, 2, head=head, on_epoch=lambda _, z: logits.append(z.copy()))
    truth = np.column_stack([planted.truth < 2, planted.truth > 0])
    assert ((run.logits > 0) == truth).mean() > 0.9
    if loss == "aldr":
        assert run.lam is not None and run.lam.shape == (240,)
        assert 1 - 1e-4 <= run.lam.min() < run.lam.max() <= 2
        return
    z, y = torch.tensor(np.array(logits)), torch.tensor(given, dtype=torch.float32)
    if loss == "ce":
        each = [torch.nn.functional.binary_cross_entropy_with_logits(one, y, reduction="none") for one in z]
    else:
        each = [ldr_kl_multilabel(one, y, 2.0, 0.3, reduction="none") for one in z]
    assert run.lam is None
    np.testing.assert_allclose(run.final_loss, each[-1].mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.mean_loss, torch.stack(each).mean((0, 2)), rtol=1e-4, atol=1e-5)


def test_sets_that_cannot_be_learnt_are_refused(planted: Any) -> None:
    given = sets_of(planted)
    with pytest.raises(InputError, match="all items have the same set of labels"):
        train_head(planted.x, np.ones_like(given), 2)
    with pytest.raises(InputError, match=r"a matrix of 0 and 1 of shape \(240, 3\)"):
        train_head(planted.x, given, 3)
    with pytest.raises(InputError, match="a matrix of 0 and 1"):
        train_head(planted.x, given * 2, 2)
    with pytest.raises(InputError, match="loss='elr' learns one label"):
        train_head(planted.x, given, 2, head=replace(SHORT, loss="elr"))


def test_aldr_remembers_temperatures(planted: Any) -> None:
    run = train_head(planted.x, planted.labels, 3, head=replace(SHORT, loss="aldr", lam0=4.0, alpha=1.6))
    assert run.lam is not None
    assert run.lam.min() >= 4 * (1 - 1 / 1.6) - 1e-4 and run.lam.max() <= 4.0
    flat = aldr_lambda_values(run.logits, lam0=4.0, alpha=1.6)
    assert np.corrcoef(run.lam, flat)[0, 1] > 0.9


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "ldr"},
        {"loss": "aldr"},
        {"loss": "elr"},
        {"hidden": 0},
        {"epochs": 2},
        {"batch_size": 8},
        {"learning_rate": 0.1},
        {"weight_decay": 0.1},
        {"loss": "ldr", "lam": 5.0},
        {"loss": "ldr", "margin": 1.0},
        {"loss": "ldr", "prepare": "unit-mean"},
        {"loss": "aldr", "lam0": 5.0},
        {"loss": "aldr", "alpha": 5.0},
        {"loss": "elr", "beta": 0.2},
        {"loss": "elr", "strength": 9.0},
    ],
    ids=str,
)
def test_every_setting_shows(planted: Any, change: dict[str, Any]) -> None:
    base = replace(SHORT, loss=change.get("loss", "ce")) if len(change) > 1 else SHORT
    runs = [train_head(planted.x, planted.labels, 3, head=h) for h in (base, replace(base, **change))]
    assert not np.array_equal(runs[0].logits, runs[1].logits)


def test_a_constant_column_and_odd_scales_do_no_harm(planted: Any) -> None:
    x = np.hstack([planted.x * 1e4, np.full((240, 1), 7.0)])
    run = train_head(x, planted.labels, 3, head=SHORT)
    assert np.isfinite(run.logits).all()
    np.testing.assert_allclose(
        train_head(planted.x.astype(np.float64), planted.labels, 3, head=SHORT).logits,
        train_head(planted.x, planted.labels, 3, head=SHORT).logits,
        atol=1e-3,
    )


def test_bad_input_is_refused(planted: Any) -> None:
    x, labels = planted.x, planted.labels
    spoilt = x.copy()
    spoilt[[3, 5], 0] = np.nan
    for rows, given, message in (
        (spoilt, labels, r"rows \[3, 5\]"),
        (x, np.zeros(240, int), "all 240 labels are 0"),
        (x, labels + 1, r"outside 0 \.\.\. 2"),
        (x, labels[:5], "one for each of the 240 items"),
        (x[:0], labels[:0], "nothing to train on"),
    ):
        with pytest.raises(InputError, match=message):
            train_head(rows, given, 3, head=SHORT)
    with pytest.raises(InputError, match="lower learning_rate"):
        train_head(x, labels, 3, head=replace(SHORT, learning_rate=1e30))
    for wrong in ({"loss": "mse"}, {"epochs": 0}, {"hidden": -1}, {"batch_size": 0}, {"learning_rate": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Head(**wrong)


def test_a_device_that_is_not_there_is_named(planted: Any) -> None:
    train_head(planted.x, planted.labels, 3, head=replace(SHORT, device="auto", epochs=1))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            train_head(planted.x, planted.labels, 3, head=replace(SHORT, device="cuda"))
