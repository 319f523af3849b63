"""Label mapping: what a source model takes the target's items for says which source classes the target needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array
from curate.contracts import Budget
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.pruning.classes import ClassSelection, as_labels, encode, keep_classes, name_classes

__all__ = ["label_mapping", "label_votes"]


def label_mapping(
    predictions: Any,
    source_labels: Any,
    budget: Budget | None = None,
    *,
    classes: Sequence[Any] | None = None,
    soft: bool = False,
    reverse: bool = False,
) -> ClassSelection:
    """The source rows of the classes that a source model predicts most often for the target's training items.

    `predictions` (n_t,) the class predicted for each target item, or (n_t, C) the source model's logits or
    probabilities, whose argmax counts (equal ones: the first). `source_labels` (n,) whole numbers or texts. `budget`: how
    many classes to keep, a count, a fraction or "40%" of those that have rows; None keeps every class with a vote.
    `classes` (C,) names the columns in their order; without it they are 0 ... C-1, or the sorted distinct texts.
    `soft` counts probabilities (logits pass a softmax) in place of votes, which orders the many classes without any.
    `reverse` keeps those with the fewest: a control that should do worse than random.

    Votes break ties by the order of the classes. Source: frequency label mapping of DP4TL (Zhang et al., NeurIPS 2023,
    arXiv 2310.08782). Raises InputError for classes that do not match, fewer than two, or predictions not finite.
    """
    labels = as_labels(source_labels, "source labels")
    given = as_array(predictions, "predictions")
    columns = given.shape[1] if given.ndim == 2 else None
    names = name_classes(labels, classes, columns)
    codes = encode(labels, names, "source labels")
    if given.ndim == 2:
        votes = label_votes(given, soft=soft)
    else:
        if soft:
            raise InputError("soft votes need the probabilities (n_t, C), not only the predicted classes")
        taken = encode(as_labels(given, "predictions"), names, "predictions")
        votes = np.bincount(taken, minlength=len(names)).astype(np.float64)
    return keep_classes(votes, codes, budget, names=names, reverse=reverse)


def label_votes(scores: npt.NDArray[Any], *, soft: bool = False) -> npt.NDArray[np.float64]:
    """Votes of each class, (C,) float64, from logits or probabilities (n_t, C): argmaxes counted, or `soft` ones summed.

    Rows that are non-negative and sum to 1 are probabilities, others logits. Raises InputError unless all are finite.
    """
    if not len(scores) or not np.issubdtype(scores.dtype, np.number):
        raise InputError(
            f"predictions of shape {scores.shape} and type {scores.dtype}: (n_t, C) numbers are meant"
        )
    bad = np.flatnonzero(~np.isfinite(scores).all(1))
    if len(bad):
        raise InputError(
            f"predictions that are not finite in {counted(len(bad), 'row')}, as {bad[:5].tolist()}"
        )
    if not soft:
        return np.bincount(scores.argmax(1), minlength=scores.shape[1]).astype(np.float64)
    shares = scores.astype(np.float64)
    if (shares < 0).any() or np.abs(shares.sum(1) - 1).max() > 0.01:
        shares = np.exp(shares - shares.max(1, keepdims=True))
    return np.asarray((shares / shares.sum(1, keepdims=True)).sum(0))
