"""`audio-basics`: can it be decoded, how loud and how long is it, is it clipped, silent, noisy, off centre."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import detail, score
from curate.errors import MediaError
from curate.media import open_audio
from curate.scorers.quality.rows import measure_rows

__all__ = [
    "AudioBasics",
    "AudioMeasures",
    "audio_measures",
    "audio_score",
    "clipped_share",
    "integrated_loudness",
    "k_weighting",
    "signal_to_noise",
]

QUIETEST = -120.0
"""dB below full scale: what digital silence is said to have, so that no logarithm is infinite."""
_CLIP, _RUN = 0.999, 3
_FRAME, _HOP = 0.025, 0.010


@dataclass(frozen=True)
class AudioBasics:
    """Scores whether a sound is free of noise, silence, clipping and offset, and loud enough.

    The score is the smallest of five parts in [0, 1]; higher = keep. See `audio_score`.
    A sound that cannot be decoded, or holds no sample, is not scored; the reason begins with the code.
    """

    name: ClassVar[str] = "audio-basics"
    version: ClassVar[int] = 1
    processes: ClassVar[bool] = True

    @property
    def needs(self) -> tuple[str, ...]:
        return ("audio",)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("audio_basics"),
            *(detail(f"audio_{name}", pa.float32()) for name in AudioMeasures._fields),
        )

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return measure_rows(batch.column("audio"), "audio", self.name, self.gives, _measure)


class AudioMeasures(NamedTuple):
    """What is measured on a sound.

    duration  seconds.
    loudness  LUFS, integrated and gated (ITU-R BS.1770-5); -120 for digital silence.
    clipping  [0, 1]: share of samples in runs of three or more at 0.999 of full scale or above.
    silence   [0, 1]: share of 25 ms frames below -60 dBFS, or 40 dB below the loudest twentieth.
    snr       dB, 0 to 120: see `signal_to_noise`.
    offset    [-1, 1]: mean of all samples (DC).
    """

    duration: float
    loudness: float
    clipping: float
    silence: float
    snr: float
    offset: float


def audio_score(measures: AudioMeasures) -> float:
    """The worst of five parts, each in [0, 1].

    snr / (snr + 10); (1 - silence) / 0.5; 1 - 20 x clipping; (loudness + 60) / 30; 1 - 10 x |offset|; cut to [0, 1].
    So half marks are an SNR of 10 dB, three quarters of silence, 2.5 % of clipped samples, -45 LUFS, an offset of 5 %.
    """
    parts = (
        measures.snr / (measures.snr + 10.0),
        (1.0 - measures.silence) / 0.5,
        1.0 - 20.0 * measures.clipping,
        (measures.loudness + 60.0) / 30.0,
        1.0 - 10.0 * abs(measures.offset),
    )
    return float(np.clip(min(parts), 0.0, 1.0))


def audio_measures(samples: npt.NDArray[np.float32], rate: int) -> AudioMeasures:
    """Measures of samples (n, channels) or (n,) in [-1, 1] at `rate` Hz; n >= 1."""
    samples = samples[:, None] if samples.ndim == 1 else samples
    power = frame_power(samples.mean(1), rate)
    loud = np.quantile(power, 0.95)
    return AudioMeasures(
        duration=len(samples) / rate,
        loudness=integrated_loudness(samples, rate),
        clipping=clipped_share(samples),
        silence=float((power < max(1e-6, loud * 1e-4)).mean()),
        snr=signal_to_noise(power),
        offset=float(samples.mean(dtype=np.float64)),
    )


def frame_power(signal: npt.NDArray[Any], rate: int) -> npt.NDArray[np.float64]:
    """Variance of each 25 ms frame, every 10 ms (a shorter signal is one frame): power without the DC offset."""
    length, hop = max(1, round(_FRAME * rate)), max(1, round(_HOP * rate))
    if len(signal) <= length:
        return np.array([signal.var(dtype=np.float64)])
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    return np.concatenate(
        [frames[i : i + 2048].var(1, dtype=np.float64) for i in range(0, len(frames), 2048)]
    )


def signal_to_noise(power: npt.NDArray[np.float64]) -> float:
    """An estimate of the signal-to-noise ratio in dB from the power of frames: 10 log10((S - N) / N), 0 to 120.

    N is the 10th percentile of the frames, taken for a pause, and S the 95th, as in NIST's stnr (percentiles of
    the frame energies). It holds for speech with pauses; steady sounds and music look noisy to it.
    Frames of digital silence count as noise of -120 dBFS.
    """
    noise, loud = np.quantile(power, [0.10, 0.95])
    noise = max(float(noise), 10 ** (QUIETEST / 10))
    ratio = max(float(loud) - noise, 0.0) / noise
    return float(np.clip(10 * np.log10(max(ratio, 1.0)), 0.0, -QUIETEST))


def clipped_share(samples: npt.NDArray[np.float32]) -> float:
    """Share of the samples (n, channels) that lie in runs of at least three at 0.999 of full scale or above.

    A run keeps one sign: a loud but intact wave touches the ceiling for a sample or two.
    """
    clipped = 0
    for channel in samples.T:
        level = (channel >= _CLIP).astype(np.int8) - (channel <= -_CLIP)
        edges = np.flatnonzero(np.diff(level, prepend=0, append=0))
        lengths, signs = np.diff(edges), level[edges[:-1]] if len(edges) else np.empty(0, int)
        clipped += int(lengths[(signs != 0) & (lengths >= _RUN)].sum())
    return clipped / samples.size


def integrated_loudness(samples: npt.NDArray[np.float32], rate: int) -> float:
    """Programme loudness in LUFS of samples (n, channels): K-weighting, 400 ms blocks that overlap by 75 %, gates
    at -70 LUFS and 10 LU below the mean of what passed (ITU-R BS.1770-5, annex 1). All channels weigh 1.

    A sound shorter than a block is one block. Below the absolute gate throughout: the ungated loudness, at least -120.
    """
    power = np.sum([_block_power(channel, rate) for channel in samples.T], axis=0)
    above: npt.NDArray[np.float64] = power[_loudness(power) > -70.0]
    if len(above):
        gate = float(_loudness(above.mean())) - 10.0
        above = above[_loudness(above) > gate]
    return max(float(_loudness((above if len(above) else power).mean())), QUIETEST)


def _loudness(power: Any) -> npt.NDArray[np.float64]:
    level: npt.NDArray[np.float64] = -0.691 + 10 * np.log10(np.maximum(power, 1e-30))
    return level


def _block_power(signal: npt.NDArray[Any], rate: int) -> npt.NDArray[np.float64]:
    hop = max(1, round(rate / 10))
    if len(signal) < 4 * hop:
        return np.array([np.mean(np.square(k_weighting(signal, rate)))])
    tenths = [
        np.square(piece[: len(piece) // hop * hop]).reshape(-1, hop).mean(1)
        for piece in _weighted(signal, rate)
    ]
    power: npt.NDArray[np.float64] = np.convolve(np.concatenate(tenths), np.full(4, 0.25), "valid")
    return power


def k_weighting(signal: npt.NDArray[Any], rate: int) -> npt.NDArray[np.float64]:
    """The signal (n,) through BS.1770's two filters (head shelf, high-pass), designed for this rate."""
    return np.concatenate(list(_weighted(signal, rate)))


