"""What a last linear layer with softmax and cross-entropy says of an item, in closed form: no backward pass, no torch.

The gradient of its weights is the outer product of the error p - y and the features h, that of its bias is the error: its
length is |p - y| sqrt(|h|^2 + 1), and nothing of size classes x features is needed to know it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.vectors.rows import Floats

__all__ = ["el2n", "errors_of", "grand"]


def errors_of(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]]) -> Floats:
    """p - y, (n, k) float32, for probabilities (n, k) and labels (n,) in 0 ... k - 1.

    Rows that are not finite stay so. Raises InputError for shapes that do not fit, labels that are no whole numbers in
    that range, and finite rows that are no probabilities, as logits.
    """
    pred_probs, labels = np.asarray(pred_probs), np.asarray(labels)
    if pred_probs.ndim != 2 or labels.shape != (len(pred_probs),):
        raise InputError(
            f"probabilities of shape {pred_probs.shape} and labels of shape {labels.shape}: (n, classes) and (n,) are meant"
        )
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"labels are {labels.dtype}: whole numbers 0 ... {pred_probs.shape[1] - 1} are meant"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < pred_probs.shape[1]):
        raise InputError(f"labels from {labels.min()} to {labels.max()} for {pred_probs.shape[1]} classes")
    delta: Floats = np.array(pred_probs, np.float32)
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(delta).all(1) & (
            (np.abs(delta.sum(1) - 1) > 0.01) | (delta.min(1, initial=0) < -1e-4)
        )
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{int(wrong.sum())} rows are no probabilities, as row {row}: {pred_probs[row].tolist()[:5]} with sum "
            f"{delta[row].sum():.4g}. Give the softmax of logits"
        )
    delta[np.arange(len(labels)), labels] -= 1
    return delta


def el2n(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]]) -> Floats:
    """The length of the error vector, |p - y|, (n,) float32 in [0, sqrt(2)]: high = hard, still to be learnt.

    `pred_probs` (n, k) of a model trained for a few epochs, or (runs, n, k) of several, which are averaged; `labels` (n,).
    Source: Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet", 2021, section 2.2.
    """
    pred_probs = np.asarray(pred_probs)
    runs = pred_probs[None] if pred_probs.ndim == 2 else pred_probs
    lengths = [np.linalg.norm(errors_of(p, labels), axis=1) for p in runs]
    return np.asarray(np.mean(lengths, axis=0), np.float32)


def grand(
    pred_probs: npt.NDArray[Any],
    labels: npt.NDArray[np.integer[Any]],
    features: npt.NDArray[Any],
    *,
    bias: bool = True,
) -> Floats:
    """The length of the last layer's gradient, (n,) float32, in closed form: high = it would move the model far.

    `pred_probs` (n, k), `labels` (n,), `features` (n, d) that the last layer sees; `bias` whether that layer has one. With
    (runs, n, k) and (runs, n, d) runs are averaged.
    Source: as `el2n`, section 2.1.
    """
    pred_probs, features = np.asarray(pred_probs), np.asarray(features)
    runs = [(pred_probs, features)] if pred_probs.ndim == 2 else list(zip(pred_probs, features, strict=True))
    lengths = []
    for probs, seen in runs:
        if seen.ndim != 2 or len(seen) != len(labels):
            raise InputError(f"features of shape {seen.shape} for {len(labels)} items")
        squared = np.einsum("ij,ij->i", seen, seen, dtype=np.float64) + bias
        lengths.append(np.linalg.norm(errors_of(probs, labels), axis=1) * np.sqrt(squared))
    return np.asarray(np.mean(lengths, axis=0), np.float32)
