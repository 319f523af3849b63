"""`confident_learning`: confident learning on arrays, in memory or mapped from disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import check_distributions, check_given, faults_of

__all__ = ["ConfidentIssues", "confident_learning"]

CELLS = 1 << 24
"""Probabilities in a batch: 64 MB of float32."""


@dataclass(frozen=True, eq=False)
class ConfidentIssues:
    """Row by row: `quality` (n,) in [0, 1], low = doubtful; `issue` (n,) bool; `predicted` (n,) int64, the most probable
    class. For all: `joint` (k, k) int64, the calibrated counts of given (rows) and true (columns) labels, and `lonely`,
    classes with a single item, of which no label is flagged by the filters that prune."""

    quality: npt.NDArray[Any]
    issue: npt.NDArray[np.bool_]
    predicted: npt.NDArray[np.int64]
    joint: npt.NDArray[np.int64]
    lonely: tuple[int, ...] = ()

    @classmethod
    def none(cls) -> ConfidentIssues:
        """Of no rows."""
        nothing = np.empty(0, np.int64)
        return cls(np.empty(0, np.float32), np.empty(0, bool), nothing, np.empty((0, 0), np.int64))


def confident_learning(
    pred_probs: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    *,
    filter_by: Any = "prune_by_noise_rate",
    method: Any = "self_confidence",
    adjusted: bool = False,
) -> ConfidentIssues:
    """Confident learning on out-of-sample probabilities: the flags, joint and scores of cleanlab 2.9, by our own code.

    `pred_probs` (n, k) float rows that sum to 1, which may be mapped from disk; `labels` (n,) in 0 ... k - 1.
    `filter_by` decides which labels are flagged: as many as the joint counts say are wrong, chosen for each pair of
    given and true class (`prune_by_noise_rate`), for each given class (`prune_by_class`), or by `both`; those that the
    joint counts as another class (`confident_learning`); all that are not predicted (`predicted_neq_given`); or the
    lowest by a score (`low_normalized_margin`, `low_self_confidence`). `method` and `adjusted`: see `label_quality`.
    Of rows that tie the first is taken: sort by id for a result that does not depend on the order.
    Raises InputError for labels that are no whole numbers in that range, and naming rows that are no distribution.
    Source: Northcutt, Jiang and Chuang 2021, sections 3 and 4.
    """
    from curate.scorers.noise.confident.batches import Options, confident_learning_batches

    pred_probs, labels = check_given(pred_probs, labels)
    rows = max(1, CELLS // max(1, pred_probs.shape[1]))

    def batches() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
        for start in range(0, len(labels), rows):
            part = pred_probs[start : start + rows]
            if faults_of(part).any():
                check_distributions(pred_probs)  # names all rows at fault
            yield part, labels[start : start + rows]

    return confident_learning_batches(batches, Options(filter_by, method, adjusted))
