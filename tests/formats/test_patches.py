"""Mosaics in training: patches cut out again, cuts that keep to one patch, and what a cut is of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.formats.patches import cut_patches, draw_cuts, label_cuts


def test_patches_are_cut_row_by_row() -> None:
    picture = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    found = cut_patches(np.concatenate([picture, picture + 100]), 2)
    assert found.shape == (2, 4, 2, 2, 1) and found.dtype == np.uint8
    assert found[0, :, :, :, 0].tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]
    assert np.array_equal(found[1], found[0] + 100)
    assert np.array_equal(cut_patches(picture, 1)[:, 0], picture)


def test_a_cut_is_of_what_it_covers() -> None:
    soft = np.eye(4, dtype=np.float32)[None].repeat(4, 0)  # each patch is of a class of its own
    boxes = [[0, 0, 1, 1], [0, 0.5, 0.5, 1], [0.25, 0.25, 0.75, 1], [0.4, 0, 0.6, 0.5]]
    found = label_cuts(soft, np.array(boxes))
    assert found.dtype == np.float32
    third = 1 / 3  # a third of its width is left of the middle
    expected = [[0.25] * 4, [0, 1, 0, 0], [third / 2, third, third / 2, third], [0.5, 0, 0.5, 0]]
    assert np.allclose(found, expected, atol=1e-6)


@given(st.integers(1, 4), st.floats(0.05, 1), st.integers(0, 1000))
def test_a_drawn_cut_has_the_label_of_one_patch(grid: int, smallest: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    soft = rng.dirichlet(np.ones(3), (20, grid * grid)).astype(np.float32)
    boxes = draw_cuts(20, grid, smallest=smallest, rng=rng)
    edges = boxes[:, 2:] - boxes[:, :2]
    assert np.allclose(edges[:, 0], edges[:, 1], atol=1e-6)
    assert (edges >= smallest / grid - 1e-6).all() and (edges <= 1 / grid + 1e-6).all()
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 * grid
    patch = centre[:, 0].astype(int) * grid + centre[:, 1].astype(int)
    assert np.allclose(label_cuts(soft, boxes), soft[np.arange(20), patch], atol=1e-4)


def test_every_patch_is_drawn_and_a_seed_gives_the_same() -> None:
    boxes = draw_cuts(200, 3, rng=np.random.default_rng(1))
    assert len(np.unique((boxes[:, :2] * 3 + 1e-6).astype(int), axis=0)) == 9
    assert np.array_equal(boxes, draw_cuts(200, 3, rng=np.random.default_rng(1)))


@pytest.mark.parametrize(
    ("call", "given", "message"),
    [
        (cut_patches, (np.zeros((1, 5, 4, 3)), 2), "multiples of the grid"),
        (cut_patches, (np.zeros((4, 4, 3)), 2), r"shape \(4, 4, 3\)"),
        (draw_cuts, (0, 2), "n=0"),
        (label_cuts, (np.ones((1, 3, 2)), np.array([[0, 0, 1, 1]])), r"\(1, 3, 2\)"),
        (label_cuts, (np.ones((2, 4, 2)), np.array([[0, 0, 1, 1]])), r"\(1, 4\)"),
        (label_cuts, (np.ones((1, 4, 2)), np.array([[0.5, 0, 0.5, 1]])), "empty"),
        (label_cuts, (np.ones((1, 4, 2)), np.array([[0, 0, 32, 32]])), "leaves its picture"),
        (label_cuts, (np.ones((1, 4, 2)), np.array([[0, 0, np.nan, 1]])), "empty"),
    ],
)
def test_what_is_no_mosaic(call: Any, given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(*given)
