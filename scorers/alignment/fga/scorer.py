"""`fga-blip2`: how well a text fits its image, and which of its elements are there."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, reason_name, score
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.alignment.fga.captions import MAX_WORDS
from curate.scorers.alignment.fga.judging import Judged, judge_pairs
from curate.scorers.alignment.fga.loading import AUTHORS, BASE, check_fga, load_fga
from curate.scorers.alignment.fga.network import FgaModel
from curate.weights import Precision, check_precision

__all__ = ["FgaBlip2", "PairScores", "parse_elements"]


ELEMENT = pa.struct([("element", pa.string()), ("score", pa.float32())])
"""One element of a text and how well it fits the image; a list of floats would be taken for a vector."""

_WINDOW = 64
"""Batches judged before their details are let go."""


class PairScores(NamedTuple):
    """`overall` (n,) float64 in [1, 5], NaN where a pair cannot be judged; `elements` one list for each pair, with a
    score in [0, 1] for each of its elements, None where the caption does not hold it. Higher = better."""

    overall: npt.NDArray[np.float64]
    elements: list[list[float | None]]


@dataclass(frozen=True)
class FgaBlip2:
    """Scores how well a text fits its image: `fga_blip2`, 1 to 5 as people rate it (FGA-BLIP2, EvalMuse-40K).

    With `elements`, a column of lists of phrases from the text (`guitar (object)`; the type in brackets is optional),
    it also writes `fga_blip2_elements` (each `element` and its `score`, 0 to 1, in their order; null, never zero, for one
    that is not found in the text), `fga_blip2_element_mean` of those found, and `fga_blip2_notes`, which says why a score
    is null. The column may hold lists of strings, or strings with a JSON list or object whose keys are the elements; or
    questions that name what they ask about (`elements_questions`).

    `model`       the authors' name on the hub, the path of their checkpoint (.pth, .safetensors), or a folder or hub
                  name with BLIP-2 for image-text retrieval (what `FgaModel.save` and training write).
    `base`        BLIP-2 as a folder or hub name: architecture and tokenizer for a checkpoint. Not used with a folder.
    `elements`    the column of elements, or None.
    `max_words`   words of a text that are read; the model was trained on 50.
    `device`      "auto" (cuda, mps, cpu), or a PyTorch device.
    `precision`   of the vision tower: "fp32"; "bf16" and "fp16" are faster on a GPU and differ in the third digit.
    `batch_size`  pairs run at a time.
    A row whose image cannot be opened, whose text is empty, or whose elements cannot be read is null, with the reason.
    """

    model: str = AUTHORS
    base: str = BASE
    elements: str | None = None
    max_words: int = MAX_WORDS
    device: str = "auto"
    precision: Precision = "fp32"
    batch_size: int = 16

    name: ClassVar[str] = "fga-blip2"
    version: ClassVar[int] = 2
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"fga-blip2: batch_size {self.batch_size}, at least 1")
        if self.max_words < 1:
            raise InputError(f"fga-blip2: max_words {self.max_words}, at least 1")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("image", "text", *((self.elements,) if self.elements else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        if not self.elements:
            return (score("fga_blip2"),)
        return (
            score("fga_blip2"),
            detail("fga_blip2_elements", pa.list_(ELEMENT)),
            detail("fga_blip2_element_mean", pa.float32()),
            detail("fga_blip2_notes", pa.string()),
        )

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_fga(self.model, self.base)

    def score_pairs(
        self,
        images: Sequence[Any],
        texts: Sequence[str | None],
        elements: Sequence[Sequence[str | None] | None] | None = None,
    ) -> PairScores:
        """The overall score of each pair, and the scores of the elements of its text.

        `images` are addresses, Pillow images or uint8 (h, w, 3); `texts` strings; `elements`, if given, a list of
        phrases (or a mapping whose keys they are) for each pair. Overall is 1 + 4 times the mean over the queries of
        softmax(matching head)[match]; an element's score is the mean of the same probability over its tokens. A pair
        that cannot be judged has NaN and no elements: `judge_pairs` says why.
        Raises InputError for lists of unequal length, MissingModelError, MissingExtraError.
        """
        if isinstance(texts, str) or not hasattr(images, "__len__"):
            raise InputError("images and texts are lists: of one pair, [image] and [text]")
        asked = None if elements is None else [None if one is None else _listed(one) for one in elements]
        if not len(images) == len(texts) == len(texts if asked is None else asked):
            raise InputError(
                f"{counted(len(images), 'image')}, {counted(len(texts), 'text')} and "
                f"{counted(len(asked or texts), 'list')} of elements"
            )
        overall = np.full(len(texts), np.nan)
        scores: list[list[float | None]] = []
        window = _WINDOW * self.batch_size  # what the model says of each token is let go window by window
        for low in range(0, max(1, len(texts)), window):
            part = slice(low, low + window)
            judged = self.judge_pairs(images[part], texts[part], None if asked is None else asked[part])
            overall[part] = [np.nan if one.overall is None else one.overall for one in judged]
            scores += [list(one.elements) for one in judged]
        return PairScores(overall, scores)

    def judge_pairs(
        self,
        images: Sequence[Any],
        texts: Sequence[str | None],
        elements: Sequence[Sequence[str | None] | None] | None = None,
        *,
        mask: bool = False,
    ) -> list[Judged]:
        """As `score_pairs`, with all the model says: tokens and their scores, spans, reasons; with `mask`, how probably
        each token belongs to some element (from the text alone)."""
        return judge_pairs(
            self.load(),
            images,
            texts,
            elements,
            batch_size=self.batch_size,
            max_words=self.max_words,
            mask=mask,
        )

    def load(self) -> FgaModel:
        """The model itself, loaded at the first call. Raises MissingModelError where it cannot be had."""
        return load_fga(str(self.model), str(self.base), self.device, self.precision)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        images, texts = _column(batch, "image"), _column(batch, "text")
        elements, wrong = _parse(_column(batch, self.elements) if self.elements else [None] * len(texts))
        shown = [None if why else text for text, why in zip(texts, wrong, strict=True)]
        judged = self.judge_pairs(images, shown, elements)
        reasons = [why or one.reason for why, one in zip(wrong, judged, strict=True)]
        columns: list[pa.Array] = [pa.array([one.overall for one in judged], pa.float32())]
        if self.elements:
            lists = [
                [{"element": e, "score": s} for e, s in zip(asked, one.elements, strict=True)]
                if one.overall is not None and asked is not None
                else None
                for one, asked in zip(judged, elements, strict=True)
            ]
            notes = ["; ".join(one.notes) or None for one in judged]
            columns += [
                pa.array(lists, pa.list_(ELEMENT)),
                pa.array([_mean(one.elements) for one in judged], pa.float32()),
                pa.array(notes, pa.string()),
            ]
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([*columns, pa.array(reasons, pa.string())], schema=pa.schema(fields))


def parse_elements(value: Any) -> list[str] | None:
    """The elements in one cell of a column: a list of strings, a mapping with elements as keys (or Arrow's list of
    pairs), a string that holds either, as JSON or as Python prints it, or a list of questions (or of people's votes), of
    which the field `element` is taken, each once; None for null.

    Raises InputError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return parse_elements(_from_text(value))
    if isinstance(value, Mapping):  # a struct of Arrow has every element of every row as a key
        value = [key for key, inner in value.items() if inner is not None]
    items = list(value) if isinstance(value, (list, tuple)) else None
    if items is None:
        raise InputError(f"elements: {str(value)[:80]!r} is no list of phrases")
    items = [item[0] if isinstance(item, tuple) and len(item) == 2 else item for item in items]
    if any(isinstance(item, Mapping) and "element" in item for item in items):
        items = list(dict.fromkeys(_named(item) for item in items if _names(item)))
    for item in items:
        if not isinstance(item, str):
            raise InputError(f"elements: {str(item)[:80]!r} is no phrase")
    return items


def _names(item: Any) -> bool:
    return not isinstance(item, Mapping) or item.get("element") is not None


def _named(item: Any) -> Any:
    """What a question is about, with its type: `red car (object)`."""
    if not isinstance(item, Mapping):
        return item
    element, type_ = item["element"], item.get("type")
    return element if not type_ or str(element).endswith(")") else f"{element} ({type_})"


def _from_text(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = ast.literal_eval(text.strip())  # EvalMuse's table holds what Python printed
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            found = text
    if isinstance(found, str):
        raise InputError(f"elements: {text[:80]!r} is no list of phrases")
    return list(found) if isinstance(found, dict) else found


def _parse(cells: Sequence[Any]) -> tuple[list[list[str] | None], list[str | None]]:
    """The elements of each row, and why they cannot be read."""
    elements: list[list[str] | None] = []
    wrong: list[str | None] = []
    for cell in cells:
        try:
            elements.append(parse_elements(cell))
            wrong.append(None)
        except InputError as error:
            elements.append(None)
            wrong.append(str(error))
    return elements, wrong


def _listed(elements: Sequence[str | None]) -> list[str | None]:
    if isinstance(elements, str):
        raise InputError(f"the elements of a pair are a list of phrases, not the text {elements[:80]!r}")
    return list(elements)


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [one for one in scores if one is not None]
    return float(np.mean(known)) if known else None


def _column(batch: pa.RecordBatch, name: str) -> list[Any]:
    values: list[Any] = batch.column(batch.schema.get_field_index(name)).to_pylist()
    return values
