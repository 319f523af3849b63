"""Sounds: header, samples, and what is wrong with them."""

from __future__ import annotations

import io
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from curate.counting import counted
from curate.errors import InputError, MediaError
from curate.media.access import read_bytes
from curate.media.address import show
from curate.media.clock import opening
from curate.media.policy import DEFAULT, MediaPolicy

__all__ = ["AudioInfo", "audio_info", "check_audio", "decode_audio", "encode_wav", "open_audio"]

_BLOCK = 1 << 16
_UNKNOWN = 1 << 60
"""libsndfile reports about 2**63 frames for a stream whose header does not say."""
_MAX_SAMPLES = 1 << 28
"""What `open_audio` holds at once: 1 GiB of float32."""


class AudioInfo(NamedTuple):
    """`frames` per channel, `rate` in Hz, `channels`; `format` as libsndfile names it."""

    frames: int
    rate: int
    channels: int
    format: str

    @property
    def seconds(self) -> float:
        """Length."""
        return self.frames / self.rate


def open_audio(uri: str, *, policy: MediaPolicy = DEFAULT) -> tuple[npt.NDArray[np.float32], int]:
    """All samples (n, channels) as float32 in [-1, 1], and the rate in Hz.

    Raises MediaError: see `open_bytes`, and `empty`, `truncated`, `unreadable`, `wrong-format`, `too-large`.
    """
    try:
        with opening():
            return decode_audio(read_bytes(uri, policy), policy)
    except MediaError as error:
        raise MediaError(error.code, f"{show(uri)}: {error}") from error.__cause__


def audio_info(uri: str, *, policy: MediaPolicy = DEFAULT) -> AudioInfo:
    """Length, rate and channels as the header gives them. Raises MediaError as `open_audio` does."""
    try:
        return check_audio(read_bytes(uri, policy), policy, load=False)
    except MediaError as error:
        raise MediaError(error.code, f"{show(uri)}: {error}") from error.__cause__


def decode_audio(data: bytes, policy: MediaPolicy) -> tuple[npt.NDArray[np.float32], int]:
    """As `open_audio`, from bytes."""
    sound = _open(data, policy)
    with sound:
        if sound.frames < _UNKNOWN and sound.frames * sound.channels > _MAX_SAMPLES:
            raise MediaError(
                "too-large",
                f"{counted(sound.frames, 'frame')} of {counted(sound.channels, 'channel')} do not fit in memory",
            )
        blocks = list(_blocks(sound, policy))
        if not blocks:
            return np.zeros((0, sound.channels), np.float32), sound.samplerate
        return np.concatenate(blocks), sound.samplerate


def check_audio(data: bytes, policy: MediaPolicy, *, load: bool) -> AudioInfo:
    """Length, rate, channels and format, after decoding everything if `load`. Raises MediaError."""
    sound = _open(data, policy)
    with sound:
        frames = sound.frames
        if load or frames >= _UNKNOWN:
            frames = sum(len(block) for block in _blocks(sound, policy))
        return AudioInfo(frames, sound.samplerate, sound.channels, sound.format)


def _open(data: bytes, policy: MediaPolicy) -> Any:
    if not data:
        raise MediaError("empty", "the file has zero bytes")
    _check_chunks(data)
    try:
        sound = soundfile.SoundFile(io.BytesIO(data))
    except soundfile.LibsndfileError as error:
        code = "wrong-format" if error.code == 1 else "unreadable"  # 1: SF_ERR_UNRECOGNISED_FORMAT
        raise MediaError(code, f"starts with {data[:8]!r}: {error.error_string}") from error
    except Exception as error:  # decoders of hostile bytes raise almost anything
        raise MediaError("unreadable", f"{type(error).__name__}: {error}") from error
    rate, channels, frames = sound.samplerate, sound.channels, sound.frames
    problem = None
    if not 0 < rate <= policy.max_rate:
        problem = f"a rate of {rate} Hz, the limit is {policy.max_rate} (MediaPolicy.max_rate)"
    elif not 0 < channels <= policy.max_channels:
        problem = (
            f"{counted(channels, 'channel')}, the limit is {policy.max_channels} (MediaPolicy.max_channels)"
        )
    elif frames < _UNKNOWN and frames > policy.max_seconds * rate:
        problem = f"{frames / rate:.0f} s, the limit is {policy.max_seconds:g} (MediaPolicy.max_seconds)"
    if problem:
        sound.close()
        raise MediaError("too-large", problem)
    return sound


def _check_chunks(data: bytes) -> None:
    """libsndfile plays what is there of a cut WAV or AIFF without a word: compare the chunk of samples with the file."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        order, wanted = "<I", b"data"
    elif data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        order, wanted = ">I", b"SSND"
    else:
        return
    at = 12
    while at + 8 <= len(data):
        (size,) = struct.unpack_from(order, data, at + 4)
        if data[at : at + 4] == wanted:
            if size < 0xFFFFFFF0 and at + 8 + size > len(
                data
            ):  # writers to a pipe leave the size at its maximum
                came = len(data) - at - 8
                raise MediaError(
                    "truncated", f"the header promises {counted(size, 'byte')} of sound, {came} came"
                )
            return
        at += 8 + size + (size & 1)


def _blocks(sound: Any, policy: MediaPolicy) -> Any:
    """Decode block by block, holding the stream to what its header promised and the policy allows."""
    promised = sound.frames if sound.frames < _UNKNOWN else None
    limit = int(policy.max_seconds * sound.samplerate)
    got = 0
    while True:
        try:
            block = sound.read(_BLOCK, dtype="float32", always_2d=True)
        except Exception as error:  # as above
            raise MediaError(
                "unreadable", f"decoding stopped after {counted(got, 'frame')}: {error}"
            ) from error
        if not len(block):
            break
        got += len(block)
        if got > limit:
            raise MediaError("too-large", f"longer than {policy.max_seconds:g} s (MediaPolicy.max_seconds)")
        yield block
    if promised is not None and got < promised:
        raise MediaError("truncated", f"the header promises {counted(promised, 'frame')}, {got} came")


def encode_wav(samples: npt.NDArray[Any], rate: int) -> bytes:
    """Samples (n,) or (n, channels) as a WAV of 32-bit floats: lossless for float32 and 16-bit integers.

    Raises InputError for other shapes and for dtypes that are neither floats nor int16.
    """
    if samples.ndim not in (1, 2) or not len(samples):
        raise InputError(f"a sound of shape {samples.shape}: expected (n,) or (n, channels)")
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / 32768.0
    if samples.dtype.kind != "f":
        raise InputError(f"a sound of dtype {samples.dtype}: expected floats in [-1, 1] or int16")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.float32), int(rate), format="WAV", subtype="FLOAT")
    return buffer.getvalue()
