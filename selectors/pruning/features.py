"""Feature mapping: the source classes (or clusters) whose centre is the nearest to the target's items."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.choosing import Rng, as_matrix, generator
from curate.contracts import Budget
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.pruning.centroids import Centre, class_centroids, cluster, nearest_centroid
from curate.selectors.pruning.classes import ClassSelection, as_labels, encode, keep_classes, name_classes

__all__ = ["Measure", "feature_mapping"]

Measure = Literal["votes", "cmt", "cmt_median"]


def feature_mapping(
    target: Any,
    source: Any,
    source_labels: Any = None,
    budget: Budget | None = None,
    *,
    clusters: int | None = None,
    centre: Centre = "mean",
    band: float = 0.5,
    by: Measure = "votes",
    target_labels: Any = None,
    reverse: bool = False,
    rng: Rng = None,
) -> ClassSelection:
    """The source rows of the classes that lie nearest to the target's items in some feature space.

    `target` (n_t, d) and `source` (n, d) features of one encoder, finite. `source_labels` (n,) whole numbers or texts;
    without them `clusters` k-means clusters stand for classes, named 0 ... clusters-1 (`rng` seeds them).
    `budget`: how many classes to keep, a count, a fraction or "40%"; None keeps every class with a vote.

    `by` "votes": each target item votes for the class with the nearest centre (`centre`: mean, trimmed to the middle
    `band` around the median, or median). "cmt", "cmt_median": the class's vote is minus the mean distance from its centre
    to the trimmed means, or medians, of the target's classes (`target_labels` (n_t,)); a budget is then needed.
    `reverse` keeps the farthest: a control. Ties go by the order of the classes.

    Source: DP4TL (Zhang et al., NeurIPS 2023, arXiv 2310.08782). Raises InputError for features of different widths or
    not finite, one class, or labels that are missing.
    """
    theirs, own = as_matrix(target, what="target features"), as_matrix(source, what="source features")
    if theirs.shape[1] != own.shape[1]:
        raise InputError(
            f"target features have {counted(theirs.shape[1], 'number')}, source features {own.shape[1]}: one encoder "
            "is meant"
        )
    if by not in ("votes", "cmt", "cmt_median"):
        raise InputError(f"by={by!r}: votes, cmt or cmt_median")
    codes, names = _classes(own, source_labels, clusters, rng)
    centres = class_centroids(own, codes, len(names), centre=centre, band=band)
    present = np.flatnonzero(np.isfinite(centres[:, 0]))  # k-means may leave a cluster empty
    if by == "votes":
        near = present[nearest_centroid(theirs, centres[present])]
        votes = np.bincount(near, minlength=len(names)).astype(np.float64)
        return keep_classes(votes, codes, budget, names=names, reverse=reverse)
    if budget is None:
        raise InputError(f"by={by!r} gives every class a distance: say how many to keep, budget=...")
    votes = np.full(len(names), -np.inf)
    votes[present] = -_mean_distance(centres[present], _target_centres(theirs, target_labels, by, band))
    return keep_classes(votes, codes, budget, names=names, reverse=reverse, unit="minus mean distance")


def _classes(
    source: npt.NDArray[Any], source_labels: Any, clusters: int | None, rng: Rng
) -> tuple[npt.NDArray[np.int64], list[Any]]:
    if (source_labels is None) == (clusters is None):
        raise InputError("give source_labels, or clusters=... to make classes by k-means: one of the two")
    if clusters is not None:
        seed = int(generator(rng).integers(2**31))
        return cluster(source, clusters, seed=seed), list(range(clusters))
    labels = as_labels(source_labels, "source labels")
    if len(labels) != len(source):
        raise InputError(
            f"{counted(len(labels), 'source label')} for {counted(len(source), 'row')} of source features"
        )
    names = name_classes(labels, None, None)
    return encode(labels, names, "source labels"), names


def _target_centres(
    target: npt.NDArray[Any], target_labels: Any, by: Measure, band: float
) -> npt.NDArray[np.float64]:
    if target_labels is None:
        raise InputError(f"by={by!r} needs the target's classes: target_labels=...")
    labels = as_labels(target_labels, "target labels")
    if len(labels) != len(target):
        raise InputError(
            f"{counted(len(labels), 'target label')} for {counted(len(target), 'row')} of target features"
        )
    names = np.unique(labels)
    centre: Centre = "trimmed" if by == "cmt" else "median"
    return class_centroids(target, np.searchsorted(names, labels), len(names), centre=centre, band=band)


def _mean_distance(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each row of `a` the mean Euclidean distance to the rows of `b`."""
    squares = np.square(a).sum(1)[:, None] - 2 * a @ b.T + np.square(b).sum(1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)).mean(1))
