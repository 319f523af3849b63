"""What a recipe would do: per step, what is already there, what is to do, and how many rows to expect. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate import registry
from curate.contracts import Budget, FittingScorer, resolve_budget
from curate.counting import counted
from curate.errors import CurateError
from curate.recipe.model import (
    AnalyseStep,
    AnnotateStep,
    AttachStep,
    CompareStep,
    ExportStep,
    ImportStep,
    KeepStep,
    ReportStep,
    ScoreStep,
    SelectStep,
    Step,
)
from curate.run.checking import check_steps
from curate.run.components import configure, giver_of, has
from curate.run.context import located
from curate.run.progress import duration
from curate.run.sampling import default_workers, take_sample
from curate.run.scoring import ScoreTask
from curate.run.steps.importing import import_digest
from curate.run.steps.scoring import bind, is_done, pending
from curate.run.steps.selecting import spends
from curate.store import PartStore, StoreView


@dataclass(frozen=True)
class PlannedStep:
    """One step as it stands: `state` is done, partly done, to do, or unknown (depends on earlier steps).

    `rows` are the rows it would work on, `todo` those without an answer yet; None where only running can tell.
    """

    title: str
    state: str
    rows: int | None
    todo: int | None
    note: str = ""


@dataclass
class _Planner:
    store: PartStore
    base: Path
    seed: int
    view: StoreView | None
    sample: int = 0
    workers: int = 1
    certain: bool = True
    bound: StoreView | None = None  # no step works on more rows

    def path(self, text: str) -> str:
        """As a run would take it."""
        return located(self.base, text)


def plan(
    store: PartStore,
    steps: Iterable[Step],
    *,
    base: str | Path = ".",
    seed: int = 0,
    sample: int = 0,
    workers: int | None = None,
) -> list[PlannedStep]:
    """Plan steps against the store as it is. Once a step is to do, what follows it is an estimate and says so.

    With `sample`, so many rows of what each scorer of single items has to do are scored, and thrown away, to say what the
    rest will take on `workers` (default: one for each core).
    """
    steps = list(steps)
    check_steps(store, steps, base)
    view = store.view()
    planner = _Planner(
        store, Path(base).absolute(), seed, view, sample, workers or default_workers(), bound=view
    )
    return [_plan_step(planner, step) for step in steps]


def _plan_step(planner: _Planner, step: Step) -> PlannedStep:
    planned: PlannedStep = _PLANS[type(step)](planner, step)
    if planned.state not in ("done",):
        planner.certain = False
    return planned


def _rows(planner: _Planner) -> int | None:
    return len(planner.view) if planner.view is not None else None


def _plan_import(planner: _Planner, step: ImportStep) -> PlannedStep:
    known = planner.store.recall(import_digest(planner, step))
    if known and known.get("done"):
        return PlannedStep(step.title, "done", known["counts"].get("read"), 0, "the source has not changed")
    planner.view = planner.bound = None
    if known:
        read = known["counts"].get("read", 0)
        return PlannedStep(
            step.title,
            "partly done",
            None,
            None,
            f"{counted(read, 'row')} {'was' if read == 1 else 'were'} read before it was interrupted",
        )
    return PlannedStep(step.title, "to do", None, None, "the source is new, or has changed")


def _plan_attach(planner: _Planner, step: AttachStep) -> PlannedStep:
    there = planner.view is not None and step.name in planner.view.columns
    return PlannedStep(
        step.title, "unknown" if there else "to do", _rows(planner), None, "matched by id when it runs"
    )


def _plan_score(planner: _Planner, step: ScoreStep) -> PlannedStep:
    registry.build(
        "scorers", step.score, step.params
    )  # an unknown scorer or parameter is told before anything runs
    if planner.view is None or not planner.certain:
        return PlannedStep(step.title, "to do", _rows(planner), None, _at_most(planner, step))
    view = planner.store.view() if step.all else planner.view
    view = view.where(step.where) if step.where else view
    scorer = configure("scorers", step.score, step.params, view)
    missing = [need for need in scorer.needs if not has(view, need)]
    if missing:
        givers = [giver_of(need) or f"a column {need!r} that nothing gives" for need in missing]
        return PlannedStep(step.title, "to do", len(view), len(view), f"runs {', '.join(givers)} first")
    snapshot = planner.store.snapshot()
    column_set = bind(scorer, step.name, snapshot)
    if isinstance(scorer, FittingScorer):
        done = is_done(planner.store, snapshot, scorer, column_set, view)
        note = "" if done else "sees all rows at once"
        return PlannedStep(step.title, "done" if done else "to do", len(view), 0 if done else len(view), note)
    tasks = list(pending(planner.store, view, snapshot, scorer, column_set))
    todo = sum(len(task.rows) for task in tasks)
    state = "done" if not todo else "to do" if todo == len(view) else "partly done"
    return PlannedStep(step.title, state, len(view), todo, _foretold(planner, tasks))


def _foretold(planner: _Planner, tasks: list[ScoreTask]) -> str:
    """What these will take, if that was asked for."""
    todo = sum(len(task.rows) for task in tasks)
    if not todo or not planner.sample:
        return ""
    sampled = take_sample(planner.store, tasks, min(planner.sample, todo))
    return sampled.foretell(todo, len(tasks), planner.workers)


def _at_most(planner: _Planner, step: ScoreStep) -> str:
    """What can be said of a scoring before those steps have run that decide on its rows: it has no more than there are."""
    view = planner.bound
    if view is None or not len(view):
        return "new rows only; how many depends on earlier steps"
    told = f"at most {counted(len(view), 'row')}; how many depends on earlier steps"
    scorer = configure("scorers", step.score, step.params, view)
    if isinstance(scorer, FittingScorer) or not all(has(view, need) for need in scorer.needs):
        return told
    snapshot = planner.store.snapshot()
    tasks = list(pending(planner.store, view, snapshot, scorer, bind(scorer, step.name, snapshot)))
    note = _foretold(planner, tasks)
    return f"at most {counted(sum(len(task.rows) for task in tasks), 'row')}: {note}" if note else told


def _plan_keep(planner: _Planner, step: KeepStep) -> PlannedStep:
    if planner.view is None or not planner.certain:
        planner.view = None
        return PlannedStep(step.title, "unknown", None, None, "how many it keeps depends on earlier steps")
    before = len(planner.view)
    planner.view = planner.view.where(step.keep)
    kept = len(planner.view)
    return PlannedStep(step.title, "done", before, 0, f"keeps {kept:,} of {before:,}")


def _plan_select(planner: _Planner, step: SelectStep) -> PlannedStep:
    selector = registry.build("selectors", step.select, step.params)
    rows = _rows(planner)
    note = ""
    if rows and step.budget is not None:
        try:
            note = _chooses(selector, step.budget, rows, planner.view)
        except CurateError as error:
            note = str(error)
    name = step.name or step.select
    there = name in planner.store.snapshot().selections and planner.certain
    return PlannedStep(step.title, "unknown" if there else "to do", rows, None, note)


def _chooses(selector: Any, budget: Budget, rows: int, view: StoreView | None) -> str:
    """How many, and what that will take where the selector can say and its vectors are there."""
    if spends(selector):
        return f"spends {budget} of what {counted(rows, 'item costs', 'items cost')}"
    count = resolve_budget(budget, rows)
    note = f"chooses {count:,} of {rows:,}"
    width = _width(view, selector.needs) if view is not None and hasattr(selector, "estimate") else None
    if width is None:
        return note
    takes = selector.estimate(rows, width, count)
    return f"{note}, in about {duration(takes['seconds'])} of one core and {_bytes(takes['bytes'])} of memory"


def _width(view: StoreView, needs: Iterable[str]) -> int | None:
    """How long the first vector among these columns is, 0 if there is none; None where that cannot be told yet."""
    if any(need not in view.columns for need in needs):
        return None
    types = [view.schema.field(need).type for need in needs]
    if any(pa.types.is_list(t) or pa.types.is_large_list(t) for t in types):
        return None
    return next((t.list_size for t in types if pa.types.is_fixed_size_list(t)), 0)


def _bytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _plan_analyse(planner: _Planner, step: AnalyseStep) -> PlannedStep:
    registry.build("analyses", step.analyse, step.params)
    return PlannedStep(step.title, "unknown", _rows(planner), None, "sees all rows at once")


def _plan_compare(planner: _Planner, step: CompareStep) -> PlannedStep:
    asked = step.compare if isinstance(step.compare, dict) else {name: {} for name in step.compare}
    for name, params in asked.items():
        own = {key: value for key, value in params.items() if key != "select"}
        registry.build("selectors", params.get("select", name), own)
    runs = (len(asked) + 1) * len(step.budgets) * step.seeds + step.seeds
    return PlannedStep(
        step.title, "unknown", _rows(planner), None, f"{counted(runs, 'training')} of a {step.model}"
    )


def _plan_other(planner: _Planner, step: Any) -> PlannedStep:
    target = getattr(step, step.verb)
    exists = step.verb in ("export", "report") and Path(planner.path(target)).exists()
    note = "exists; is left alone if it is the same" if exists else ""
    return PlannedStep(step.title, "unknown" if exists else "to do", _rows(planner), None, note)


_PLANS: dict[type[Step], Any] = {
    ImportStep: _plan_import,
    AttachStep: _plan_attach,
    ScoreStep: _plan_score,
    KeepStep: _plan_keep,
    SelectStep: _plan_select,
    AnalyseStep: _plan_analyse,
    CompareStep: _plan_compare,
    AnnotateStep: _plan_other,
    ExportStep: _plan_other,
    ReportStep: _plan_other,
}
