"""`label-health`: how many labels are wrong, in which classes, and which classes are taken for one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.scorers.noise.confident.joint import round_rows
from curate.scorers.noise.health.balance import class_balance
from curate.scorers.noise.health.intervals import Shares
from curate.scorers.noise.health.joint import Noise, bracket, label_noise, noise_rates, overlapping_classes
from curate.scorers.noise.health.pieces import Checked, Counted, count_labels
from curate.scorers.noise.health.verified import verified_rate

__all__ = ["LabelHealth"]

_SHOWN = 30


@dataclass(frozen=True)
class LabelHealth:
    """Says how many labels are wrong, in which classes, which classes overlap, and how evenly classes are filled.

    Rests on out-of-sample probabilities (`pred_probs`, the columns in the order of `classes`, by default the distinct
    labels sorted by code point) and on the labels in `label`. Noise is estimated by confident learning; how far to
    trust that is told by an interval whose upper end is plain disagreement with the model.
    `truth` names a column with the right label of items that people checked, null elsewhere, drawn at random (among the
    flagged and the others in any proportion): then the rate holds whatever the model is worth.
    A share of wrong labels above `tolerated` is serious.
    """

    pred_probs: str = "pred_probs"
    label: str = "label"
    truth: str = ""
    classes: tuple[str, ...] = ()
    tolerated: float = 0.05

    name: ClassVar[str] = "label-health"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.pred_probs, *((self.truth,) if self.truth else ()))

    def analyse(self, view: View) -> Findings:
        """Raises InputError where nothing can be judged: one class, no labels, no probabilities."""
        read = count_labels(view, (self.pred_probs, self.label, self.truth), self.classes)
        joint, predicted, items = read.joint, read.predicted, int(read.sizes.sum())
        noise = label_noise(joint, read.counted, predicted)
        findings = [
            self._overall(noise, read),
            *_doubts(read),
            _rates(read),
            *_overlaps(read),
            _joint(joint, read.classes),
            _balance(read),
        ]
        if read.checked is not None:
            findings.insert(0, self._verified(read.checked, read.classes))
        findings.sort(key=lambda finding: not finding.serious)
        summary = (
            f"about {noise.wrong:,} of {counted(items, 'label')} ({noise.rate:.1%}, between {noise.low:.1%} and "
            f"{noise.high:.1%}) are wrong, in {counted(len(read.classes), 'class', 'classes')}"
        )
        return Findings(summary, tuple(findings))

    def _overall(self, noise: Noise, read: Counted) -> Finding:
        text = (
            f"About {noise.wrong:,} of {counted(int(read.sizes.sum()), 'label')} are wrong: {noise.rate:.1%}, between "
            f"{noise.low:.1%} (what the model contradicts with confidence) and {noise.high:.1%} (all that it "
            f"contradicts), with 95 % intervals of both. Overall label health {1 - noise.rate:.3f} (1 = all right). "
        )
        if not self.truth:
            text += (
                "The interval knows sampling and these two ways of counting, not what the model cannot see: have a few "
                "hundred random items checked and name their column as `truth` for one that holds."
            )
        agreed = float(read.predicted.trace() / max(1, read.predicted.sum()))
        if agreed < 0.5:
            text += (
                f" The model agrees with {agreed:.1%} of the labels, and what it gets wrong itself is counted here, too: "
                "unless it is a good one, take this for an upper bound."
            )
        left = sum(read.left_out.values())
        if left:
            told = "; ".join(f"{kind} ({count:,})" for kind, count in read.left_out.items())
            text += f" {counted(left, 'item is', 'items are')} left out: {told}."
        return Finding("Wrong labels", text.strip(), serious=noise.rate > self.tolerated)

    def _verified(self, read: Checked, classes: tuple[str, ...]) -> Finding:
        checked = read.truth >= 0
        if not checked.any():
            return Finding(
                "Checked labels", f"No item has a value of {self.truth}: nothing was checked.", serious=True
            )
        flagged, wrong = read.flagged, checked & (read.truth != read.labels)
        rates = [verified_rate(flagged, checked, wrong)]
        held = []
        for i in range(len(classes)):
            own = read.labels == i
            if (own & checked).any():
                rates.append(verified_rate(flagged[own], checked[own], wrong[own]))
                held.append(i)
        table = _table(
            Shares(*(np.concatenate([getattr(r, part) for r in rates]) for part in Shares._fields)),
            ["all", *(classes[i] for i in held)],
            [int(checked.sum()), *(int((checked & (read.labels == i)).sum()) for i in held)],
            "checked",
        )
        one = rates[0]
        text = (
            f"Of {counted(checked.sum(), 'item that was', 'items that were')} checked {wrong.sum():,} had a wrong "
            f"label. With what the model says about the others, {one.rate[0]:.1%} of all labels are wrong (95 % "
            f"interval {one.low[0]:.1%} to {one.high[0]:.1%}). This holds whatever the model is worth, if the items "
            "were drawn at random."
        )
        return Finding(
            "Wrong labels, verified", text, table, "bars", serious=bool(one.rate[0] > self.tolerated)
        )


def _doubts(read: Counted) -> tuple[Finding, ...]:
    if not read.notes:
        return ()
    text = " ".join(note[0].upper() + note[1:].rstrip(".") + "." for note in read.notes)
    return (Finding("Why these probabilities are doubtful evidence", text, serious=True),)


def _rates(read: Counted) -> Finding:
    joint, predicted, classes = read.joint, read.predicted, read.classes
    each = predicted.sum(1)
    given = bracket(noise_rates(joint, read.counted), noise_rates(predicted, each))
    true = bracket(noise_rates(joint, read.counted, "true"), noise_rates(predicted, each, "true"))
    order = np.lexsort((np.arange(len(classes)), -np.nan_to_num(given.rate)))[:_SHOWN]
    items = joint.sum(1).round().astype(np.int64)
    names = [classes[i] for i in order]
    table = _table(Shares(*(part[order] for part in given)), names, items[order].tolist(), "items")
    for name, part in zip(("of the true", "of the true, low", "of the true, high"), true, strict=True):
        table = table.append_column(name, pa.array(part[order], from_pandas=True))
    known = ~np.isnan(given.rate)
    if not known.any():
        return Finding("Noise by class", "No class has an item.", table, "bars")
    worst = order[0]
    text = (
        f"{classes[worst]} is worst: {given.rate[worst]:.1%} of the items so labelled are something else "
        f"({given.low[worst]:.1%} to {given.high[worst]:.1%}, from what the model contradicts with confidence to all that it "
        "contradicts). Beside it the share of each class's true items that bear another label."
    )
    if len(classes) > _SHOWN:
        text += f" The {_SHOWN} worst of {counted(len(classes), 'class', 'classes')}."
    return Finding("Noise by class", text, table, "bars")


def _table(rates: Shares, names: list[str], items: list[int], what: str) -> pa.Table:
    parts = {n: pa.array(p, from_pandas=True) for n, p in zip(("wrong", "low", "high"), rates, strict=True)}
    return pa.table({"class": pa.array(names, pa.string()), **parts, what: items})


def _overlaps(read: Counted) -> tuple[Finding, ...]:
    found = overlapping_classes(read.joint, read.counted)
    shown = np.flatnonzero(found.share > 0)[:_SHOWN]
    if not len(shown):
        return ()
    names, total = read.classes, read.joint.sum()
    table = pa.table(
        {
            "classes": [f"{names[found.first[i]]} / {names[found.second[i]]}" for i in shown],
            "items": (found.share[shown] * total).round().astype(np.int64),
            "low": (found.low[shown] * total).round().astype(np.int64),
            "high": (found.high[shown] * total).round().astype(np.int64),
            "first is second": found.there[shown],
            "second is first": found.back[shown],
            "both ways": found.mutual[shown],
        }
    )
    a, b, top = names[found.first[0]], names[found.second[0]], found
    text = (
        f"{a} and {b} are taken for one another most: about {top.share[0] * total:,.0f} items (95 % "
        f"{top.low[0] * total:,.0f} to {top.high[0] * total:,.0f}); {top.there[0]:.1%} of what is labelled {a} is {b}, "
        f"{top.back[0]:.1%} the other way. "
    )
    both = int(found.mutual.sum())
    text += (
        f"{counted(both, 'pair is', 'pairs are')} confused both ways, more than errors spread evenly would be: define "
        "the border between them, or merge them."
        if both
        else "No pair is confused both ways by more than chance."
    )
    return (Finding("Classes that overlap", text, table, "bars"),)


def _joint(joint: npt.NDArray[Any], classes: tuple[str, ...]) -> Finding:
    counts = round_rows(joint)
    text = (
        "How many items of each given label (row) are of each class (column), by confident learning, each row's total "
        "that of the label."
    )
    if len(classes) <= _SHOWN:
        return Finding(
            "Given and true labels", text, _matrix(counts, classes, np.arange(len(classes))), "matrix"
        )
    off = counts.sum(0) + counts.sum(1) - 2 * np.diagonal(counts)
    worst = np.sort(np.argsort(-off, kind="stable")[:_SHOWN])
    text += f" The {_SHOWN} classes with most errors of {len(classes)}."
    return Finding("Given and true labels", text, _matrix(counts, classes, worst), "matrix")


def _matrix(
    counts: npt.NDArray[np.int64], classes: tuple[str, ...], shown: npt.NDArray[np.int64]
) -> pa.Table:
    names = [classes[i] for i in shown]
    columns = [pa.array(counts[shown, i]) for i in shown]
    return pa.table([pa.array(names, pa.string()), *columns], ["given \\ true", *names])


def _balance(read: Counted) -> Finding:
    counts = read.sizes
    balance, k = class_balance(counts), len(read.classes)
    order = np.lexsort((np.arange(k), counts))
    rarest = order[0]
    poor = balance.rarest < 0.1
    text = (
        f"{counted(k, 'class', 'classes')} as uneven as {balance.effective:.1f} equally large ones; the largest has "
        f"{counted(counts.max(), 'item')}, the smallest ({read.classes[rarest]}) {counts[rarest]:,}, "
        f"{balance.rarest:.0%} of an even share."
    )
    if poor:
        text += " Below 10 % a class is easily lost: sample by class, or collect more of it."
    shown = order[:_SHOWN]
    table = pa.table({"class": [read.classes[i] for i in shown], "items": counts[shown]})
    return Finding("Class balance", text, table, "bars", serious=poor)
