"""What can be wrong with steps before any of them has run: a name at the end of a recipe is not found wrong hours later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curate import registry
from curate.budgets import Budget, read_budget, resolve_budget
from curate.contracts import role_of
from curate.errors import CurateError, UnknownNameError, check_installed
from curate.formats.locate import absolute
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
from curate.run.components import check_single
from curate.run.context import located
from curate.run.continuing import check_continuing
from curate.run.hints import giver_hint
from curate.run.outlook import Outlook
from curate.run.readiness import check_export, check_file
from curate.run.steps.annotating import question
from curate.run.steps.exporting import check_kinds
from curate.run.steps.selecting import check_after, spends
from curate.store import PartStore

__all__ = ["check_steps"]


def check_steps(
    store: PartStore, steps: Sequence[Step], base: str | Path = ".", *, done: int = 0, elsewhere: bool = False
) -> None:
    """Look at components, parameters, budgets, expressions, names of columns and selections, files, packages, weights and
    addresses; the first `done` steps have run already. `elsewhere`: a cluster of other machines scores single items.

    Columns are those of the store and what the steps before give. Where nobody can know them yet (an import of files that
    are too large to be read twice, or on other machines) none is refused. Raises what the first step would that cannot be
    done; it says of each such step which it is and all that is wrong with it.
    """
    base = Path(base).absolute()
    # What the sources hold may matter: they are looked at where something else seems wrong, for it takes a while.
    importing = any(isinstance(step, ImportStep) for step in steps[done:])
    for look in (False, True) if importing else (True,):
        faults = _faults(Outlook(store, base, look=look, elsewhere=elsewhere), steps, done)
        if not faults:
            return
    if len(faults) > 1:
        _retell(faults[0], "\n".join([f"{len(faults)} faults:", *map(str, faults)]))
    raise faults[0]


def _faults(outlook: Outlook, steps: Sequence[Step], done: int) -> list[CurateError]:
    """All that is wrong with steps, each fault told with the number of its step."""
    told: dict[str, CurateError] = {}
    outlook.narrowed = any(isinstance(step, KeepStep) for step in steps[:done])
    for number, step in enumerate(steps[done:], start=done + 1):
        with outlook.noting():
            _check(outlook, step)
        for error in outlook.faults:
            hint = giver_hint(error, steps, number)
            _retell(error, f"step {number} of {len(steps)} ({step.title}): {error}{hint}")
            told.setdefault(str(error), error)
        outlook.faults.clear()
    return list(told.values())


def _check(outlook: Outlook, step: Step) -> None:
    for name in (getattr(step, "selection", None), getattr(step, "after", None)):
        with outlook.noting():
            if name and name not in outlook.selections:
                raise UnknownNameError("selection", name, outlook.selections)
    _CHECKS[type(step)](outlook, step)


def _retell(error: CurateError, text: str) -> None:
    """Let the same error say more."""
    error.args = (text,)
    if isinstance(error, ImportError):
        error.msg = text  # what it shows instead of its arguments


def _check_keep(outlook: Outlook, step: KeepStep) -> None:
    outlook.check_where(step.keep)
    outlook.narrowed = True
    if step.name:
        outlook.choose(step.name)


def _check_select(outlook: Outlook, step: SelectStep) -> None:
    name = step.name or step.select
    outlook.check_where(step.where)
    with outlook.noting():
        check_after(step.after, name)
    with outlook.noting():
        selector = outlook.component("selectors", step.select, step.params)
        if step.after:
            check_continuing(selector, step.after)
        if name not in outlook.selections:  # what is there may be what is chosen again
            outlook.check_ready(selector)
        if step.budget is not None or getattr(selector, "budgeted", False):
            _check_budget(outlook, step.budget, spent=spends(selector))
    outlook.choose(name)


def _check_budget(outlook: Outlook, budget: Budget | None, *, spent: bool = False) -> None:
    """How many items will be left nobody knows yet, but not more than there are: a count above them is too high."""
    if spent or outlook.rows is None:
        read_budget(budget, whole=not spent)
    else:
        resolve_budget(budget, outlook.rows)


def _check_analyse(outlook: Outlook, step: AnalyseStep) -> None:
    outlook.check_where(step.where)
    outlook.check_ready(outlook.component("analyses", step.analyse, step.params))


def _check_compare(outlook: Outlook, step: CompareStep) -> None:
    outlook.check_where(step.where)
    named: Mapping[str, dict[str, Any]] = (
        step.compare if isinstance(step.compare, dict) else {name: {} for name in step.compare}
    )
    for name, params in named.items():
        own = {key: value for key, value in params.items() if key != "select"}
        with outlook.noting():
            outlook.check_ready(outlook.component("selectors", params.get("select", name), own))
    with outlook.noting():
        check_installed("sklearn", "noise")
    with outlook.noting():
        outlook.vectors(step.embedding)
    with outlook.noting():
        check_single("compare", step.label, outlook)
        outlook.field(step.label)
    with outlook.noting():
        if step.test:
            outlook.check(step.test, condition=False)
    for budget in step.budgets:
        with outlook.noting():
            _check_budget(outlook, budget)


def _check_annotate(outlook: Outlook, step: AnnotateStep) -> None:
    outlook.check_where(step.when)
    registry.load("annotators", step.annotate)
    asked, own = question(step)
    annotator = registry.build("annotators", step.annotate, own)
    outlook.check_ready(annotator)
    with outlook.noting():
        if hasattr(annotator, "check"):
            known = outlook.complete and outlook.kinds()  # of no items nothing is asked
            annotator.check(outlook.dataset, outlook.columns if known else None, **asked)
    for column in _guessed(asked.get("guesses")):
        with outlook.noting():
            outlook.field(column)
    for place in own.values():  # tasks are written somewhere
        if isinstance(place, str):
            outlook.write(absolute(place))


def _guessed(guesses: Any) -> list[str]:
    """The columns that fill in answers in advance."""
    columns = guesses.get("columns") if isinstance(guesses, Mapping) else None
    if not isinstance(columns, Mapping):
        return []
    return [str(name) for name in (*columns.values(), guesses.get("score")) if name]


def _check_export(outlook: Outlook, step: ExportStep) -> None:
    kinds = outlook.exported(step.selection)
    with outlook.noting():
        check_kinds(kinds, outlook.columns)
    place = absolute(located(outlook.base, step.export))
    with outlook.noting():
        check_export(step, Path(place), kinds[0] if len(kinds) == 1 else None, outlook.exports.get(place))
        outlook.exports[place] = step
    outlook.write(place)
    for column in step.columns:
        with outlook.noting():
            if column not in outlook.columns and outlook.complete:
                raise UnknownNameError("column", column, outlook.columns)


def _check_report(outlook: Outlook, step: ReportStep) -> None:
    with outlook.noting():
        check_file(Path(located(outlook.base, step.report)).expanduser())
    outlook.write(step.report)
    with outlook.noting():
        if step.map_by == "t-sne":
            check_installed("sklearn", "noise")
    if step.map_of is None or not outlook.complete or not outlook.kinds():
        return  # of no items there is no map
    known = {
        name: field for name, field in outlook.fields.items() if field is None or role_of(field) == "vector"
    }
    if step.map_of not in known:
        raise UnknownNameError("column of vectors", step.map_of, [n for n, field in known.items() if field])


_CHECKS: dict[type[Step], Callable[[Outlook, Any], None]] = {
    ImportStep: Outlook.bring,
    AttachStep: Outlook.attach,
    ScoreStep: Outlook.score,
    KeepStep: _check_keep,
    SelectStep: _check_select,
    AnalyseStep: _check_analyse,
    CompareStep: _check_compare,
    AnnotateStep: _check_annotate,
    ExportStep: _check_export,
    ReportStep: _check_report,
}
