"""Weights learnt on a coreset: wrong labels get little, right ones much; determinism, a true split, one's own model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.errors import InputError
from curate.selectors.reweighting import Draw, MetaTraining, cw_erm, meta_weights

torch = pytest.importorskip("torch", reason="extra train not installed")


def noisy(n: int = 400, wrong: float = 0.35, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of four classes, labels of which a part is wrong, and which are right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    x = (np.eye(4, 8) * 4)[truth] + rng.normal(size=(n, 8))
    hit = rng.random(n) < wrong
    labels = np.where(hit, (truth + rng.integers(1, 4, n)) % 4, truth)
    return x.astype(np.float32), labels, labels == truth


def parted(weights: np.ndarray, right: np.ndarray) -> float:
    """The chance that a right item has more weight than a wrong one: AUROC."""
    a, b = weights[right][:, None], weights[~right]
    return float((a > b).mean() + 0.5 * (a == b).mean())


@pytest.mark.parametrize("spread", ["neighbours", "network"])
def test_wrong_labels_get_little_weight(spread: Any) -> None:
    x, labels, right = noisy()
    found = cw_erm(x, labels, 0.3, spread=spread)
    assert parted(found.by_row, right) > 0.9
    assert "what is hard weighs less (rank correlation -" in str(found.reason)
    assert found.by_row[right].mean() > 1.2 * found.by_row[~right].mean()
    assert found.by_row.sum(dtype=float) == pytest.approx(400, rel=1e-5)
    assert 0.2 * 400 < found.effective < 400
    assert found.core.tolist() == sorted(set(found.core)) and len(found.core) == pytest.approx(120, abs=4)
    assert ((found.core_weight > 0) & (found.core_weight < 1)).all()


def test_a_classifier_that_has_far_to_go_does_not_turn_it_round() -> None:
    x, labels, right = noisy()
    found = cw_erm(x, labels, 0.3, training=MetaTraining(learning_rate=0.0012))
    assert parted(found.by_row, right) > 0.8


def test_the_same_seed_gives_the_same_and_leaves_torchs_alone() -> None:
    x, labels, _ = noisy(200)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = (cw_erm(x, labels, 0.5, training=MetaTraining(epochs=4)) for _ in range(2))
    assert np.array_equal(one.by_row, other.by_row)
    assert torch.equal(before, torch.get_rng_state())
    third = cw_erm(x, labels, 0.5, training=MetaTraining(epochs=4, seed=1))
    assert not np.array_equal(one.by_row, third.by_row)


def test_all_of_it_is_full_reweighting() -> None:
    x, labels, right = noisy(300)
    found = cw_erm(x, labels, "all", even=False)
    assert len(found.core) == 300 and parted(found.by_row, right) > 0.9
    assert np.allclose(found.by_row, found.core_weight / found.core_weight.mean(), rtol=1e-5)


def test_classes_keep_their_shares_unless_told_otherwise() -> None:
    x, labels, _ = noisy(200)
    even, uneven = (cw_erm(x, labels, 0.5, even=told).by_row.astype(float) for told in (True, False))
    counts = np.bincount(labels)
    assert np.allclose(np.bincount(labels, even) / counts, 1, rtol=1e-4)
    means = np.bincount(labels, uneven) / counts
    assert np.ptp(means) > 1e-3
    assert np.allclose(even, uneven / means[labels], rtol=1e-4)  # within a class nothing changes


def test_a_class_that_was_given_up_is_weighed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.selectors.reweighting import corewise

    x, labels, _ = noisy(200)
    plain = cw_erm(x, labels, 1.0, training=MetaTraining(epochs=2))
    learnt = corewise.meta_weights

    def starved(*given: Any, **told: Any) -> Any:
        run = learnt(*given, **told)
        return run._replace(weight=np.where(given[1] == 2, run.weight * 1e-4, run.weight))

    monkeypatch.setattr(corewise, "meta_weights", starved)
    found = cw_erm(x, labels, 1.0, training=MetaTraining(epochs=2))
    assert np.allclose(found.by_row[labels == 2], 1) and "given up, whose items weigh alike: [2]" in str(
        found.reason
    )
    assert np.allclose(found.by_row[labels != 2], plain.by_row[labels != 2], rtol=1e-4)
    assert np.ptp(plain.by_row[labels == 2]) > 1e-3 and "given up" not in str(plain.reason)


def test_a_hard_class_is_not_given_up() -> None:
    rng = np.random.default_rng(3)
    truth = np.arange(900) % 6
    x = rng.standard_normal((900, 8))
    x[np.arange(900), truth] += np.where(truth < 4, 6, 2.2)
    wrong = rng.random(900) < np.where(truth < 4, 0.1, 0.5)
    labels = np.where(wrong, (truth + rng.integers(1, 6, 900)) % 6, truth)
    run = meta_weights(x, labels, 6, training=MetaTraining(seed=3, epochs=40))
    mean = np.bincount(labels, run.weight) / np.bincount(labels)
    assert mean.min() > 0.1 * mean.mean()
    hard = labels == 5  # of which the weighting had come to give a hundredth of the mean to all
    assert parted(run.weight[hard], ~wrong[hard]) > 0.9


def test_every_parameter_of_the_training_tells() -> None:
    x, labels, _ = noisy(120)
    base: dict[str, Any] = {"epochs": 4, "batch_size": 20, "warm_up": 0}
    plain = meta_weights(x, labels, 4, training=MetaTraining(**base)).weight
    changes: dict[str, Any] = {
        "hidden": 8,
        "epochs": 5,
        "batch_size": 3,
        "learning_rate": 0.1,
        "meta_hidden": 3,
        "meta_learning_rate": 0.1,
        "meta_batch": 4,
        "meta_loss": "cross-entropy",
        "warm_up": 1,
        "weight_decay": 0.1,
        "folds": 3,
    }
    for name, value in changes.items():
        other = meta_weights(x, labels, 4, training=MetaTraining(**{**base, name: value})).weight
        assert not np.allclose(plain, other, atol=1e-7), name


def test_what_is_held_out_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.selectors.reweighting import meta

    x, labels, _ = noisy(100)
    seen: list[tuple[set[int], set[int]]] = []
    rows = {row.tobytes(): i for i, row in enumerate(x)}

    class Watched(meta._Run):
        def train(self, inputs: Any, codes: Any, rng: Any) -> None:
            own = (self.x.numpy() * self.scale + self.mean).astype(np.float32)
            trained = {int(np.abs(x - row).sum(1).argmin()) for row in own}
            seen.append((trained, {rows[row.tobytes()] for row in inputs}))
            super().train(inputs, codes, rng)

    monkeypatch.setattr(meta, "_Run", Watched)
    single = meta_weights(x, labels, 4, training=MetaTraining(epochs=2))
    assert [len(a & b) for a, b in seen] == [0] and len(seen[0][0]) + len(seen[0][1]) == 100
    assert set(np.flatnonzero(single.held_out)) == seen[0][1]
    seen.clear()
    crossed = meta_weights(x, labels, 4, training=MetaTraining(epochs=2, folds=4))
    assert [len(a & b) for a, b in seen] == [0] * 4
    assert set.union(*(b for _, b in seen)) == set(range(100)) and crossed.held_out.all()


def test_trusted_items_are_held_out_and_heaviest() -> None:
    x, labels, right = noisy(400)
    known = np.flatnonzero(right)[:60]
    found = cw_erm(x, labels, 0.3, trusted=known)
    assert parted(found.by_row, right) > 0.9
    assert not set(known) & set(found.core)
    for code in range(4):
        mine = labels == code
        assert np.allclose(found.by_row[known[mine[known]]], found.by_row[mine].max())
    flags = np.isin(np.arange(400), known)
    again = cw_erm(x, labels, 0.3, trusted=flags)
    assert np.array_equal(again.by_row, found.by_row)


def test_ones_own_model_on_ones_own_inputs() -> None:
    x, labels, right = noisy(300)
    images = x.reshape(300, 1, 2, 4)

    def model() -> Any:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 4))

    found = cw_erm(x, labels, 0.5, inputs=images, model=model)
    assert parted(found.by_row, right) > 0.85
    with pytest.raises(InputError, match="needs its inputs"):
        cw_erm(x, labels, model=model)
    with pytest.raises(InputError, match="299 inputs for 300 labels"):
        cw_erm(x, labels, inputs=images[1:], model=model)


def test_a_draw_takes_the_right_ones() -> None:
    x, labels, right = noisy()
    found = cw_erm(x, labels, 0.3, draw=Draw(120, np.random.default_rng(0)))
    assert len(found) == 120 and right[found.index].mean() > right.mean() + 0.02


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [0] * 8}, "all 8 labels are 0"),
        ({"labels": [0, 1]}, "features of 8 rows for 2 labels"),
        ({"labels": ["a", None] * 4}, "some labels are missing"),
        ({"x": np.full((8, 2), np.inf)}, "features are not finite in 8 rows"),
        ({"coreset": 0.0}, "share=0.0"),
        ({"coreset": 0.1}, "2 items: a weighting needs at least four"),
        ({"coreset": 1.0, "spread": "far"}, "neighbours or network"),
        ({"trusted": [9]}, "row numbers among 8"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    asked = {
        "x": np.random.default_rng(0).normal(size=(8, 2)),
        "labels": [0, 1] * 4,
        "coreset": 0.9,
        **changes,
    }
    with pytest.raises(InputError, match=message):
        cw_erm(**asked)


def test_what_cannot_be_trained() -> None:
    for name, value in (
        ("epochs", 0),
        ("folds", 0),
        ("hidden", -1),
        ("learning_rate", 0.0),
        ("warm_up", -1),
        ("weight_decay", -1.0),
    ):
        with pytest.raises(InputError, match=name):
            MetaTraining(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="error or cross-entropy"):
        MetaTraining(meta_loss="mae")  # type: ignore[arg-type]
    x, labels, _ = noisy(40)
    with pytest.raises(InputError, match="labels from 0 to 3 for 3 classes"):
        meta_weights(x, labels, 3)
    with pytest.raises(InputError, match="diverged"):
        meta_weights(x * 1e3, labels, 4, training=MetaTraining(learning_rate=1e18, epochs=3))
