"""Gradients at several checkpoints as one row: each weighted by its learning rate, and seen in a subspace of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_floats, as_numbers
from curate.contracts import Vectors
from curate.counting import counted
from curate.errors import InputError
from curate.selectors.pursuit.sources import Shard

__all__ = ["Trajectory", "leading_directions", "target_subspaces", "usual_product"]

Floats = npt.NDArray[np.float64]


def leading_directions(gradients: npt.NDArray[Any], rank: int) -> Floats:
    """An orthonormal basis (d, r) of the strongest directions of gradients (m, d): right singular vectors, not centred.

    r is `rank`, or less where they span less. Each sign is that of the first entry that is not near 0, positive.
    Raises InputError for a rank below 1, or gradients that are all zero or not finite.
    """
    x = as_floats(gradients, "gradients")
    if rank < 1:
        raise InputError(f"rank {rank}: a subspace has at least 1 dimension")
    if x.ndim != 2 or not np.isfinite(x).all() or not x.any():
        raise InputError(
            f"gradients {x.shape} that are finite and not all zero, (m, d), are needed for a subspace"
        )
    _, values, basis = np.linalg.svd(x, full_matrices=False)
    kept = basis[: min(rank, int((values > 1e-7 * values[0]).sum()))]
    leads = (np.abs(kept) > 1e-6).argmax(axis=1)
    return np.asarray((kept * np.sign(kept[np.arange(len(kept)), leads])[:, None]).T)


def target_subspaces(gradients: npt.NDArray[Any], rank: int, checkpoints: int = 1) -> list[Floats]:
    """At each checkpoint the `rank` strongest directions of the target's gradients (m, T d): T bases (d, r).

    The subspace of GIST (arXiv 2602.18584), made anew at every checkpoint: it evolves along the training. Raises
    InputError where the columns are not those of T checkpoints, and as `leading_directions` does.
    """
    x = as_numbers(gradients, "gradients")
    if x.ndim != 2 or checkpoints < 1 or x.shape[1] % checkpoints:
        raise InputError(
            f"gradients {x.shape} are not (m, T x d) with T = {counted(checkpoints, 'checkpoint')}"
        )
    return [leading_directions(part, rank) for part in np.split(x, checkpoints, axis=1)]


def usual_product(
    gradients: npt.NDArray[Any],
    share: float = 0.5,
    *,
    as_pool: npt.NDArray[Any] | None = None,
    rates: Sequence[float] | None = None,
    subspaces: Sequence[npt.NDArray[Any]] | None = None,
) -> float:
    """What a `share` of the target's items (m, D) do not exceed by their product with the mean of all others.

    A quantile (linear between two items) of h_i . mean of g_j, j not i, in gradients as they count (`rates` and `subspaces`
    as in `pursue`): rows of the pool with less are less like the target than most of the target is. `gradients` are the g,
    of which the target is the mean. `as_pool` (m, D) are the h, the same items with gradients of the pool's kind: what
    each would be as a row of the pool. By default h = g; in the manner of LESS g are plain and the pool's, so h,
    Adam-preconditioned. -inf for a single item, which tells nothing. Raises InputError for a share not within [0, 1], and
    for gradients that are not finite, not (m, D), m > 0, or not as many of either kind.
    """
    x = as_numbers(gradients, "gradients")
    own = x if as_pool is None else as_numbers(as_pool, "as_pool")
    if x.ndim != 2 or not len(x) or not np.isfinite(x).all() or not 0 <= share <= 1:
        raise InputError(
            f"gradients {x.shape} and share {share}: at least one row, all finite, and a share from 0 to 1 are meant"
        )
    if own.shape != x.shape or not np.isfinite(own).all():
        raise InputError(
            f"as_pool {own.shape}: the same {counted(x.shape[0], 'item')} as `gradients` are meant, {x.shape}, all "
            "finite"
        )
    path = Trajectory(x.shape[1], rates, subspaces)
    rows = path.bring(x)
    if len(rows) == 1:
        return -np.inf
    mine = rows if as_pool is None else path.bring(own)
    products = (mine @ rows.sum(axis=0) - np.einsum("ij,ij->i", mine, rows)) / (len(rows) - 1)
    return float(np.quantile(products, share))


class Trajectory:
    """Which part of a row belongs to which checkpoint, its weight (a learning rate) and the subspace it is seen in.

    A row a = (a_1 ... a_T) counts as (sqrt(rate_1) V_1' a_1, ...); without subspaces V_t is the identity. With neither,
    all of a row is one checkpoint of rate 1.
    """

    def __init__(
        self, width: int, rates: Sequence[float] | None, subspaces: Sequence[npt.NDArray[Any]] | None
    ) -> None:
        count = len(subspaces) if subspaces is not None else len(rates) if rates is not None else 1
        given = np.ones(count) if rates is None else as_floats(rates, "rates")
        if (
            given.shape != (count,)
            or not np.isfinite(given).all()
            or not (given >= 0).all()
            or not given.any()
        ):
            raise InputError(
                f"rates {given.tolist()} for {counted(count, 'checkpoint')}: from 0 on, and not all 0"
            )
        if count < 1 or width % count:
            raise InputError(
                f"{counted(width, 'column')} cannot be cut into {counted(count, 'checkpoint')} of equal width"
            )
        self.part, self.plain = width // count, rates is None and subspaces is None
        self.roots = np.sqrt(given)
        self.bases = None if subspaces is None else [as_floats(v, "subspaces") for v in subspaces]
        for t, basis in enumerate(self.bases or []):
            if basis.ndim != 2 or len(basis) != self.part or not np.isfinite(basis).all():
                raise InputError(f"subspace {t} is {basis.shape}: a finite ({self.part}, r) basis is meant")

    def bring(self, rows: npt.NDArray[Any]) -> Floats:
        """Rows (m, D) as they count, float64."""
        parts = np.asarray(rows, np.float64).reshape(len(rows), len(self.roots), self.part)
        if self.bases is None:
            return np.asarray((parts * self.roots[:, None]).reshape(len(rows), -1))
        return np.concatenate(
            [parts[:, t] @ (basis * self.roots[t]) for t, basis in enumerate(self.bases)], axis=1
        )

    def brought(self, vectors: npt.NDArray[Any] | Vectors) -> npt.NDArray[Any] | Vectors:
        """All rows as they count: as they lie if that is the same, else made once, in memory, float32."""
        if self.plain:
            return vectors
        width = self.part * len(self.roots) if self.bases is None else sum(v.shape[1] for v in self.bases)
        out = np.empty((vectors.shape[0], width), np.float32)
        step = max(1, (1 << 22) // self.part)
        for start, block in Shard(vectors, 0, vectors.shape[0]).blocks():
            for low in range(0, len(block), step):
                piece = self.bring(block[low : low + step])
                out[start + low : start + low + len(piece)] = piece
        return out
