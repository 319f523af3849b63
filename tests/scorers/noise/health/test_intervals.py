"""Intervals and many tests at once: by hand, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="extra noise not installed")

from scipy import stats

from curate.scorers.noise.health import holm, rank_sum, wilson
from curate.scorers.noise.health.intervals import average_ranks, normal_tail


def test_wilson_is_scipys() -> None:
    for wrong, n in ((0, 10), (3, 10), (10, 10), (1, 1), (250, 5000)):
        ours = wilson(wrong / n, n)
        theirs = stats.binomtest(wrong, n).proportion_ci(method="wilson")
        assert (ours.low[0], ours.high[0]) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_by_hand() -> None:
    # 5 of 10, z^2 = 3.8415: middle (0.5 + 0.192073) / 1.384146 = 0.5, half 1.959964 * sqrt(0.025 + 0.0096036) / 1.384146
    found = wilson(0.5, 10)
    assert found.low[0] == pytest.approx(0.236593, abs=1e-6)
    assert found.high[0] == pytest.approx(0.763407, abs=1e-6)


def test_a_variance_stands_for_fewer_items() -> None:
    assert wilson(0.3, 100, 0.3 * 0.7 / 25) == wilson(0.3, 25)
    assert wilson(0.3, 100, 0.3 * 0.7 / 400) == wilson(0.3, 100)  # never more than there are
    assert wilson(0.0, 100, 0.0) == wilson(0.0, 100)


def test_nothing_is_known_of_no_items() -> None:
    assert np.isnan(np.array(wilson(0.0, 0))).all()


@given(st.integers(1, 200), st.integers(0, 200))
def test_an_interval_holds_its_share_and_stays_within_0_and_1(n: int, wrong: int) -> None:
    found = wilson(min(wrong, n) / n, n)
    assert 0 <= found.low[0] <= found.rate[0] <= found.high[0] <= 1
    assert found.high[0] > found.low[0]


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04, made to rise
    assert holm([0.02, 0.01, np.nan, 0.04, 0.03]) == pytest.approx(
        [0.06, 0.04, np.nan, 0.06, 0.06], nan_ok=True
    )
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


@pytest.mark.parametrize("tied", [False, True])
def test_rank_sum_is_the_mann_whitney_test(tied: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 4, 120).astype(float) if tied else rng.normal(size=120)
    codes = rng.integers(-1, 3, 120)
    p = normal_tail(rank_sum(average_ranks(values), codes, 3))
    for group in range(3):
        theirs = stats.mannwhitneyu(
            values[codes == group],
            values[codes != group],
            alternative="less",
            method="asymptotic",
            use_continuity=False,
        )
        assert p[group] == pytest.approx(theirs.pvalue, rel=1e-9)


def test_rank_sum_says_nothing_where_nothing_can_be_said() -> None:
    ranks = average_ranks(np.array([1.0, 2.0, 3.0]))
    assert np.isnan(rank_sum(ranks, np.array([0, 0, 0]), 2)).all()  # all in one group, none in the other
    assert np.isnan(rank_sum(average_ranks(np.ones(4)), np.array([0, 0, 1, 1]), 2)).all()
    assert np.isnan(rank_sum(np.array([]), np.array([], int), 1)).all()
