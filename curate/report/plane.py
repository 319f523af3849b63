"""Vectors laid out on a plane: seen along their two principal directions, or so that neighbours stay neighbours."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.errors import require

__all__ = ["MapBy", "place", "principal", "t_sne", "to_frame"]

Floats = npt.NDArray[np.float64]
MapBy = Literal["pca", "t-sne"]

_SEED = 0


def place(x: npt.NDArray[Any], by: MapBy) -> tuple[Floats, float | None]:
    """The vectors `x` (n, d) on the plane (n, 2), and the share of their variance that is seen there, where it is known."""
    if by == "t-sne":
        return t_sne(x), None
    return principal(x)


def principal(x: npt.NDArray[Any]) -> tuple[Floats, float]:
    """`x` (n, d), finite, along its two directions of largest variance (n, 2), and their share of all variance, 0 to 1.

    The sign of a direction is free: the item farthest from the middle lies on its positive side, of equally far ones
    the first. The same rows give the same places; time n d min(n, d).
    """
    z = np.asarray(x, np.float64)
    z = z - z.mean(0) if len(z) else z
    total = float(np.einsum("ij,ij->", z, z))
    if total == 0:
        return np.zeros((len(z), 2)), 1.0
    n, d = z.shape
    if d <= n:
        values, vectors = np.linalg.eigh(z.T @ z)
        xy = z @ vectors[:, :-3:-1]
    else:
        values, vectors = np.linalg.eigh(z @ z.T)
        xy = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))
    xy = np.pad(xy, ((0, 0), (0, 2 - xy.shape[1])))
    far = np.abs(xy / np.maximum(np.abs(xy).max(0), 1e-300)).round(9).argmax(0)
    xy *= np.where(xy[far, [0, 1]] < 0, -1.0, 1.0)
    return xy, min(1.0, float(np.maximum(values[:-3:-1], 0).sum()) / total)


def t_sne(x: npt.NDArray[Any]) -> Floats:
    """`x` (n, d), finite, on the plane (n, 2) by t-SNE (van der Maaten and Hinton 2008), from `principal` as the start.

    Who is near whom is kept; how far groups lie apart means little. On one thread, so that the same rows give the same
    places. Needs the extra `noise` (scikit-learn); fewer than 5 rows are laid out by `principal`.
    """
    start, _ = principal(x)
    if len(x) < 5 or not start.any():
        return start
    manifold: Any = require("sklearn.manifold", "noise")
    threads: Any = require("threadpoolctl", "noise")
    begin = start / max(float(start[:, 0].std()), 1e-30) * 1e-4
    learner = manifold.TSNE(
        perplexity=min(30.0, (len(x) - 1) / 3), init=begin.astype(np.float32), random_state=_SEED, n_jobs=1
    )
    with threads.threadpool_limits(1):
        return np.asarray(learner.fit_transform(np.asarray(x, np.float32)), np.float64)


def to_frame(xy: Floats, width: float, height: float) -> tuple[Floats, int]:
    """Places in a frame from (0, 0), top left, to (width, height), equally scaled both ways, and how many lay outside.

    The frame holds all points, unless a few lie so far out that the others would be a spot: then they are put on its
    edge.
    """
    if not len(xy):
        return xy, 0
    low, high = xy.min(0), xy.max(0)
    near, far = np.quantile(xy, [0.005, 0.995], axis=0)
    room = 0.5 * (far - near)
    crowded = (far > near) & (far - near < 0.25 * (high - low))
    low = np.where(crowded, np.maximum(low, near - room), low)
    high = np.where(crowded, np.minimum(high, far + room), high)
    outside = int(((xy < low) | (xy > high)).any(1).sum())
    span = np.maximum(high - low, 1e-300)
    scale = min(width / span[0], height / span[1]) if (high > low).any() else 0.0
    middle = (low + high) / 2
    placed = (np.clip(xy, low, high) - middle) * scale * [1, -1] + [width / 2, height / 2]
    return placed, outside
