"""`compare`: the same small model trained on what several selectors choose; the report shows the curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.comparing import Choice, classifier, findings_of, run_trials
from curate.contracts import Budget, Selection, component_digest, digest, resolve_budget
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import read_labels, read_vectors
from curate.recipe.model import CompareStep
from curate.run.components import check_single, columns_digest, configure, supply
from curate.run.context import RunContext
from curate.run.ledger import StepRecord
from curate.run.steps.analysing import recall_findings, to_plain
from curate.run.steps.scoring import bring_up
from curate.run.steps.selecting import check_selection
from curate.store import StoreView

HELD_OUT = 4
"""Without a `test`, one item in so many is held out, others for each seed."""


def run_compare(context: RunContext, step: CompareStep) -> StepRecord:
    """Execute one `compare` step. The current set stays as it is, and no selection is stored."""
    view = context.view(step.where)
    check_single("compare", step.label, view)
    selectors = _selectors(step.compare, view)
    for selector in selectors.values():
        supply(selector, view, lambda needed: bring_up(context, needed, where=step.where))
    view = context.view(step.where)  # the needs may just have been made
    title = f"compare {', '.join(selectors)}" + (f" where {step.where}" if step.where else "")
    with context.record("analyse", "compare", title, params=step.plain()) as record:
        needs = [step.embedding, step.label, *(n for s in selectors.values() for n in s.needs)]
        read = columns_digest(context.store.snapshot(), list(dict.fromkeys(needs)))
        configured = {name: component_digest(selector) for name, selector in selectors.items()}
        record.digest = digest("compare", step.plain(), configured, context.run.seed, view.digest, read)
        found = recall_findings(context.store, record.digest)
        if found is not None:
            record.reused = True
        else:
            found = findings_of(_trials(view, selectors, step, context.run.seed))
            record.computed = len(view)
            context.commit("analyse", step=(record.digest, {"findings": to_plain(found)}))
        record.counts = {"rows": len(view), "findings": len(found.findings), "serious": 0}
        record.notes = [found.summary]
    return record


def _selectors(asked: tuple[str, ...] | dict[str, dict[str, Any]], view: StoreView) -> dict[str, Any]:
    """Configured selectors by the name they bear in the comparison; `select` in their parameters tells what they are."""
    named: Mapping[str, dict[str, Any]] = asked if isinstance(asked, dict) else {name: {} for name in asked}
    if not named:
        raise InputError("compare: name at least one selector; random is always beside")
    return {
        name: configure(
            "selectors", params.get("select", name), {k: v for k, v in params.items() if k != "select"}, view
        )
        for name, params in {**named, "random": {}}.items()
    }


def _trials(view: StoreView, selectors: dict[str, Any], step: CompareStep, seed: int) -> list[Any]:
    every = np.arange(len(view))
    x, known, labels = _read(view, step)
    trials = []
    for number in range(seed, seed + step.seeds):
        test = _held_out(view, step, known, number)
        pool = every[~np.isin(every, test)]
        rows = pool[known[pool]]
        seqs = view.seqs_at(rows)
        order = np.argsort(seqs, kind="stable")  # a view of some rows is in the order of import
        rows, part = rows[order], view.at(seqs)
        train = classifier(x[rows], labels[rows], x[test], labels[test], model=step.model)
        choices = {name: _choices(s, part, step.budgets) for name, s in selectors.items()}
        choices["everything"] = {_budget("100%", len(part)): Selection(np.arange(len(part)))}
        trials += run_trials(choices, train, [number])
    return trials


def _choices(selector: Any, part: StoreView, budgets: tuple[Budget, ...]) -> dict[float, Choice]:
    def choosing(budget: Budget) -> Callable[[np.random.Generator], Selection]:
        def choose(rng: np.random.Generator) -> Selection:
            chosen: Selection = selector.select(part, budget, rng)
            check_selection(selector.name, chosen, len(part), budget)
            return chosen

        return choose

    return {_budget(budget, len(part)): choosing(budget) for budget in budgets}


def _budget(budget: Budget, n: int) -> float:
    """A budget as a number for the axis: a share as it is, a count as a share, so that both are comparable."""
    resolve_budget(budget, n)
    if isinstance(budget, str) and budget.strip().endswith("%"):
        return float(budget.strip()[:-1]) / 100
    return float(budget) if isinstance(budget, (float, np.floating)) else int(budget) / n


def _read(
    view: StoreView, step: CompareStep
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[Any]]:
    """Vectors, which items have one and a label, and the labels as texts ("" where there is none)."""
    every = np.arange(len(view))
    x = read_vectors(view, step.embedding, every)
    labels = read_labels(view, step.label, every)
    known = np.isfinite(x).all(1) & np.asarray(labels.is_valid())
    texts = np.array(labels.fill_null("").to_pylist(), str)
    if len(np.unique(texts[known])) < 2:
        raise InputError(
            f"compare: {int(known.sum())} of {counted(len(view), 'item')} have {step.embedding!r} and {step.label!r}, "
            "of fewer than two classes: there is nothing to learn"
        )
    return x, known, texts


def _held_out(
    view: StoreView, step: CompareStep, known: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.int64]:
    """Rows that measure, never chosen from: those of `test`, or a part drawn by seed."""
    usable = np.flatnonzero(known)
    if step.test is None:
        drawn = np.random.default_rng([seed, 5]).permutation(usable)
        return np.sort(drawn[: max(1, len(usable) // HELD_OUT)])
    told = view.compute(f"coalesce(({step.test}), false)").to_numpy(zero_copy_only=False)
    test: npt.NDArray[np.int64] = usable[np.asarray(told, bool)[usable]]
    if not len(test) or len(test) == len(usable):
        raise InputError(
            f"compare: test {step.test!r} holds for {len(test)} of {counted(len(usable), 'usable item')}: some, not "
            "all, are meant"
        )
    return test
