"""`annotate`: send items of the current set to people through a registered annotator."""

from __future__ import annotations

from curate import registry
from curate.recipe.model import AnnotateStep
from curate.run.context import RunContext
from curate.run.ledger import StepRecord


def run_annotate(context: RunContext, step: AnnotateStep) -> StepRecord:
    """Execute one `annotate` step. UnknownNameError lists the annotators that are installed."""
    annotator = registry.build("annotators", step.annotate, step.params)
    view = context.selection(step.selection) if step.selection else context.view(step.when, everything=True)
    with context.record(
        "annotate", step.annotate, f"annotate {step.annotate}", expression=step.when
    ) as record:
        receipt = annotator.push(view.to_arrow())
        record.counts = {key: int(value) for key, value in receipt.items() if isinstance(value, int)}
        record.computed = len(view)
    return record
