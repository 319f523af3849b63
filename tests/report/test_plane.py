"""Vectors on a plane: principal directions by hand, frames by hand, neighbours that stay neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.report.plane import place, principal, t_sne, to_frame


def test_a_line_in_space_is_a_line_on_the_plane():
    t = np.array([-1.0, 0.0, 4.0])
    xy, share = principal(t[:, None] * np.array([1, 2, 2]) / 3 + 7)
    assert share == pytest.approx(1)
    assert xy[:, 0] == pytest.approx(t - 1) and xy[:, 1] == pytest.approx(
        0
    )  # the farthest is on the positive side


def test_the_share_is_that_of_the_two_largest_variances():
    x = np.diag([3.0, 2.0, 1.0])
    x = np.concatenate([x, -x])
    xy, share = principal(x)
    assert share == pytest.approx((9 + 4) / (9 + 4 + 1))
    assert np.abs(xy).max(0) == pytest.approx([3, 2])


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_more_columns_than_rows_give_the_same_places(n: int, d: int, seed: int):
    x = np.random.default_rng(seed).normal(size=(n, d))
    wide = np.concatenate([x, np.zeros((n, 20))], axis=1)
    assert np.abs(principal(x)[0]) == pytest.approx(np.abs(principal(wide)[0]), abs=1e-6)
    assert 0 <= principal(x)[1] <= 1


@pytest.mark.parametrize("x", [np.zeros((0, 3)), np.ones((1, 3)), np.ones((5, 1))])
def test_where_nothing_differs_all_lie_in_one_place(x: np.ndarray):
    xy, share = principal(x)
    assert xy.shape == (len(x), 2) and not xy.any() and share == 1
    placed, outside = to_frame(xy, 90, 60)
    assert placed == pytest.approx(np.tile([45, 30], (len(x), 1))) and outside == 0


def test_a_frame_is_filled_equally_scaled_with_up_above():
    placed, outside = to_frame(np.array([[0.0, 0.0], [10.0, 5.0], [5.0, 2.5]]), 90, 60)
    assert placed == pytest.approx(np.array([[0, 52.5], [90, 7.5], [45, 30]])) and outside == 0


def test_one_item_far_away_does_not_crowd_the_others():
    xy = np.concatenate([np.random.default_rng(0).uniform(0, 1, (500, 2)), [[1000.0, 0.5]]])
    placed, outside = to_frame(xy, 90, 60)
    assert outside == 1
    assert np.ptp(placed[:-1, 1]) > 25 and placed[-1, 0] == pytest.approx(placed[:, 0].max())
    assert (placed >= -1e-9).all() and (placed <= [90 + 1e-9, 60 + 1e-9]).all()


def test_t_sne_keeps_groups_together_and_is_the_same_every_time():
    pytest.importorskip("sklearn", reason="extra noise not installed")
    rng = np.random.default_rng(1)
    of = np.repeat([0, 1, 2], 20)
    x = rng.normal(size=(60, 16)) + 12 * rng.normal(size=(3, 16))[of]
    xy, share = place(x, "t-sne")
    assert share is None and xy.shape == (60, 2)
    far = ((xy[:, None] - xy[None]) ** 2).sum(-1)
    np.fill_diagonal(far, np.inf)
    assert (of[far.argmin(1)] == of).all()
    assert np.array_equal(t_sne(x), xy)
    assert np.array_equal(t_sne(x[:4]), principal(x[:4])[0])  # too few for neighbourhoods
