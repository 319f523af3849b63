"""`elements`: what a text says that can be asked about its image, by rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import detail, reason_name, score
from curate.errors import InputError
from curate.scorers.alignment.elements.rules import ask_elements
from curate.scorers.alignment.vqa.questions import QUESTIONS

__all__ = ["Elements"]


@dataclass(frozen=True)
class Elements:
    """Counts what a text names that can be seen, by rules: `elements`; and asks about each: `elements_questions`.

    The questions are as `pn-vqa` and `dsg` read them (`questions="elements_questions"`). They are made by small rules for
    English, not by a model: look at them before they decide anything. Null with a reason: no text, or one that names nothing.

    `limit`  elements of a text at most.
    """

    limit: int = 30

    name: ClassVar[str] = "elements"
    version: ClassVar[int] = 2
    processes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise InputError(f"elements: limit {self.limit}, at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return score("elements"), detail("elements_questions", QUESTIONS)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column(batch.schema.get_field_index("text"))
        asked = ask_elements(texts.to_pylist(), self.limit)
        counts = pc.list_value_length(asked).cast(pa.float32())
        said = [bool(text and text.strip()) for text in texts.to_pylist()]
        reasons = [
            None if valid else "the text names nothing" if text else "no text"
            for valid, text in zip(asked.is_valid().to_pylist(), said, strict=True)
        ]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([counts, asked, pa.array(reasons, pa.string())], schema=pa.schema(fields))
