"""`speech-rate`: recordings that take a time their text does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError, MediaError
from curate.fitting import FittedTable, answered, numbers, order_by_id
from curate.media import read_ahead
from curate.scorers.speech.rate import RateFound, speech_rate, spoken_length
from curate.scorers.speech.sound import LEAD, read_sound, voiced_seconds

__all__ = ["SpeechRate"]

_FEWEST = 3


@dataclass(frozen=True)
class SpeechRate:
    """Scores whether a recording lasts as long as its text takes to say, from nothing but both lengths.

    The score in [0, 1] is higher = keep, 0.5 at the cut. See `speech_rate` for how it is computed.

    `group`    a column such as "speaker" whose values have a tempo each; None: all have one. A null is a group, too.
    `seconds`  a column of durations; None: the sounds are opened, and what is spoken in them is measured without pauses.
    `cut`      robust standard deviations beyond which `implausible_rate` is set.
    `digit`    letters that a digit counts for: 4 in English.
    """

    group: str | None = None
    seconds: str | None = None
    cut: float = 3.5
    digit: float = 4.0

    name: ClassVar[str] = "speech-rate"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.cut > 0:
            raise InputError(f"speech-rate: cut={self.cut}: a positive number of standard deviations")
        if not self.digit >= 0:
            raise InputError(f"speech-rate: digit={self.digit}: a number of letters, at least 0")

    @property
    def needs(self) -> tuple[str, ...]:
        return ("text", self.seconds or "audio", *([self.group] if self.group else []))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("speech_rate"),
            flag("implausible_rate"),
            detail("speech_rate_deviation", pa.float32()),
            detail("speech_rate_expected", pa.float32()),
            detail("speech_rate_letters", pa.float32()),
        )

    def fit(self, view: View) -> FittedTable:
        """Learn the tempo of each group and judge every recording by it."""
        order = order_by_id(view)
        table = view.take(order, self.needs)
        lengths = spoken_length(table.column("text").to_pylist(), digit=self.digit)
        if self.seconds:
            seconds = numbers(table.column(self.seconds), self.seconds).astype(np.float64)
            reasons = np.full(len(seconds), None, object)
            reasons[~(np.isfinite(seconds) & (seconds > 0))] = f"no positive number in {self.seconds}"
        else:
            seconds, reasons = _measure(table.column("audio").to_pylist(), lengths > 0)
        reasons[lengths == 0] = "no text with letters or digits"
        usable = reasons == None  # noqa: E711 - element by element
        if 0 < usable.sum() < _FEWEST:
            reasons[usable] = (
                f"{counted(usable.sum(), 'recording')} with text: at least {_FEWEST} tell a tempo"
            )
            usable[:] = False
        groups = _codes(table.column(self.group))[usable] if self.group else None
        found = speech_rate(seconds[usable], lengths[usable], groups, cut=self.cut)
        return self._table(order, reasons, found)

    def _table(
        self, order: npt.NDArray[np.int64], reasons: npt.NDArray[np.object_], found: RateFound
    ) -> FittedTable:
        why = np.full(len(order), None, object)
        why[order] = reasons
        rows = order[reasons == None]  # noqa: E711 - element by element
        return answered(self, rows, dict(zip((f.name for f in self.gives), found, strict=True)), why)


def _measure(
    uris: list[str | None], wanted: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    """Spoken seconds of each sound, and why there are none. Sounds without a text are not opened."""
    seconds = np.full(len(uris), np.nan)
    reasons = np.full(len(uris), None, object)
    rows = np.flatnonzero(wanted)

    def measure(uri: str | None) -> float:
        return voiced_seconds(*read_sound(uri))

    for row, found in zip(rows, read_ahead(measure, [uris[r] for r in rows], LEAD), strict=True):
        if isinstance(found, MediaError):
            reasons[row] = "no audio" if uris[row] is None else f"{found.code}: {found}"
        elif found <= 0:
            reasons[row] = "silent: nothing but an offset"
        else:
            seconds[row] = found
    return seconds, reasons


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The values of a column as integers, in the order of the values; null is one of them."""
    texts = pc.fill_null(column.cast(pa.string()), "\0")
    return np.asarray(pc.rank(texts, tiebreaker="dense")).astype(np.int64)
