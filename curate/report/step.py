"""`report`: a step of a recipe that writes the report of the run so far."""

from __future__ import annotations

from curate.recipe.model import ReportStep
from curate.report.writer import write_report
from curate.run.context import RunContext
from curate.run.ledger import StepRecord


def run_report(context: RunContext, step: ReportStep) -> StepRecord:
    """Execute one `report` step. The file says nothing that differs between two equal runs."""
    with context.record("report", "html", f"report {step.report}", selection=step.selection) as record:
        path = write_report(
            context.store,
            context.path(step.report),
            run=context.run,
            selection=step.selection,
            title=step.heading,
            map_of=step.map_of,
            map_by=step.map_by,
        )
        record.counts = {"files": 1, "bytes": path.stat().st_size}
    return record
