"""`ctc-alignment`: how surely a CTC model finds the transcript in the sound, and where."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, score
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.speech.ctc import MOST_CELLS, CtcAlignment, ctc_align
from curate.scorers.speech.hearing import Hearing, answer, column, hear
from curate.scorers.speech.models import WHAT
from curate.scorers.speech.recognition import Recogniser, load_recogniser
from curate.weights import Precision, check_model, check_precision

__all__ = ["CtcAlignmentScore", "Spelled", "spell"]

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc", "'"))


class Spelled(NamedTuple):
    """A text in a model's alphabet: `tokens` (L,) its classes, `words` (L,) the word that each belongs to (-1 between
    words), `total` the number of words, `unknown` the share of letters and digits that the alphabet lacks."""

    tokens: npt.NDArray[np.int64]
    words: npt.NDArray[np.int64]
    total: int
    unknown: float


def spell(text: str, vocabulary: Mapping[str, int], delimiter: str) -> Spelled:
    """Letter by letter, in the case that the alphabet has, words apart by `delimiter` where it has one.

    Punctuation that it lacks is left out; so are letters and digits, but they are counted.
    """
    tokens: list[int] = []
    owners: list[int] = []
    wanted = lacking = 0
    words = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).split()
    for index, word in enumerate(words):
        spelled = []
        for letter in word:
            form = next((f for f in (letter, letter.upper(), letter.lower()) if f in vocabulary), None)
            form = None if form == delimiter else form
            if letter.isalnum():
                wanted, lacking = wanted + 1, lacking + (form is None)
            if form is not None:
                spelled.append(vocabulary[form])
        if spelled and tokens and delimiter in vocabulary:
            tokens.append(vocabulary[delimiter])
            owners.append(-1)
        tokens += spelled
        owners += [index] * len(spelled)
    share = lacking / wanted if wanted else 0.0
    return Spelled(np.array(tokens, np.int64), np.array(owners, np.int64), len(words), share)


@dataclass(frozen=True)
class CtcAlignmentScore:
    """Scores how likely a transcript is to a CTC model that hears the sound, [0, 1], higher = keep.

    Beside it, from the likeliest alignment: `ctc_alignment_words`, the confidence in each word (white space apart; null for
    one without a known letter), the least of them `ctc_alignment_worst`, where speech begins and ends in seconds, and
    `ctc_alignment_unknown`, the share of letters and digits that the model's alphabet lacks. A text that is too long for
    the sound to hold scores 0.

    `model`       a CTC model of single letters by its name on the hub or its folder.
    `method`      likelihood: 1 / (1 + d), d nats a letter by which the transcript is less likely than what the model would
                  rather hear; confidence: mean probability of each letter where it is said (as in `CtcAlignment`).
    `max_seconds` longer sounds are not given to the model.
    `batch_size`, `device`, `precision`  how it is run.
    """

    model: str = "facebook/wav2vec2-base-960h"
    method: Literal["likelihood", "confidence"] = "likelihood"
    max_seconds: float = 60.0
    batch_size: int = 8
    device: str = "auto"
    precision: Precision = "fp32"

    name: ClassVar[str] = "ctc-alignment"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not self.max_seconds > 0 or not self.model:
            raise InputError(
                f"ctc-alignment: model={self.model!r}, batch_size={self.batch_size}, max_seconds={self.max_seconds}: "
                "a name and two positive numbers are meant"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text", "audio")

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("ctc_alignment"),
            detail("ctc_alignment_worst", pa.float32()),
            detail("ctc_alignment_begin", pa.float32()),
            detail("ctc_alignment_end", pa.float32()),
            detail("ctc_alignment_unknown", pa.float32()),
            detail("ctc_alignment_words", pa.list_(pa.float32())),
        )

    def ready(self) -> None:
        """Raises MissingExtraError or MissingModelError where the model surely cannot be loaded."""
        check_precision(self.precision, self.device)
        check_model(self.model, WHAT)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts, uris = column(batch, "text"), column(batch, "audio")
        reasons = np.array([None if t and t.strip() else "no text" for t in texts], object)
        found: list[tuple[Any, ...] | None] = [None] * len(texts)
        if any(reason is None for reason in reasons):
            model = load_recogniser(self.model, self.device, self.precision, True)
            spelled = [self._spell(model, text or "") for text in texts]
            for row, one in enumerate(spelled):
                if reasons[row] is None and not len(one.tokens):
                    reasons[row] = "no character of the text is in the model's alphabet"
            how = Hearing(model.rate, self.max_seconds, 4 * self.batch_size)
            for rows, sounds in hear(uris, reasons, how):
                for row, sound, probs in zip(
                    rows, sounds, model.log_probs(sounds, self.batch_size), strict=True
                ):
                    frames, letters = len(probs), len(spelled[row].tokens)
                    if np.isnan(probs).any():
                        reasons[row] = "the model answers with NaN"
                    elif letters <= frames and frames * (2 * letters + 1) > MOST_CELLS:
                        reasons[row] = (
                            f"{counted(frames, 'frame')} by {counted(letters, 'letter')} are too long to "
                            "align"
                        )
                    else:
                        found[row] = self._values(model, spelled[row], len(sound), probs)
        return answer(self.name, self.gives, found, reasons)

    def _spell(self, model: Recogniser, text: str) -> Spelled:
        tokenizer = model.parts.tokenizer
        special = set(tokenizer.all_special_tokens)
        letters = {t: i for t, i in tokenizer.get_vocab().items() if len(t) == 1 and t not in special}
        return spell(text, letters, getattr(tokenizer, "word_delimiter_token", None) or "|")

    def _values(
        self, model: Recogniser, spelled: Spelled, samples: int, probs: npt.NDArray[np.float32]
    ) -> tuple[Any, ...]:
        aligned = ctc_align(probs, spelled.tokens, model.blank)
        words = word_confidences(aligned, spelled)
        heard = [w for w in words if w is not None]
        begin = end = None
        if np.isfinite(aligned.viterbi):
            seconds = samples / model.rate / len(probs)
            begin, end = (float(f) * seconds for f in (aligned.spans[0, 0], aligned.spans[-1, 1]))
        main = aligned.confidence if self.method == "confidence" else aligned.likelihood
        return main, min(heard), begin, end, spelled.unknown, words


def word_confidences(aligned: CtcAlignment, spelled: Spelled) -> list[float | None]:
    """Mean confidence of the letters of each word; None for a word without one."""
    inside = spelled.words >= 0
    counts = np.bincount(spelled.words[inside], minlength=spelled.total)
    sums = np.bincount(spelled.words[inside], aligned.confidences[inside], spelled.total)
    return [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]
