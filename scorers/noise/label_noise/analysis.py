"""`label-audit`: how many labels are wrong, which to check by hand, and what the answers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError, check_installed
from curate.fitting import read_labels
from curate.scorers.noise.label_noise.audit import (
    AuditPlan,
    Part,
    audit_curve,
    audit_size,
    estimate_errors,
    plan_audit,
)
from curate.scorers.noise.label_noise.finder import LabelIssues, label_errors
from curate.scorers.noise.label_noise.scorer import describe
from curate.scorers.noise.labelled import Labelled, read_labelled

__all__ = ["LabelAudit"]

SHOWN = 20
"""Classes in a matrix or a chart: those with the most flagged labels."""
_PARTS: dict[Part, str] = {"kept": "labels not flagged", "flagged": "flagged labels", "all": "labels"}


@dataclass(frozen=True)
class LabelAudit:
    """Says how many labels are likely wrong, as what they were given, and which to check by hand to bound the rest.

    Rests on label-errors: `pred_probs` one or several vector columns of out-of-sample probabilities, `classes` the order
    of their columns, `seed` what it draws by. `items` labels are drawn to be checked, of those `of` ("kept", "flagged",
    "all"), for an interval of `confidence`. `checked` names a column with the right label of items people have checked,
    null elsewhere: once all that were drawn have one, the share of errors and its exact interval are told. `label` is the
    column judged.
    """

    pred_probs: str | tuple[str, ...] = "pred_probs"
    classes: tuple[str, ...] = ()
    items: int = 100
    of: Part = "kept"
    confidence: float = 0.95
    checked: str = ""
    seed: int = 0
    label: str = "label"

    name: ClassVar[str] = "label-audit"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.items < 1 or not 0 < self.confidence < 1:
            raise InputError(
                f"label-audit: items={self.items}, confidence={self.confidence}: 1 or more, in (0, 1)"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The vector columns read."""
        return (self.pred_probs,) if isinstance(self.pred_probs, str) else tuple(self.pred_probs)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, *self.columns, *((self.checked,) if self.checked else ()))

    def ready(self) -> None:
        """Raises MissingExtraError where scipy is not installed."""
        check_installed("scipy", "noise")

    def analyse(self, view: View) -> Findings:
        """Raises InputError where the labels cannot be judged: see label-errors."""
        read = read_labelled(view, self.columns, self.classes, self.label)
        if not len(read.usable):
            raise InputError(
                f"label-audit: none of {counted(len(read.order), 'item')} has a label and probabilities"
            )
        found = label_errors(read.probs if len(read.probs) > 1 else read.probs[0], read.codes, seed=self.seed)
        summary, *told = describe(found)
        findings = [_doubt(note, serious=found.diagnosis.in_sample) for note in found.notes]
        findings += [Finding("Several models", note) for note in told]
        findings += self._audit(view, read, found)
        findings += [_curve(found), _confusion(read, found), _rates(read, found)]
        findings.sort(key=lambda finding: not finding.serious)
        left_out = len(read.order) - len(read.usable)
        summary += (
            f"; {counted(left_out, 'item is', 'items are')} left out, without a label or probabilities"
            if left_out
            else ""
        )
        return Findings(summary, tuple(findings))

    def _audit(self, view: View, read: Labelled, found: LabelIssues) -> list[Finding]:
        count = {"kept": int((~found.flagged).sum()), "flagged": int(found.flagged.sum()), "all": len(found)}[
            self.of
        ]
        if not count:
            return [Finding("What to check by hand", f"There are no {_PARTS[self.of]}: nothing to check.")]
        plan = plan_audit(
            found, min(self.items, count), of=self.of, confidence=self.confidence, seed=self.seed
        )
        rows = read.rows[plan.rows]
        taken = view.take(rows, ["id"]).column("id").to_pylist()
        given = np.array(read.classes, object)[read.codes[plan.rows]]
        table = pa.table(
            {
                "id": taken,
                "label": given.tolist(),
                "score": found.score[plan.rows],
                "right": found.right[plan.rows],
            }
        )
        findings = [Finding("What to check by hand", _plan_text(plan), table)]
        if self.checked:
            truth = read_labels(view, self.checked, rows)
            findings.insert(0, _estimate(plan, given, np.array(truth.to_pylist(), object)))
        return findings


