"""`custom`: any configuration of Label Studio, checked before anybody sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from curate.annotators.tasks.config import read_config
from curate.annotators.tasks.template import Template
from curate.errors import UnknownNameError

__all__ = ["Custom"]


@dataclass(frozen=True)
class Custom(Template):
    """A configuration of your own: `xml`, and for each field of the task it shows the column it comes from.

    `fields` maps fields to columns; a field that is not named there comes from the column of its own name.
    Constructing one checks the configuration: InputError lists everything that is wrong with it.
    """

    xml: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    name: ClassVar[str] = "custom"
    kinds: ClassVar[tuple[str, ...]] = ("image-text", "speech", "label", "instruction", "preference")

    def __post_init__(self) -> None:
        shown = read_config(self.xml).fields
        for name in self.fields:
            if name not in shown:
                raise UnknownNameError("field of the configuration", name, shown)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.fields.get(name, name) for name in self.parsed.fields)

    def sources(self) -> dict[str, str]:
        return {name: self.fields.get(name, name) for name in self.media}

    def config(self) -> str:
        return self.xml

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: row[self.fields.get(name, name)] for name in self.parsed.fields}
