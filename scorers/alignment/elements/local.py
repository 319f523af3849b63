"""`local-elements`: what a text says that can be seen, and what to ask, by a language model on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from curate.contracts import reason_name
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.alignment.elements.generating import WHAT, Answerer, load_answerer
from curate.scorers.alignment.judges.parts import (
    TEMPLATE,
    Part,
    check_splitting,
    parts_fields,
    read_parts,
    splitting_prompt,
    tell_parts,
)
from curate.scorers.alignment.judges.reading import Unreadable
from curate.scorers.alignment.vqa.answers import column
from curate.weights import Precision, check_model, check_precision

__all__ = ["LocalElements"]


@dataclass(frozen=True)
class LocalElements:
    """Counts what a text says that can be seen, by a language model of your own: `local_elements`; and asks about each.

    It asks what `model-elements` asks an endpoint, and reads the answer alike: `local_elements_questions` for `pn-vqa`,
    `tifa`, `dsg` and `element-judge`; `local_elements_names` for `fga-blip2`; `local_elements_left_out` counts elements
    that the model named although the text does not hold them. Decoding is greedy: the same text has the same elements.

    Null with a reason: no text, one too long for the model or holding one of its own tokens, an answer that is no JSON of
    the form asked for, or none of whose elements is in the text.

    `model`       a causal language model in transformers' format: a name on the hub, or the path of a folder.
    `limit`       elements of a text at most; the first count.
    `negatives`   whether the negative questions, whose answer is no, follow behind the others.
    `template`    what is asked; {text}, {types} and {limit} are put in. The form of the answer is added.
    `max_tokens`  of an answer.
    `device`      "auto" (cuda, mps, cpu), or a PyTorch device.
    `precision`   "fp32", "bf16", or "fp16" on a GPU.
    `batch_size`  texts at a time.
    """

    model: str = "Qwen/Qwen2.5-1.5B-Instruct"
    limit: int = 30
    negatives: bool = False
    template: str = TEMPLATE
    max_tokens: int = 1024
    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 8

    name: ClassVar[str] = "local-elements"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_splitting(self.template, self.limit, self.name)
        if self.max_tokens < 1 or self.batch_size < 1:
            raise InputError(
                f"{self.name}: max_tokens {self.max_tokens} and batch_size {self.batch_size}, at least 1"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return parts_fields("local_elements")

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_model(self.model, WHAT)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = self._split(column(batch, "text").to_pylist())
        said = [None if isinstance(one, str) else one for one in found]
        columns = [
            *tell_parts(said, self.negatives),
            [one if isinstance(one, str) else None for one in found],
        ]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        arrays = [pa.array(values, f.type) for values, f in zip(columns, fields, strict=True)]
        return pa.record_batch(arrays, schema=pa.schema(fields))

    def _split(self, texts: Sequence[str | None]) -> list[tuple[list[Part], int] | str]:
        """The elements of each text and how many were left out, or why there are none."""
        model = load_answerer(str(self.model), self.device, self.precision)
        found: list[tuple[list[Part], int] | str] = [_unasked(model, text) for text in texts]
        asked = {i: str(texts[i]) for i, why in enumerate(found) if not why}
        prompts = [splitting_prompt(self.template, text, self.limit) for text in asked.values()]
        answers = model.answer(prompts, max_tokens=self.max_tokens, batch_size=self.batch_size)
        for (i, text), answer in zip(asked.items(), answers, strict=True):
            found[i] = self._read(model, text, answer)
        return found

    def _read(self, model: Answerer, text: str, answer: str | None) -> tuple[list[Part], int] | str:
        if answer is None:
            return f"the question and an answer of {counted(self.max_tokens, 'token')} are more than the {model.limit} the model takes"
        try:
            return read_parts(answer, text, self.limit)
        except Unreadable as error:
            return f"the model's answer cannot be read: {error}; it begins {answer[:80]!r}"


def _unasked(model: Answerer, text: str | None) -> str:
    """Why a text is not asked about; empty where it is."""
    if text is None or not text.strip():
        return "no text"
    marks = model.find_marks(text)
    return f"the text holds a token of the model's own, {min(marks)!r}" if marks else ""
