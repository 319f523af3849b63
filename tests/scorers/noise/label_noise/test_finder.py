"""`label_errors`: planted errors of each kind, human label errors, ensembles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_noise_worlds import auroc, f1, world

from curate.errors import InputError
from curate.scorers.noise import fit_transition, label_errors
from curate.scorers.noise.label_noise import dependence, layout, rivals
from curate.scorers.noise.label_noise.finder import REASONS

# --- By hand ---------------------------------------------------------------------------------------------


def test_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.05, 0.95]])
    found = label_errors(probs, np.array([0, 0, 1, 1, 0]))
    assert found.flagged.tolist() == [False, False, False, False, True]
    assert found.suggested.tolist() == [0, 0, 1, 1, 1]
    assert found.score.argmin() == 4 and found.score[4] < 0.5
    assert found.reason.tolist() == [REASONS[0]] * 4 + [REASONS[2]]
    assert len(found) == 5 and found.worst_first()[0] == 4


def test_the_score_is_the_share_of_the_label_against_its_rival() -> None:
    # two classes, all symmetric: no bias to correct, one noise rate for both; what is left is the share and the rate
    p = np.linspace(0.55, 0.99, 60)
    probs = np.concatenate([np.c_[p, 1 - p], np.c_[1 - p, p]])
    labels = np.repeat([0, 1], 60)
    found = label_errors(probs, labels)
    noise = found.noise
    assert noise is not None
    np.testing.assert_allclose(noise.offset[0], noise.offset[1], atol=1e-3)
    gap = (
        np.log((1 - p) / p) + noise.weight * np.log(noise.matrix[1, 0] / noise.matrix[0, 0]) / noise.sharpness
    )
    np.testing.assert_allclose(found.score[:60], 1 / (1 + np.exp(gap)), rtol=1e-3)
    chance = (1 - p) ** noise.sharpness * noise.matrix[1, 0] / (p**noise.sharpness * noise.matrix[0, 0])
    np.testing.assert_allclose(found.right[:60], 1 / (1 + chance), rtol=2e-3)


# --- Planted noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "rate"), [("uniform", 0.1), ("uniform", 0.4), ("pair", 0.2), ("pair", 0.35)]
)
def test_noise_by_class_is_learnt_and_flagged_no_worse_than_by_the_true_matrix(
    kind: str, rate: float
) -> None:
    probs, labels, truth = world(kind=kind, rate=rate, n=8000)
    found = label_errors(probs, labels)
    wrong = labels != truth
    noise = found.noise
    assert noise is not None and noise.kind != "instance-dependent"
    np.testing.assert_allclose(np.diagonal(noise.matrix), 1 - rate, atol=0.06)
    np.testing.assert_allclose(noise.matrix.sum(1), 1, atol=1e-5)
    # the best anyone can do knows q and the matrix: q from p by the inverse matrix
    true = np.full((4, 4), rate / 3) if kind == "uniform" else rate * np.roll(np.eye(4), 1, 1)
    np.fill_diagonal(true, 1 - rate)
    clean = np.clip(probs.astype(float) @ np.linalg.inv(true), 0, 1)
    oracle = (clean * true.T[labels]).argmax(1) != labels
    assert f1(found.flagged, wrong) > f1(oracle, wrong) - 0.03
    right = found.suggested == truth
    assert right[found.flagged & wrong].mean() > 0.9
    assert abs(float(1 - found.right.mean()) - wrong.mean()) < 0.05


def test_noise_as_people_make_it_is_told_from_noise_by_class() -> None:
    people = label_errors(*world(kind="people", n=8000)[:2]).noise
    by_class = label_errors(*world(kind="uniform", rate=0.3, n=8000)[:2]).noise
    assert people is not None and by_class is not None
    assert (people.kind, by_class.kind) == ("instance-dependent", "class-conditional")
    assert people.dependence > 0.6 > 0.53 > by_class.dependence
    assert (people.weight, by_class.weight) == (0.5, 1.0)


def test_doubt_costs_more_the_more_labels_depend_on_the_item(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        dependence.cost_of_doubt(0.5, 0.01) == dependence.cost_of_doubt(0.7, np.inf) == 0.1
    )  # none, or nothing known of it
    assert dependence.cost_of_doubt(0.62, 0.01) == pytest.approx(0.1 + 40 * 0.1**2)
    assert dependence.cost_of_doubt(0.95, 0.01) == 1.0
    probs, labels, _ = world(kind="people", n=4000)
    free, dear = [], []
    for cost, fits in ((0.0, free), (0.1, dear)):
        monkeypatch.setattr(dependence, "COST", cost)
        monkeypatch.setattr(dependence, "STEEPNESS", 0.0)
        fits.append(label_errors(probs, labels))
    assert free[0].noise is not None and dear[0].noise is not None
    assert free[0].noise.sharpness == free[0].noise.calibrated == dear[0].noise.calibrated
    assert dear[0].noise.sharpness > 1.2 * free[0].noise.sharpness
    assert dear[0].flagged.sum() > free[0].flagged.sum()


def test_the_noise_model_alone_is_that_of_the_flags_and_refuses_the_same() -> None:
    probs, labels, _ = world(n=500)
    alone, found = fit_transition(probs, labels), label_errors(probs, labels).noise
    assert found is not None and np.array_equal(alone.matrix, found.matrix)
    with pytest.raises(InputError, match="no rows"):
        fit_transition(probs[:0], labels[:0])
    with pytest.raises(InputError, match="row 3: 7"):
        fit_transition(probs, np.where(np.arange(500) == 3, 7, labels))
    with pytest.raises(InputError, match="500 of 500 rows are no distribution"):
        fit_transition(2 * probs, labels)


def test_clean_labels_of_a_good_model_are_let_be() -> None:
    probs, _, truth = world(rate=0.0)
    found = label_errors(probs, truth)
    assert found.flagged.mean() < 0.01
    assert (found.suggested[~found.flagged] == truth[~found.flagged]).all()


def test_many_classes_go_by_their_rivals() -> None:
    rng = np.random.default_rng(0)
    k, n = 60, 6000
    truth = rng.integers(0, k, n)
    probs = rng.dirichlet(np.full(k, 0.2), n).astype(np.float32) * 0.2
    probs[np.arange(n), truth] += 0.8
    labels = truth.copy()
    wrong = np.zeros(n, bool)
    wrong[rng.choice(n, 300, replace=False)] = True
    labels[wrong] = (labels[wrong] + 7) % k
    found = label_errors(probs, labels)
    assert k > rivals.WIDTH
    assert f1(found.flagged, wrong) > 0.99
    assert (found.suggested == truth)[found.flagged].mean() > 0.99


def test_few_and_many_classes_agree_where_both_ways_can_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, labels, _ = world(k=6, rate=0.2)
    whole = label_errors(probs, labels)
    monkeypatch.setattr("curate.scorers.noise.label_noise.rivals.WIDTH", 2)
    monkeypatch.setattr("curate.scorers.noise.label_noise.finder.WIDTH", 2)
    by_rivals = label_errors(probs, labels)
    np.testing.assert_allclose(by_rivals.score, whole.score, atol=1e-3)
    np.testing.assert_allclose(by_rivals.right, whole.right, atol=1e-2)
    assert (by_rivals.flagged == whole.flagged).mean() > 0.999


@pytest.mark.parametrize("k", [3, 40])
def test_labels_beyond_doubt_change_nothing_by_being_left_out_of_the_fit(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    probs, labels, _ = world(n=2000, k=k, rate=0.1)
    probs = probs.astype(float) ** 3
    probs /= probs.sum(1, keepdims=True)
    left_out = label_errors(probs, labels)
    monkeypatch.setattr(layout, "CERTAIN", np.inf)
    whole = label_errors(probs, labels)
    assert np.array_equal(left_out.flagged, whole.flagged)
    np.testing.assert_allclose(left_out.score, whole.score, atol=1e-5)
    assert left_out.noise is not None and whole.noise is not None
    np.testing.assert_allclose(left_out.noise.matrix, whole.noise.matrix, atol=1e-5)
    np.testing.assert_allclose(left_out.noise.rate, whole.noise.rate, atol=1e-5)


@pytest.mark.parametrize("k", [3, 40])
def test_where_every_label_is_beyond_doubt_all_are_kept(k: int) -> None:
    labels = np.arange(400) % k
    found = label_errors(np.eye(k)[labels], labels)
    assert not found.flagged.any() and (found.score > 0.99).all() and found.noise is not None
    assert found.noise.rate < 0.05 and np.isfinite(found.noise.matrix).all()


@pytest.mark.parametrize("size", [64, 1 << 18])
def test_blocks_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    probs, labels, _ = world(n=500)
    whole = label_errors(probs, labels)
    monkeypatch.setattr("curate.scorers.noise.label_noise.rivals.CELLS", size)
    parts = label_errors(probs, labels)
    assert np.array_equal(parts.flagged, whole.flagged)
    np.testing.assert_allclose(parts.score, whole.score, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 8), st.integers(0, 10**6), st.sampled_from([np.float16, np.float32, np.float64]))
def test_what_always_holds(k: int, seed: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(k, 60))
    probs = rng.dirichlet(np.full(k, 0.5), n).astype(dtype)
    labels = rng.integers(0, k, n)
    labels[:2] = [0, 1]
    found = label_errors(probs, labels)
    assert np.isfinite(found.score).all() and (found.score >= 0).all() and (found.score <= 1).all()
    assert (found.right >= 0).all() and (found.right <= 1).all()
    assert np.array_equal(found.flagged, found.suggested != labels)
    assert np.array_equal(found.flagged, found.code >= 2)
    assert np.isin(found.suggested, np.unique(labels)).all()  # never a class without labels
    turned = rng.permutation(k)  # renaming classes renames suggestions and nothing else
    again = label_errors(probs[:, np.argsort(turned)], turned[labels])
    np.testing.assert_allclose(again.score, found.score, atol=2e-3)


def test_a_doubtful_label_of_the_same_item_scores_lower() -> None:
    probs, labels, _ = world()
    at = np.flatnonzero(probs.argmax(1) == labels)[:50]
    found = label_errors(probs, labels)
    labels[at] = (labels[at] + 1) % 4
    assert (label_errors(probs, labels).score[at] < found.score[at]).all()


def test_memory_mapped_probabilities_are_read(tmp_path: Path) -> None:
    probs, labels, _ = world(n=400)
    np.save(tmp_path / "p.npy", probs)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    assert np.array_equal(label_errors(mapped, labels).score, label_errors(probs, labels).score)


def test_the_seed_draws_the_rows_of_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.scorers.noise.label_noise.finder.ROWS", 200)
    probs, labels, _ = world(n=2000)
    one, same, other = (label_errors(probs, labels, seed=seed).score for seed in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert auroc(other, one < 0.5) > 0.99


@pytest.mark.parametrize("k", [5, 30])
def test_a_class_too_rare_to_be_drawn_for_the_fit_keeps_its_labels(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curate.scorers.noise.label_noise.finder.ROWS", 1000)
    probs, labels, truth = world(n=4000, k=k, rate=0.1)
    rest = truth < k - 1
    keep = np.sort(np.concatenate([np.flatnonzero(rest & (labels < k - 1)), np.flatnonzero(~rest)[:3]]))
    labels, probs = np.where(truth == k - 1, k - 1, labels)[keep], probs[keep]
    rare = labels == k - 1
    found = label_errors(
        probs, labels, seed=next(s for s in range(99) if not rare[drawn(len(rare), s)].any())
    )
    assert rare.sum() == 3 and not found.flagged[rare].any() and (found.score[rare] > 0.1).all()
    assert found.noise is not None and found.noise.offset[-1] > -100


def drawn(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(n, 1000, replace=False)


# --- Ensembles -------------------------------------------------------------------------------------------


def test_an_ensemble_leaves_out_a_model_that_knows_nothing() -> None:
    probs, labels, truth = world(n=4000)
    noise = np.random.default_rng(1).dirichlet(np.ones(4), 4000).astype(np.float32)
    both = label_errors([probs, noise], labels)
    assert sum(both.weights) == pytest.approx(1) and both.weights[0] > 0.9
    assert f1(both.flagged, labels != truth) > f1(label_errors(probs, labels).flagged, labels != truth) - 0.01
    stacked = label_errors(np.stack([probs, noise]), labels)
    assert np.array_equal(stacked.score, both.score)


def test_two_views_of_an_item_are_better_than_one() -> None:
    rng = np.random.default_rng(0)
    probs, labels, truth = world(n=6000, kind="uniform", rate=0.2)
    blurred = [np.exp(np.log(probs) + rng.normal(0, 1.2, probs.shape)) for _ in range(2)]
    views = [one / one.sum(1, keepdims=True) for one in blurred]
    wrong = labels != truth
    single = max(f1(label_errors(one, labels).flagged, wrong) for one in views)
    both = label_errors(views, labels)
    assert f1(both.flagged, wrong) > single + 0.01
    np.testing.assert_allclose(both.weights, 0.5, atol=0.2)


# --- Real errors of people -------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("which", "ap", "best"), [("worst", 0.960, 0.886), ("aggregate", 0.882, 0.785)])
def test_human_label_errors_are_found_better_than_by_confident_learning(
    data_dir: Path, which: str, ap: float, best: float
) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="extra noise not installed")
    with np.load(data_dir / "led_pred_probs" / f"cifar10n_{which}_resnet18.npz") as data:
        probs, labels, truth = data["pred_probs"], data["noisy"].astype(np.int64), data["true"]
    found = label_errors(probs, labels)
    assert metrics.average_precision_score(labels != truth, -found.score) > ap
    assert f1(found.flagged, labels != truth) > best
    assert found.noise is not None and found.noise.kind == "instance-dependent"
    assert found.notes == ()
