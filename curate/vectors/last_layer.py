"""What a last linear layer with softmax and cross-entropy says of an item, in closed form: no backward pass, no torch.

The gradient of its weights is the outer product of the error p - y and the features h, that of its bias is the error: its
length is |p - y| sqrt(|h|^2 + 1), and nothing of size classes x features is needed to know it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.arrays.distributions import check_distributions, check_given
from curate.counting import counted
from curate.errors import InputError
from curate.vectors.rows import Floats

__all__ = ["el2n", "errors_of", "grand"]


def errors_of(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]]) -> Floats:
    """p - y, (n, k) float32, for probabilities (n, k) and labels (n,) in 0 ... k - 1.

    Rows that are not finite stay so. Raises InputError for shapes that do not fit, labels that are no whole numbers in
    that range, and finite rows that are no probabilities, as logits.
    """
    probs, codes = check_given(pred_probs, labels)
    check_distributions(probs, missing=True)
    delta: Floats = np.array(probs, np.float32)
    delta[np.arange(len(codes)), codes] -= 1
    return delta


def el2n(pred_probs: npt.NDArray[Any], labels: npt.NDArray[np.integer[Any]]) -> Floats:
    """The length of the error vector, |p - y|, (n,) float32 in [0, sqrt(2)]: high = hard, still to be learnt.

    `pred_probs` (n, k) of a model trained for a few epochs, or (runs, n, k) of several, which are averaged; `labels` (n,).
    Source: Paul, Ganguli and Dziugaite, "Deep Learning on a Data Diet", 2021, section 2.2.
    """
    pred_probs = as_numbers(pred_probs, "predicted probabilities")
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
    pred_probs, features = as_numbers(pred_probs, "predicted probabilities"), as_numbers(features, "features")
    runs = [(pred_probs, features)] if pred_probs.ndim == 2 else list(zip(pred_probs, features, strict=True))
    lengths = []
    for probs, seen in runs:
        if seen.ndim != 2 or len(seen) != len(labels):
            raise InputError(f"features of shape {seen.shape} for {counted(len(labels), 'item')}")
        squared = np.einsum("ij,ij->i", seen, seen, dtype=np.float64) + bias
        lengths.append(np.linalg.norm(errors_of(probs, labels), axis=1) * np.sqrt(squared))
    return np.asarray(np.mean(lengths, axis=0), np.float32)
