"""`speech-relevance`: does any of the sound have to do with the text, and which part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import detail, score
from curate.errors import InputError
from curate.scorers.speech.hearing import Hearing, answer, column, hear
from curate.scorers.speech.models import WHAT
from curate.scorers.speech.relevance import (
    Floats,
    frame_means,
    prune_tokens,
    token_relevance,
    trim_points,
    weighted_relevance,
)
from curate.scorers.speech.sound import Samples
from curate.scorers.speech.speech_model import SpeechModel, load_speech_model
from curate.weights import Precision, check_model, check_precision

__all__ = ["SpeechRelevance"]

_CONTRAST = (
    "What is the weather like tomorrow?",
    "The meeting was moved to the second floor.",
    "She bought three apples and a loaf of bread.",
    "Which year was the bridge built?",
)


@dataclass(frozen=True)
class SpeechRelevance:
    """Scores how much of what is said has to do with the text, by a speech language model; higher = keep.

    The score is a difference of cosines, in [-2, 2] and mostly near 0; it ranks items under one model. Beside it, by the
    second, `speech_relevance_curve`, and where to trim: `speech_relevance_begin` and `speech_relevance_end`.

    `model`       Qwen2-Audio or its like, by its name on the hub or its folder.
    `query`       the column or role of the text: a transcript, a question.
    `contrast`    other queries, whose mean relevance is subtracted; () for raw cosines.
    `keep`        None: all seconds, weighed by their relevance; a share in (0, 1]: the mean over so many of the tokens, those
                  that pruning would keep.
    `max_seconds` longer sounds are not given to the model, which hears 30 s at a time.
    `batch_size`, `device`, `precision`  how it is run; a batch is of windows of 30 s.
    """

    model: str = "Qwen/Qwen2-Audio-7B-Instruct"
    query: str = "text"
    contrast: tuple[str, ...] = _CONTRAST
    keep: float | None = None
    max_seconds: float = 600.0
    batch_size: int = 4
    device: str = "auto"
    precision: Precision = "fp32"

    name: ClassVar[str] = "speech-relevance"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not self.max_seconds > 0 or not self.model:
            raise InputError(
                f"speech-relevance: model={self.model!r}, batch_size={self.batch_size}, max_seconds={self.max_seconds}: "
                "a name and two positive numbers are meant"
            )
        if self.keep is not None and not 0 < self.keep <= 1:
            raise InputError(f"speech-relevance: keep={self.keep}: a share in (0, 1]")
        if not all(text.strip() for text in self.contrast):
            raise InputError("speech-relevance: contrast holds an empty query")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.query, "audio")

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("speech_relevance"),
            detail("speech_relevance_begin", pa.float32()),
            detail("speech_relevance_end", pa.float32()),
            detail("speech_relevance_curve", pa.list_(pa.float32())),
        )

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_model(self.model, WHAT)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts, uris = column(batch, self.query), column(batch, "audio")
        reasons = np.array([None if t and t.strip() else f"no {self.query}" for t in texts], object)
        found: list[tuple[Any, ...] | None] = [None] * len(texts)
        if any(reason is None for reason in reasons):
            model = load_speech_model(self.model, self.device, self.precision)
            others = tuple(model.text_tokens(text) for text in self.contrast)
            how = Hearing(model.rate, self.max_seconds, 2 * self.batch_size)
            for rows, sounds in hear(uris, reasons, how):
                tokens = model.speech_tokens(sounds, self.batch_size)
                for row, sound, speech in zip(rows, sounds, tokens, strict=True):
                    if not len(speech):
                        reasons[row] = f"{len(sound) / model.rate:.3f} s make no token"
                        continue
                    if not np.isfinite(speech).all():
                        reasons[row] = "the model answers with NaN"
                        continue
                    values = token_relevance(speech, model.text_tokens(texts[row] or ""), others)
                    found[row] = self._values(model, sound, values)
        return answer(self.name, self.gives, found, reasons)

    def _values(self, model: SpeechModel, sound: Samples, values: Floats) -> tuple[Any, ...]:
        frame, seconds = model.per_second, len(sound) / model.rate
        if self.keep is None:
            main = weighted_relevance(values, frame)
        else:
            main = float(values[prune_tokens(values, max(1, round(self.keep * len(values))), frame)].mean())
        curve = frame_means(values, frame)
        begin, end = trim_points(curve)
        return main, float(begin), min(float(end), seconds) if end < len(curve) else seconds, curve.tolist()
