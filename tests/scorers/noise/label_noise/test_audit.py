"""Audit plans: strata, exact intervals and their coverage, the curve."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="extra noise not installed")

from curate.errors import InputError
from curate.scorers.noise import audit_curve, audit_size, estimate_errors, label_errors, plan_audit
from curate.scorers.noise.label_noise.audit import binomial_interval
from curate.scorers.noise.label_noise.finder import LabelIssues


@pytest.fixture(scope="module")
def found() -> tuple[LabelIssues, np.ndarray]:
    """Labels with a tenth wrong, and which."""
    rng = np.random.default_rng(0)
    truth = np.arange(2000) % 3
    probs = rng.dirichlet(np.ones(3), 2000) * 0.5
    probs[np.arange(2000), truth] += 0.5
    labels = truth.copy()
    labels[rng.choice(2000, 200, replace=False)] += 1
    return label_errors(probs, labels % 3), labels % 3 != truth


def test_intervals_are_those_of_the_tables() -> None:
    assert binomial_interval(0, 10) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert binomial_interval(10, 10) == (pytest.approx(0.025 ** (1 / 10)), 1.0)
    assert binomial_interval(2, 20) == (pytest.approx(0.0123, abs=1e-4), pytest.approx(0.3170, abs=1e-4))
    narrow, wide = binomial_interval(2, 20, 0.5), binomial_interval(2, 20, 0.99)
    assert wide[0] < narrow[0] < 0.1 < narrow[1] < wide[1]
    for hits, draws in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(InputError, match="draws"):
            binomial_interval(hits, draws)
    with pytest.raises(InputError, match="confidence"):
        binomial_interval(1, 2, 1.0)


def test_a_plan_draws_one_of_each_stratum_by_score(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, _ = found
    for of, mask in (("kept", ~issues.flagged), ("flagged", issues.flagged), ("all", np.ones(2000, bool))):
        plan = plan_audit(issues, 50, of=of)  # type: ignore[arg-type]
        assert plan.population == mask.sum() and mask[plan.rows].all()
        assert plan.times.sum() == 50 and len(np.unique(plan.rows)) == len(plan.rows)
        order = np.flatnonzero(mask)[np.argsort(issues.score[mask], kind="stable")]
        place = np.searchsorted(issues.score[order], issues.score[plan.rows], side="left")
        stratum = place * 50 / plan.population
        assert (np.diff(stratum) > 0).all() and np.abs(stratum - np.arange(50)).max() < 1.1
    assert plan.bound == pytest.approx(1 - 0.025 ** (1 / 50))
    assert plan.expected == pytest.approx(float(1 - issues.right.mean()), abs=1e-5)


def test_the_seed_and_the_confidence_do_what_they_say(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, _ = found
    one, same, other = (plan_audit(issues, 40, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.rows, same.rows) and not np.array_equal(one.rows, other.rows)
    assert (
        plan_audit(issues, 40, confidence=0.5).bound
        < one.bound
        < plan_audit(issues, 40, confidence=0.99).bound
    )


def test_the_interval_covers_the_truth_as_often_as_it_says(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, _ = found
    wrong = np.random.default_rng(5).random(2000) < 0.9 * (1 - issues.score) ** 2  # some anywhere
    real = wrong.mean()
    estimates = []
    for seed in range(300):
        plan = plan_audit(issues, 80, of="all", seed=seed)
        estimates.append(estimate_errors(plan, wrong[plan.rows]))
    inside = np.mean([one.low <= real <= one.high for one in estimates])
    assert inside >= 0.95
    rates = np.array([one.rate for one in estimates])
    assert abs(rates.mean() - real) < 4 * rates.std() / np.sqrt(300)  # unbiased
    assert rates.std() < 0.95 * np.sqrt(real * (1 - real) / 80)  # and strata by score pay


def test_checking_everything_leaves_no_doubt(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, wrong = found
    plan = plan_audit(issues, int(issues.flagged.sum()), of="flagged")
    estimate = estimate_errors(plan, wrong[plan.rows])
    assert plan.bound == 0
    assert estimate.low == estimate.rate == estimate.high == wrong[issues.flagged].mean()
    assert estimate.errors == pytest.approx(wrong[issues.flagged].sum())


def test_what_was_checked_narrows_the_interval(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, _ = found
    n = int(issues.flagged.sum())
    plan = plan_audit(issues, n - 2, of="flagged")
    estimate = estimate_errors(plan, np.ones(len(plan.rows), bool))
    assert estimate.low >= len(plan.rows) / n and estimate.high == 1
    assert estimate.checked == n - 2 == estimate.wrong


def test_sizes_bound_and_no_smaller_one_does() -> None:
    for bound, errors in ((0.05, 0), (0.01, 0), (0.05, 2), (0.5, 1)):
        size = audit_size(bound, errors=errors)
        assert binomial_interval(errors, size)[1] <= bound < binomial_interval(errors, size - 1)[1]
    assert audit_size(0.05, confidence=0.8) < audit_size(0.05) < audit_size(0.02)


def test_the_curve_expects_what_is_there(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, wrong = found
    expected, real = audit_curve(issues), audit_curve(issues, wrong=wrong)
    assert expected.checked[0] == 0 and expected.checked[-1] == 2000 and len(expected.checked) == 200
    assert (np.diff(expected.errors) >= 0).all() and (np.diff(real.errors) >= 0).all()
    assert (expected.low <= expected.errors).all() and (expected.errors <= expected.high).all()
    assert real.errors[-1] == 200 and abs(expected.errors[-1] - 200) < 40
    at_200 = np.searchsorted(real.checked, 200)
    assert real.errors[at_200] > 150  # random order would have found 20
    assert len(audit_curve(issues, points=5).checked) == 5


@pytest.mark.parametrize("items", [0, -3, 10**6])
def test_too_many_or_too_few_to_check_are_refused(items: int, found: tuple[LabelIssues, np.ndarray]) -> None:
    with pytest.raises(InputError, match="can be drawn"):
        plan_audit(found[0], items)


def test_other_input_is_refused(found: tuple[LabelIssues, np.ndarray]) -> None:
    issues, wrong = found
    plan = plan_audit(issues, 10)
    for answers in (wrong[:9], np.full(10, 2), np.full(10, 0.5), ["yes"] * 10):
        with pytest.raises(InputError, match="for each of the 10 rows"):
            estimate_errors(plan, answers)
    with pytest.raises(InputError, match="confidence"):
        plan_audit(issues, 10, confidence=95)
    with pytest.raises(InputError, match="2,000 labels"):
        audit_curve(issues, wrong=wrong[:3])
    for bound, errors in ((0.0, 0), (1.0, 0), (0.5, -1)):
        with pytest.raises(InputError, match="bound"):
            audit_size(bound, errors=errors)
