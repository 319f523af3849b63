"""Weights: their sum, what they are worth, draws, caps, and what is no weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.errors import InputError
from curate.selectors.reweighting import Draw, cap_weights, effective_size, normalise, weigh

WEIGHTS = st.lists(st.floats(0, 1e6), min_size=1, max_size=40).filter(lambda w: max(w) > 0)


def test_by_hand() -> None:
    found = weigh(np.array([1.0, 0.0, 3.0, 1.0]), "so")
    assert found.index.tolist() == [2, 0, 3]
    assert found.weight is not None and np.allclose(found.weight, [2.4, 0.8, 0.8])
    assert np.allclose(found.by_row, [0.8, 0, 2.4, 0.8])
    assert found.effective == pytest.approx(25 / 11)
    assert effective_size(np.ones(7)) == pytest.approx(7)
    assert found.reason == "so; 4 items count as 2"
    assert found.random == {"objective": pytest.approx(25 / 44), "random": 1.0}


@settings(max_examples=60, deadline=None)
@given(WEIGHTS)
def test_any_weights(weights: list[float]) -> None:
    found = weigh(np.array(weights), "")
    assert found.by_row.sum(dtype=float) == pytest.approx(len(weights), rel=1e-5)
    assert 1 - 1e-9 <= found.effective <= len(weights) + 1e-9
    assert (np.diff(found.by_row[found.index]) <= 0).all()
    assert len(found) == (found.by_row > 0).sum()


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.floats(1, 10))
@example([8.0, 1.1125369292536007e-308], 1.5)
def test_no_capped_weight_is_above_the_cap(weights: list[float], cap: float) -> None:
    given_ = normalise(np.array(weights))
    found = cap_weights(given_, cap)
    assert found.max() <= cap * (1 + 1e-9)
    falling = found[np.argsort(-given_, kind="stable")]
    assert (np.diff(falling) <= 1e-12 * cap).all()  # the order stays, but for rounding
    if (given_ > 0).sum() >= len(given_) / cap:
        assert found.mean() == pytest.approx(1)
    free = found < cap * (1 - 1e-9)
    if free.sum() > 1 and given_[free].max() > 0:  # what is not cut off keeps its proportions
        assert np.allclose(found[free] / found[free].max(), given_[free] / given_[free].max(), atol=1e-9)


def test_a_draw_follows_the_weights() -> None:
    weights = np.array([0.0, 1.0, 2.0, 6.0])
    hits = np.zeros(4)
    for seed in range(600):
        found = weigh(weights, "", Draw(1, np.random.default_rng(seed)))
        hits[found.index] += 1
        assert found.weight is not None and found.weight.tolist() == [1.0]
    assert hits[0] == 0
    assert np.abs(hits / 600 - weights / 9).max() < 0.06
    small, large = (weigh(weights, "", Draw(k, np.random.default_rng(3))).index for k in (1, 3))
    assert large[:1].tolist() == small.tolist()
    with pytest.raises(InputError, match="only 3 of 4 items have a weight above 0"):
        weigh(weights, "", Draw(4, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0, 0.0], "all 2 weights are 0"),
        ([1.0, -1.0], "-1.0 in row 1"),
        ([np.nan, 1.0], "nan in row 0"),
        ([np.inf], "inf in row 0"),
        ([], "at least one row"),
        ([[1.0]], "shape"),
    ],
)
def test_what_is_no_weight(weights: list[float], message: str) -> None:
    for function in (normalise, effective_size, lambda w: weigh(w, ""), lambda w: cap_weights(w, 2)):
        with pytest.raises(InputError, match=message):
            function(np.array(weights))
    with pytest.raises(InputError, match=r"cap=0.5"):
        cap_weights(np.ones(3), 0.5)
