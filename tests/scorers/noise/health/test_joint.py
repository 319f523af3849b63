"""Noise rates, health and overlap: by hand, beside cleanlab, and whether the intervals hold the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cleanlab", reason="extra noise not installed")

from cleanlab.count import compute_confident_joint
from cleanlab.dataset import (
    find_overlapping_classes,
    overall_label_health_score,
    rank_classes_by_label_quality,
)

from curate.errors import InputError
from curate.scorers.noise.health import label_noise, noise_rates, overlapping_classes, verified_rate, wilson
from curate.scorers.noise.health.counts import confident_counts, predicted_counts

HAND = np.array([[8.0, 2.0, 0.0], [4.0, 16.0, 0.0], [0.0, 0.0, 10.0]])
"""Rows given, columns true: 10, 20 and 10 items."""
COUNTED = np.array([10, 20, 10])


def planted(n: int = 3000, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Honest probabilities, noisy labels and the truth: class-conditional noise of 10 % to 25 %."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    probs = rng.dirichlet(np.full(k, 0.5), n) * 0.3
    probs[np.arange(n), truth] += 0.7
    wrong = rng.random(n) < 0.1 + 0.05 * truth
    labels = np.where(wrong, (truth + rng.integers(1, k, n)) % k, truth)
    return probs, labels, truth


def test_rates_by_hand() -> None:
    given = noise_rates(HAND, COUNTED)
    assert given.rate == pytest.approx([0.2, 0.2, 0.0])
    for i, (rate, n) in enumerate(((0.2, 10), (0.2, 20), (0.0, 10))):
        one = wilson(rate, n)
        assert (given.low[i], given.high[i]) == pytest.approx((one.low[0], one.high[0]))
    true = noise_rates(HAND, COUNTED, "true")
    assert true.rate == pytest.approx([4 / 12, 2 / 18, 0.0])
    # class 0: off 20^2 * .2 * .8 / 20 = 3.2, own 10^2 * .8 * .2 / 10 = 1.6; ((8/12)^2 3.2 + (4/12)^2 1.6) / 12^2
    spread = ((8 / 12) ** 2 * 3.2 + (4 / 12) ** 2 * 1.6) / 144
    expected = wilson(4 / 12, 8 + 4, spread)
    assert (true.low[0], true.high[0]) == pytest.approx((expected.low[0], expected.high[0]))


def test_a_class_nobody_has_is_unknown() -> None:
    joint = np.array([[5.0, 1.0, 0.0], [1.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    for of in ("given", "true"):
        found = noise_rates(joint, np.array([6, 6, 0]), of)
        assert np.isnan([found.rate[2], found.low[2], found.high[2]]).all()
        assert not np.isnan(found.rate[:2]).any()


def test_health_by_hand_and_its_upper_end() -> None:
    found = label_noise(HAND, COUNTED)
    assert (found.rate, found.wrong) == (pytest.approx(6 / 40), 6)
    assert 0.05 < found.low < 6 / 40 < found.high < 0.3
    disagreed = np.array([[5, 5, 0], [5, 15, 0], [0, 0, 10]])
    wider = label_noise(HAND, COUNTED, disagreed)
    assert wider.rate == found.rate and wider.low == found.low
    assert wider.high == label_noise(disagreed, disagreed.sum(1)).high > found.high


def test_overlap_by_hand() -> None:
    found = overlapping_classes(HAND, COUNTED)
    assert list(zip(found.first, found.second, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert found.share == pytest.approx([6 / 40, 0, 0])
    assert (found.there[0], found.back[0]) == (0.2, 0.2)
    assert found.low[0] < 6 / 40 < found.high[0]


def test_confusion_in_one_direction_is_not_mutual() -> None:
    joint = np.full((5, 5), 2.0) + np.eye(5) * 200
    joint[0, 1] = joint[1, 0] = 60.0
    joint[2, 3] = 60.0
    found = overlapping_classes(joint, joint.sum(1))
    assert list(zip(found.first, found.second, found.mutual, strict=True))[:2] == [
        (0, 1, True),
        (2, 3, False),
    ]
    assert found.mutual.sum() == 1


def test_two_classes_overlap_whenever_both_err() -> None:
    assert overlapping_classes(np.array([[9, 1], [1, 9]]), np.array([10, 10])).mutual.tolist() == [True]
    assert overlapping_classes(np.array([[9, 1], [0, 9]]), np.array([10, 9])).mutual.tolist() == [False]


@pytest.mark.parametrize(
    ("joint", "counted"),
    [(np.ones((2, 3)), np.ones(2)), (np.ones((2, 2)), np.ones(3)), (-np.ones((2, 2)), np.ones(2))],
)
def test_what_is_no_joint_is_refused(joint: np.ndarray, counted: np.ndarray) -> None:
    for ask in (noise_rates, overlapping_classes, label_noise):
        with pytest.raises(InputError, match="joint counts"):
            ask(joint, counted)
    with pytest.raises(InputError, match="all zero"):
        label_noise(np.zeros((2, 2)), np.zeros(2))


def test_the_joint_is_cleanlabs() -> None:
    probs, labels, _ = planted()
    joint, counted = confident_counts(probs, labels)
    raw = compute_confident_joint(labels, probs, calibrate=False)
    assert counted.tolist() == raw.sum(1).tolist()
    np.testing.assert_array_less(
        np.abs(joint - compute_confident_joint(labels, probs)), 1.0
    )  # theirs is rounded


def test_rates_and_overlaps_are_cleanlabs() -> None:
    probs, labels, _ = planted()
    joint, counted = compute_confident_joint(labels, probs).astype(float), np.full(4, 500)
    theirs = rank_classes_by_label_quality(labels, probs).sort_values("Class Index")
    np.testing.assert_allclose(noise_rates(joint, counted).rate, theirs["Label Noise"], atol=1e-12)
    np.testing.assert_allclose(
        noise_rates(joint, counted, "true").rate, theirs["Inverse Label Noise"], atol=1e-12
    )
    health = overall_label_health_score(joint=joint / joint.sum(), num_examples=len(labels), verbose=False)
    assert 1 - label_noise(joint, counted).rate == pytest.approx(health)
    pairs = find_overlapping_classes(labels, probs)
    found = overlapping_classes(joint, counted)
    np.testing.assert_allclose(found.share, pairs["Joint Probability"], atol=1e-12)
    assert set(zip(found.first, found.second, strict=True)) == set(
        zip(pairs["Class Index A"], pairs["Class Index B"], strict=True)
    )


def test_intervals_hold_planted_noise_rates() -> None:
    held = []
    for seed in range(20):
        probs, labels, truth = planted(seed=seed)
        joint, counted = confident_counts(probs, labels)
        for of, by in (("given", labels), ("true", truth)):
            found = noise_rates(joint, counted, of)
            rates = np.array([(labels != truth)[by == k].mean() for k in range(4)])
            held.append((found.low <= rates) & (rates <= found.high))
    assert np.mean(held) > 0.9  # at chance, with the classes' rates shuffled, about a third


@pytest.mark.data
@pytest.mark.parametrize("kind", ["worst", "aggregate"])
def test_the_bracket_holds_human_noise_where_the_estimate_misses_it(data_dir: Path, kind: str) -> None:
    with np.load(data_dir / "led_pred_probs" / f"cifar10n_{kind}_resnet18.npz") as data:
        probs, labels, truth = data["pred_probs"], data["noisy"].astype(np.int64), data["true"]
    joint, counted = confident_counts(probs, labels)
    found = label_noise(joint, counted, predicted_counts(probs, labels))
    wrong = float((labels != truth).mean())
    assert found.low < wrong < found.high
    assert not label_noise(joint, counted).high > wrong  # confident learning alone misses errors


def test_verified_by_hand() -> None:
    flagged = np.arange(100) < 20
    checked = np.zeros(100, bool)
    checked[:10] = checked[20:60] = True
    wrong = np.zeros(100, bool)
    wrong[:5] = wrong[20:22] = True
    found = verified_rate(flagged, checked, wrong)
    assert found.rate[0] == pytest.approx(0.2 * 0.5 + 0.8 * 0.05)
    assert found.low[0] < 0.14 < found.high[0]
    everything = verified_rate(flagged, np.ones(100, bool), wrong)
    assert (everything.low[0], everything.rate[0], everything.high[0]) == pytest.approx((0.07, 0.07, 0.07))


def test_of_what_nobody_checked_anything_may_be_wrong() -> None:
    flagged = np.arange(10) < 5
    found = verified_rate(flagged, flagged, flagged)
    assert (found.low[0], found.high[0]) == (0.5, 1.0)
    with pytest.raises(InputError, match="no item was checked"):
        verified_rate(flagged, np.zeros(10, bool), flagged)
    with pytest.raises(InputError, match="differ"):
        verified_rate(flagged, flagged[:5], flagged)


def test_a_verified_interval_holds_whatever_the_flags_are_worth() -> None:
    rng = np.random.default_rng(0)
    n, wrong = 5000, np.arange(5000) < 600
    for flags in (wrong ^ (rng.random(n) < 0.1), rng.random(n) < 0.3, np.zeros(n, bool)):
        held, widths = 0, []
        for _ in range(200):
            checked = np.zeros(n, bool)
            checked[rng.choice(n, 200, replace=False)] = True
            found = verified_rate(flags, checked, wrong)
            held += found.low[0] <= 0.12 <= found.high[0]
            widths.append(found.high[0] - found.low[0])
        assert held >= 183  # 95 % of 200 less three standard deviations
