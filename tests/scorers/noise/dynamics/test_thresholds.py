"""Threshold samples and the cut of AUM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.noise import Head, aum_cut, aum_errors, threshold_samples

LABELS = np.arange(40) % 3


def test_samples_are_as_many_as_a_class_has_and_each_item_keeps_its_label_once() -> None:
    first, second = threshold_samples(LABELS, 3, seed=1)
    assert len(first) == len(second) == 40 // 4
    assert not set(first) & set(second) and (np.diff(first) > 0).all()
    assert first.tolist() != threshold_samples(LABELS, 3, seed=2)[0].tolist()
    assert len(threshold_samples(LABELS, 3, runs=3)) == 3
    for labels, classes, runs in ((LABELS[:3], 3, 2), (LABELS, 3, 4), (LABELS, 3, 0), (LABELS[:4], 3, 4)):
        with pytest.raises(InputError, match="every item must stay"):
            threshold_samples(labels, classes, runs=runs)


def test_the_cut_is_a_percentile() -> None:
    margins = np.array([-3.0, -2.0, -1.0, 0.0, np.nan])
    assert aum_cut(margins, 100) == 0
    assert aum_cut(margins, 50) == -1.5
    with pytest.raises(InputError, match="percentile=101"):
        aum_cut(margins, 101)
    with pytest.raises(InputError, match="0 finite margins"):
        aum_cut(np.array([np.nan]))


def test_wrong_labels_are_flagged(planted: Any) -> None:
    pytest.importorskip("torch", reason="extra train not installed")
    head = Head(loss="elr")
    found = aum_errors(planted.x, planted.labels, 3)
    assert planted.auroc(found.margin) > 0.9  # 0.5 at random
    hit = (found.issue & planted.wrong).sum()
    assert hit / planted.wrong.sum() > 0.8 and hit / found.issue.sum() > 0.4  # 0.1 at random
    assert len(found.cuts) == 2
    fewer = aum_errors(planted.x, planted.labels, 3, head=head, percentile=40)
    assert fewer.issue.sum() < found.issue.sum()
    np.testing.assert_array_equal(fewer.margin, found.margin)
    assert len(aum_errors(planted.x, planted.labels, 3, head=Head(epochs=1), runs=3).cuts) == 3
