"""Which labels confident learning flags: counts to prune from the joint, and the items that fill them."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.scorers.noise.confident.joint import FUZZ, round_rows

__all__ = ["Filter", "Pruner", "agrees", "lowest", "prune_by_class", "prune_counts"]

Filter = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
]

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def prune_counts(joint: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many items of each given label (column) to prune as being of each other class (row), (k, k).

    The calibrated joint, transposed. Of each label at least one item counts as right (on the diagonal); what that adds
    is taken from the label's other counts in equal parts.
    """
    counts = joint.T.astype(np.float64)
    diagonal = np.maximum(counts.diagonal(), 1)
    added = diagonal - counts.diagonal()
    others = np.maximum(np.count_nonzero(counts, axis=0) - 1.0, 1.0)
    counts = np.maximum(counts - added / others, 0)
    np.fill_diagonal(counts, diagonal)
    return round_rows(np.trunc(counts))


def agrees(pred_probs: Floats, labels: Labels) -> Flags:
    """Items whose most probable class is the given label, or exceeds it by less than 1e-6: never flagged, (n,) bool."""
    row = np.arange(len(labels))
    own = pred_probs[row, labels] + pred_probs.dtype.type(FUZZ)
    others = pred_probs.copy()
    others[row, labels] = -1
    best = others.argmax(1)
    top = others[row, best]
    return np.asarray((own > top) | ((own == top) & (labels < best)))


def lowest(values: Floats, count: int) -> npt.NDArray[np.int64]:
    """The places of the `count` lowest values; of equal ones the first."""
    if count >= len(values):
        return np.arange(len(values))
    if count <= 0:
        return np.empty(0, np.int64)
    edge = np.partition(values, count - 1)[count - 1]
    below = np.flatnonzero(values < edge)
    return np.concatenate([below, np.flatnonzero(values == edge)[: count - len(below)]])


def prune_by_class(own: Floats, labels: Labels, counts: npt.NDArray[np.int64]) -> Flags:
    """Of each label, as many as the joint says are wrong in all: those of the lowest probability of it, (n,) bool.

    `own` (n,) probabilities of the given labels. A label with a single item is left alone.
    """
    issue = np.zeros(len(labels), bool)
    order = np.argsort(labels, kind="stable")
    size = np.bincount(labels, minlength=len(counts))
    for label, rows in enumerate(np.split(order, np.cumsum(size)[:-1])):
        if len(rows) > 1:
            issue[rows[lowest(own[rows], len(rows) - int(counts[label, label]))]] = True
    return issue


class Pruner:
    """`prune_by_noise_rate` batch by batch: of each label, and for each other class, as many items as the joint says, those
    where the class exceeds the label by most. Keeps at most about twice as many items as will be flagged."""

    def __init__(self, counts: npt.NDArray[np.int64], label_counts: npt.NDArray[np.int64]) -> None:
        self.counts = counts
        self.label_counts = label_counts
        self.margins: dict[tuple[int, int], Floats] = {}
        self.rows: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    def add(self, probs: Floats, labels: Labels, first: int) -> None:
        """A batch whose first row is row `first` of all; in order."""
        order = np.argsort(labels, kind="stable")
        size = np.bincount(labels, minlength=len(self.counts))
        for label in np.flatnonzero((size > 0) & (self.label_counts > 1)):
            others = np.flatnonzero(self.counts[:, label])
            others = others[others != label]
            if not len(others):
                continue
            start = int(size[:label].sum())
            rows = order[start : start + size[label]]
            excess = probs[np.ix_(rows, others)] - probs[rows, label][:, None]
            for place, other in enumerate(others):
                self._keep((int(label), int(other)), excess[:, place], rows + first)

    def _keep(self, cell: tuple[int, int], margins: Floats, rows: npt.NDArray[np.int64]) -> None:
        wanted = int(self.counts[cell[1], cell[0]])
        if cell in self.margins:
            margins = np.concatenate([self.margins[cell], margins])
            rows = np.concatenate([self.rows[cell], rows])
        best = np.sort(lowest(-margins, wanted))  # in the order of rows, so that of equal ones the first stay
        self.margins[cell], self.rows[cell] = margins[best], rows[best]

    def issues(self, n: int) -> Flags:
        """Which of all `n` rows are flagged."""
        issue = np.zeros(n, bool)
        for rows in self.rows.values():
            issue[rows] = True
        return issue
