"""Gradients as the functions here take them, wherever they lie: (items, checkpoints, dimensions), a block at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_floats, as_numbers
from curate.contracts import Vectors
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.influence.gradient_store import GradientStore
from curate.scorers.influence.precision import decode

__all__ = [
    "Gradients",
    "group_codes",
    "read_gradients",
    "read_target",
    "read_weights",
    "task_means",
    "unit_rows",
]

Floats = npt.NDArray[np.float32]
_PIECE = 1 << 22
"""Numbers of a block: 16 MB of float32."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """`rows` gradients at `checkpoints` checkpoints of `dim` numbers each, from an array, `Vectors` or a `GradientStore`.

    `unit` says that blocks come at length 1 for each checkpoint (rows of zeros stay zeros), else at their own length, also
    where a store keeps them normalised. A row that is not finite is NaN throughout.
    """

    source: npt.NDArray[Any] | Vectors
    rows: int
    checkpoints: int
    dim: int
    unit: bool

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """The first row and the values, (m, checkpoints, dim) float32, of one block after the other."""
        step = max(1, _PIECE // max(1, self.checkpoints * self.dim))
        if isinstance(self.source, GradientStore):
            codes, scales = self.source.codes, self.factors()
            for low in range(0, self.rows, step):
                self.source.read_ahead(low + step, low + 2 * step)
                piece, by = codes[low : low + step], scales[low : low + step]
                flat = decode(piece.reshape(-1, piece.shape[-1]), by.reshape(-1), self.dim)
                yield low, _whole_rows(flat.reshape(len(piece), self.checkpoints, self.dim))
            return
        start = 0
        for chunk in [self.source] if isinstance(self.source, np.ndarray) else self.source.chunks():
            for low in range(0, len(chunk), step):
                values = np.asarray(chunk[low : low + step], np.float32)
                values = _whole_rows(values.reshape(len(values), self.checkpoints, self.dim))
                yield start + low, _to_unit(values) if self.unit else values
            start += len(chunk)

    def factors(self) -> Floats:
        """(n, T) float32 by which the codes of a store are multiplied."""
        store = self.source
        assert isinstance(store, GradientStore)
        scales, norms, normalised = store.scales, store.norms, store.header.normalised
        if self.unit == normalised:
            return scales
        if not self.unit:
            return np.asarray(scales * norms, np.float32)
        return np.asarray(scales / np.where(norms == 0, np.float32(1), norms), np.float32)

    def whole(self) -> Floats:
        """All rows at once, (n, checkpoints, dim) float32."""
        out = np.empty((self.rows, self.checkpoints, self.dim), np.float32)
        for low, values in self.blocks():
            out[low : low + len(values)] = values
        return out


def read_gradients(x: Any, *, checkpoints: int | None = None, unit: bool) -> Gradients:
    """`x` (n, T x d) as `Gradients`; T is the store's own, or `checkpoints`, or 1.

    Raises InputError for no rows, another number of dimensions, or a T that does not divide the columns.
    """
    if isinstance(x, GradientStore):
        stored = len(x.header.checkpoints)
        if checkpoints not in (None, stored):
            raise InputError(f"{x.path} holds {counted(stored, 'checkpoint')}, {checkpoints} are asked for")
        return Gradients(x, len(x), stored, x.header.dim, unit)
    if not (hasattr(x, "chunks") and hasattr(x, "shape")):
        x = as_numbers(x, "gradients")
    if len(x.shape) != 2 or not x.shape[0] or not x.shape[1]:
        raise InputError(
            f"gradients of shape {x.shape}: (items, checkpoints x dimensions) is meant, at least one of each"
        )
    times = 1 if checkpoints is None else checkpoints
    if times < 1 or x.shape[1] % times:
        raise InputError(
            f"{counted(x.shape[1], 'column is', 'columns are')} not those of {counted(times, 'checkpoint')} of equal "
            "width"
        )
    return Gradients(x, x.shape[0], times, x.shape[1] // times, unit)


def read_target(target: Any, train: Gradients, *, unit: bool) -> Floats:
    """The target's gradients, (m, T, d) float32, of the width of `train`.

    Raises InputError where they do not fit, are not finite, or are all zero.
    """
    read = read_gradients(target, checkpoints=train.checkpoints, unit=unit)
    if read.dim != train.dim:
        raise InputError(
            f"the target's gradients have {counted(read.dim, 'dimension')}, those to be scored {train.dim}: project "
            "both by one seed"
        )
    if isinstance(target, GradientStore) and isinstance(train.source, GradientStore):
        _check_pair(train.source, target)
    values = read.whole()
    bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if len(bad):
        raise InputError(
            f"{counted(len(bad), 'gradient of the target is', 'gradients of the target are')} not finite, as row "
            f"{bad[0]}: leave them out"
        )
    if not values.any():
        raise InputError("the target's gradients are all zero: there is nothing to align with")
    return values


def group_codes(groups: Sequence[Any] | None, rows: int) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Each target's sub-task as a number, and the sub-tasks' names, sorted. None: one task, named "target"."""
    if groups is None:
        return np.zeros(rows, np.int64), ("target",)
    given = as_array(groups, "sub-tasks")
    if len(given) != rows:
        raise InputError(f"{counted(len(given), 'sub-task')} for {counted(rows, 'gradient')} of the target")
    names, codes = np.unique(given.astype(str), return_inverse=True)
    return codes.astype(np.int64), tuple(str(name) for name in names)


def task_means(values: Floats, codes: npt.NDArray[np.int64], tasks: int) -> npt.NDArray[np.float64]:
    """The mean (J, T, d) float64 of each sub-task's gradients."""
    return np.stack([values[codes == task].mean(axis=0, dtype=np.float64) for task in range(tasks)])


def unit_rows(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Vectors along the last axis at length 1; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(lengths == 0, 1, lengths))


def read_weights(rates: Sequence[float], checkpoints: int) -> npt.NDArray[np.float64]:
    """The rates (T,) float64. Raises InputError unless there are as many as checkpoints, none negative and not all zero."""
    weights = as_floats(rates, "rates")
    if weights.shape != (checkpoints,):
        raise InputError(f"{counted(len(weights), 'learning rate')} for {counted(checkpoints, 'checkpoint')}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError(f"learning rates {weights.tolist()}: numbers from 0 on, not all 0, are meant")
    return weights


def _check_pair(train: GradientStore, target: GradientStore) -> None:
    """Raise InputError unless two stores were made by the same checkpoints and projection."""
    for name in ("model", "checkpoints", "projection", "parameters"):
        mine, theirs = getattr(train.header, name), getattr(target.header, name)
        if mine != theirs:
            raise InputError(
                f"{train.path} and {target.path} cannot be compared: {name} {mine!r} and {theirs!r}. "
                "Make both from the same checkpoints with the same projection"
            )


def _whole_rows(values: Floats) -> Floats:
    """A row that is not finite somewhere is NaN everywhere: no part of it is to be believed."""
    bad = ~np.isfinite(values).all(axis=(1, 2))
    if bad.any():
        values = values.copy()
        values[bad] = np.nan
    return values


def _to_unit(values: Floats) -> Floats:
    lengths = np.sqrt(np.einsum("ijk,ijk->ij", values, values, dtype=np.float64))
    return np.asarray(values / np.where(lengths == 0, 1, lengths)[..., None], np.float32)
