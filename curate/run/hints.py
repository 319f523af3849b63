"""Where a column that is missing is to be had: under another name, from a later step, or from a scorer nobody asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import SimpleNamespace

from curate import registry
from curate.contracts import column_name
from curate.errors import CurateError, UnknownNameError
from curate.recipe.model import AttachStep, ImportStep, ScoreStep, Step
from curate.run.steps.scoring import bind, renamed

__all__ = ["giver_hint"]


def giver_hint(error: CurateError, steps: Sequence[Step], number: int) -> str:
    """What to do about the column that step `number` (from 1) misses by this error; empty where nobody knows."""
    if not isinstance(error, UnknownNameError) or error.what not in ("column", "column of vectors"):
        return ""
    for earlier, step in enumerate(steps[: number - 1], start=1):
        if called := _called(step, error.name):
            return f" Step {earlier} ({step.title}) gives it as {called!r}."
    for later, step in enumerate(steps[number:], start=number + 1):
        if error.name in _given(step):
            return f" Step {later} ({step.title}) gives it: put that before this one."
    scorer = _givers().get(error.name)
    return f" The scorer {scorer} gives it: put a step `score: {scorer}` before this one." if scorer else ""


def _called(step: Step, name: str) -> str | None:
    """What a step calls a column that would be called `name` if it did not rename it."""
    if isinstance(step, ImportStep):
        return next((ours for ours, theirs in step.columns.items() if theirs == name), None)
    if isinstance(step, ScoreStep) and step.name and name in _given(step.model_copy(update={"name": None})):
        return renamed(name, column_name(step.score), column_name(step.name))
    return None


def _given(step: Step) -> Sequence[str]:
    """The columns that a step adds."""
    if isinstance(step, AttachStep):
        return [column_name(step.name)]
    if not isinstance(step, ScoreStep):
        return []
    try:
        scorer = registry.build("scorers", step.score, step.params)
        return list(bind(scorer, step.name, SimpleNamespace(column_home={})).schema().names)
    except Exception:  # whatever is wrong with it is not what is to be told here
        return []


@cache
def _givers() -> Mapping[str, str]:
    """Column -> the registered scorer that gives it as it is configured by default."""
    return {
        column: name for name in registry.names("scorers") for column in _given(ScoreStep.of({"score": name}))
    }
