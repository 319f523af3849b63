"""`model-elements`: what a text says that can be seen, element by element, and what to ask, by a language model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from curate.contracts import detail
from curate.scorers.alignment.judges.client import Client, Question
from curate.scorers.alignment.judges.judging import Judging, Said
from curate.scorers.alignment.judges.parts import (
    FORM,
    TEMPLATE,
    Part,
    check_splitting,
    parts_fields,
    read_parts,
    splitting_prompt,
    tell_parts,
)
from curate.scorers.alignment.vqa.answers import column

__all__ = ["ModelElements"]


@dataclass(frozen=True, kw_only=True)
class ModelElements(Judging):
    """Counts what a text says that can be seen, by a language model: `model_elements`; and asks about each.

    `model_elements_questions` has a yes/no question for each element, with its type and what it rests on, as `pn-vqa`,
    `tifa`, `dsg` and `element-judge` read it; `model_elements_names` the elements as `fga-blip2` reads them (`red
    (color)`); `model_elements_cost` what the replies cost. `model_elements_left_out` counts elements that the model
    named although the text does not hold them: they are not asked about.

    Null with a reason: no text, refused by the endpoint, replies that are no JSON of the form asked for, or none of
    whose elements is in the text.

    `limit`      elements of a text at most; the first count.
    `negatives`  whether the negative questions, whose answer is no, follow behind the others.
    `template`   what is asked; {text}, {types} and {limit} are put in. The form of the answer is added.
    The others are those of `Judging`.
    """

    limit: int = 30
    negatives: bool = False
    template: str = TEMPLATE

    name: ClassVar[str] = "model-elements"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_splitting(self.template, self.limit, self.name)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (*parts_fields("model_elements"), detail(self.cost_name, pa.float64()))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = column(batch, "text").to_pylist()
        jobs = [self._job(text) if text and text.strip() else "no text" for text in texts]
        said = self.judge(jobs)
        return self.answer(self.gives, said, tell_parts([one.value for one in said], self.negatives))

    def _job(self, text: str) -> Callable[[Client], Said[tuple[list[Part], int]]]:
        prompt = splitting_prompt(self.template, text, self.limit)
        question = Question(self.model, prompt, max_tokens=self.max_tokens)
        return lambda client: self.converse(
            client, question, lambda reply: read_parts(reply.text, text, self.limit), FORM
        )
