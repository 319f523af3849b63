"""`outlier`: items unlike the others: far from their neighbours or from every class, or of low energy or confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_rows
from curate.arrays.distributions import as_pred_probs, check_distributions
from curate.contracts import View, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.neighbours.candidates import Backend
from curate.scorers.noise.neighbours.items import read_items
from curate.scorers.noise.neighbours.moments import Shrinkage, class_shapes, mahalanobis
from curate.scorers.noise.neighbours.search import Metric, nearest_blocks

__all__ = [
    "Of",
    "Outlier",
    "Scale",
    "confidence",
    "energy",
    "knn_distance",
    "mahalanobis_distance",
    "typicality",
]

Floats = npt.NDArray[np.float64]
Method = Literal["knn", "mahalanobis", "energy", "confidence"]
Of = Literal["mean", "last"]
Scale = Literal["ratio", "exp", "raw"]


@dataclass(frozen=True)
class Outlier:
    """Scores how much an item belongs with the others; higher = keep.

    `method`: "knn", the distance to the `k` nearest neighbours (`of`: their mean, or the last), by `metric`;
    "mahalanobis", the distance to the nearest class of the column `label`, or to all items if there is none given, with
    covariances drawn in by `shrinkage`; both read the vector column `embedding` and are brought to (0, 1] by `scale`.
    "energy", -E = T log sum exp(logits / T) at `temperature`, and "confidence", the highest probability, read the
    vector column `embedding` as logits or as probabilities.
    """

    embedding: str = "pixel_embedding"
    method: Method = "knn"
    k: int = 10
    of: Of = "mean"
    metric: Metric = "cosine"
    label: str | None = None
    shrinkage: Shrinkage = "oas"
    scale: Scale = "ratio"
    temperature: float = 1.0

    name: ClassVar[str] = "outlier"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.label and self.method != "mahalanobis":
            raise InputError(
                f"outlier: label={self.label!r} is for method 'mahalanobis', not {self.method!r}"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.embedding, *((self.label,) if self.label else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("outlier"),)

    def fit(self, view: View) -> FittedTable:
        """Score a view. Raises InputError for fewer items than `k`, or what is no logits or probabilities."""
        metric: Metric = self.metric if self.method == "knn" else "euclidean"
        items = read_items(view, (self.embedding,), self.label, metric)
        if not len(items):
            return items.answer(self, {})
        x = items.x[self.embedding]
        if self.method == "energy":
            value = energy(x, self.temperature)
        elif self.method == "confidence":
            value = confidence(x)
        elif self.method == "knn":
            value = typicality(knn_distance(x, self.k, of=self.of, metric=self.metric), self.scale)
        else:
            labels = items.labels if self.label else None
            value = typicality(mahalanobis_distance(x, labels, shrinkage=self.shrinkage), self.scale)
        return items.answer(self, {"outlier": value})


def knn_distance(
    x: npt.NDArray[Any],
    k: int = 10,
    *,
    of: Of = "mean",
    metric: Metric = "cosine",
    reference: npt.NDArray[Any] | None = None,
    backend: Backend = "auto",
) -> Floats:
    """How far away the neighbours are: (n,) float64, low = typical.

    `x` (n, d); `k` neighbours among the other rows, or among those of `reference` (m, d), data known to be good. `of`:
    the "mean" of their distances, or the "last", that of the k-th (Sun et al., "Out-of-Distribution Detection with Deep
    Nearest Neighbors", ICML 2022). Raises InputError as `nearest` does, and for another `of`.
    """
    if of not in ("mean", "last"):
        raise InputError(f"of {of!r}: 'mean' or 'last'")
    x, reference = as_rows(x), None if reference is None else as_rows(reference, "reference")
    base, queries = (x, None) if reference is None else (reference, x)
    pieces = nearest_blocks(base, k, metric=metric, queries=queries, backend=backend)
    far = [
        block.distance.mean(axis=1, dtype=np.float64) if of == "mean" else block.distance[:, -1]
        for block in pieces
    ]
    return np.concatenate(far).astype(np.float64)


def mahalanobis_distance(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.integer] | None = None,
    *,
    shrinkage: Shrinkage = "oas",
    trim: float = 0.0,
    reference: npt.NDArray[Any] | None = None,
) -> Floats:
    """The distance to the nearest class, in units of its spread: (n,) float64, low = typical.

    `x` (n, d) finite; `labels` of its rows, or of those of `reference` (m, d) if the shape is to be learnt from that;
    None: all are one class. One covariance for all classes, drawn in by `shrinkage`, of all but the `trim` farthest
    rows of each class. Raises InputError as `class_shapes` does, and for no rows.
    Source: Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
    NeurIPS 2018, eq. 2.
    """
    x = as_rows(x)
    known = x if reference is None else as_rows(reference, "reference")
    codes = np.zeros(len(known), np.int64) if labels is None else np.unique(labels, return_inverse=True)[1]
    if codes.shape != (len(known),) or not len(known):
        raise InputError(
            f"{counted(len(codes), 'label')} for {counted(len(known), 'row')}, at least one of each"
        )
    if not np.isfinite(x).all():
        raise InputError(
            f"row {int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])} is not finite: leave it out"
        )
    shapes = class_shapes(known, codes, shrinkage=shrinkage, trim=trim)
    return np.asarray(np.sqrt(mahalanobis(x, shapes).min(axis=1)))


def typicality(distance: npt.NDArray[np.floating], scale: Scale = "ratio") -> Floats:
    """Distances (n,) as scores, higher = keep, that can be compared between data sets by their median.

    `scale`: "ratio" median / (median + d), 0.5 for the typical item, never 0; "exp" exp(-d / median), as cleanlab's
    outlier score: 0.37 for the typical item, 0 in float32 from 104 medians on; "raw" -d. Where the median is 0, an item
    at distance 0 gets 1 and every other 0 (raw: as it is). Raises InputError for another scale.
    """
    far: Floats = np.asarray(distance, np.float64)
    if scale not in ("ratio", "exp", "raw"):
        raise InputError(f"scale {scale!r}: 'ratio', 'exp' or 'raw'")
    if scale == "raw" or not len(far):
        return -far
    median = float(np.median(far))
    if median == 0:
        return np.asarray(far == 0, np.float64)
    return np.asarray(median / (median + far) if scale == "ratio" else np.exp(-far / median))


def energy(logits: npt.NDArray[Any], temperature: float = 1.0) -> Floats:
    """The negative free energy T log sum_k exp(f_k / T) of logits (n, K): (n,) float64, higher = keep.

    Raises InputError for a temperature that is not above 0, or no columns. Source: Liu et al., "Energy-based
    Out-of-distribution Detection", NeurIPS 2020, eq. 4.
    """
    if not temperature > 0:
        raise InputError(f"temperature {temperature}: above 0")
    logits = as_rows(logits, "logits")
    if not logits.shape[1]:
        raise InputError(f"logits have shape {logits.shape}: (items, classes) is meant")
    scaled = logits.astype(np.float64) / temperature
    highest = scaled.max(axis=1, keepdims=True)
    return np.asarray(temperature * (np.log(np.exp(scaled - highest).sum(axis=1)) + highest[:, 0]))


def confidence(probabilities: npt.NDArray[Any]) -> Floats:
    """The highest of the probabilities (n, K) that each row is: (n,) float64 in [0, 1], higher = keep.

    Raises InputError if they are no probabilities. Source: Hendrycks and Gimpel, "A Baseline for Detecting
    Misclassified and Out-of-Distribution Examples in Neural Networks", ICLR 2017.
    """
    probabilities = as_pred_probs(probabilities)
    check_distributions(probabilities, missing=True)
    return np.asarray(probabilities.max(axis=1), np.float64)
