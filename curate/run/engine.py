"""Execute a recipe, step by step, and keep the ledger. What was done before under the same digest is not done again."""

from __future__ import annotations

import importlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from curate.choosing import read_seed
from curate.contracts import digest
from curate.recipe.model import ImportStep, Step
from curate.run.checking import check_steps
from curate.run.context import RunContext
from curate.run.ledger import RunRecord, StepRecord
from curate.run.progress import Progress, default_progress
from curate.run.runner import LocalRunner, Runner
from curate.store import PartStore, places

VERBS: dict[str, str] = {
    "import": "curate.run.steps.importing:run_import",
    "attach": "curate.run.steps.attaching:run_attach",
    "score": "curate.run.steps.scoring:run_score",
    "keep": "curate.run.steps.keeping:run_keep",
    "select": "curate.run.steps.selecting:run_select",
    "analyse": "curate.run.steps.analysing:run_analyse",
    "compare": "curate.run.steps.comparing:run_compare",
    "annotate": "curate.run.steps.annotating:run_annotate",
    "export": "curate.run.steps.exporting:run_export",
    "report": "curate.report.step:run_report",
}
"""What executes each verb, as strings: a step's machinery is imported when a recipe uses it."""


def handler(verb: str) -> Callable[[RunContext, Any], StepRecord]:
    """The function that executes steps of this verb."""
    module, _, name = VERBS[verb].partition(":")
    function: Callable[[RunContext, Any], StepRecord] = getattr(importlib.import_module(module), name)
    return function


def begin(
    store: PartStore,
    *,
    recipe: Mapping[str, Any] | None = None,
    seed: int = 0,
    base: str | Path = ".",
    runner: Runner | None = None,
    progress: Progress | None = None,
    through: str | None = None,
) -> RunContext:
    """Open a run in the ledger. `through` is where the store is published for machines that do not see its folder."""
    plain = dict(recipe) if recipe else None
    seed = read_seed(seed)
    run = RunRecord(uuid.uuid4().hex, "running", time.time(), 0.0, plain, digest("recipe", plain), seed)
    store.begin_run(run.run_id, plain, run.recipe_digest, seed)
    shown, where = progress or default_progress(), Path(base).absolute()
    working = runner or LocalRunner()
    working.say = shown.note
    return RunContext(store, working, shown, run, where, through=through and places.address(through))


def execute(context: RunContext, steps: Iterable[Step]) -> RunRecord:
    """Execute steps in order; the run ends `done`, `failed` (the error is raised) or `interrupted` (Ctrl-C).

    What can be told without the items (`check_steps`) is found wrong before the first step begins.
    """
    run, started, steps = context.run, time.perf_counter(), list(steps)
    run.status = "interrupted"
    try:
        elsewhere = context.runner.elsewhere
        check_steps(context.store, steps, context.base, elsewhere=elsewhere)
        for done, step in enumerate(steps, start=1):
            record = handler(step.verb)(context, step)
            if isinstance(step, ImportStep) and not record.reused:  # now it is known what came
                check_steps(context.store, steps, context.base, done=done, elsewhere=elsewhere)
        run.status = "done"
    except Exception:
        run.status = "failed"
        raise
    finally:
        run.seconds = time.perf_counter() - started
        context.store.end_run(run.run_id, run.status, run.seconds)
        context.runner.close()
    context.share()
    return run
