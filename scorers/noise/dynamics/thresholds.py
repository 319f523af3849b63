"""AUM with threshold samples (Pleiss et al., NeurIPS 2020): how low a margin is low, learnt from labels known to be wrong.

Some items are given a class that does not exist. Whatever class the model gives them, their label is wrong, so their
margins show what wrong labels look like; an item whose margin is no higher than most of theirs is flagged.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_floats, as_rows
from curate.arrays.labels import as_codes
from curate.choosing import generator
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.dynamics.head import Head, train_head
from curate.scorers.noise.dynamics.measures import Trajectory

__all__ = ["AumErrors", "aum_cut", "aum_errors", "threshold_samples"]


class AumErrors(NamedTuple):
    """Row by row: `margin` (n,) float64, the area under the margin in units of logits, low = doubtful, mean over the runs
    in which the item kept its label; `issue` (n,) bool, at or below the cut in one of those runs; `cuts` one per run."""

    margin: npt.NDArray[np.float64]
    issue: npt.NDArray[np.bool_]
    cuts: tuple[float, ...]


def threshold_samples(
    labels: npt.NDArray[np.int64], classes: int, *, seed: int = 0, runs: int = 2
) -> list[npt.NDArray[np.int64]]:
    """For each of `runs` trainings the rows to relabel to the fake class `classes`: n / (K + 1) each, sorted, no row twice.

    As many as the mean class has, so that the fake class is learnt like any other; with two runs every item keeps its
    label in at least one. Raises InputError if there are too few items for that many runs.
    """
    n = len(as_array(labels, "labels"))
    size = n // (classes + 1)
    if runs < 1 or size < 1 or runs * size > n - size:
        raise InputError(
            f"{counted(n, 'item')}, {counted(classes, 'class', 'classes')}, {counted(runs, 'run')}: each run takes n / "
            "(K + 1) items, every item must stay as it is in one run, and a run needs one"
        )
    drawn = generator(seed, "seed").permutation(n)
    return [np.sort(drawn[run * size : (run + 1) * size]) for run in range(runs)]


def aum_cut(margins: npt.NDArray[Any], percentile: float = 99.0) -> float:
    """The margin at or below which an item is doubtful: the `percentile` of the margins of threshold samples.

    99 is what the paper is remembered to use, we could not check it. Raises InputError for a percentile outside
    [0, 100] or no finite margin.
    """
    finite = as_floats(margins, "margins")
    finite = finite[np.isfinite(finite)]
    if not 0 <= percentile <= 100 or not len(finite):
        raise InputError(
            f"percentile={percentile} of {counted(len(finite), 'finite margin')}: 0 to 100, and at least one margin, "
            "are meant"
        )
    return float(np.percentile(finite, percentile))


def aum_errors(
    x: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    classes: int,
    *,
    head: Head | None = None,
    percentile: float = 99.0,
    runs: int = 2,
) -> AumErrors:
    """Train a small head on embeddings `runs` times, each with other threshold samples, and flag by the cut.

    `x` (n, d), `labels` (n,) in 0 ... classes - 1. The default head learns by ELR: by cross-entropy, which the paper takes,
    it comes to believe the samples too, and the cut is too high. The samples are drawn from the head's seed.
    Raises InputError as `train_head`, `threshold_samples` and `aum_cut` do.
    """
    x = as_rows(x)
    labels = as_codes(labels, len(x), classes, of="items")
    head = head or Head(loss="elr")
    total, times = np.zeros(len(labels)), np.zeros(len(labels))
    issue, cuts = np.zeros(len(labels), bool), []
    for rows in threshold_samples(labels, classes, seed=head.seed, runs=runs):
        given = labels.copy()
        given[rows] = classes
        trajectory = Trajectory(given, classes + 1)
        train_head(x, given, classes + 1, head=head, on_epoch=lambda _, z, t=trajectory: t.add(z))  # type: ignore[misc]
        margin = trajectory.result().margin
        kept = np.ones(len(labels), bool)
        kept[rows] = False
        cuts.append(aum_cut(margin[rows], percentile))
        issue |= kept & (margin <= cuts[-1])
        total += np.where(kept, margin, 0)
        times += kept
    return AumErrors(total / times, issue, tuple(cuts))