def _plan_text(plan: AuditPlan) -> str:
    text = (
        f"Check these {len(plan.rows)} of {plan.population} {_PARTS[plan.of]}, one of each equal part by score. If none is "
        f"wrong, at most {plan.bound:.1%} of them are, with {plan.confidence:.0%} confidence; {plan.expected:.1%} are "
        "expected to be. "
    )
    sizes = [(bound, audit_size(bound, confidence=plan.confidence)) for bound in (0.05, 0.02, 0.01)]
    return text + "To bound them by " + ", ".join(f"{bound:.0%}: {size}" for bound, size in sizes) + " items."


def _estimate(plan: AuditPlan, given: npt.NDArray[np.object_], truth: npt.NDArray[np.object_]) -> Finding:
    answered = truth != None  # noqa: E711 - element by element
    if not answered.all():
        text = f"{int(answered.sum())} of the {counted(len(plan.rows), 'item')} drawn are checked; the interval needs all of them."
        return Finding("What people found", text)
    estimate = estimate_errors(plan, truth != given)
    text = (
        f"{estimate.wrong} of {estimate.checked} checked are wrong: of all {plan.population} {_PARTS[plan.of]} "
        f"{estimate.rate:.1%}, {estimate.low:.1%} to {estimate.high:.1%} with {plan.confidence:.0%} confidence "
        f"({estimate.errors_low:.0f} to {estimate.errors_high:.0f} items). The noise model expected {plan.expected:.1%}"
    )
    trusted = estimate.low <= plan.expected <= estimate.high
    return Finding(
        "What people found", text + (" and agrees." if trusted else " and is off: trust the people.")
    )


def _doubt(note: str, *, serious: bool) -> Finding:
    return Finding("Doubtful evidence", note[0].upper() + note[1:] + ".", serious=serious)


def _curve(found: LabelIssues) -> Finding:
    curve = audit_curve(found)
    flagged = int(found.flagged.sum())
    order = found.worst_first()[:flagged]
    within = float((1 - found.right[order].astype(np.float64)).sum())
    text = (
        f"{curve.errors[-1]:.0f} of {counted(len(found), 'label')} are expected to be wrong. Whoever checks the "
        f"{flagged} most doubtful is expected to find {within:.0f} of them; in random order "
        f"{flagged * curve.errors[-1] / len(found):.0f}. The band is for chance alone; that the model is right is "
        "taken for granted."
    )
    table = pa.table(
        {
            "items checked": curve.checked,
            "errors expected": curve.errors,
            "low": curve.low,
            "high": curve.high,
        }
    )
    return Finding("Errors found by checking the most doubtful first", text, table, "line")


def _confusion(read: Labelled, found: LabelIssues) -> Finding:
    k = len(read.classes)
    counts = np.bincount(read.codes * k + found.suggested, minlength=k * k).reshape(k, k)
    moved = counts - np.diag(counts.diagonal())
    weight = moved.sum(0) + moved.sum(1)
    shown = np.sort(np.argsort(-weight, kind="stable")[:SHOWN])
    named = [read.classes[i] for i in shown]
    table = pa.table(
        {"given": named, **{f"→ {name}": counts[shown, i] for name, i in zip(named, shown, strict=True)}}
    )
    given, better = np.unravel_index(moved.argmax(), moved.shape)
    text = f"No label is flagged: all {len(found)} stay as they are."
    if moved.max():
        text = (
            f"Most often {read.classes[given]!r} was given where {read.classes[better]!r} is likelier: "
            f"{moved.max()} of {int(counts[given].sum())}."
        )
    if k > SHOWN:
        text += f" Shown are the {SHOWN} of {counted(k, 'class', 'classes')} with the most flagged labels."
    return Finding("Given and suggested labels", text, table, "matrix")


def _rates(read: Labelled, found: LabelIssues) -> Finding:
    k = len(read.classes)
    size = np.bincount(read.codes, minlength=k)
    wrong = np.bincount(read.codes, 1 - found.right.astype(np.float64), k)
    flagged = np.bincount(read.codes, found.flagged, k).astype(np.int64)
    rate = wrong / np.maximum(size, 1)
    order = np.lexsort((np.arange(k), -rate))
    order = order[size[order] > 0]
    table = pa.table(
        {
            "label": [read.classes[i] for i in order],
            "share expected wrong": rate[order],
            "flagged": flagged[order],
            "items": size[order],
        }
    )
    worst, best = order[0], order[-1]
    text = (
        f"Of the labels {read.classes[worst]!r} {rate[worst]:.1%} are expected to be wrong, the most; of "
        f"{read.classes[best]!r} {rate[best]:.1%}, the least."
    )
    return Finding("Noise by given label", text, table, "bars")
