"""`pairwise-preference`: which of two is better, shown in an order that nobody can guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from curate.annotators.tasks.result import Parsed
from curate.annotators.tasks.task import task_key
from curate.annotators.tasks.template import Template, choices, element, question, xml_of
from curate.errors import InputError

__all__ = ["PairwisePreference"]


@dataclass(frozen=True)
class PairwisePreference(Template):
    """Two answers to one prompt side by side: `preference`, and a `comment`.

    The value is the column that is preferred (`first` or `second`), "tie" or "both bad". Which of the two is shown on the
    left changes from item to item and from round to round, so that nobody can prefer a side, or guess which one the
    data set calls better; the task remembers it. `shows` is what the two columns hold: text, or addresses of images
    or sounds. `prompt` may be empty: none is shown.
    """

    first: str = "chosen"
    second: str = "rejected"
    prompt: str = "prompt"
    shows: Literal["text", "image", "audio"] = "text"

    name: ClassVar[str] = "pairwise-preference"
    kinds: ClassVar[tuple[str, ...]] = ("preference",)

    def __post_init__(self) -> None:
        if self.first == self.second:
            raise InputError(f"pairwise-preference: both sides show the column {self.first!r}")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.first, self.second, *((self.prompt,) if self.prompt else ()))

    def sources(self) -> dict[str, str]:
        return {}  # the sides change; their addresses, which the hash holds, tell them apart

    def config(self) -> str:
        boxed = "flex: 50%; border: 1px solid #ccc; padding: 1em"
        sides = [element("View", self._side(side), style=boxed) for side in ("left", "right")]
        top = (element("Text", name="prompt", value="$prompt", valueType="text"),) if self.prompt else ()
        return xml_of(
            element(
                "View",
                *top,
                element("View", *sides, style="display: flex; gap: 1.5em"),
                question("Which one is better?"),
                choices(
                    "preference", "left", ("left", "right", "tie", "both bad"), required=True, showInline=True
                ),
                element(
                    "TextArea", name="comment", toName="left", maxSubmissions=1, rows=2, placeholder="Comment"
                ),
            )
        )

    def _side(self, side: str) -> Any:
        tag = {"text": "Text", "image": "Image", "audio": "Audio"}[self.shows]
        extra = {"valueType": "text"} if self.shows == "text" else {}
        return element(tag, name=side, value=f"${side}", **extra)

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        key = task_key(row.get("_dataset", ""), str(row["id"]), row.get("_round", 1))
        order = [self.first, self.second] if int(key, 16) % 2 == 0 else [self.second, self.first]
        prompt = {"prompt": row[self.prompt]} if self.prompt else {}
        return {**prompt, "left": row[order[0]], "right": row[order[1]], "order": order}

    def answers(self, result: Any, data: Mapping[str, Any] | None = None) -> Parsed:
        parsed = super().answers(result, data)
        said = parsed.values.get("preference")
        if said in ("left", "right"):
            order = (data or {}).get("order")
            if isinstance(order, list) and sorted(order) == sorted((self.first, self.second)):
                parsed.values["preference"] = str(order[("left", "right").index(said)])
            else:
                del parsed.values["preference"]
                parsed.rejected["preference"] = (said, "the task no longer says which one was on which side")
        return parsed

    def result(
        self, values: Mapping[str, Any], data: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        said, order = dict(values), (data or {}).get("order") or []
        if said.get("preference") in (self.first, self.second):
            if said["preference"] not in order:
                raise InputError(
                    "a preference can only be written for a task that says which one is on which side"
                )
            said["preference"] = ("left", "right")[order.index(said["preference"])]
        return super().result(said, data)
