"""Gradients of a last linear layer with softmax and cross-entropy, in closed form, and how long they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["el2n", "forgetting_events", "grand", "last_layer_gradients"]

Floats = npt.NDArray[np.float32]

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
    error = _errors(probabilities, labels)
    if features is None:
        return error
    inputs = _inputs(features, len(error))
    size = len(error) * error.shape[1] * inputs.shape[1] * 4
    if size > _MOST:
        raise InputError(
            f"{len(error)} gradients of {error.shape[1]} x {inputs.shape[1]} numbers take {size / 1e9:.1f} GB: give no "
            "features (the gradients of the logits), or fewer dimensions"
        )
    return (error[:, :, None] * inputs[:, None, :]).reshape(len(error), -1)


def el2n(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Floats:
    """|p - onehot(y)| of each item: (n,) in [0, sqrt 2], higher = harder; the mean over runs is the EL2N score.

    Source: Paul, Ganguli and Dziugaite (2021), arXiv 2107.07075.
    """
    return np.asarray(np.linalg.norm(_errors(probabilities, labels), axis=1), np.float32)


def grand(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any], features: npt.NDArray[Any]) -> Floats:
    """The length of each item's gradient in the last layer, |p - onehot(y)| sqrt(1 + |features|^2): (n,), higher = harder.

    The GraNd score, of that layer; no gradient is formed. Source: as `el2n`.
    """
    inputs = _inputs(features, len(labels))
    return np.asarray(el2n(probabilities, labels) * np.linalg.norm(inputs, axis=1), np.float32)


def forgetting_events(correct: npt.NDArray[Any]) -> Floats:
    """How often each item went from right to wrong: (n,) float32, higher = harder; infinite if it was never right.

    `correct` (n, epochs) whether it was classified rightly at each. An item never learned was not forgotten once, and
    would pass for an easy one. Source: Toneva et al. (2019), arXiv 1812.05159.
    """
    correct = np.asarray(correct).astype(bool)
    if correct.ndim != 2:
        raise InputError(f"correct has shape {correct.shape}: (items, epochs) is meant")
    events = (correct[:, :-1] & ~correct[:, 1:]).sum(1).astype(np.float32)
    events[~correct.any(1)] = np.inf
    return np.asarray(events, np.float32)


def _errors(probabilities: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Floats:
    error = np.array(probabilities, np.float32)
    labels = np.asarray(labels)
    if error.ndim != 2 or labels.shape != error.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"probabilities {error.shape}, labels {labels.dtype} {labels.shape}: (n, classes) and n class numbers"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < error.shape[1]):
        raise InputError(
            f"labels {labels.min()} to {labels.max()}: there are {error.shape[1]} classes, from 0 on"
        )
    error[np.arange(len(labels)), labels] -= 1
    return error


def _inputs(features: npt.NDArray[Any], n: int) -> Floats:
    features = np.asarray(features, np.float32)
    if features.ndim != 2 or len(features) != n:
        raise InputError(f"features {features.shape}: one row for each of {n} items")
    return np.column_stack([features, np.ones(n, np.float32)])
