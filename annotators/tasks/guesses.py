"""Pre-annotations: what a score or a label column makes of an item, shown before anybody answers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.annotators.tasks.control import Control
from curate.annotators.tasks.template import Template, build_template
from curate.contracts import View
from curate.errors import InputError, UnknownNameError

__all__ = ["PreAnnotations", "check_question", "check_round", "read_guesses", "read_question"]

YES_NO = (0.4, 0.6)
"""A score for an element below the first is a no, above the second a yes, between them unsure."""
NO_SCALE = " (no scale says which scores mean the lowest and the highest rating)"


@dataclass(frozen=True)
class PreAnnotations:
    """Columns of the items that fill controls in advance.

    `columns` maps a control to the column with its value (a label, a number, a text, a list); for a control that is
    repeated (`element`, for `element_0`, `element_1` ...) the column is a list with a value for each.
    `scales` says, by control, which scores of its column mean the lowest and the highest rating, or a sure no and a sure
    yes: `{"overall": (0.1, 0.4)}`; without one, ratings are taken as they are, and scores between 0 and 1 for yes and no.
    `score` is a column with how sure the guess is. `model_version` names what made it.
    """

    columns: Mapping[str, str]
    model_version: str
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    score: str = ""

    def __post_init__(self) -> None:
        if not self.columns or not self.model_version:
            raise InputError("pre-annotations need columns by control, and a model_version")
        for name, (low, high) in self.scales.items():
            if name not in self.columns:
                raise UnknownNameError("control that is filled", name, self.columns)
            if not (math.isfinite(low) and math.isfinite(high) and low != high):
                raise InputError(
                    f"scales of {name!r}: {low} to {high}: two different finite numbers are meant"
                )

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns to read beside those that are shown."""
        return tuple(dict.fromkeys([*self.columns.values(), *((self.score,) if self.score else ())]))

    def check(self, template: Template) -> None:
        """Raises UnknownNameError for a control that the template lacks."""
        for name in self.columns:
            self._control(template, name)

    def guess(
        self, template: Template, row: Mapping[str, Any], data: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """The predictions of one task (none or one), and what could not be said and why.

        `data` is the task's. A null says nothing. Raises UnknownNameError for a control that the template lacks.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name, column in self.columns.items():
            control = self._control(template, name)
            given = row.get(column)
            if given is None:
                continue
            if given in ([], ()) and control.form == "choices" and not getattr(template, "none", ""):
                continue  # an empty set has no choice that says so
            many = list(enumerate(given)) if control.repeats else [(0, given)]
            for index, one in many:
                if one is None:
                    continue
                wanted = control.named(index)
                try:
                    result = template.result({wanted: self._value(control, name, one)}, data)
                except InputError as error:
                    scale = control.form == "rating" and name not in self.scales
                    problems.append(f"column {column!r}: {error}{NO_SCALE if scale else ''}")
                else:
                    values[wanted] = result
        if not values:
            return [], problems
        made: dict[str, Any] = {
            "model_version": self.model_version,
            "result": [e for r in values.values() for e in r],
        }
        sure = row.get(self.score) if self.score else None
        if sure is not None and math.isfinite(sure):
            made["score"] = float(sure)
        return [made], problems

    def _control(self, template: Template, name: str) -> Control:
        controls = template.controls
        if name in controls:
            return controls[name]
        for control in controls.values():
            if control.repeats and control.name.replace(control.repeats[0][0], "").rstrip("_-. ") == name:
                return control
        raise UnknownNameError(f"control of template {template.name!r}", name, controls)

    def _value(self, control: Control, name: str, given: Any) -> Any:
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        if number and not math.isfinite(given):
            raise InputError(f"{given} is no finite number")
        if number and name in self.scales:
            low, high = self.scales[name]
            given = min(max((given - low) / (high - low), 0.0), 1.0)
        if control.form == "rating" and number:
            return (
                math.floor(1 + given * (control.limit - 1) + 0.5)
                if name in self.scales
                else math.floor(given + 0.5)
            )
        if control.form == "choice" and control.values is not None and {"yes", "no"} <= set(control.values):
            if isinstance(given, bool):
                return "yes" if given else "no"
            if number:
                unsure = "unsure" if "unsure" in control.values else "no"
                return "yes" if given > YES_NO[1] else "no" if given < YES_NO[0] else unsure
        if control.form == "choice" and number:
            return str(given)
        if isinstance(given, (list, tuple)) and control.form in ("choices", "texts"):
            return json.dumps([str(one) for one in given], ensure_ascii=False)
        return given


def read_question(
    view: View,
    template: str | Template,
    params: Mapping[str, Any] | None = None,
    guesses: PreAnnotations | Mapping[str, Any] | None = None,
) -> tuple[Template, PreAnnotations | None]:
    """What is asked about the items of a view: the template fitted to them, and the pre-annotations.

    What could not be used is refused here, before anything is sent: raises what `build_template`, `fit`, `read_guesses` raise,
    InputError for a configuration that does not work, UnknownNameError for a control that is not there.
    """
    asked, given = build_template(template, params).fit(view), read_guesses(guesses)
    asked.parsed  # noqa: B018 - read for what it raises
    if given is not None:
        given.check(asked)
    return asked, given


def check_question(
    columns: Sequence[str] | None,
    template: str | Template,
    params: Mapping[str, Any] | None = None,
    guesses: PreAnnotations | Mapping[str, Any] | None = None,
) -> Template:
    """The template as far as it is known before there are items, of which no more is known than their columns (or None).

    Raises what `read_question` will raise, whatever the items.
    """
    asked, given = build_template(template, params).foresee(columns), read_guesses(guesses)
    asked.parsed  # noqa: B018 - read for what it raises
    if given is not None:
        given.check(asked)
    return asked


def check_round(round: Any) -> None:
    """Raises InputError for what is no number of a round."""
    if not isinstance(round, int) or isinstance(round, bool) or round < 1:
        raise InputError(f"round {round!r}: rounds are numbered from 1")


def read_guesses(guesses: PreAnnotations | Mapping[str, Any] | None) -> PreAnnotations | None:
    """Pre-annotations as a recipe or a command line writes them: a mapping of the fields.

    Raises UnknownNameError for a field that is not there, InputError for a value that cannot be.
    """
    if guesses is None or isinstance(guesses, PreAnnotations):
        return guesses
    from pydantic import TypeAdapter, ValidationError

    if not isinstance(guesses, Mapping):
        raise InputError(f"pre-annotations: {guesses!r} is no mapping with columns and model_version")
    known = {f.name for f in dataclasses.fields(PreAnnotations)}
    if unknown := [name for name in guesses if name not in known]:
        raise UnknownNameError("field of pre-annotations", unknown[0], known)
    try:
        return TypeAdapter(PreAnnotations).validate_python(dict(guesses))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"pre-annotations: {where}: {first['msg']}, got {first['input']!r}") from error
