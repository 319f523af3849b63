"""P(given label | true class): from expected counts in the pairs of classes that can occur to rates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PRIOR", "Cells", "Floats", "Places", "Values", "lay_out_cells"]

PRIOR = 3.0
"""Items by which a class is drawn to the noise rate of all, and wrong labels by which to where any may go."""
EXTRA = 3.0
"""Wrong labels supposed in each class beside those seen, so that no class is taken for free of them."""
_TINY = 1e-30

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32]


class Cells(NamedTuple):
    """`number` (c,) of each cell, true * classes + given, rising; `frequency` (k,) of each given label. `same` are the
    cells on the diagonal, of classes `diagonal`; `first` is where the cells of each class of `present` begin."""

    number: Places
    frequency: Floats
    same: Places
    diagonal: Places
    first: Places
    present: Places

    def total(self, counts: Floats) -> Floats:
        """Expected items of each true class, (k,), from those in each cell."""
        total = np.zeros(len(self.frequency))
        total[self.present] = np.add.reduceat(counts, self.first)
        return total

    def rates(self, counts: Floats | None) -> tuple[Values, Values]:
        """Of each true class: the rate of right labels, drawn to that of all by PRIOR items, and what share of the rest
        each expected wrong label is. None: nothing is known yet."""
        classes = len(self.frequency)
        if counts is None:
            return np.full(classes, 0.9, np.float32), np.full(classes, 0.1 / PRIOR, np.float32)
        total, right = self.total(counts), np.zeros(classes)
        right[self.diagonal] = counts[self.same]
        overall = right.sum() / max(float(total.sum()), _TINY)
        rate = (right + PRIOR * overall) / (total + PRIOR + EXTRA)
        return rate.astype(np.float32), ((1 - rate) / (total - right + PRIOR)).astype(np.float32)

    def base(self, true: Places, given: Places) -> Values:
        """Wrong labels, of which there are PRIOR in each class, expected in these cells beside those counted."""
        apart = PRIOR / np.maximum(1 - self.frequency, _TINY)
        return apart.astype(np.float32)[true] * self.frequency.astype(np.float32)[given]

    def matrix(self, counts: Floats | None) -> Values:
        """The whole matrix (k, k), cells that never occurred included."""
        rate, share = self.rates(counts)
        label = np.arange(len(self.frequency))
        matrix = self.base(label[:, None], label)
        if counts is not None:
            matrix.ravel()[self.number] += counts.astype(np.float32)
        matrix *= share[:, None]
        np.fill_diagonal(matrix, rate)
        return matrix


def lay_out_cells(number: Places, frequency: Floats) -> Cells:
    """Cells with these numbers, rising and distinct, of classes whose labels have these frequencies."""
    classes = len(frequency)
    every = np.arange(classes)
    start = np.searchsorted(number, np.append(every, classes) * classes)
    present = every[start[1:] > start[:-1]]
    diagonal = every * (classes + 1)
    same = np.searchsorted(number, diagonal)
    there = number[np.minimum(same, len(number) - 1)] == diagonal
    return Cells(number, frequency, same[there], every[there], start[present], present)
