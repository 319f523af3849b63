"""`transcript-errors`: transcripts that differ from what a recogniser hears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from curate.contracts import detail, reason_name, score
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.speech.edits import character_error_rate, normalise_transcripts, word_error_rate
from curate.scorers.speech.hearing import Hearing, Reasons, column, hear, unscored
from curate.scorers.speech.models import WHAT
from curate.scorers.speech.recognition import load_recogniser
from curate.weights import Precision, check_model, check_precision

__all__ = ["TranscriptErrors"]

_CELLS = 1 << 30  # of the table of one pair: some ten seconds
_COUNTS = ("substitutions", "deletions", "insertions")


@dataclass(frozen=True)
class TranscriptErrors:
    """Scores how much of a transcript a recogniser hears, too: hits / (hits + edits) in [0, 1], higher = keep.

    Beside it `transcript_errors_rate`, the word (or character) error rate with the transcript as the reference, the counts
    of edits, and `transcript_errors_hypothesis`, what was compared. A hypothesis without a word is one: all is deleted.

    `hypothesis`  the column with what a recogniser heard; not read where `model` is given.
    `model`       a speech recogniser to run, by its name on the hub or its folder: CTC, or Whisper and its like.
    `unit`        compare words or characters.
    `normalise`   compare case and punctuation away, see `normalise_transcripts`.
    `language`    told to a model of several languages ("en"); None: it guesses.
    `max_seconds` longer sounds are not given to the model.
    `batch_size`, `device`, `precision`  how it is run.
    """

    hypothesis: str = "hypothesis"
    model: str | None = None
    unit: Literal["word", "character"] = "word"
    normalise: bool = True
    language: str | None = None
    max_seconds: float = 60.0
    batch_size: int = 8
    device: str = "auto"
    precision: Precision = "fp32"

    name: ClassVar[str] = "transcript-errors"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not self.max_seconds > 0:
            raise InputError(
                f"transcript-errors: batch_size={self.batch_size}, max_seconds={self.max_seconds}: both are positive"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text", "audio" if self.model else self.hypothesis)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("transcript_errors"),
            detail("transcript_errors_rate", pa.float32()),
            *(detail(f"transcript_errors_{count}", pa.int32()) for count in _COUNTS),
            detail("transcript_errors_hypothesis", pa.string()),
        )

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        if self.model:
            check_precision(self.precision, self.device)
            check_model(self.model, WHAT)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts, given = (column(batch, name) for name in self.needs)
        reasons = _reasons(texts, self.normalise)
        if self.model:
            heard = self._hear(given, reasons)
        else:
            heard = given
            missing = np.array([text is None for text in given], np.bool_)
            reasons[missing & (reasons == None)] = f"no {self.hypothesis}"  # noqa: E711 - element by element
        for row in unscored(reasons):
            cells = len(texts[row] or "") * len(heard[row] or "")
            if cells > _CELLS * (1 if self.unit == "character" else 16):
                reasons[row] = (
                    f"too long to compare: {len(texts[row] or '')} by {counted(len(heard[row] or ''), 'character')}"
                )
        return self._answer(texts, heard, reasons)

    def _hear(self, uris: list[str | None], reasons: Reasons) -> list[str | None]:
        """What the model hears in each row that is still to be scored, and why it hears nothing."""
        heard: list[str | None] = [None] * len(uris)
        if not unscored(reasons):
            return heard
        model = load_recogniser(self.model or "", self.device, self.precision)
        how = Hearing(model.rate, min(self.max_seconds, model.longest), 4 * self.batch_size)
        for rows, sounds in hear(uris, reasons, how):
            for row, text in zip(rows, model.transcribe(sounds, self.batch_size, self.language), strict=True):
                heard[row] = text
        return heard

    def _answer(self, texts: list[str | None], heard: list[str | None], reasons: Reasons) -> pa.RecordBatch:
        rows = unscored(reasons)
        compare = word_error_rate if self.unit == "word" else character_error_rate
        found = compare(
            [texts[r] or "" for r in rows], [heard[r] or "" for r in rows], normalise=self.normalise
        )
        null = reasons != None  # noqa: E711 - element by element
        values = (found.matched, found.rate, found.substitutions, found.deletions, found.insertions)
        arrays = []
        for field, value in zip(self.gives, values, strict=False):
            filled = np.zeros(len(texts), value.dtype)
            filled[rows] = value
            arrays.append(pa.array(filled, mask=null).cast(field.type))
        arrays.append(pa.array([None if n else h for n, h in zip(null, heard, strict=True)], pa.string()))
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([*arrays, pa.array(reasons, pa.string())], schema=pa.schema(fields))


def _reasons(texts: list[str | None], normalise: bool) -> Reasons:
    compared = normalise_transcripts(texts) if normalise else texts
    empty = [not (text and text.strip()) for text in compared]
    return np.array(["no word in the text" if e else None for e in empty], object)
