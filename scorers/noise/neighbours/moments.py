"""Means and covariances of classes that stand up to wrong labels, few rows and many dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["ClassShapes", "Covariance", "Shrinkage", "Tail", "class_shapes", "mahalanobis", "shrink"]

Covariance = Literal["shared", "class"]
Shrinkage = Literal["oas"] | float
Floats = npt.NDArray[np.float64]

_BLOCK = 8192


@dataclass(frozen=True)
class Tail:
    """What a class of fewer than `size` rows takes from the `heads` nearest classes that have as many or more.

    A class of n rows lacks 1 - n / size; of that share its covariance is replaced by the mean of theirs (times `borrow`
    in [0, 1]), and its mean by the mean of theirs (times `pull` in [0, 1]).
    """

    size: int = 20
    heads: int = 3
    borrow: float = 1.0
    pull: float = 0.0

    def __post_init__(self) -> None:
        if self.size < 0 or self.heads < 1:
            raise InputError(f"tail={self.size}, heads={self.heads}: 0 or more, and 1 or more")
        if not (0 <= self.borrow <= 1 and 0 <= self.pull <= 1):
            raise InputError(f"borrow={self.borrow}, pull={self.pull}: shares in [0, 1]")


class ClassShapes(NamedTuple):
    """`means` (K, d); `factors` (K or 1, d, d): lower triangles L of the inverse covariances, L L' each; `counts` (K,)
    rows behind each; `kept` (n,) bool: the rows that were not trimmed."""

    means: Floats
    factors: Floats
    counts: npt.NDArray[np.int64]
    kept: npt.NDArray[np.bool_]


def class_shapes(
    x: npt.NDArray[Any],
    codes: npt.NDArray[np.integer],
    *,
    covariance: Covariance = "shared",
    shrinkage: Shrinkage = "oas",
    trim: float = 0.1,
    tail: Tail | None = None,
) -> ClassShapes:
    """The mean and covariance of each class in 0 ... K - 1, all of which occur.

    `x` (n, d) finite, `codes` (n,). `trim` in [0, 0.5): of each class so large a share, rounded down, is left out: the
    rows farthest, in euclidean distance, from the median of the class. `covariance`:
    one "shared" by all classes (about their own means), or of each "class". `shrinkage`: see `shrink`. `tail`: see
    `Tail`; with a shared covariance only its `pull` matters.
    Raises InputError for values out of range, or rows that are not finite.
    """
    if not 0 <= trim < 0.5:
        raise InputError(f"trim={trim}: a share in [0, 0.5)")
    if covariance not in ("shared", "class"):
        raise InputError(f"covariance {covariance!r}: 'shared' or 'class'")
    if not np.isfinite(x).all():
        raise InputError(
            f"row {int(np.flatnonzero(~np.isfinite(x).all(axis=1))[0])} is not finite: leave it out"
        )
    tail = tail or Tail()
    kept = _trimmed(x, codes, trim)
    counts = np.bincount(codes[kept])
    members = [np.flatnonzero(kept & (codes == c)) for c in range(len(counts))]
    means = np.stack([x[rows].mean(axis=0, dtype=np.float64) for rows in members])
    scatter = [_scatter(x[rows], mean) for rows, mean in zip(members, means, strict=True)]
    heads, lacks = _nearest_heads(means, counts, tail), 1 - counts / max(tail.size, 1)
    if covariance == "shared":
        shapes = [
            shrink(sum(scatter, np.zeros_like(scatter[0])) / counts.sum(), int(counts.sum()), shrinkage)
        ]
    else:
        own = [shrink(s / n, int(n), shrinkage) for s, n in zip(scatter, counts, strict=True)]
        shapes = [_mixed(own[c], own, heads.get(c), tail.borrow * lacks[c]) for c in range(len(own))]
    pulled = np.stack(
        [_mixed(means[c], means, heads.get(c), tail.pull * lacks[c]) for c in range(len(means))]
    )
    return ClassShapes(pulled, np.stack([_root_of_inverse(s) for s in shapes]), counts, kept)


def shrink(covariance: Floats, n: int, shrinkage: Shrinkage) -> Floats:
    """A covariance (d, d) of `n` rows, drawn towards mean variance times identity: (1 - r) S + r tr(S)/d I.

    `shrinkage` r in [0, 1], or "oas": the oracle approximating share of Chen, Wiesel, Eldar and Hero, "Shrinkage
    Algorithms for MMSE Covariance Estimation", 2010, eq. 23 in the form without the 2/d terms that scikit-learn takes.
    """
    d = len(covariance)
    mean = float(np.trace(covariance)) / d
    if shrinkage == "oas":
        alpha = float((covariance**2).mean())
        above, below = alpha + mean**2, (n + 1) * (alpha - mean**2 / d)
        share = 1.0 if below <= 0 else min(above / below, 1.0)
    elif not (isinstance(shrinkage, int | float) and 0 <= shrinkage <= 1):
        raise InputError(f"shrinkage {shrinkage!r}: 'oas' or a share in [0, 1]")
    else:
        share = float(shrinkage)
    out = (1 - share) * covariance
    out[np.diag_indices(d)] += share * mean
    return out


def mahalanobis(x: npt.NDArray[Any], shapes: ClassShapes) -> Floats:
    """Squared distance of each row of `x` (n, d) to each class, (n, K) float64, without a float64 copy of `x`."""
    out = np.empty((len(x), len(shapes.means)))
    one = len(shapes.factors) == 1
    centres = [mean @ shapes.factors[0 if one else c] for c, mean in enumerate(shapes.means)]
    for low in range(0, len(x), _BLOCK):
        block = x[low : low + _BLOCK].astype(np.float64)
        turned = block @ shapes.factors[0] if one else block
        for c, centre in enumerate(centres):
            apart = (turned if one else block @ shapes.factors[c]) - centre
            out[low : low + _BLOCK, c] = np.einsum("ij,ij->i", apart, apart)
    return out


def _trimmed(x: npt.NDArray[Any], codes: npt.NDArray[np.integer], trim: float) -> npt.NDArray[np.bool_]:
    """Which rows count for the shape of their class. Of rows that tie the lower stays."""
    kept = np.ones(len(x), bool)
    if not trim:
        return kept
    for c in range(int(codes.max()) + 1):
        rows = np.flatnonzero(codes == c)
        apart = x[rows] - np.median(x[rows], axis=0)
        far = np.einsum("ij,ij->i", apart, apart)
        out = int(trim * len(rows))
        kept[rows[np.argsort(far, kind="stable")[len(rows) - out :]]] = False
    return kept


def _scatter(rows: npt.NDArray[Any], mean: Floats) -> Floats:
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for low in range(0, len(rows), _BLOCK):
        apart = rows[low : low + _BLOCK] - mean
        total += apart.T @ apart
    return total


def _nearest_heads(
    means: Floats, counts: npt.NDArray[np.int64], tail: Tail
) -> dict[int, npt.NDArray[np.int64]]:
    """For each class of fewer rows than it should have, the head classes nearest to its mean."""
    head = np.flatnonzero(counts >= tail.size)
    lacking = np.flatnonzero(counts < tail.size)
    if not len(head):
        return {}
    return {
        int(c): head[np.argsort(((means[head] - means[c]) ** 2).sum(axis=1), kind="stable")[: tail.heads]]
        for c in lacking
    }


def _mixed(own: Floats, everyone: Any, heads: npt.NDArray[np.int64] | None, share: float) -> Floats:
    if heads is None or not share:
        return own
    theirs = np.mean([everyone[int(h)] for h in heads], axis=0)
    return np.asarray((1 - share) * own + share * theirs)


def _root_of_inverse(covariance: Floats) -> Floats:
    """L with L L' the inverse, a tiny multiple of the identity added first: dimensions without spread say nothing."""
    d = len(covariance)
    ridge = max(float(np.trace(covariance)) / d, 1e-12) * 1e-6
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance + ridge * np.eye(d))).T)
