"""`select`: a selector chooses items of the current set; what it chose is stored under a name."""

from __future__ import annotations

import resource
import time

import numpy as np

from curate.contracts import Selection, component_digest, digest, resolve_budget
from curate.errors import InputError, SchemaError
from curate.recipe.model import SelectStep
from curate.run.components import columns_digest, configure, supply
from curate.run.context import RunContext, plain_params
from curate.run.continuing import continued
from curate.run.ledger import StepRecord
from curate.run.selections import store_selection
from curate.run.steps.scoring import bring_up


def run_select(context: RunContext, step: SelectStep) -> StepRecord:
    """Execute one `select` step. The current set stays as it is."""
    view = context.view(step.where)
    selector = configure("selectors", step.select, step.params, view)
    supply(selector, view, lambda needed: bring_up(context, needed))
    view = context.view(step.where)
    name = step.name or step.select
    budget = f" {step.budget}" if step.budget is not None else ""
    title = f"select {step.select}{budget}" + (f" as {step.name}" if step.name else "")
    with context.record(
        "select", step.select, title, params=plain_params(selector), selection=name
    ) as record:
        snapshot = context.store.snapshot()
        seed = context.run.seed
        read = columns_digest(snapshot, selector.needs)
        record.digest = digest(
            "select",
            name,
            component_digest(selector),
            str(step.budget),
            seed,
            view.digest,
            read,
            *_earlier(context, step.after, name),
        )
        known = context.store.recall(record.digest)
        stored = snapshot.selections.get(name)
        if known and stored and stored.digest == record.digest:
            record.counts, record.reasons, record.reused = known["counts"], known["reasons"], True
            return record
        if not len(view):
            raise InputError(
                f"there is nothing to select from: {step.where or 'the current set'} holds no items"
            )
        started, peak = time.perf_counter(), _peak()
        told, shown = continued(context, selector, view, step.after) if step.after else (selector, view)
        chosen: Selection = told.select(shown, step.budget, np.random.default_rng(seed))
        check_selection(selector.name, chosen, len(view), None if spends(selector) else step.budget)
        record.counts = {"kept": len(chosen), "dropped": len(view) - len(chosen)}
        record.computed = len(view)
        stats = {
            "selector": selector.name,
            "version": selector.version,
            "params": plain_params(selector),
            "budget": step.budget,
            "seconds": chosen.seconds or time.perf_counter() - started,
            "memory": chosen.memory if chosen.memory is not None else _peak() - peak,
            "random": dict(chosen.random),
            "of": len(view),
            **({"after": step.after} if step.after else {}),
        }
        store_selection(
            context,
            name,
            record.digest,
            view.seqs_at(chosen.index),
            weight=chosen.weight,
            gain=chosen.gain,
            reason=chosen.reason,
            seed=seed,
            stats=stats,
            kind="select",
            result={"counts": record.counts, "reasons": record.reasons},
        )
    return record


def _earlier(context: RunContext, after: str | None, name: str) -> tuple[str, ...]:
    """Identity of the selection that is continued; nothing if none is, so that other steps keep theirs."""
    if after is None:
        return ()
    if after == name:
        raise InputError(f"select ... after {after!r} as {name!r}: what continues it needs another name")
    context.selection(after)
    return ("after", context.store.snapshot().selections[after].digest)


def _peak() -> int:
    """Bytes that this process has held at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def spends(selector: object) -> bool:
    """Whether a selector takes its budget in units of what items cost, not as a count of them."""
    return bool(getattr(selector, "cost", None))


def check_selection(name: str, chosen: Selection, n: int, budget: object) -> None:
    """What any selector must hold to: rows of the view, each once, no more than the budget."""
    index = np.asarray(chosen.index)
    if index.ndim != 1 or (len(index) and (index.min() < 0 or index.max() >= n)):
        raise SchemaError(f"{name} chose rows that the view does not have")
    taken = np.zeros(n, bool)
    taken[index] = True
    if int(np.count_nonzero(taken)) != len(index):
        raise SchemaError(f"{name} chose an item twice")
    if isinstance(budget, (int, float, str)) and len(index) > resolve_budget(budget, n):
        raise SchemaError(f"{name} chose {len(index)} items for a budget of {budget}")
