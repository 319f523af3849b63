"""`text-basics`: length, repetition, letters, links and, if asked for, the language of a text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import detail, reason_name, score
from curate.errors import InputError, check_installed, require

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TextBasics", "detect_languages", "repeated_share", "text_measures", "text_score"]

ENOUGH_WORDS = 3
_UNSPACED = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_LINK = r"(?:https?://|www\.)\S+"
_MEASURES = {
    "text_characters": pa.int32(),
    "text_words": pa.int32(),
    "text_repetition": pa.float32(),
    "text_alphabetic": pa.float32(),
    "text_unique_words": pa.float32(),
    "text_links": pa.float32(),
}
_ROWS = 1 << 20


@dataclass(frozen=True)
class TextBasics:
    """Scores whether a text is made of words, does not repeat itself, and is no list of links.

    The score is the smallest of the share of letters, 1 - repetition, 1 - the share of links, and words / 3; in [0, 1],
    higher = keep.
    `ngram` is the length of the word sequences in which repetition is looked for. `language` adds `text_language`
    (ISO 639) and its probability by py3langid (extra `text`), null where there is no letter.
    A null text is not scored; an empty one scores 0.
    """

    language: bool = False
    ngram: int = 3

    name: ClassVar[str] = "text-basics"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.ngram < 2:
            raise InputError(f"text-basics: ngram={self.ngram}: a sequence of words has at least two")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        measured = tuple(detail(name, type_) for name, type_ in _MEASURES.items())
        if not self.language:
            return (score("text_basics"), *measured)
        told = (detail("text_language", pa.string()), detail("text_language_probability", pa.float32()))
        return (score("text_basics"), *measured, *told)

    def ready(self) -> None:
        """Raises MissingExtraError where what tells languages is not installed."""
        if self.language:
            check_installed("py3langid", "text")

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column("text").cast(pa.string())
        null = np.asarray(texts.is_null())
        measures = text_measures(texts, self.ngram)
        columns: dict[str, Any] = {"text_basics": text_score(measures), **measures}
        unsaid = null
        if self.language:
            columns["text_language"], columns["text_language_probability"] = detect_languages(texts)
            unsaid = np.isnan(columns["text_language_probability"])
        arrays = [
            pa.array(columns[f.name], f.type, mask=unsaid if f.name.startswith("text_language") else null)
            for f in self.gives
        ]
        arrays.append(
            pc.if_else(pa.array(null), pa.scalar("no text", pa.string()), pa.scalar(None, pa.string()))
        )
        return pa.record_batch(arrays, [*(f.name for f in self.gives), reason_name(self.name)])


def text_score(measures: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """From the measures of `text_measures` to one number in [0, 1]: the worst of four parts."""
    parts = (
        measures["text_alphabetic"],
        1 - measures["text_repetition"],
        1 - measures["text_links"],
        np.minimum(1, measures["text_words"] / ENOUGH_WORDS),
    )
    worst: npt.NDArray[np.float32] = np.minimum.reduce(parts).astype(np.float32)
    return worst


def text_measures(texts: pa.Array | pa.ChunkedArray, ngram: int = 3) -> dict[str, npt.NDArray[Any]]:
    """Six numbers per text, by name, each (n,); a null counts as an empty text.

    characters    code points.
    words         runs of non-space; a character of a script written without spaces is a word by itself.
    repetition    [0, 1]: the largest of the shares of lines that repeat an earlier line, of `ngram`-word sequences
                  that repeat an earlier one, and of words equal to the one before (cf. the repetition rules of
                  Rae et al. 2021, "Scaling Language Models", table A1). Upper and lower case are alike.
    alphabetic    [0, 1]: letters and their marks among the characters that are not space.
    unique_words  (0, 1]: distinct words / words, 1 without words. It falls with length by nature.
    links         [0, 1]: share of the characters that lie in http(s) or www addresses.
    """
    import polars as pl

    series = cast("pl.Series", pl.from_arrow(texts)).cast(pl.String).fill_null("")
    pieces = [_measure(series.slice(i, _ROWS), ngram) for i in range(0, max(1, len(series)), _ROWS)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in _MEASURES}


def _measure(series: pl.Series, ngram: int) -> dict[str, npt.NDArray[Any]]:
    length = series.str.len_chars().to_numpy().astype(np.int32)
    solid = series.str.replace_all(r"\s+", "").str.len_chars().to_numpy()
    letters = series.str.replace_all(r"[^\p{L}\p{M}]+", "").str.len_chars().to_numpy()
    unlinked = series.str.replace_all(_LINK, "").str.len_chars().to_numpy().astype(np.int64)
    spaced = series.str.to_lowercase().str.replace_all(_UNSPACED, " $1 ")
    words, counts = _tokens(spaced.str.replace_all(r"\s+", " ").str.strip_chars(" "), " ")
    rows = np.repeat(np.arange(len(series)), counts)
    stutter = np.bincount(
        rows[1:][(words[1:] == words[:-1]) & (rows[1:] == rows[:-1])], minlength=len(series)
    )
    sequences = repeated_share(words, counts, ngram)
    lines = np.zeros(len(series))
    if series.str.contains("\n", literal=True).any():
        folded = spaced.str.replace_all(r"[^\S\n]+", " ").str.replace_all(r"\s*\n\s*", "\n").str.strip_chars()
        lines = repeated_share(*_tokens(folded, "\n"), 1)
    return {
        "text_characters": length,
        "text_words": counts.astype(np.int32),
        "text_repetition": np.maximum.reduce([lines, sequences, stutter / np.maximum(counts, 1)]),
        "text_alphabetic": letters / np.maximum(solid, 1),
        "text_unique_words": 1 - repeated_share(words, counts, 1),
        "text_links": (length - unlinked) / np.maximum(length, 1),
    }


def _tokens(series: pl.Series, separator: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hashes of all tokens one after the other, and how many each text has."""
    import polars as pl

    pieces = series.str.split(separator)
    counts = np.where((series == "").to_numpy(), 0, pieces.list.len().to_numpy()).astype(np.int64)
    flat = pieces.explode() if len(series) else pl.Series([], dtype=pl.String)
    return flat.filter(flat != "").hash().to_numpy(), counts


