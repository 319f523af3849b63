"""What the benchmarks of wrong labels share: contestants, measures, and the sets that people labelled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
Array = npt.NDArray[Any]
METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def ours(probs: Any, labels: Array, seed: int = 0) -> tuple[Array, Array]:
    from curate.scorers.noise import label_errors

    found = label_errors(probs, labels, seed=seed)
    return -found.score, found.flagged


def cleanlab_doubts(probs: Array, labels: Array) -> dict[str, Array]:
    from cleanlab.rank import get_label_quality_scores

    return {name: -get_label_quality_scores(labels, probs, method=name) for name in METHODS}


def cleanlab_flags(probs: Array, labels: Array) -> Array:
    from cleanlab.filter import find_label_issues

    return np.asarray(find_label_issues(labels, probs, n_jobs=1))


def ratio_share(probs: Array, labels: Array) -> Array:
    row = np.arange(len(labels))
    ratio = probs / np.array([probs[labels == k, k].mean() for k in range(probs.shape[1])])
    own = ratio[row, labels].copy()
    ratio[row, labels] = 0
    return np.asarray(ratio.max(1) / (ratio.max(1) + own))


def ap(wrong: Array, doubt: Array) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, doubt))


def auroc(wrong: Array, doubt: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(wrong, doubt))


def f1(flagged: Array, wrong: Array) -> float:
    return float(2 * (flagged & wrong).sum() / max(1, flagged.sum() + wrong.sum()))


def cifar10n(which: str) -> tuple[Array, Array, Array]:
    with np.load(DATA / "led_pred_probs" / f"cifar10n_{which}_resnet18.npz") as data:
        return data["pred_probs"], data["noisy"].astype(np.int64), data["true"].astype(np.int64)


def test_set(name: str) -> tuple[Array, Array]:
    """Cross-validated probabilities and original labels."""
    folder = DATA / "label_errors"
    probs = np.load(folder / "cross_validated_predicted_probabilities" / f"{name}_test_set_pyx.npy")
    labels = np.load(folder / "original_test_labels" / f"{name}_test_set_original_labels.npy")
    return np.clip(probs, 0, 1), labels.astype(np.int64)


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))
