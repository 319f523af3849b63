"""Classification: one class of a picture or a text, or several labels of anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from curate.annotators.tasks.result import Parsed
from curate.annotators.tasks.template import Template, choices, element, question, xml_of
from curate.contracts import View
from curate.counting import counted
from curate.errors import InputError

__all__ = ["ImageClassification", "MultiLabel", "TextClassification"]

MOST = 500
"""No more classes than this are taken from the data: nobody finds one among more."""
STAND_INS = ("one label", "another")
"""Stand for labels that are in the data."""
Shown = Literal["image", "text", "audio"]


@dataclass(frozen=True)
class _Labels(Template):
    """What the three have in common: a column to show, and labels to choose from."""

    labels: tuple[str, ...] = ()
    label: str = "label"

    def fit(self, view: View) -> Template:
        """With the distinct values of the column `label` as labels, where none were named; of lists, what they hold. Left
        alone, `label` is `labels` too, where items have such a column."""
        if self.labels:
            return self
        columns = self._sources(view.columns)
        labels = tuple(sorted({value for column in columns for value in _values(view, column)}))
        if not labels or len(labels) > MOST:
            raise InputError(
                f"{self.name}: the column {' and '.join(map(repr, columns))} has {counted(len(labels), 'value')}: name the "
                f"labels (1 to {MOST})"
            )
        return replace(self, labels=labels)

    def foresee(self, columns: Sequence[str] | None) -> Template:
        """With two stand-ins for labels that `fit` will take from the column."""
        if self.labels:
            return super().foresee(columns)
        if columns is not None:
            self._sources(columns)
        return replace(self, labels=STAND_INS).foresee(columns)

    def _sources(self, columns: Sequence[str]) -> list[str]:
        """Of these columns those that labels are taken from."""
        meant = ("label", "labels") if self.label == "label" else (self.label,)
        found = [column for column in meant if column in columns]
        if not found:
            raise InputError(
                f"{self.name}: name the labels, or a column `label` that holds them: {self.label!r} is none of "
                f"{', '.join(columns)}"
            )
        return found

    def _offered(self) -> tuple[str, ...]:
        """What can be chosen."""
        return self.labels

    def _config(self, shows: Shown, asks: str, several: bool) -> str:
        what = {
            "image": element("Image", name="image", value="$image"),
            "text": element("Text", name="text", value="$text", valueType="text"),
            "audio": element("Audio", name="audio", value="$audio"),
        }[shows]
        if not self.labels:
            raise InputError(f"{self.name} has no labels: name them, or let `fit` take them from a column")
        name = "labels" if several else "label"
        chosen = choices(name, shows, self._offered(), several=several, required=True, showInline=True)
        comment = element(
            "TextArea", name="comment", toName=shows, maxSubmissions=1, rows=2, placeholder="Comment"
        )
        return xml_of(element("View", what, question(asks), chosen, comment))


def _values(view: View, column: str) -> list[str]:
    """The distinct values of a column as text; of a column of lists, those within them."""
    quoted = '"' + column.replace('"', '""') + '"'
    lists = pa.types.is_nested(view.take(np.empty(0, np.int64), [column]).schema.field(column).type)
    value = f"unnest({quoted})" if lists else quoted
    found = view.sql(f"SELECT DISTINCT CAST({value} AS VARCHAR) AS l FROM view", [column])
    return [v for v in found.column("l").to_pylist() if v is not None]


@dataclass(frozen=True)
class ImageClassification(_Labels):
    """Which one class does a picture show? `label`, and a `comment`.

    `labels` are the classes, by default the distinct values of the column `label`; `image` is the column shown.
    """

    image: str = "image"

    name: ClassVar[str] = "image-classification"
    kinds: ClassVar[tuple[str, ...]] = ("label", "image-text")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.image,)

    def sources(self) -> dict[str, str]:
        return {"image": self.image}

    def config(self) -> str:
        return self._config("image", "What does the picture show?", False)

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"image": row[self.image]}


@dataclass(frozen=True)
class TextClassification(_Labels):
    """Which one class does a text belong to? `label`, and a `comment`.

    `labels` are the classes, by default the distinct values of the column `label`; `text` is the column shown.
    """

    text: str = "text"

    name: ClassVar[str] = "text-classification"
    kinds: ClassVar[tuple[str, ...]] = ("label", "instruction", "speech", "preference", "image-text")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.text,)

    def config(self) -> str:
        return self._config("text", "Which class is it?", False)

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": row[self.text]}


@dataclass(frozen=True)
class MultiLabel(_Labels):
    """Which labels hold? `labels` (a list), and a `comment`.

    `shows` is what the `column` holds: image, text or audio; without a column the one of that name is shown.
    `none` names one more choice, for items to which no label applies ("none of these"): its answer is an empty set. Without
    it everybody has to choose something, or to skip.
    """

    shows: Shown = "image"
    column: str = ""
    none: str = ""

    name: ClassVar[str] = "multilabel"
    kinds: ClassVar[tuple[str, ...]] = ("label", "image-text", "speech", "instruction")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.column or self.shows,)

    def sources(self) -> dict[str, str]:
        return {} if self.shows == "text" else {self.shows: self.needs[0]}

    def config(self) -> str:
        return self._config(self.shows, "Which of these hold?", True)

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {self.shows: row[self.needs[0]]}

    def answers(self, result: Any, data: Mapping[str, Any] | None = None) -> Parsed:
        parsed = super().answers(result, data)
        said = json.loads(parsed.values.get("labels", "[]"))
        if self.none and said == [self.none]:
            parsed.values["labels"] = "[]"
        elif self.none in said:
            del parsed.values["labels"]
            parsed.rejected["labels"] = (json.dumps(said), f"{self.none!r} and a label cannot both be")
        return parsed

    def result(
        self, values: Mapping[str, Any], data: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        said = dict(values)
        if self.none and said.get("labels") in ("[]", []):
            said["labels"] = json.dumps([self.none])
        return super().result(said, data)

    def _offered(self) -> tuple[str, ...]:
        return (*self.labels, self.none) if self.none else self.labels
