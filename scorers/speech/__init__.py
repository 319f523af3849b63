"""Does a recording say what its transcript says: by length, by recognition, by alignment, by relevance.

Functions on arrays; the registered scorers lie beside them. Names are imported when they are used, so that what needs
torch costs nothing to those who do not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.scorers.speech.ctc import ctc_align
    from curate.scorers.speech.edits import (
        align_edits,
        character_error_rate,
        normalise_transcripts,
        word_error_rate,
    )
    from curate.scorers.speech.rate import speech_rate, spoken_length
    from curate.scorers.speech.relevance import (
        attention_received,
        frame_budget,
        frame_means,
        prune_speech,
        prune_tokens,
        token_relevance,
        trim_points,
        weighted_relevance,
    )
    from curate.scorers.speech.sound import resample, voiced_seconds
    from curate.scorers.speech.spectrum import sound_embedding

_HOMES = {
    "align_edits": "edits",
    "attention_received": "relevance",
    "character_error_rate": "edits",
    "ctc_align": "ctc",
    "frame_budget": "relevance",
    "frame_means": "relevance",
    "normalise_transcripts": "edits",
    "prune_speech": "relevance",
    "prune_tokens": "relevance",
    "resample": "sound",
    "sound_embedding": "spectrum",
    "speech_rate": "rate",
    "spoken_length": "rate",
    "token_relevance": "relevance",
    "trim_points": "relevance",
    "voiced_seconds": "sound",
    "weighted_relevance": "relevance",
    "word_error_rate": "edits",
}
"""Public function -> the module it lies in."""

__all__ = [
    "align_edits",
    "attention_received",
    "character_error_rate",
    "ctc_align",
    "frame_budget",
    "frame_means",
    "normalise_transcripts",
    "prune_speech",
    "prune_tokens",
    "resample",
    "sound_embedding",
    "speech_rate",
    "spoken_length",
    "token_relevance",
    "trim_points",
    "voiced_seconds",
    "weighted_relevance",
    "word_error_rate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
