"""A sound as a model of speech wants it: one channel, one rate, not silent; and how much of it is spoken."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_numbers
from curate.errors import InputError, MediaError, require
from curate.media import open_audio

__all__ = ["LEAD", "SILENT", "read_sound", "resample", "voiced_seconds"]

Samples = npt.NDArray[np.float32]
SILENT = 1e-3
"""Peak below which a sound is called silent: -60 dB below full scale."""
LEAD = 8
"""Sounds opened ahead of those that are listened to."""
_FRAME = 0.01


def voiced_seconds(samples: npt.NDArray[Any], rate: int, *, below: float = 30.0) -> float:
    """Seconds in which something is said: 10 ms frames at most `below` dB under the loud ones, and over -60 dBFS.

    `samples` (n,) or (n, channels) in [-1, 1] at `rate` Hz. The loud ones are the 95th percentile of the frames' power,
    offset removed. Pauses do not count, wherever they are; in noise louder than -`below` dB every frame counts, and the
    answer is the length of the sound. 0 for silence; a sound shorter than a frame is one.
    """
    if rate < 1 or below <= 0:
        raise InputError(f"rate={rate}, below={below}: both are positive")
    samples = as_numbers(samples, "samples")
    mono = samples.mean(1) if samples.ndim == 2 else samples
    if not len(mono):
        return 0.0
    hop = min(max(1, round(_FRAME * rate)), len(mono))
    power = mono[: len(mono) // hop * hop].reshape(-1, hop).var(1, dtype=np.float64)
    loud = max(float(np.quantile(power, 0.95)) * 10 ** (-below / 10), SILENT**2)
    return float((power >= loud).sum()) * hop / rate


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """One channel (n,) at another rate, by soxr's high-quality filter.

    Raises InputError for samples of another shape and for rates that are not above 0, MissingExtraError without soxr.
    """
    samples = as_numbers(samples, "samples")
    if samples.ndim != 1 or not (0 < rate < np.inf and 0 < wanted < np.inf):
        raise InputError(
            f"samples of shape {samples.shape} at {rate} and {wanted} Hz: (n,) and rates above 0 are meant"
        )
    if rate == wanted:
        return samples
    soxr: Any = require("soxr", "speech")
    return np.asarray(soxr.resample(samples, rate, wanted, quality="HQ"), np.float32)


def read_sound(uri: str | None, wanted: int | None = None) -> tuple[Samples, int]:
    """The mean of the channels as float32, at `wanted` Hz (None: as it is), and the rate.

    Raises MediaError as `open_audio` does, and with code `missing` (no address), `empty` (no sample) or `silent` (peak
    below -60 dBFS).
    """
    if uri is None:
        raise MediaError("missing", "no audio")
    samples, rate = open_audio(uri)
    if not len(samples):
        raise MediaError("empty", f"{uri}: no sample")
    if not np.isfinite(samples).all():
        raise MediaError("unreadable", f"{uri}: samples that are not finite")
    mono = samples.mean(1) if samples.shape[1] > 1 else samples[:, 0]
    if np.abs(mono).max() < SILENT:
        raise MediaError("silent", f"{uri}: nothing louder than -60 dB below full scale")
    if wanted is None or wanted == rate:
        return mono, rate
    return resample(mono, rate, wanted), wanted
