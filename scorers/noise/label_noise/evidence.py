"""Probabilities and labels as they come from outside: checked, several models' averaged, read block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import as_pred_probs, check_distributions, each_model, faults_of, in_floats
from curate.arrays.labels import as_codes, check_enough
from curate.scorers.noise.label_noise.rivals import blocks

__all__ = [
    "ALONE",
    "Evidence",
    "Pool",
    "as_labels",
    "as_members",
    "check_counts",
]

WHAT = "predicted probabilities"


class Pool(NamedTuple):
    """How models are heard: each to the power of one of `weights` (which sum to 1, unless they say how sure the pool is,
    too), and its probabilities as no less than one of `least`, so that no model alone rules out a class."""

    weights: tuple[float, ...]
    least: tuple[float, ...]


ALONE = Pool((1.0,), (0.0,))
"""A single model is heard as it is."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Probabilities of one or more models, `members` of shape (n, k), heard as `pool` says.

    The pool is logarithmic: the weighted geometric mean, scaled to 1. What one model all but rules out, the others cannot
    outvote, and how sure the pool is does not depend on how alike the models are.
    """

    members: tuple[npt.NDArray[Any], ...]
    pool: Pool = ALONE

    @property
    def shape(self) -> tuple[int, int]:
        n, k = self.members[0].shape
        return n, k

    def take(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """The pooled probabilities of these rows, (rows, k) float32. Those of a single model are checked as they are read
        (the pool was when it was formed): InputError for rows that are no distribution."""
        if self.pool == ALONE:
            part = in_floats(self.members[0][rows])
            if faults_of(part).any():
                check_distributions(self.members[0], WHAT)  # names all rows at fault
            return np.asarray(part, np.float32)
        total = np.zeros((len(self.members[0][rows]), self.shape[1]), np.float32)
        for member, weight, least in zip(self.members, *self.pool, strict=True):
            if weight > 0:
                part = np.maximum(np.asarray(member[rows], np.float32), np.float32(least))
                total += np.float32(weight) * np.log(part)
        total -= total.max(1, keepdims=True)
        np.exp(total, out=total)
        total /= total.sum(1, keepdims=True)
        return total

    def at(
        self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.floating[Any]]:
        """The pooled probabilities at these places."""
        if self.pool == ALONE:
            return np.asarray(self.members[0][rows, columns], np.float32)
        found = np.empty(len(rows), np.float32)
        for block in blocks(len(rows), self.shape[1]):
            part = self.take(rows[block])
            found[block] = part[np.arange(len(part)), columns[block]]
        return found


def as_members(pred_probs: Any) -> tuple[npt.NDArray[Any], ...]:
    """One array (n, k), a sequence of them, or (m, n, k), as a tuple of arrays of one shape.

    Raises InputError where shapes do not fit, and, of several, where a row is no distribution over the classes, naming
    rows; a single one is read once, and checked then (`Evidence.take`).
    """
    models = each_model(pred_probs, WHAT)
    for name, member in models:
        as_pred_probs(member, name)
        if len(models) > 1:
            check_distributions(member, name)
    return tuple(member for _, member in models)


def as_labels(labels: Any, n: int, k: int, classes: Sequence[Any] | None = None) -> npt.NDArray[np.int64]:
    """Labels as positions among the k columns, (n,) int64: numbers, or names with `classes` (`arrays.labels.as_codes`).

    Raises InputError as that, and for fewer items than classes, and labels that are all the same.
    """
    hint = "give `classes`, the name of each column"
    codes = as_codes(labels, n, k, classes=classes, of="rows of probabilities", hint=hint)
    check_counts(np.bincount(codes, minlength=k))
    return codes


def check_counts(counts: npt.NDArray[np.int64]) -> None:
    """Raises InputError where there are fewer labels than classes, or one label alone; `counts` (k,) of each class."""
    check_enough({label: count for label, count in enumerate(counts.tolist()) if count}, len(counts))
