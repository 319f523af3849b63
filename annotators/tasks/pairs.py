"""`image-text-alignment`: how well a picture shows a text, as a whole and element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from curate.annotators.tasks.template import Template, choices, element, question, xml_of
from curate.errors import InputError

__all__ = ["NONSENSE", "ImageTextAlignment", "element_texts"]

NONSENSE = "prompt makes no sense"
_TEXT_FIELDS = ("element", "text", "name", "question")


@dataclass(frozen=True)
class ImageTextAlignment(Template):
    """A picture beside its text: `overall` from 1 to 5, for each element `element_0` ... yes, no or unsure, what is wrong
    with the pair itself (`problem`), and a `comment`.

    `image` and `text` are columns; `elements`, where set, a column of lists of strings, or of structs with a field
    `element`, `text`, `name` or `question`. Without elements only the whole is judged. With the problem "prompt makes no
    sense" no rating is asked for.
    """

    image: str = "image"
    text: str = "caption"
    elements: str = ""
    limit: int = 5

    name: ClassVar[str] = "image-text-alignment"
    kinds: ClassVar[tuple[str, ...]] = ("image-text",)

    def __post_init__(self) -> None:
        if self.limit < 2:
            raise InputError(f"image-text-alignment: limit={self.limit}: ratings go from 1 to 2 at least")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.image, self.text, *((self.elements,) if self.elements else ()))

    def sources(self) -> dict[str, str]:
        return {"image": self.image}

    def config(self) -> str:
        ask = [
            element("Text", name="caption", value="$caption", valueType="text"),
            element(
                "View",
                question("How well does the picture show the text?"),
                element("Rating", name="overall", toName="image", maxRating=self.limit, required=True),
                visibleWhen="choice-unselected",
                whenTagName="problem",
                whenChoiceValue=NONSENSE,
            ),
            *self._elements(),
            choices("problem", "image", (NONSENSE, "picture cannot be judged"), several=True),
            element(
                "TextArea", name="comment", toName="image", maxSubmissions=1, rows=2, placeholder="Comment"
            ),
        ]
        picture = element("View", element("Image", name="image", value="$image"), style="flex: 55%")
        side = element("View", *ask, style="flex: 45%")
        return xml_of(element("View", picture, side, style="display: flex; gap: 1.5em"))

    def _elements(self) -> tuple[Any, ...]:
        if not self.elements:
            return ()
        one = element(
            "View",
            element("Text", name="element_text_{{idx}}", value="$elements[{{idx}}].text", valueType="text"),
            choices("element_{{idx}}", "element_text_{{idx}}", ("yes", "no", "unsure"), showInline=True),
            style="display: flex; gap: 1em; align-items: center",
        )
        repeated = element("Repeater", one, on="$elements", indexFlag="{{idx}}")
        return question("Is each of these in the picture?"), repeated

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        shown = {"image": row[self.image], "caption": row[self.text]}
        if self.elements:
            shown["elements"] = [{"text": text} for text in element_texts(row[self.elements])]
        return shown


def element_texts(elements: Any) -> list[str]:
    """The texts of a list of elements: strings, or mappings with a field `element`, `text`, `name` or `question`.

    Raises InputError for anything else.
    """
    found = []
    for one in elements or ():
        if isinstance(one, Mapping):
            one = next((one[name] for name in _TEXT_FIELDS if one.get(name)), None)
        if not isinstance(one, str):
            raise InputError(
                f"an element {str(one)[:60]!r}: strings are meant, or structs with {', '.join(_TEXT_FIELDS)}"
            )
        found.append(one)
    return found
