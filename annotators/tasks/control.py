"""One question of a configuration: which values it takes, how they are written, and how they are read back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curate.annotators.tasks.tags import CONTROLS, Tag
from curate.counting import counted

__all__ = ["Control", "Form", "Refused", "plain_number"]

Form = Literal["choice", "choices", "rating", "number", "text", "texts", "json", "regions"]


class Refused(ValueError):
    """A value that nobody could give by this control; the message says why."""


@dataclass(frozen=True)
class Control:
    """One control of a configuration.

    `name` as it is written there; inside a Repeater it holds flags (`element_{{idx}}`), and `repeats` says over which field
    each runs. `to` are the objects it is about. `values` are those it may take, in their order, None: not a fixed list;
    `field` is the field of the task that lists them, where one does. `limit` is the highest rating.
    `form` says how a value reads: `choice` (one, plain), `choices` (a JSON list), `rating`, `number`, `text` (plain),
    `texts`, `json`, `regions` (a JSON list of places).
    """

    name: str
    tag: str
    to: tuple[str, ...]
    form: Form
    values: tuple[str, ...] | None = None
    field: str = ""
    limit: int = 0
    low: float = -math.inf
    high: float = math.inf
    repeats: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> Tag:
        """Where its results lie."""
        return CONTROLS[self.tag]

    def index(self, name: str) -> int | None:
        """Which repetition a name means: 0 for the name itself, None for another name. Nested: of the outermost."""
        if not self.repeats:
            return 0 if name == self.name else None
        pattern = re.escape(self.name)
        for flag, _ in self.repeats:
            pattern = pattern.replace(re.escape(flag), r"(0|[1-9]\d{0,5})", 1)
        found = re.fullmatch(pattern, name)
        return int(found[1]) if found else None

    def named(self, index: int) -> str:
        """Its name at this repetition."""
        return self.name.replace(self.repeats[0][0], str(index)) if self.repeats else self.name

    def about(self, index: int) -> str:
        """What it is about at this repetition, as a result's `to_name`."""
        flag = self.repeats[0][0] if self.repeats else ""
        return ",".join(to.replace(flag, str(index)) if flag else to for to in self.to)

    def allowed(self, data: Mapping[str, Any] | None = None) -> tuple[str, ...] | None:
        """The values it may take about this task, None: any."""
        if not self.field:
            return self.values
        listed = (data or {}).get(self.field)
        return tuple(_entries(listed)) if isinstance(listed, list) else None

    def read(self, value: Any, data: Mapping[str, Any] | None = None) -> str:
        """A result's `value` as text. Raises Refused for what nobody could give."""
        if not isinstance(value, Mapping) or (self.kind.key and self.kind.key not in value):
            raise Refused(f"its value has no {self.kind.key!r}: {_short(value)}")
        if self.form == "regions":
            self._check_labels(value.get(self.kind.key, []) if self.kind.key else [], data)
            return _dump(value)
        return self.text(value[self.kind.key], data)

    def text(self, value: Any, data: Mapping[str, Any] | None = None) -> str:
        """A plain value (a number, a string, a list) as the text that is stored. Raises Refused."""
        if self.form in ("choice", "choices"):
            return self._choices(value, data)
        if self.form == "rating":
            return self._rating(value)
        if self.form == "number":
            number = _finite(value)
            if not self.low <= number <= self.high:
                raise Refused(f"{plain_number(number)} is not from {self.low:g} to {self.high:g}")
            return plain_number(number)
        if self.form in ("text", "texts"):
            return self._texts(value)
        if self.tag == "Pairwise":
            if value not in ("left", "right"):
                raise Refused(f"{_short(value)} is neither 'left' nor 'right'")
            return str(value)
        return _dump(value)

    def value(self, text: str) -> dict[str, Any]:
        """The `value` of a result that says this text: the inverse of `read`, but for regions."""
        if self.tag in ("Pairwise", "DateTime"):
            return {self.kind.key: text}
        if self.form in ("choice", "text"):
            return {self.kind.key: [text]}
        return {self.kind.key: json.loads(text)}

    def _choices(self, value: Any, data: Mapping[str, Any] | None) -> str:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, Sequence) or not all(isinstance(v, str) for v in given) or not given:
            raise Refused(f"{_short(value)} is no choice")
        given = list(dict.fromkeys(given))
        if self.form == "choice" and len(given) > 1:
            raise Refused(f"{counted(len(given), 'choice')} where one is meant: {_short(given)}")
        self._check_labels(given, data)
        if self.form == "choice":
            return str(given[0])
        place = {v: i for i, v in enumerate(self.allowed(data) or ())}
        return _dump(sorted(given, key=lambda v: (place.get(v, len(place)), v)))

    def _rating(self, value: Any) -> str:
        number = _finite(value)
        if number != int(number) or not 1 <= number <= self.limit:
            raise Refused(f"{plain_number(number)} is no rating from 1 to {self.limit}")
        return str(int(number))

    def _texts(self, value: Any) -> str:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, Sequence) or not all(isinstance(v, str) for v in given) or not given:
            raise Refused(f"{_short(value)} is no text")
        if self.form == "texts":
            return _dump(list(given))
        if len(given) > 1:
            raise Refused(f"{counted(len(given), 'text')} where one is meant: {_short(given)}")
        return str(given[0])

    def _check_labels(self, given: Any, data: Mapping[str, Any] | None) -> None:
        allowed = self.allowed(data)
        if not isinstance(given, Sequence) or isinstance(given, str):
            raise Refused(f"{_short(given)} is no list of labels")
        if allowed is None or self.tag == "OcrLabels":
            return
        if strange := [v for v in given if v not in allowed]:
            raise Refused(f"{_short(strange[0])} is none of {', '.join(map(repr, allowed[:20]))}")


def plain_number(number: float) -> str:
    """A number as text, whole ones without a point."""
    return str(int(number)) if number == int(number) else repr(float(number))


def _finite(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Refused(f"{_short(value)} is no finite number")
    return float(value)


def _entries(listed: list[Any]) -> list[str]:
    """The values of a list of options in a task's data: strings, or mappings with an alias or a value."""
    found: list[str] = []
    for one in listed:
        if isinstance(one, Mapping):
            found.append(str(one.get("alias") or one.get("value")))
            found += _entries(one["children"]) if isinstance(one.get("children"), list) else []
        else:
            found.append(str(one))
    return found


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
