"""Gradients of a last linear layer with softmax and cross-entropy, in closed form, and how long they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.counting import counted
from curate.errors import InputError
from curate.vectors.last_layer import el2n, errors_of, grand
from curate.vectors.rows import Floats

__all__ = ["el2n", "forgetting_events", "grand", "last_layer_gradients"]

_MOST = 1 << 31
"""Bytes that explicit gradients may take."""


def last_layer_gradients(
    probabilities: npt.NDArray[Any], labels: npt.NDArray[Any], features: npt.NDArray[Any] | None = None
) -> Floats:
    """The gradient of each item's loss in the last layer: (n, C), or with its inputs (n, C (h + 1)), float32.

    `probabilities` (n, C) of the softmax, `labels` (n,) classes. Without `features` that of the logits: p - onehot(y).
    With `features` (n, h), the layer's inputs, that of its weights and biases: the outer product with [features, 1].
    Raises InputError where shapes do not fit, a label is no class, or the result would take more than 2 GB.
    """
    error = errors_of(probabilities, labels)
    if features is None:
        return error
    inputs = _inputs(features, len(error))
    size = len(error) * error.shape[1] * inputs.shape[1] * 4
    if size > _MOST:
        raise InputError(
            f"{counted(len(error), 'gradient')} of {error.shape[1]} x {counted(inputs.shape[1], 'number')} take "
            f"{size / 1e9:.1f} GB: give no features (the gradients of the logits), or fewer dimensions"
        )
    return (error[:, :, None] * inputs[:, None, :]).reshape(len(error), -1)


def forgetting_events(correct: npt.NDArray[Any]) -> Floats:
    """How often each item went from right to wrong: (n,) float32, higher = harder; infinite if it was never right.

    `correct` (n, epochs) whether it was classified rightly at each. An item never learned was not forgotten once, and
    would pass for an easy one. Source: Toneva et al. (2019), arXiv 1812.05159.
    """
    correct = as_numbers(correct, "correct").astype(bool)
    if correct.ndim != 2:
        raise InputError(f"correct has shape {correct.shape}: (items, epochs) is meant")
    events = (correct[:, :-1] & ~correct[:, 1:]).sum(1).astype(np.float32)
    events[~correct.any(1)] = np.inf
    return np.asarray(events, np.float32)


def _inputs(features: npt.NDArray[Any], n: int) -> Floats:
    features = np.asarray(as_numbers(features, "features"), np.float32)
    if features.ndim != 2 or len(features) != n:
        raise InputError(f"features {features.shape}: one row for each of {counted(n, 'item')}")
    return np.column_stack([features, np.ones(n, np.float32)])
