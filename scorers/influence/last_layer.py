"""The last layer's gradients in closed form, projected, from what a model already said (`curate.vectors.last_layer`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.influence.projection import Kind, Projection
from curate.vectors.last_layer import el2n, errors_of, grand
from curate.vectors.rows import Floats

__all__ = ["el2n", "errors_of", "grand", "last_layer_gradients"]

_PIECE = 1 << 22
"""Numbers of the outer products formed at a time."""


def last_layer_gradients(
    pred_probs: npt.NDArray[Any],
    labels: npt.NDArray[np.integer[Any]],
    features: npt.NDArray[Any],
    *,
    dim: int | None = None,
    seed: int = 0,
    kind: Kind = "count-sketch",
    bias: bool = True,
) -> Floats:
    """The gradients of the last layer's weights and bias, projected to `dim`; (n, dim) float32, or (n, k x (d + bias)) if None.

    Arguments as in `grand`; for the projection see `Projection`. Outer products are formed some rows at a time. The
    coordinates are class after class, each with its d weights and then its bias.
    """
    delta, features = errors_of(pred_probs, labels), as_numbers(features, "features")
    if features.ndim != 2 or len(features) != len(delta):
        raise InputError(f"features of shape {features.shape} for {counted(len(delta), 'item')}")
    seen = np.asarray(features, np.float32)
    if bias:
        seen = np.column_stack([seen, np.ones(len(seen), np.float32)])
    width = delta.shape[1] * seen.shape[1]
    plan = None if dim is None else Projection(dim, seed, kind)
    out = np.empty((len(delta), width if dim is None else dim), np.float32)
    step = max(1, _PIECE // max(1, width))
    for low in range(0, len(delta), step):
        rows = slice(low, low + step)
        products = np.einsum("ic,id->icd", delta[rows], seen[rows]).reshape(-1, width)
        if plan is not None:
            running = plan.start(len(products))
            running.add(products, 0)
            products = running.finish()
        out[rows] = products
    return out
