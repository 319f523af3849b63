"""`annotate`: send items to people through a registered annotator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate import registry
from curate.errors import RecipeError
from curate.recipe.model import AnnotateStep
from curate.run.context import RunContext
from curate.run.ledger import StepRecord
from curate.store import AnswersView, PartStore, StoreView

ASKED = ("template", "params", "round", "guesses")
"""What the step says of the question; everything else under `with` is the annotator's own."""


@dataclass(frozen=True)
class Shown:
    """What an annotator gets to see of a store: the items of the step."""

    parts: PartStore
    items: StoreView

    @property
    def path(self) -> Path:
        """Where the store lies."""
        return self.parts.path

    @property
    def id(self) -> str:
        """The identity of the store."""
        return self.parts.uuid

    @property
    def answers(self) -> AnswersView:
        """What was answered so far."""
        return self.parts.answers()

    def record_answers(self, answers: Any) -> dict[str, int]:
        """Add answers; each is there once."""
        return self.parts.record_answers(answers)


def run_annotate(context: RunContext, step: AnnotateStep) -> StepRecord:
    """Execute one `annotate` step: items that were sent before are not sent again.

    UnknownNameError lists the annotators that are installed; RecipeError where nothing is asked.
    """
    asked, own = question(step)
    annotator = registry.build("annotators", step.annotate, own)
    view = context.selection(step.selection) if step.selection else context.view(step.when, everything=True)
    with context.record(
        "annotate", step.annotate, f"annotate {step.annotate}", expression=step.when
    ) as record:
        record.counts = {"rows": len(view)}
        if not len(view):
            return record  # nobody is in doubt: nothing to ask
        receipt = annotator.push(Shown(context.store, view), **asked)
        counts = {k: v for k, v in receipt.items() if isinstance(v, int) and not isinstance(v, bool)}
        record.counts |= {name: count for name, count in counts.items() if name != "round"}
        record.reasons = dict(receipt.get("reasons", {}))
        record.notes += [str(receipt["place"])] if receipt.get("place") else []
        record.computed = record.counts.get("created", 0)
    return record


def question(step: AnnotateStep) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the step asks, and what is the annotator's own."""
    asked = {name: value for name, value in step.params.items() if name in ASKED}
    if "template" not in asked:
        raise RecipeError(
            f"annotate: {step.annotate}: what is asked? Name a template, as in `with: {{template: image-text-alignment}}`; "
            "`curate annotate templates` lists them"
        )
    return asked, {name: value for name, value in step.params.items() if name not in ASKED}
