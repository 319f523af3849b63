"""`group-health`: groups, named by a column or found as clusters, whose items are worse than the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError, check_installed
from curate.fitting import columns_of, numbers, order_by_id, read_labels
from curate.scorers.noise.health.clusters import k_means
from curate.scorers.noise.health.groups import GroupComparison, compare_groups
from curate.scorers.noise.probabilities import dictionary
from curate.vectors.sources import Column, survey

__all__ = ["GroupHealth"]

_SHOWN = 30


@dataclass(frozen=True)
class GroupHealth:
    """Says which groups of items are worse than the rest by a score, so that a weak or a badly labelled group is seen.

    `by`         what is compared: an expression over columns, higher = better (`confident_learning`, or
                 `not label_issue` for the share of labels that are not flagged).
    `group`      the column whose values are the groups (a source, a speaker, a sub-population); empty: clusters.
    `embedding`  the vector column on which `clusters` clusters are found by k-means, seeded by `seed`;
                 0 clusters means one for each 500 items, 2 to 100.
    `alpha`      the chance of any false alarm among all groups. `least`: how far below the rest, in the units of `by`,
                 is worth telling. Groups of fewer than `smallest` items are not tested.
    """

    by: str = "confident_learning"
    group: str = ""
    embedding: str = "pixel_embedding"
    clusters: int = 0
    alpha: float = 0.05
    least: float = 0.0
    smallest: int = 10
    seed: int = 0

    name: ClassVar[str] = "group-health"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise InputError(f"group-health: alpha={self.alpha}: a chance between 0 and 1, such as 0.05")
        if self.clusters < 0 or self.smallest < 1:
            raise InputError(
                f"group-health: clusters={self.clusters}, smallest={self.smallest}: not negative"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return (*columns_of(self.by), self.group or self.embedding)

    def ready(self) -> None:
        """Raises MissingExtraError where scipy is not installed."""
        check_installed("scipy", "noise")

    def analyse(self, view: View) -> Findings:
        """Compare groups. Raises InputError where no item has a value of `by`, or none has a group."""
        order = order_by_id(view)
        values = numbers(view.compute(self.by), self.by)[order]
        if np.isnan(values).all():
            raise InputError(
                f"group-health: none of {counted(len(values), 'item')} has a value of {self.by!r}"
            )
        groups, names = self._groups(view, order)
        if not (groups >= 0).any():
            raise InputError(f"group-health: no item has a value of {self.group or self.embedding!r}")
        found = compare_groups(values, groups, alpha=self.alpha, least=self.least, smallest=self.smallest)
        return self._tell(found, names, values, self._examples(view, order, values, groups, found))

    def _groups(self, view: View, order: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], list[str]]:
        if self.group:
            codes, names = dictionary(read_labels(view, self.group, order))
            return codes, [str(name) for name in names]
        usable = np.flatnonzero(survey(view, self.embedding)[order])
        codes = np.full(len(order), -1)
        if not len(usable):
            return codes, []
        count = min(self.clusters or min(max(len(usable) // 500, 2), 100), len(usable))
        codes[usable] = k_means(Column(view, self.embedding, order[usable]), count, seed=self.seed)
        return codes, [f"cluster {i}" for i in range(count)]

    def _examples(
        self,
        view: View,
        order: npt.NDArray[np.int64],
        values: npt.NDArray[Any],
        groups: npt.NDArray[np.int64],
        found: GroupComparison,
    ) -> dict[int, str]:
        """Ids of the three lowest items of each group that is worse: a cluster has no other name."""
        told = {}
        for group in np.flatnonzero(found.worse)[:_SHOWN]:
            members = np.flatnonzero((groups == group) & ~np.isnan(values))
            lowest = members[np.argsort(values[members], kind="stable")[:3]]
            told[int(group)] = ", ".join(view.take(order[lowest], ["id"]).column("id").to_pylist())
        return told

    def _tell(
        self,
        found: GroupComparison,
        names: list[str],
        values: npt.NDArray[Any],
        examples: dict[int, str],
    ) -> Findings:
        harm = np.nan_to_num((found.rest - found.mean) * found.size)
        order = sorted(range(len(names)), key=lambda i: (not found.worse[i], -harm[i], names[i]))
        tested = int((~np.isnan(found.p)).sum())
        worse = [i for i in order if found.worse[i]]
        what = self.group or f"clusters of {self.embedding}"
        mean = float(np.nanmean(values))
        summary = (
            f"{len(worse)} of {counted(tested, 'group')} ({what}) are worse than the rest by {self.by}; mean of all "
            f"{mean:.3f} (chance of any false alarm {self.alpha:g})"
        )
        text = (
            f"{self.by} by {what}: mean with its 95 % interval, the mean of the rest, p adjusted for "
            f"{counted(tested, 'group')} (Holm). {counted(len(names) - tested, 'group was', 'groups were')} not tested "
            f"(fewer than {counted(self.smallest, 'item')}, or no others)."
        )
        if len(order) > _SHOWN:
            text += f" The first {_SHOWN} of {len(order)}, by how much they lose in all."
        findings = [Finding("All groups", text, _table(found, names, order[:_SHOWN]), "bars")]
        if worse:
            first = worse[0]
            text = (
                f"{names[first]} loses most: {found.mean[first]:.3f} (95 % interval {found.low[first]:.3f} to "
                f"{found.high[first]:.3f}) over {counted(found.size[first], 'item')}, against {found.rest[first]:.3f} "
                "for the rest. Look at its lowest items before a threshold on this score takes the group away: are "
                "the labels wrong, or is the model weak there?"
            )
            table = _table(found, names, worse[:_SHOWN]).append_column(
                "lowest items", pa.array([examples.get(i, "") for i in worse[:_SHOWN]], pa.string())
            )
            findings.insert(0, Finding("Groups worse than the rest", text, table, "bars", serious=True))
        return Findings(summary, tuple(findings))


def _table(found: GroupComparison, names: list[str], rows: list[int]) -> pa.Table:
    return pa.table(
        {
            "group": pa.array([names[i] for i in rows], pa.string()),
            "mean": found.mean[rows],
            "low": found.low[rows],
            "high": found.high[rows],
            "rest": found.rest[rows],
            "items": found.size[rows],
            "p": found.p[rows],
        }
    )
