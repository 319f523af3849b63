"""`label-conflicts`: near-duplicates that bear different labels, of which all but one are wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_numbers
from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import order_by_id, read_labels
from curate.scorers.noise.health.intervals import Z
from curate.scorers.noise.probabilities import dictionary

__all__ = ["Conflicts", "LabelConflicts", "label_conflicts"]

_SHOWN = 20


class Conflicts(NamedTuple):
    """`groups`: those that hold two labels or more, largest first, (m,) int64. `labelled`: groups with at least two
    labelled items. `share`, `low`, `high`: of two items of one group, how often they disagree, every group counting by
    its items, and the 95 % interval. `chance`: how often two items of different groups would. `pairs` (k, k): how often
    each pair of labels meets in a group, as fractions of items, symmetric."""

    groups: npt.NDArray[np.int64]
    labelled: int
    share: float
    low: float
    high: float
    chance: float
    pairs: npt.NDArray[np.float64]


def label_conflicts(groups: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Conflicts:
    """Groups of near-duplicates whose items bear different labels.

    `groups` (n,) int64, the group of each item, negative for none; `labels` (n,) int64, negative for none.
    Copies have one true label, so that a share d of disagreeing pairs means a share of wrong labels of at least
    1 - sqrt(1 - d), about d / 2. The interval takes groups, not items, as drawn at random.
    Share, bounds and chance are NaN where no group has two labelled items. Raises InputError where lengths differ.
    """
    groups, labels = (
        as_numbers(groups, "groups").astype(np.int64),
        as_numbers(labels, "labels").astype(np.int64),
    )
    if groups.shape != labels.shape or groups.ndim != 1:
        raise InputError(f"groups of shape {groups.shape} and labels of shape {labels.shape}: (n,) both")
    k = int(labels.max(initial=-1)) + 1
    held = np.flatnonzero((groups >= 0) & (labels >= 0))
    numbers, dense = np.unique(groups[held], return_inverse=True)
    # how many items each group has of each label: one row per (group, label) that occurs
    cells, count = np.unique(dense * max(k, 1) + labels[held], return_counts=True)
    group, label = cells // max(k, 1), cells % max(k, 1)
    size = np.bincount(group, count, minlength=len(numbers))
    square = np.bincount(group, count.astype(float) ** 2, minlength=len(numbers))
    several = size >= 2
    if not several.any():
        return Conflicts(np.empty(0, np.int64), 0, *(float("nan"),) * 4, np.zeros((k, k)))
    n, s = size[several], square[several]
    differ = (n * n - s) / (n * (n - 1))
    share, half = _ratio(n * differ, n)
    mixed = np.flatnonzero(several & (np.bincount(group, minlength=len(numbers)) > 1))
    mixed = mixed[np.lexsort((numbers[mixed], -size[mixed]))]
    overall = np.bincount(labels[held]) / len(held)
    low, high = max(0.0, share - half), min(1.0, share + half)
    pairs = _meetings(group, label, count, size, k)
    return Conflicts(
        numbers[mixed], int(several.sum()), share, low, high, 1 - float((overall**2).sum()), pairs
    )


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> tuple[float, float]:
    """A ratio of sums over groups drawn at random, and half its 95 % interval (linearised; rule of three at 0 or 1)."""
    share = float(part.sum() / whole.sum())
    m = len(whole)
    error = float(np.sqrt(((part - share * whole) ** 2).sum() * m / max(m - 1, 1)) / whole.sum())
    return share, max(Z * error, 3 / m if share in (0.0, 1.0) or m < 2 else 0.0)


def _meetings(
    group: npt.NDArray[np.int64], label: npt.NDArray[np.int64], count: npt.NDArray[Any], size: Any, k: int
) -> npt.NDArray[np.float64]:
    """How much of each pair of labels meets within a group: sum over groups of a * b / size, off the diagonal."""
    pairs = np.zeros((k, k))
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts[1:], len(group))
    for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
        these, times = label[start:end], count[start:end].astype(float)
        pairs[np.ix_(these, these)] += np.outer(times, times) / size[group[start]]
    np.fill_diagonal(pairs, 0)
    return pairs


@dataclass(frozen=True)
class LabelConflicts:
    """Says how often near-duplicates bear different labels, which labels meet, and lists them.

    `group` is the column that near-duplicates share, as `near-duplicate` writes it; `label` the column of labels.
    """

    group: str = "near_duplicate_group"
    label: str = "label"

    name: ClassVar[str] = "label-conflicts"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.group)

    def analyse(self, view: View) -> Findings:
        """Find conflicts. A column without a value in any row is an answer: there is nothing to compare."""
        order = order_by_id(view)
        codes, names = dictionary(read_labels(view, self.label, order))
        rank = np.argsort(np.argsort(names.astype(str), kind="stable"), kind="stable")
        labels = np.where(codes >= 0, np.append(rank, -1)[codes], -1)
        names = np.sort(names.astype(str))
        groups, group_names = dictionary(read_labels(view, self.group, order))
        found = label_conflicts(groups, labels)
        if not found.labelled:
            return Findings(f"no group in {self.group} has two labelled items: nothing to compare")
        summary = (
            f"{len(found.groups):,} of {counted(found.labelled, 'group')} of near-duplicates bear different labels; "
            f"two copies disagree in {found.share:.2%} of cases (95 % interval {found.low:.2%} to {found.high:.2%}), "
            f"two unrelated items in {found.chance:.1%}"
        )
        if not len(found.groups):
            text = f"No conflict in {counted(found.labelled, 'group')}: at most {found.high:.2%} of copies disagree (95 %)."
            return Findings(summary, (Finding("Copies agree", text),))
        listed = self._list(view, order, groups, group_names, labels, names, found)
        return Findings(summary, (listed, *_meeting(found, names)))

    def _list(
        self,
        view: View,
        order: npt.NDArray[np.int64],
        groups: npt.NDArray[np.int64],
        group_names: npt.NDArray[np.object_],
        labels: npt.NDArray[np.int64],
        names: Any,
        found: Conflicts,
    ) -> Finding:
        rows, total = [], 0
        for group in found.groups[:_SHOWN]:
            members = np.flatnonzero((groups == group) & (labels >= 0))
            total += len(members)
            ids = view.take(order[members[:10]], ["id"]).column("id").to_pylist()
            told = ", ".join(
                f"{names[c]} x {t}"
                for c, t in zip(*np.unique(labels[members], return_counts=True), strict=True)
            )
            rows.append((str(group_names[group]), len(members), told, ", ".join(ids)))
        table = pa.table(
            dict(zip(("group", "items", "labels", "ids"), map(list, zip(*rows, strict=True)), strict=True))
        )
        least = 1 - (1 - found.share) ** 0.5
        text = (
            f"Copies have one true label, so at least {least:.2%} of the labels of near-duplicates are wrong, or they "
            f"are no duplicates. The {len(rows)} largest of {counted(len(found.groups), 'group')} in conflict: look at "
            "them, and give each group one label before splitting into training and test."
        )
        if found.share > found.chance / 2:
            text += " They disagree nearly as often as unrelated items: these groups hold more than copies."
        return Finding("Near-duplicates with different labels", text, table, serious=True)


def _meeting(found: Conflicts, names: Any) -> tuple[Finding, ...]:
    first, second = np.triu_indices(len(names), 1)
    times = found.pairs[first, second]
    order = np.argsort(-times, kind="stable")[:_SHOWN]
    order = order[times[order] > 0]
    pairs = [f"{names[first[i]]} / {names[second[i]]}" for i in order]
    table = pa.table({"labels": pairs, "items": pa.array(2 * times[order], pa.float64())})
    text = (
        f"{pairs[0]} meet most. Items: how many would go from one label to the other if each took the label of a copy "
        "drawn at random from its group."
    )
    return (Finding("Labels that meet in one group", text, table, "bars"),)
