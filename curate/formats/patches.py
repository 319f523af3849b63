"""Mosaics for a training loop: which parts of a picture to look at, what these are, and the patches it is made of.

    boxes = draw_cuts(len(batch), grid=2, rng=rng)
    aims = label_cuts(patch_soft_labels[batch], boxes)

A picture of `grid` x `grid` patches holds them row by row: patch k lies in row k // grid and column k % grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.choosing import Rng, generator
from curate.errors import InputError

__all__ = ["cut_patches", "draw_cuts", "label_cuts"]

Reals = npt.NDArray[np.float32]


def cut_patches(pixels: npt.NDArray[Any], grid: int) -> npt.NDArray[Any]:
    """(m, grid^2, h / grid, w / grid, channels): the patches of pictures (m, h, w, channels), row by row; the type stays.

    Raises InputError for pictures of another shape or that the grid does not divide.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or grid < 1 or pixels.shape[1] % grid or pixels.shape[2] % grid:
        raise InputError(
            f"pictures of shape {pixels.shape} with grid={grid}: (m, h, w, channels) is meant, h and w multiples of the grid"
        )
    m, height, width, channels = pixels.shape
    lines = pixels.reshape(m, grid, height // grid, grid, width // grid, channels)
    return lines.transpose(0, 1, 3, 2, 4, 5).reshape(m, grid * grid, height // grid, width // grid, channels)


def draw_cuts(n: int, grid: int, *, smallest: float = 0.75, rng: Rng = None) -> Reals:
    """(n, 4) float32: squares (top, left, bottom, right), as shares of the picture's side, each within one patch of it.

    The patch is drawn at random; of it the square takes between `smallest` and all of the side, anywhere. With `grid` 1 these
    are the random cuts of a plain image. Raises InputError for a number of cuts or a grid below 1, and a
    `smallest` that is not in (0, 1].
    """
    if n < 1 or grid < 1 or not 0 < smallest <= 1:
        raise InputError(f"n={n}, grid={grid}, smallest={smallest}: at least 1, at least 1, and in (0, 1]")
    rng = generator(rng)
    edge = rng.uniform(smallest, 1, (n, 1))
    corner = rng.integers(grid, size=(n, 2)) + rng.uniform(size=(n, 2)) * (1 - edge)
    return (np.concatenate([corner, corner + edge], 1) / grid).astype(np.float32)


def label_cuts(patch_soft: npt.NDArray[Any], boxes: npt.NDArray[Any]) -> Reals:
    """(m, C) float32: the label of one cut of each picture, its patches' labels weighed by how much of the cut each fills.

    `patch_soft` (m, grid^2, C): of the pictures, as in `Mosaics.patch_soft`; `boxes` (m, 4): top, left, bottom and right as
    shares of the side, in [0, 1]. A mixture of probabilities is one. Raises InputError for shapes that do not fit and
    boxes that are empty or leave the picture.
    """
    soft, boxes = np.asarray(patch_soft, np.float32), np.asarray(boxes, np.float64)
    grid = round(soft.shape[1] ** 0.5) if soft.ndim == 3 else 0
    if not grid or grid * grid != soft.shape[1] or boxes.shape != (len(soft), 4):
        raise InputError(
            f"labels of shape {soft.shape} and boxes of shape {boxes.shape}: (m, grid^2, C) and (m, 4) are meant"
        )
    low, high = boxes[:, :2], np.minimum(boxes[:, 2:], 1)
    if not ((low >= 0) & (boxes[:, 2:] <= 1 + 1e-6) & (high > low)).all():
        raise InputError(
            "a box is empty or leaves its picture: 0 <= top < bottom <= 1 is meant, left and right likewise"
        )
    line = np.arange(grid) / grid
    shared = np.minimum(high[:, :, None], line + 1 / grid) - np.maximum(low[:, :, None], line)
    share = np.clip(shared, 0, None)
    share /= share.sum(2, keepdims=True)
    weight = (share[:, 0, :, None] * share[:, 1, None, :]).reshape(len(soft), 1, -1)
    found: Reals = np.matmul(weight.astype(np.float32), soft)[:, 0]
    return found
