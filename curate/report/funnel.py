"""The run as a list of steps: how many items went in and came out of each, and why."""

from __future__ import annotations

from collections.abc import Mapping

from curate.counting import counted
from curate.report import words
from curate.report.decision import Decision
from curate.report.model import Reason, Section, Step
from curate.run.ledger import RunRecord, StepRecord

_SAID = {
    "import": (
        ("read", "row read", "rows read"),
        ("updated", "updated"),
        ("changed", "changed but left as they were"),
        ("rejected", "rejected"),
    ),
    "score": (
        ("scored", "scored"),
        ("failed", "could not be scored"),
        ("not_applicable", "of a kind it does not apply to"),
    ),
    "attach": (
        ("scored", "item with a vector", "items with a vector"),
        ("failed", "item without one", "items without one"),
        ("unknown", "vector of no item", "vectors of no item"),
    ),
    "join": (
        ("joined", "item with a row", "items with a row"),
        ("without_a_row", "item without one", "items without one"),
    ),
    "delete": (("deleted", "deleted"),),
    "annotate": (
        ("created", "sent"),
        ("present", "sent before"),
        ("changed", "sent before they changed"),
        ("failed", "could not be shown"),
    ),
    "export": (("rows", "row", "rows"), ("files", "file", "files"), ("failed", "could not be written")),
}
"""Counts that are told of a step, in this order, those that are zero left out (but the first): for one and, where
that is said otherwise, for several."""


def collect_steps(run: RunRecord | None, decision: Decision) -> tuple[Step, ...]:
    """The steps of a run, reports left out; without a run, the one step that a selection is."""
    if run is None:
        return _selection_only(decision)
    total = max([len(decision.view), *(max(s.before, s.after) for s in run.steps)])
    return tuple(make_step(step, total, decision) for step in run.steps if step.kind != "report")


def _selection_only(decision: Decision) -> tuple[Step, ...]:
    if decision.chosen is None:
        return ()
    total, kept = len(decision.view), int((decision.verdict == 0).sum())
    return (
        Step("items", "all items", total, total, total, True),
        Step(
            "select",
            decision.chosen,
            total,
            kept,
            total,
            True,
            _describe_selection(decision, decision.chosen),
        ),
    )


def make_step(step: StepRecord, total: int, decision: Decision | None = None) -> Step:
    """One step as the report shows it; the decision adds what the store knows of a selection."""
    title = step.title.removeprefix(f"{step.kind} ") or step.name
    reasons = tuple(Reason(words.shorten(text, 160), n) for text, n in step.reasons.items())
    before, after, note = step.before, step.after, _describe(step)
    if step.kind == "select":
        after = step.counts.get("kept", after)
        before = after + step.counts.get("dropped", before - after)
        if decision is not None:
            note = _describe_selection(decision, step.selection or "") or note
    if step.kind == "keep" and not reasons and decision is not None:
        reasons = decision.count_reasons(step.ordinal)
    bar = step.kind in ("import", "keep", "select") and not step.error
    return Step(step.kind, title, before, after, total, bar, note, reasons, step.error)


def _describe(step: StepRecord) -> str:
    said = _SAID.get(step.kind, ())
    parts = [
        counted(step.counts[key], one, *(many or [one]))
        for i, (key, one, *many) in enumerate(said)
        if key in step.counts and (step.counts[key] or i == 0)
    ]
    return "; ".join([", ".join(parts), *step.notes] if parts else step.notes)


def _describe_selection(decision: Decision, name: str) -> str:
    info = decision.snapshot.selections.get(name)
    if info is None:
        return ""
    random: Mapping[str, float] = info.stats.get("random") or {}
    parts = [f"seed {info.seed}"] if info.seed is not None else []
    if "objective" in random and "random" in random:
        parts.append(
            f"objective {words.number(random['objective'])}, the same budget at random {words.number(random['random'])}"
        )
    return "; ".join(parts)


def collect_timings(run: RunRecord | None, decision: Decision) -> Section | None:
    """When and how long: what differs from one run to the next, kept apart from all else."""
    if run is None:
        return None
    rows = [
        (
            words.count(s.ordinal),
            s.title,
            f"{s.seconds:.2f} s",
            words.count(s.computed),
            "yes" if s.reused else "no",
        )
        for s in run.steps
        if s.kind != "report"
    ]
    rows.append(
        ("", f"run {run.run_id}, store version {decision.snapshot.version}", f"{run.seconds:.2f} s", "", "")
    )
    return Section(
        "Timings of this run", ("step", "title", "time", "items computed", "taken over"), tuple(rows)
    )
