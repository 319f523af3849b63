"""Results as Label Studio writes them, read into (control, value) and written from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from curate.annotators.tasks.config import Config
from curate.annotators.tasks.control import Control, Refused
from curate.contracts import digest
from curate.counting import counted
from curate.errors import InputError, UnknownNameError

__all__ = ["RELATIONS", "Parsed", "check_result", "read_result", "write_result"]

RELATIONS = "relations"
"""The control under which relations between regions are kept: they belong to none."""


@dataclass(frozen=True)
class Parsed:
    """What a result says: `values` by control; `rejected` by control: what was said and why it cannot be; `origins` by
    control: for each part `manual`, `prediction` or `prediction-changed`, as far as the tool says."""

    values: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, tuple[str, str]] = field(default_factory=dict)
    origins: dict[str, tuple[str, ...]] = field(default_factory=dict)


def read_result(config: Config, result: Any, data: Mapping[str, Any] | None = None) -> Parsed:
    """Every control's value, in the order of the result; never raises for what a person or a server may have written.

    `data` is the task's: how many repetitions there are, and which options it lists itself.
    """
    parsed = Parsed()
    if not isinstance(result, Sequence) or isinstance(result, (str, bytes)):
        parsed.rejected[""] = (_dump(result), "the result is no list")
        return parsed
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for entry in result:
        if not isinstance(entry, Mapping):
            parsed.rejected[""] = (_dump(entry), "a result that is no mapping")
        elif entry.get("type") == "relation":
            grouped.setdefault(RELATIONS, []).append(entry)
        else:
            grouped.setdefault(str(entry.get("from_name", "")), []).append(entry)
    for name, entries in grouped.items():
        try:
            parsed.values[name] = _value(config, name, entries, data)
        except Refused as refused:
            said = [entry.get("value", entry) for entry in entries]
            parsed.rejected[name] = (_dump(said[0] if len(said) == 1 else said), str(refused))
        parsed.origins[name] = tuple(str(entry["origin"]) for entry in entries if entry.get("origin"))
    return parsed


def _value(
    config: Config, name: str, entries: Sequence[Mapping[str, Any]], data: Mapping[str, Any] | None
) -> str:
    if name == RELATIONS and entries[0].get("type") == "relation":
        plain = [{k: e.get(k) for k in ("from_id", "to_id", "direction", "labels")} for e in entries]
        return _dump(sorted(plain, key=_dump))
    control = _control(config, name, data)
    if control.form == "regions":
        return _regions(control, entries, data)
    if len(entries) > 1:
        raise Refused(f"{counted(len(entries), 'result')} of one control where one is meant")
    if entries[0].get("type") != control.kind.type:
        raise Refused(f"a result of type {entries[0].get('type')!r}, {control.kind.type!r} is meant")
    return control.read(entries[0].get("value"), data)


def _control(config: Config, name: str, data: Mapping[str, Any] | None) -> Control:
    try:
        control, index = config.find(name)
    except UnknownNameError as error:
        raise Refused(str(error)) from None
    if control.repeats and data is not None:
        listed = data.get(control.repeats[0][1])
        there = len(listed) if isinstance(listed, list) else 0
        if index >= there:
            raise Refused(f"there is no repetition {index} of {control.name!r}: {there} are shown")
    return control


def _regions(control: Control, entries: Sequence[Mapping[str, Any]], data: Mapping[str, Any] | None) -> str:
    """A JSON list of places, each with its `id` (by which controls of one region belong together), sorted."""
    found = []
    for entry in entries:
        place = json.loads(control.read(entry.get("value"), data))
        found.append({**place, "id": str(entry["id"])} if entry.get("id") is not None else place)
    return _dump(sorted(found, key=lambda p: (p.get("start") if _number(p.get("start")) else 0, _dump(p))))


def write_result(
    config: Config, values: Mapping[str, Any], data: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """A result that says these values (numbers, strings, lists; regions as a list of mappings, or any as the text that
    `read_result` gives). Raises InputError for a control or a value that the configuration does not have.
    """
    result: list[dict[str, Any]] = []
    for name, value in values.items():
        try:
            control = _control(config, name, data)
            result += _entries(control, name, value, data)
        except Refused as refused:
            raise InputError(f"control {name!r}: {refused}") from None
    return result


def _entries(control: Control, name: str, value: Any, data: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    index = control.index(name) or 0
    entry = {"from_name": name, "to_name": control.about(index), "type": control.kind.type}
    if isinstance(value, str) and control.form not in ("choice", "text") and control.tag != "Pairwise":
        value = _loaded(value)
    if control.form != "regions":
        said = control.value(control.text(value, data))
        return [{"id": _mark(name), **entry, "value": said}]
    places = value if isinstance(value, list) else [value]
    made = []
    for i, place in enumerate(places):
        if not isinstance(place, Mapping):
            raise Refused(f"{str(place)[:80]!r} is no region")
        plain = {k: v for k, v in place.items() if k != "id"}
        control.read(plain, data)
        made.append({"id": str(place.get("id", digest(name, i)[:10])), **entry, "value": plain})
    return made


def check_result(config: Config, result: Any, data: Mapping[str, Any] | None = None) -> list[str]:
    """What is wrong with a pre-annotation, in words: the server takes anything, and shows nothing."""
    parsed = read_result(config, result, data)
    wrong = [f"{name or 'result'}: {why}" for name, (_, why) in parsed.rejected.items()]
    if isinstance(result, Sequence) and not isinstance(result, str):
        for entry in result:
            if isinstance(entry, Mapping) and entry.get("from_name") in parsed.values:
                control, index = config.find(entry["from_name"])
                if entry.get("to_name") != control.about(index):
                    wrong.append(
                        f"{entry['from_name']}: about {entry.get('to_name')!r}, {control.about(index)!r} is meant"
                    )
    return wrong


@lru_cache(maxsize=1024)
def _mark(name: str) -> str:
    """The id of what one control says: the same for every task."""
    return digest(name)[:10]


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