def repeated_share(
    tokens: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64], ngram: int
) -> npt.NDArray[np.float64]:
    """Of each text's sequences of `ngram` tokens, the share that equals an earlier one of the same text.

    `tokens` (t,) hashes, text after text; `counts` (n,) tokens per text, n at most 2^24. Returns (n,) in [0, 1),
    0 where a text is shorter than a sequence. Sequences are compared by 40 bits of a hash: two different ones of a
    text of 1,000 words are taken for equal with a chance below 10^-6.
    """
    rows = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    size = max(0, len(tokens) - ngram + 1)
    hashed = np.zeros(size, np.uint64)
    for i in range(ngram):
        hashed = hashed * np.uint64(0x9E3779B97F4A7C15) + tokens[i : i + size]
    hashed = (hashed ^ (hashed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    whole = rows[:size] == rows[ngram - 1 : ngram - 1 + size]
    keys = np.sort((rows[:size][whole] << np.uint64(40)) | (hashed[whole] >> np.uint64(24)))
    again = (keys[1:][keys[1:] == keys[:-1]] >> np.uint64(40)).astype(np.int64)
    repeats = np.bincount(again, minlength=len(counts))
    return repeats / np.maximum(counts - ngram + 1, 1)


def detect_languages(texts: pa.Array) -> tuple[list[str | None], npt.NDArray[np.float32]]:
    """ISO 639 codes by py3langid and their probabilities; (None, NaN) for a text without a letter.

    Raises MissingExtraError without the extra `text`. About 20 microseconds a caption.
    """
    identifier = _identifier()
    codes: list[str | None] = []
    probabilities: list[float] = []
    for text in texts.to_pylist():
        known = text is not None and any(c.isalpha() for c in text)
        code, probability = identifier.classify(text) if known else (None, np.nan)
        codes.append(code)
        probabilities.append(float(probability))
    return codes, np.array(probabilities, np.float32)


@cache
def _identifier() -> Any:
    langid: Any = require("py3langid.langid", "text")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
