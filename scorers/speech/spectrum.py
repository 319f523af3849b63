"""A plain embedding of a sound: how its spectrum goes on over time. Needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import reason_name, vector
from curate.counting import counted
from curate.errors import InputError, MediaError
from curate.scorers.speech.sound import read_sound

__all__ = ["SoundEmbedding", "sound_embedding"]

Floats = npt.NDArray[np.float64]

COEFFICIENTS = 20
"""Numbers that tell a spectrum's shape; more of them would tell the pitch of the voice."""
_BANDS = 40
_LOWEST, _HIGHEST = 60.0, 3800.0
_FRAME, _HOP, _SHORTEST = 0.025, 0.01, 0.032
_FLOOR = 1e-5
"""Power beside the loudest band below which nothing is told apart: -50 dB."""
_EDGE = 1e-3
"""Power beside the loud frames (-30 dB) below which a sound has not begun, or is over."""
_LOUDNESS = 0.3
"""How much the course of the loudness counts beside that of the spectrum's shape."""
_TIMBRE = 0.25
"""How much of the shape's mean over time is left in: none would leave nobody's voice, all makes all sounds of a voice alike."""
_NOTHING = 1e-14
_AT_ONCE = 2048


def sound_embedding(samples: npt.NDArray[Any], rate: int, *, steps: int = 8) -> npt.NDArray[np.float32]:
    """A sound as a vector of unit length, so that a dot product is a cosine: (`steps` x 20,) float32.

    `samples` (n,) or (n, channels) in [-1, 1] at `rate` Hz. Quiet ends are left out, what remains is cut into `steps` parts of
    equal length, and of each the mean shape of its spectrum is told by 20 coefficients of the cosine transform of 40 mel bands,
    60 to 3,800 Hz, in dB. So neither gain nor sampling rate (from 7.6 kHz) nor pace counts. All zeros where nothing is in these
    bands.
    """
    if steps < 1 or rate < 1:
        raise InputError(f"sound-embedding: steps={steps}, rate={rate}: both are at least 1")
    mono = np.asarray(samples.mean(1) if samples.ndim == 2 else samples, np.float32)
    power = _band_power(mono, rate)
    peak = float(np.quantile(power.max(axis=1), 0.95)) if len(power) else 0.0
    if peak < _NOTHING:
        return np.zeros(steps * COEFFICIENTS, np.float32)
    shape = _parts(10 * np.log10(_voiced(power) / peak + _FLOOR), steps) @ _cosines()
    loudness, timbre = shape[:, :1], shape[:, 1:]
    told = np.hstack([_LOUDNESS * (loudness - loudness.mean()), timbre - (1 - _TIMBRE) * timbre.mean(axis=0)])
    length = float(np.linalg.norm(told))
    return np.asarray(told.reshape(-1) / max(length, 1e-12), np.float32)


def _band_power(mono: npt.NDArray[np.float32], rate: int) -> Floats:
    """(frames, bands): power in each mel band of 25 ms every 10 ms, by pieces, so that long sounds need no more memory."""
    width, hop = max(2, round(_FRAME * rate)), max(1, round(_HOP * rate))
    if len(mono) < width:
        mono = np.pad(mono, (0, width - len(mono)))
    size = 1 << (max(width, round(_SHORTEST * rate)) - 1).bit_length()
    frames = np.lib.stride_tricks.sliding_window_view(mono, width)[::hop]
    window, bank = np.hanning(width).astype(np.float32), _mel_bank(size, rate)
    pieces = (frames[i : i + _AT_ONCE] * window for i in range(0, len(frames), _AT_ONCE))
    return np.concatenate([np.abs(np.fft.rfft(piece, size)) ** 2 @ bank for piece in pieces])


@lru_cache(maxsize=8)
def _mel_bank(size: int, rate: int) -> Floats:
    """(size / 2 + 1, bands): triangles of equal width in mel, each with weights that sum to 1."""
    lowest, highest = 2595 * np.log10(1 + np.array([_LOWEST, _HIGHEST]) / 700)
    mel = np.linspace(lowest, highest, _BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    bins = np.fft.rfftfreq(size, 1 / rate)[:, None]
    weights = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    return np.asarray(weights / np.maximum(weights.sum(axis=0), 1e-12), np.float64)


@lru_cache(maxsize=1)
def _cosines() -> Floats:
    """(bands, coefficients): the orthonormal cosine transform."""
    places = np.pi * (np.arange(_BANDS) + 0.5) / _BANDS
    found = np.cos(places[:, None] * np.arange(COEFFICIENTS)) * np.sqrt(2 / _BANDS)
    found[:, 0] /= np.sqrt(2)
    return np.asarray(found, np.float64)


def _voiced(power: Floats) -> Floats:
    """The frames from the first loud one to the last."""
    whole = power.mean(axis=1)
    loud = np.flatnonzero(whole >= np.quantile(whole, 0.95) * _EDGE)
    return power[loud[0] : loud[-1] + 1]


def _parts(frames: Floats, steps: int) -> Floats:
    """(steps, bands): the means of parts of equal length; where a part ends within a frame, both have their share of it."""
    sums = np.concatenate([np.zeros((1, frames.shape[1])), np.cumsum(frames, axis=0)])
    ends = np.linspace(0, len(frames), steps + 1)
    whole = np.minimum(ends.astype(np.int64), len(frames) - 1)
    upto = sums[whole] + (ends - whole)[:, None] * frames[whole]
    return np.asarray(np.diff(upto, axis=0) * steps / len(frames), np.float64)


@dataclass(frozen=True)
class SoundEmbedding:
    """Gives `sound_embedding`: how the spectrum of a sound goes on over time, as a vector of unit length (see `sound_embedding`).

    Good for finding the same recording again, whatever its format, rate and gain, for single words, and as a baseline for any
    encoder. `steps`: the parts into which a sound is cut; long recordings want more.
    A sound that is missing, cut off, not decodable or silent gets null and the reason.
    """

    steps: int = 8

    name: ClassVar[str] = "sound-embedding"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("audio",)

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 1000:
            raise InputError(f"sound-embedding: {counted(self.steps, 'step')}, 1 to 1,000")

    @property
    def dim(self) -> int:
        return self.steps * COEFFICIENTS

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("sound_embedding", self.dim),)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        addresses = batch.column(batch.schema.get_field_index("audio")).to_pylist()
        values = np.zeros((len(addresses), self.dim), np.float32)
        reasons: list[str | None] = [None] * len(addresses)
        for row, address in enumerate(addresses):
            try:
                values[row] = sound_embedding(*read_sound(address), steps=self.steps)
                if not values[row].any():
                    raise MediaError("empty-bands", "nothing to be heard between 60 and 3,800 Hz")
            except MediaError as error:
                reasons[row] = f"{error.code}: {error}"
        missing = pa.array([reason is not None for reason in reasons], pa.bool_())
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), self.dim, mask=missing)
        fields = [*self.gives, pa.field(reason_name(self.name), pa.string())]
        return pa.record_batch([column, pa.array(reasons, pa.string())], schema=pa.schema(fields))
