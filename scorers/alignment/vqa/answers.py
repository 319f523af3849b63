"""What all scorers by a vision-language model share: their fields, reading images, and answers as columns."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name
from curate.errors import InputError, MediaError
from curate.scorers.alignment.vqa.loading import WHAT, load_vision_language_model
from curate.scorers.alignment.vqa.measures import Normalise, yes_probability
from curate.scorers.alignment.vqa.model import Job
from curate.weights import Precision, check_model, check_precision

__all__ = ["Asking", "answer", "answers_type", "check_template", "column", "lists"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Asking:
    """Which model is asked, and how its answer is read: the fields of all scorers by a vision-language model."""

    model: str = "Qwen/Qwen2-VL-7B-Instruct"
    yes: tuple[str, ...] = ("yes",)
    no: tuple[str, ...] = ("no",)
    normalise: Normalise = "yes-no"
    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 8

    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}, at least 1")
        both = {w.strip().lower() for w in self.yes} & {w.strip().lower() for w in self.no}
        if not self.yes or not self.no or both:
            raise InputError(f"yes={self.yes!r} and no={self.no!r}: words for each, none for both")

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_model(self.model, WHAT, "vision")

    def ask(self, images: Sequence[str | None], prompts: Sequence[Sequence[str] | str]) -> list[Floats | str]:
        """P(yes) of the prompts of each image (address), (prompts,) float64; or why there is none.

        Where a string stands for the prompts, it is the reason why that image is not to be asked about.
        """
        model = load_vision_language_model(self.model, self.device, self.precision)
        words = [model.find_words(self.yes), model.find_words(self.no)]
        answers: list[Floats | str] = [""] * len(images)
        asked: list[int] = []

        def jobs() -> Iterator[Job]:
            for row, (address, texts) in enumerate(zip(images, prompts, strict=True)):
                image = _read(address) if not isinstance(texts, str) else texts
                if isinstance(image, str) or isinstance(texts, str):
                    answers[row] = str(image)
                    continue
                asked.append(row)
                yield image, texts

        found = model.ask(jobs(), words, self.batch_size)
        for row, logs in zip(asked, found, strict=True):
            answers[row] = (
                logs if isinstance(logs, str) else yes_probability(logs[:, 0], logs[:, 1], self.normalise)
            )
        return answers


def _read(address: str | None) -> object:
    """The image, or why there is none."""
    from curate.media import open_image

    if address is None:
        return "missing: no image"
    try:
        return open_image(address)
    except MediaError as error:
        return f"{error.code}: {error}"


def check_template(template: str, fields: Sequence[str], name: str) -> None:
    """Raises InputError where a template asks for other fields than these, or for none."""
    known = ", ".join(f"{{{field}}}" for field in fields)
    try:
        used = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise InputError(f"{name} {template!r} cannot be read: {error}") from None
    if not used or not used <= set(fields):
        raise InputError(f"{name} {template!r}: it is to hold {known}, and nothing else in braces")


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column of a batch."""
    return batch.column(batch.schema.get_field_index(name))


def answers_type(*fields: str) -> pa.ListType:
    """Lists of answers, one for each question. Structs, as a store keeps lists of plain numbers as vectors of one length."""
    return pa.list_(pa.struct([(field, pa.float32()) for field in fields]))


def lists(**fields: Sequence[Floats | None]) -> pa.ListArray:
    """Lists of structs of float32, null where there are none: per field, the numbers of each item."""
    first = next(iter(fields.values()))
    offsets = np.concatenate([[0], np.cumsum([0 if one is None else len(one) for one in first])])
    flat = [
        np.concatenate([np.empty(0), *(one for one in values if one is not None)])
        for values in fields.values()
    ]
    arrays = [pa.array(values.astype(np.float32), from_pandas=True) for values in flat]
    structs = pa.StructArray.from_arrays(arrays, fields=list(answers_type(*fields).value_type))
    mask = pa.array([one is None for one in first], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), structs, mask=mask)


def answer(
    name: str, gives: Sequence[pa.Field], columns: Sequence[pa.Array], reasons: Sequence[str | None]
) -> pa.RecordBatch:
    """A batch as the contract wants it, reasons last."""
    fields = [*gives, pa.field(reason_name(name), pa.string())]
    return pa.record_batch([*columns, pa.array(reasons, pa.string())], schema=pa.schema(fields))
