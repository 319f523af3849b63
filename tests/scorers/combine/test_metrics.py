"""The metrics are scikit-learn's and scipy's, also in resamplings."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="extra noise not installed")

from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from curate.errors import InputError
from curate.scorers.combine import average_precision, roc_area, spearman
from curate.scorers.combine.metrics import resampled


def test_by_hand() -> None:
    good, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    assert average_precision(good, score) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert roc_area(good, score) == 0.75
    assert spearman(good, score) == pytest.approx(1 / 5**0.5)  # mid-ranks 1.5, 3.5


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_parity_with_ties(decimals: int) -> None:
    rng = np.random.default_rng(decimals)
    good = (rng.random(300) < 0.8).astype(float)
    score = np.round(good + rng.normal(size=300), decimals)
    assert average_precision(good, score) == pytest.approx(average_precision_score(1 - good, -score))
    assert roc_area(good, score) == pytest.approx(roc_auc_score(good, score))
    truth = np.round(rng.normal(size=300) + score, 1)
    assert spearman(truth, score) == pytest.approx(spearmanr(truth, score)[0])


def test_a_resampling_is_the_metric_of_the_rows_drawn() -> None:
    rng = np.random.default_rng(0)
    good = (rng.random(80) < 0.7).astype(float)
    score = np.round(good + rng.normal(size=80), 1)
    times = rng.multinomial(80, np.full(80, 1 / 80), size=3).astype(float)
    for metric, ask in (("AP", average_precision), ("AUROC", roc_area), ("SRCC", spearman)):
        drawn = [np.repeat(np.arange(80), row.astype(int)) for row in times]
        expected = [ask(good[rows], score[rows]) for rows in drawn]
        np.testing.assert_allclose(resampled(metric, good, score, times), expected)


def test_what_cannot_be_measured() -> None:
    assert np.isnan(average_precision(np.ones(3), np.arange(3)))
    assert np.isnan(roc_area(np.ones(3), np.arange(3))) and np.isnan(roc_area(np.zeros(3), np.arange(3)))
    assert np.isnan(spearman(np.ones(3), np.arange(3))) and np.isnan(spearman(np.arange(3), np.ones(3)))
    assert np.isnan(average_precision(np.empty(0), np.empty(0)))
    with pytest.raises(InputError, match="without NaN"):
        roc_area(np.ones(2), np.array([1, np.nan]))
    with pytest.raises(InputError, match="one of AP"):
        resampled("F1", np.ones(2), np.ones(2), np.ones((1, 2)))
