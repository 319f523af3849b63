"""Intervals and many tests at once: by hand, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("scipy", reason="extra noise not installed")

from scipy import stats

from curate.scorers.noise.health import holm, skewed_tail, wilson


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


def test_without_skewness_the_tail_is_normal() -> None:
    z = np.array([-2.0, 0.0, 1.0, 4.0, np.nan])
    np.testing.assert_allclose(skewed_tail(z, np.zeros(5)), stats.norm.sf(z))
    np.testing.assert_allclose(skewed_tail(z, np.full(5, 0.002)), stats.norm.sf(z), rtol=0.03)


@pytest.mark.parametrize("skewness", [0.5, 2.0, -0.5, -2.0])
def test_the_skewed_tail_is_pearsons(skewness: float) -> None:
    z = np.linspace(-3, 5, 17)
    np.testing.assert_allclose(
        skewed_tail(z, np.full(17, skewness)), stats.pearson3.sf(z, skewness), atol=1e-12
    )
