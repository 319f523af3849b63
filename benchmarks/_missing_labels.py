"""Missing labels on CIFAR-10's test set, people's votes as the truth: the part `missing` of label_structure.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _label_peers import Array, ap, auroc, f1
from _measure import markdown


def missing(data: Path) -> str:
    """Which items have a second class, which classes are missing, and what labels softened by them are worth."""
    from curate.scorers.noise import missing_labels

    errors = data / "label_errors"
    probs = np.load(errors / "cross_validated_predicted_probabilities" / "cifar10_test_set_pyx.npy")
    labels = np.load(errors / "original_test_labels" / "cifar10_test_set_original_labels.npy")
    votes = np.load(data / "cifar10h" / "data" / "cifar10h-counts.npy")
    votes = votes / votes.sum(1, keepdims=True)
    given = np.eye(10, dtype=bool)[labels]
    second = np.where(given, 0, votes)
    found = missing_labels(probs, given)
    soft = {"curate soft_label": found.soft, "curate, calibrated models alone": found.plausible}
    title = "### Missing labels: CIFAR-10 test, people's votes as the truth"
    tables = (
        ranking(found.score, probs, labels.astype(np.int64), second.max(1)),
        flags(found.missing, probs, given, second >= 0.2),
        softened(soft, probs, given, votes),
    )
    return "\n\n".join((title, *tables))


def ranking(score: Array, probs: Array, labels: Array, second: Array) -> str:
    """`second` is the share of people who chose the second class."""
    from cleanlab.rank import get_label_quality_scores
    from scipy.stats import spearmanr

    several = second >= 0.2
    ranked = {
        "curate missing-labels": score,
        "cleanlab self-confidence": get_label_quality_scores(labels, probs),
        "cleanlab normalised margin": get_label_quality_scores(labels, probs, method="normalized_margin"),
        "random": np.random.default_rng(0).random(len(labels)),
    }
    rows = []
    for name, quality in ranked.items():
        doubt = -np.asarray(quality, np.float64)
        measures = (ap(several, doubt), auroc(several, doubt), spearmanr(doubt, second)[0])
        rows.append((name, *(f"{value:.3f}" for value in measures)))
    what = f"second class by a fifth of people ({several.sum()} of {len(labels):,})"
    return markdown((what, "AP", "AUROC", "rank correlation"), rows)


def flags(found: Array, probs: Array, given: Array, real: Array) -> str:
    called = {
        "curate missing-labels": found,
        "raw probability >= 0.2": (probs >= 0.2) & ~given,
        "random": np.random.default_rng(0).random(given.shape) < real.mean(),
    }
    rows = []
    for name, flag in called.items():
        measures = (real[flag].mean(), flag[real].mean(), f1(flag, real))
        rows.append((name, int(flag.sum()), *(f"{value:.3f}" for value in measures)))
    return markdown(("classes called missing", "flagged", "precision", "recall", "F1"), rows)


def softened(ours: dict[str, Array], probs: Array, given: Array, votes: Array) -> str:
    soft = {
        **ours,
        "the probabilities as they are": probs,
        "half of each, not calibrated": (probs + given) / 2,
        "the label alone": given.astype(np.float64),
        "uniform": np.full(probs.shape, 0.1),
    }
    rows = []
    for name, q in soft.items():
        safe = np.maximum(q, 1e-4)
        safe = safe / safe.sum(1, keepdims=True)
        entropy = -(votes * np.log(safe)).sum(1).mean()
        rows.append((name, f"{entropy:.3f}", f"{((votes - q) ** 2).sum(1).mean():.4f}"))
    return markdown(("against the shares of people's votes", "cross-entropy", "squared error"), rows)
