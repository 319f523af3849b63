"""`class-gaussian`: is an item nearer to its own class, as a Gaussian, than to every other?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_rows
from curate.arrays.labels import as_codes, check_several
from curate.contracts import View, detail, flag, score
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.neighbours.items import read_items
from curate.scorers.noise.neighbours.moments import (
    ClassShapes,
    Covariance,
    Shrinkage,
    Tail,
    class_shapes,
    mahalanobis,
)

__all__ = ["ClassGaussian", "GaussianMargins", "class_gaussian"]


@dataclass(frozen=True)
class ClassGaussian:
    """Scores how much nearer an item lies to its own class than to the nearest other one, each class a Gaussian.

    The score is d_k^2 - d_y^2 by the Mahalanobis distance, y the given class and k the nearest other; higher = keep,
    below 0 another class fits better. Reads the vector column `embedding`. `covariance`: "shared" by all classes or of
    each "class"; `shrinkage` towards a multiple of the identity: "oas" or a share in [0, 1]; `trim`: the share of each
    class that lies farthest out and does not count for its shape. A class of fewer than `tail` items borrows from the
    `heads` nearest larger ones: their covariance by the share `borrow`, and their mean by `pull`, of what it lacks.
    `label` is the column judged.
    Beside the score: `gaussian_label_issue`, the score below 0; `gaussian_suggested_label`, the nearer class there.
    """

    embedding: str = "pixel_embedding"
    covariance: Covariance = "shared"
    shrinkage: Shrinkage = "oas"
    trim: float = 0.1
    tail: int = 20
    heads: int = 3
    borrow: float = 1.0
    pull: float = 0.0
    label: str = "label"

    name: ClassVar[str] = "class-gaussian"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("class_gaussian"),
            flag("gaussian_label_issue"),
            detail("gaussian_suggested_label", pa.string()),
        )

    def fit(self, view: View) -> FittedTable:
        """Score a view. Raises InputError for parameters out of range, or where all items have one label."""
        items = read_items(view, (self.embedding,), self.label, "euclidean")
        if len(items):
            alone = np.bincount(items.labels, minlength=len(items.classes))[items.labels] == 1
            items = items.without(alone, "the only item of its class: it cannot be held against the others")
        if not len(items):
            return items.answer(self, {})
        found = class_gaussian(
            items.x[self.embedding],
            items.labels,
            covariance=self.covariance,
            shrinkage=self.shrinkage,
            trim=self.trim,
            tail=Tail(self.tail, self.heads, self.borrow, self.pull),
        )
        values = {
            "class_gaussian": found.margin,
            "gaussian_label_issue": found.margin < 0,
            "gaussian_suggested_label": items.named(found.nearest, found.margin < 0),
        }
        return items.answer(self, values)


class GaussianMargins(NamedTuple):
    """`margin` (n,) float32, min over k != y of d_k^2, minus d_y^2: higher = keep, below 0 another class fits better.
    `nearest` (n,) int64: the class nearest of all. `own` (n,) float32: d_y^2 itself, how untypical of its class."""

    margin: npt.NDArray[np.float32]
    nearest: npt.NDArray[np.int64]
    own: npt.NDArray[np.float32]


def class_gaussian(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.integer],
    *,
    covariance: Covariance = "shared",
    shrinkage: Shrinkage = "oas",
    trim: float = 0.1,
    tail: Tail | None = None,
) -> GaussianMargins:
    """How much nearer each row lies to its own class than to the nearest other, by Mahalanobis distance.

    `x` (n, d) finite numbers, `labels` (n,) in 0 ... K - 1, two classes at least, two rows each of those that occur. `covariance`,
    `shrinkage`, `trim`, `tail` are those of `class_shapes`. The mean a row is held against in its own class leaves
    the row out: x - mean without x = (x - mean) n / (n - 1).

    Raises InputError for a single class, a class of one row, and as `class_shapes` does.
    Source: after RCAL (Zhang et al., "Representation Calibration for Learning with Noisy Labels on Long-tailed Data",
    ICCV 2023), whose steps could not be verified: trimming is by distance rather than LOF, nobody is sampled, and what
    a small class borrows is open to choice.
    """
    x = as_rows(x)
    labels = as_codes(labels, len(x), of="items")
    check_several(labels)
    present, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise InputError(
            f"class {int(present[counts.argmin()])} has one row, which cannot be held against the others of its class: "
            "leave it out"
        )
    shapes = class_shapes(x, codes, covariance=covariance, shrinkage=shrinkage, trim=trim, tail=tail)
    squared = _distances(x, codes, shapes)
    every = np.arange(len(x))
    nearest = squared.argmin(axis=1)
    own = squared[every, codes].copy()
    nearest[own <= squared[every, nearest]] = codes[own <= squared[every, nearest]]
    squared[every, codes] = np.inf
    margin = squared.min(axis=1) - own
    return GaussianMargins(
        margin.astype(np.float32), present[nearest].astype(np.int64), own.astype(np.float32)
    )


def _distances(
    x: npt.NDArray[Any], codes: npt.NDArray[np.int64], shapes: ClassShapes
) -> npt.NDArray[np.float64]:
    """Squared distances of all rows to all classes, (n, K), each row left out of the mean of its own."""
    squared = mahalanobis(x, shapes)
    counted = shapes.counts[codes]
    held = shapes.kept & (counted > 1)
    weight = np.where(held, counted / np.maximum(counted - 1, 1), 1.0)
    squared[np.arange(len(x)), codes] *= weight**2
    return squared
