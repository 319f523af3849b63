"""Templates: what is asked about an item, whoever shows it."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar
from xml.etree.ElementTree import Element, tostring

from curate.annotators.tasks.config import Config, read_config
from curate.annotators.tasks.control import Control
from curate.annotators.tasks.result import Parsed, read_result, write_result
from curate.annotators.tasks.task import Task, make_task
from curate.contracts import View, digest
from curate.errors import CurateError, InputError, UnknownNameError

__all__ = ["TEMPLATES", "Template", "build_template", "choices", "element", "question", "xml_of"]

TEMPLATES: dict[str, str] = {
    "image-text-alignment": "pairs:ImageTextAlignment",
    "image-classification": "labels:ImageClassification",
    "text-classification": "labels:TextClassification",
    "multilabel": "labels:MultiLabel",
    "transcript-check": "speech:TranscriptCheck",
    "pairwise-preference": "preference:PairwisePreference",
    "custom": "custom:Custom",
}
"""Registered name -> module of this folder and class."""


@dataclass(frozen=True)
class Template:
    """What every template has. A frozen dataclass: its fields are its whole configuration.

    A template says which columns it shows (`needs`, of which `media` hold addresses), writes the labelling configuration
    (`config`), makes tasks of rows and reads their results back.
    """

    name: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the items that it shows."""
        raise NotImplementedError

    @property
    def media(self) -> tuple[str, ...]:
        """Fields of a task's data that hold the address of a picture or a sound."""
        return self.parsed.media

    def config(self) -> str:
        """The labelling configuration, as Label Studio's XML."""
        raise NotImplementedError

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the task's data for one row of the items, media by their addresses as in the row."""
        raise NotImplementedError

    @cached_property
    def parsed(self) -> Config:
        """The configuration, checked. Raises InputError that lists what is wrong."""
        return read_config(self.config())

    @property
    def controls(self) -> Mapping[str, Control]:
        """Its controls by name: what each takes."""
        return self.parsed.controls

    def questions(self) -> list[dict[str, Any]]:
        """What is asked, for tools that do not read the configuration: `control`, `form` (see `Control`), `values` to choose
        from, `highest` rating, `for_each` (the field whose every entry it is asked about); null where there is none."""
        return [
            {
                "control": control.name,
                "form": control.form,
                "values": None if control.values is None else list(control.values),
                "highest": control.limit or None,
                "for_each": control.repeats[0][1] if control.repeats else None,
            }
            for control in self.controls.values()
        ]

    @property
    def digest(self) -> str:
        """32 hex digits: two templates with the same configuration and columns have the same."""
        return digest("template", self.name, self.config(), self.needs)

    def columns(self, available: Sequence[str]) -> list[str]:
        """Which columns to read of a view: the id, what is shown, and content hashes of media where they are known.

        Raises UnknownNameError for a needed column that is not there.
        """
        for name in self.needs:
            if name not in available:
                raise UnknownNameError(f"column for template {self.name!r}", name, available)
        hashes = [f"{name}_sha256" for name in self.needs if f"{name}_sha256" in available]
        return list(dict.fromkeys(["id", *self.needs, *hashes]))

    def fit(self, view: View) -> Template:
        """The same template with what it takes from the data (labels that nobody named) filled in."""
        return self

    def foresee(self, columns: Sequence[str] | None) -> Template:
        """The same template for items that will have these columns (None: nobody knows them yet), with stand-ins for what only
        the items tell. Raises what `fit` and `columns` raise, as far as columns tell it."""
        if columns is not None:
            self.columns(columns)
        return self

    def task(
        self,
        row: Mapping[str, Any],
        *,
        dataset: str,
        round: int = 1,
        serve: Callable[[str], str] | None = None,
        predictions: Sequence[Mapping[str, Any]] = (),
    ) -> Task:
        """The task that shows this row (`id`, the columns in `needs`, and `<column>_sha256` where known).

        `serve` turns the address of a medium, as the row has it, into the one under which the tool finds it; key and hash
        do not depend on it. Raises InputError where something to be shown is missing.
        """
        item = str(row["id"])
        missing = [name for name in self.needs if row.get(name) is None]
        if missing:
            raise InputError(f"item {item!r} has no {', '.join(missing)}: it cannot be shown")
        shown = self.show({**row, "_round": round, "_dataset": dataset})
        content = {f: _hex(row[f"{c}_sha256"]) for f, c in self.sources().items() if row.get(f"{c}_sha256")}
        served = {name: _served(shown[name], serve) for name in self.media} if serve else {}
        return make_task(dataset, item, round, shown, served=served, content=content, predictions=predictions)

    def sources(self) -> dict[str, str]:
        """Which column each medium of the task's data comes from."""
        return {name: name for name in self.media}

    def answers(self, result: Any, data: Mapping[str, Any] | None = None) -> Parsed:
        """What a result says about the task with this `data`: values by control, and what is rejected and why."""
        return read_result(self.parsed, result, data)

    def result(
        self, values: Mapping[str, Any], data: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The result that says these values: the inverse of `answers`. Raises InputError for what nobody could say."""
        return write_result(self.parsed, values, data)


def build_template(name: str | Template, params: Mapping[str, Any] | None = None) -> Template:
    """A template by its registered name, with its parameters; a template is handed back as it is.

    Raises UnknownNameError for a name or a parameter that is not there, InputError for a value that cannot be.
    """
    if isinstance(name, Template):
        if params:
            raise InputError(f"parameters {sorted(params)} belong to a template given by its name")
        return name
    if name not in TEMPLATES:
        raise UnknownNameError("template", name, TEMPLATES)
    from pydantic import TypeAdapter, ValidationError

    module, _, attribute = TEMPLATES[name].partition(":")
    cls: type[Template] = getattr(importlib.import_module(f"curate.annotators.tasks.{module}"), attribute)
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := [key for key in params or {} if key not in known]:
        raise UnknownNameError(f"parameter of template {name!r}", unknown[0], known)
    try:
        made: Template = TypeAdapter(cls).validate_python(dict(params or {}))
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, CurateError):  # what the template said itself
            raise InputError(f"template {name}: {str(own).removeprefix(f'{name}: ')}") from error
        where, given, why = ".".join(str(part) for part in first["loc"]) or name, first["input"], first["msg"]
        if isinstance(given, str) and first["type"] == "tuple_type":
            why = f"a list is meant, such as {json.dumps(given.split(','), ensure_ascii=False)}"
        raise InputError(f"template {name}: {where!r}: {why}, got {given!r}") from error
    return made


# --- Pieces of configurations -----------------------------------------------------------------------------------


def element(tag: str, *children: Element, **attributes: Any) -> Element:
    """A tag; what its attributes hold is escaped whatever it is. A trailing `_` of a name is taken off."""
    node = Element(tag, {name.rstrip("_"): _attribute(value) for name, value in attributes.items()})
    node.extend(children)
    return node


def choices(
    name: str, to: str, values: Sequence[str], *, several: bool = False, **attributes: Any
) -> Element:
    """A `<Choices>`: one of these values, or several."""
    listed = [element("Choice", value=value) for value in values]
    how = "multiple" if several else "single"
    return element("Choices", *listed, name=name, toName=to, choice=how, **attributes)


def question(text: str) -> Element:
    """A line that asks something."""
    return element("Header", value=text, size=5)


def xml_of(root: Element) -> str:
    """The configuration as text."""
    return tostring(root, encoding="unicode")


def _attribute(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, (bytes, memoryview)) else str(value)


def _served(address: Any, serve: Callable[[str], str]) -> Any:
    return [serve(one) for one in address] if isinstance(address, list) else serve(address)