def _weighted(signal: npt.NDArray[Any], rate: int) -> Iterator[npt.NDArray[np.float64]]:
    """`k_weighting` in pieces of 20 s, so that memory does not grow with the length.

    The filters are applied to the spectrum (overlap-save). Half a second is heard before each piece, and half a second
    of zeros follows it to ring out: over a hundred time constants of the slower filter.
    """
    step, lead = 20 * 10 * max(1, round(rate / 10)), max(1, rate // 2)
    for start in range(0, len(signal), step):
        first, stop = max(0, start - lead), min(start + step, len(signal))
        size = 1 << (stop - first + lead - 1).bit_length()
        heard = np.fft.irfft(np.fft.rfft(signal[first:stop], size) * _response(rate, size), size)
        yield heard[start - first : stop - first]


@lru_cache(maxsize=8)
def _response(rate: int, size: int) -> npt.NDArray[np.complex128]:
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(len(z), np.complex128)
    for b, a in k_filters(rate):
        response *= (b[0] + b[1] * z + b[2] * z * z) / (a[0] + a[1] * z + a[2] * z * z)
    return response


def k_filters(rate: int) -> tuple[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], ...]:
    """Coefficients (b, a) of the two biquads at any rate; at 48 kHz those that BS.1770 prints.

    The analogue prototypes behind the printed numbers were found by De Man (2014), "Evaluation of implementations of
    the EBU R128 loudness measurement": shelf of 3.99984 dB at 1681.97 Hz, Q 0.70718; high-pass at 38.1355 Hz, Q 0.50033.
    """
    k = np.tan(np.pi * min(1681.974450955533 / rate, 0.499))
    high, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    band = high**0.4996667741545416
    b = np.array([high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k])
    a = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    k, q = np.tan(np.pi * 38.13547087602444 / rate), 0.5003270373238773
    tail = np.array([1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k])
    return (b / a[0], a / a[0]), (np.array([1.0, -2.0, 1.0]), tail / tail[0])


def _measure(uri: str) -> tuple[float, ...]:
    samples, rate = open_audio(uri)
    if not len(samples):
        raise MediaError("empty", f"{uri}: no sample")
    measures = audio_measures(samples, rate)
    return (audio_score(measures), *measures)
