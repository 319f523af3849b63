"""`transcript-check`: does a text say what is spoken, and if not, where and what instead?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from curate.annotators.tasks.template import Template, choices, element, question, xml_of

__all__ = ["TranscriptCheck"]


@dataclass(frozen=True)
class TranscriptCheck(Template):
    """A sound above its transcript: a `verdict` (correct, wrong, unintelligible), where it is wrong (`problems`, marked
    places with one of `marks`), the right `transcript`, and a `comment`.

    `audio` and `text` are columns.
    """

    audio: str = "audio"
    text: str = "text"
    marks: tuple[str, ...] = ("wrong word", "missing word", "extra word", "noise", "other speaker")

    name: ClassVar[str] = "transcript-check"
    kinds: ClassVar[tuple[str, ...]] = ("speech",)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.audio, self.text)

    def sources(self) -> dict[str, str]:
        return {"audio": self.audio}

    def config(self) -> str:
        marks = [element("Label", value=mark) for mark in self.marks]
        verdicts = ("correct", "wrong", "unintelligible")
        wrong = element(
            "View",
            question("What is really said?"),
            element(
                "TextArea",
                name="transcript",
                toName="audio",
                value="$text",
                maxSubmissions=1,
                rows=3,
                editable=True,
            ),
            visibleWhen="choice-selected",
            whenTagName="verdict",
            whenChoiceValue="wrong",
        )
        return xml_of(
            element(
                "View",
                element("Labels", *marks, name="problems", toName="audio"),
                element("Audio", name="audio", value="$audio"),
                element("Text", name="text", value="$text", valueType="text"),
                question("Is this what is said?"),
                choices("verdict", "audio", verdicts, required=True, showInline=True),
                wrong,
                element(
                    "TextArea",
                    name="comment",
                    toName="audio",
                    maxSubmissions=1,
                    rows=2,
                    placeholder="Comment",
                ),
            )
        )

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {"audio": row[self.audio], "text": row[self.text]}
