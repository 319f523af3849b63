"""What can be wrong with steps before any of them has run: a name at the end of a recipe is not found wrong hours later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from curate import registry
from curate.budgets import read_budget
from curate.errors import UnknownNameError
from curate.recipe.model import AnalyseStep, AnnotateStep, CompareStep, KeepStep, ScoreStep, SelectStep, Step
from curate.store import Expression, PartStore

__all__ = ["check_steps"]


def check_steps(store: PartStore, steps: Iterable[Step]) -> None:
    """Look at components, parameters, budgets, expressions and names of selections; columns are known when a step runs.

    Raises what the step itself would.
    """
    selections = set(store.snapshot().selections)
    for step in steps:
        check = _CHECKS.get(type(step))
        if check:
            check(step)
        for name in (getattr(step, "selection", None), getattr(step, "after", None)):
            if name and name not in selections:
                raise UnknownNameError("selection", name, selections)
        selections |= {step.name or step.select} if isinstance(step, SelectStep) else set()
        selections |= {step.name} if isinstance(step, KeepStep) and step.name else set()


def _check_keep(step: KeepStep) -> None:
    Expression(step.keep)


def _check_score(step: ScoreStep) -> None:
    registry.build("scorers", step.score, step.params)


def _check_select(step: SelectStep) -> None:
    registry.build("selectors", step.select, step.params)
    if step.budget is not None:  # of what it is a budget nobody knows yet: a count may still be too high
        read_budget(step.budget, whole="cost" not in step.params)


def _check_analyse(step: AnalyseStep) -> None:
    registry.build("analyses", step.analyse, step.params)


def _check_compare(step: CompareStep) -> None:
    named: Mapping[str, dict[str, Any]] = (
        step.compare if isinstance(step.compare, dict) else {name: {} for name in step.compare}
    )
    for name, params in named.items():
        own = {key: value for key, value in params.items() if key != "select"}
        registry.build("selectors", params.get("select", name), own)
    for budget in step.budgets:
        read_budget(budget)


def _check_annotate(step: AnnotateStep) -> None:
    registry.load("annotators", step.annotate)


_CHECKS: dict[type[Step], Callable[[Any], None]] = {
    KeepStep: _check_keep,
    ScoreStep: _check_score,
    SelectStep: _check_select,
    AnalyseStep: _check_analyse,
    CompareStep: _check_compare,
    AnnotateStep: _check_annotate,
}
