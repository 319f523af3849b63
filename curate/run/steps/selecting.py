"""`select`: a selector chooses items of the current set; what it chose is stored under a name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.choosing import Meter
from curate.contracts import Selection, component_digest, digest, resolve_budget
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.recipe.model import SelectStep
from curate.run.components import columns_digest, configure, supply
from curate.run.context import RunContext, plain_params
from curate.run.continuing import continued
from curate.run.ledger import StepRecord
from curate.run.selections import store_selection
from curate.run.steps.scoring import bring_up
from curate.spool import blocks
from curate.store import StoreView


def run_select(context: RunContext, step: SelectStep) -> StepRecord:
    """Execute one `select` step. The current set stays as it is."""
    view = context.view(step.where)
    selector = configure("selectors", step.select, step.params, view)
    supply(selector, view, lambda needed: bring_up(context, needed, where=step.where))
    view = context.view(step.where)
    name = step.name or step.select
    budget = f" {step.budget}" if step.budget is not None else ""
    title = f"select {step.select}{budget}" + (f" as {step.name}" if step.name else "")
    params = plain_params(selector)
    with context.record("select", step.select, title, params=params, selection=name) as record:
        record.digest = _identity(context, step, selector, view)
        known = context.store.recall(record.digest)
        stored = context.store.snapshot().selections.get(name)
        if known and stored and stored.digest == record.digest:
            record.counts, record.reasons, record.reused = known["counts"], known["reasons"], True
            record.notes = known.get("notes", [])
            return record
        chosen = _choose(context, step, selector, view)
        record.notes = _notes(selector, view)
        for note in record.notes:
            context.progress.note(f"{selector.name}: {note}")
        record.counts = {"kept": len(chosen), "dropped": len(view) - len(chosen)}
        record.computed = len(view)
        store_selection(
            context,
            name,
            record.digest,
            view.seqs_at(chosen.index),
            weight=chosen.weight,
            gain=chosen.gain,
            reason=chosen.reason,
            seed=context.run.seed,
            stats={
                "selector": selector.name,
                "version": selector.version,
                "params": params,
                "budget": step.budget,
                "seconds": chosen.seconds,
                "memory": chosen.memory,
                "random": dict(chosen.random),
                "of": len(view),
                **({"after": step.after} if step.after else {}),
            },
            kind="select",
            result={"counts": record.counts, "reasons": record.reasons, "notes": record.notes},
        )
    return record


def _identity(context: RunContext, step: SelectStep, selector: Any, view: StoreView) -> str:
    """What the choice depends on: a step that finds its selection under this digest need not choose again."""
    name = step.name or step.select
    read = columns_digest(context.store.snapshot(), selector.needs)
    earlier = _earlier(context, step.after, name)
    configured, seed = component_digest(selector), context.run.seed
    return digest("select", name, configured, str(step.budget), seed, view.digest, read, *earlier)


def _choose(context: RunContext, step: SelectStep, selector: Any, view: StoreView) -> Selection:
    """What the selector chooses, checked, with the time and memory it took."""
    if not len(view):
        raise InputError(f"there is nothing to select from: {step.where or 'the current set'} holds no items")
    meter = Meter()
    told, shown = continued(context, selector, view, step.after) if step.after else (selector, view)
    chosen: Selection = told.select(shown, step.budget, np.random.default_rng(context.run.seed))
    check_selection(selector.name, chosen, len(view), None if spends(selector) else step.budget)
    took = meter.read()
    own = {key: value for key in took if (value := getattr(chosen, key)) is not None}
    return replace(chosen, **{**took, **own})


def _notes(selector: Any, view: StoreView) -> list[str]:
    """That nothing is mandatory, where something was to be: it was dropped before, or was never there."""
    asked = getattr(selector, "mandatory", None)
    if not isinstance(asked, str) or not asked:
        return []
    values = view.compute(asked)
    held = pc.any(values).as_py() if pa.types.is_boolean(values.type) else values.null_count < len(values)
    return [] if held else [f"mandatory: {asked} holds for none of {counted(len(view), 'item')}"]


def _earlier(context: RunContext, after: str | None, name: str) -> tuple[str, ...]:
    """Identity of the selection that is continued; nothing if none is, so that other steps keep theirs."""
    if after is None:
        return ()
    check_after(after, name)
    context.selection(after)
    return ("after", context.store.snapshot().selections[after].digest)


def check_after(after: str | None, name: str) -> None:
    """Raises InputError where a selection is to continue itself."""
    if after == name:
        raise InputError(f"select ... after {after!r} as {name!r}: what continues it needs another name")


def spends(selector: object) -> bool:
    """Whether a selector takes its budget in units of what items cost, not as a count of them."""
    return bool(getattr(selector, "cost", None))


def check_selection(name: str, chosen: Selection, n: int, budget: object) -> None:
    """What any selector must hold to: rows of the view, each once, no more than the budget."""
    index = np.asarray(chosen.index)
    if index.ndim != 1 or any(some.min() < 0 or some.max() >= n for some in blocks(index)):
        raise SchemaError(f"{name} chose rows that the view does not have")
    taken = np.zeros(n, bool)
    for some in blocks(index):
        taken[some] = True
    if int(np.count_nonzero(taken)) != len(index):
        raise SchemaError(f"{name} chose an item twice")
    if isinstance(budget, (int, float, str)) and len(index) > resolve_budget(budget, n):
        raise SchemaError(f"{name} chose {counted(len(index), 'item')} for a budget of {budget}")
