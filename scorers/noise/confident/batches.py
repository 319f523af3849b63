"""Confident learning over batches: probabilities are never all in memory, and the answer is that of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import InputError
from curate.scorers.noise.confident.filters import (
    Filter,
    Pruner,
    agrees,
    lowest,
    prune_by_class,
    prune_counts,
)
from curate.scorers.noise.confident.issues import ConfidentIssues
from curate.scorers.noise.confident.joint import Thresholds, calibrate_joint, count_pairs, guess_labels
from curate.scorers.noise.confident.quality import Method, label_quality

__all__ = ["Batches", "Options", "confident_learning_batches"]

Batch = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]
Batches = Callable[[], Iterable[Batch]]
"""Called once for each pass; gives (probabilities (b, k), labels (b,)) in the same order every time."""


@dataclass(frozen=True)
class Options:
    """`filter_by` decides which labels are flagged, `method` how they are scored, `adjusted` by probabilities from which
    the class thresholds are subtracted."""

    filter_by: Filter = "prune_by_noise_rate"
    method: Method = "self_confidence"
    adjusted: bool = False


def confident_learning_batches(batches: Batches, options: Options | None = None) -> ConfidentIssues:
    """`confident_learning` over batches, bit for bit the same whatever their size.

    `batches` is called once for each pass and gives (probabilities (b, k), labels (b,) in 0 ... k - 1) in the same order.
    Two passes; a third for `prune_by_noise_rate` and `both`, which choose within pairs of classes. Memory is one batch,
    some 20 bytes a row, k * k counts and the candidates for a flag.
    Raises InputError if the batches differ between passes or do not fit together.
    """
    options = options or Options()
    thresholds = _first_pass(batches)
    if thresholds is None:
        return ConfidentIssues.none()
    found = _second_pass(batches, thresholds, options)
    classes = len(thresholds.counts)
    np.fill_diagonal(found.joint, np.maximum(found.joint.diagonal(), 1))
    joint = calibrate_joint(found.joint, thresholds.counts)
    issue = _flag(batches, found, prune_counts(joint), thresholds.counts, options.filter_by)
    if not options.filter_by.startswith("low_"):
        issue &= ~found.agrees
    few = tuple(int(one) for one in np.flatnonzero(thresholds.counts == 1)) if classes else ()
    return ConfidentIssues(found.quality, issue, found.predicted, joint, few)


def _checked(batches: Batches, classes: int | None = None) -> Iterator[Batch]:
    for probs, labels in batches():
        probs = np.asarray(probs)
        probs = probs if probs.dtype in (np.float32, np.float64) else probs.astype(np.float32)
        labels = np.asarray(labels, np.int64)
        classes = classes or (probs.shape[1] if probs.ndim == 2 else None)
        if probs.ndim != 2 or probs.shape != (len(labels), classes):
            raise InputError(
                f"a batch has probabilities {probs.shape} and {len(labels)} labels; {classes} classes before"
            )
        if len(labels) and (labels.min() < 0 or labels.max() >= probs.shape[1]):
            raise InputError(
                f"labels {labels.min()} ... {labels.max()} for {probs.shape[1]} columns of probabilities"
            )
        if len(labels):
            yield probs, labels


def _first_pass(batches: Batches) -> Thresholds | None:
    thresholds = None
    for probs, labels in _checked(batches):
        thresholds = thresholds or Thresholds(probs.shape[1])
        if probs.shape[1] != len(thresholds.counts):
            raise InputError(f"a batch has {probs.shape[1]} classes, one before it {len(thresholds.counts)}")
        thresholds.add(probs, labels)
    return thresholds


@dataclass(eq=False)
class _Found:
    """What the second pass leaves of each row, and the counts of pairs."""

    joint: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float32 | np.float64]
    predicted: npt.NDArray[np.int64]
    own: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    margin: npt.NDArray[Any]
    agrees: npt.NDArray[np.bool_]
    off: npt.NDArray[np.bool_]


def _second_pass(batches: Batches, thresholds: Thresholds, options: Options) -> _Found:
    classes, n = len(thresholds.counts), int(thresholds.counts.sum())
    values = thresholds.values()
    joint = np.zeros((classes, classes), np.int64)
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    need_margin = options.filter_by == "low_normalized_margin"
    for probs, labels in _checked(batches, classes):
        guess = guess_labels(probs, values)
        joint += count_pairs(labels, guess, classes)
        own = probs[np.arange(len(labels)), labels]
        subtract = values if options.adjusted else None
        quality = label_quality(probs, labels, options.method, thresholds=subtract)
        margin = label_quality(probs, labels, "normalized_margin") if need_margin else own
        off = (guess >= 0) & (guess != labels)
        parts.append((quality, probs.argmax(1), own, labels, margin, agrees(probs, labels), off))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else []
    if not columns or len(columns[0]) != n:
        raise InputError(
            f"the second pass over the batches has {len(columns[0]) if columns else 0} rows, the first {n}"
        )
    return _Found(joint, *columns)


def _flag(
    batches: Batches,
    found: _Found,
    counts: npt.NDArray[np.int64],
    label_counts: npt.NDArray[np.int64],
    filter_by: Filter,
) -> npt.NDArray[np.bool_]:
    n = len(found.labels)
    if filter_by == "predicted_neq_given":
        return np.asarray(found.predicted != found.labels)
    if filter_by == "confident_learning":
        return found.off
    if filter_by.startswith("low_"):
        values = found.own if filter_by == "low_self_confidence" else found.margin
        issue = np.zeros(n, bool)
        issue[lowest(values, int((found.off & ~found.agrees).sum()))] = True
        return issue
    by_class = prune_by_class(found.own, found.labels, counts)
    if filter_by == "prune_by_class":
        return by_class
    pruner, first = Pruner(counts, label_counts), 0
    for probs, labels in _checked(batches, len(counts)):
        pruner.add(probs, labels, first)
        first += len(labels)
    by_rate = pruner.issues(n)
    return by_rate & by_class if filter_by == "both" else by_rate
