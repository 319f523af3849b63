"""Sounds: what opens, what is refused, and with which code."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from curate.errors import InputError, MediaError
from curate.media import MediaPolicy, audio_info, encode_wav, open_audio

TONE = (0.5 * np.sin(np.arange(8000) * 0.05)).astype(np.float32)


def code_of(uri: str | Path, policy: MediaPolicy | None = None) -> str:
    with pytest.raises(MediaError) as error:
        open_audio(str(uri), **({} if policy is None else {"policy": policy}))
    return error.value.code


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "AIFF", "MP3"])
def test_formats_are_told_by_content(tmp_path: Path, format: str) -> None:
    file = tmp_path / "sound.wrong"
    soundfile.write(file, TONE, 16000, format=format)
    samples, rate = open_audio(str(file))
    assert (rate, samples.dtype, samples.shape[1]) == (16000, np.float32, 1)
    assert abs(len(samples) - 8000) < 2000  # MP3 pads
    if format in ("WAV", "FLAC", "AIFF"):
        assert np.abs(samples[:, 0] - TONE).max() < 1e-4
    info = audio_info(str(file))
    assert (info.rate, info.channels, info.frames) == (16000, 1, len(samples))
    assert info.seconds == len(samples) / 16000


def test_channels_stay_apart(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.stack([TONE, -TONE], 1), 8000)
    samples, _ = open_audio(str(tmp_path / "x.wav"))
    assert samples.shape == (8000, 2)
    assert np.abs(samples[:, 0] + samples[:, 1]).max() < 1e-4


def test_what_is_no_sound(tmp_path: Path) -> None:
    for content, code in {
        b"": "empty",
        b"hello" * 20: "wrong-format",
        b"RIFF\0\0\0\0WAVE": "unreadable",
    }.items():
        (tmp_path / "x.wav").write_bytes(content)
        assert code_of(tmp_path / "x.wav") == code, content
    assert code_of(tmp_path / "none.wav") == "missing"


@pytest.mark.parametrize("format", ["WAV", "FLAC", "AIFF"])
def test_truncated_sounds_are_refused(tmp_path: Path, format: str) -> None:
    file = tmp_path / "x"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 8000), 16000, format=format)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert code_of(file) in ("truncated", "unreadable")


def test_a_header_that_lies_about_its_length(tmp_path: Path) -> None:
    data = bytearray(encode_wav(TONE, 8000))
    at = data.index(b"data")
    struct.pack_into("<I", data, at + 4, 2**31)
    (tmp_path / "x.wav").write_bytes(data)
    assert code_of(tmp_path / "x.wav") == "truncated"
    struct.pack_into("<I", data, at + 4, 0xFFFFFFFF)  # what a writer to a pipe leaves
    (tmp_path / "x.wav").write_bytes(data)
    assert len(open_audio(str(tmp_path / "x.wav"))[0]) == 8000


def test_limits(tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    soundfile.write(file, np.stack([TONE, TONE], 1), 8000)
    assert len(open_audio(str(file), policy=MediaPolicy(max_seconds=1.0))[0]) == 8000
    assert code_of(file, MediaPolicy(max_seconds=0.99)) == "too-large"
    assert code_of(file, MediaPolicy(max_rate=7999)) == "too-large"
    assert code_of(file, MediaPolicy(max_channels=1)) == "too-large"
    assert code_of(file, MediaPolicy(max_bytes=100)) == "too-large"


def test_a_silent_file_of_hours_is_refused_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "x.flac"
    with soundfile.SoundFile(file, "w", 48000, 1, format="FLAC") as sound:
        for _ in range(60):
            sound.write(np.zeros(48000, np.int16))
    assert file.stat().st_size < 20_000
    assert code_of(file, MediaPolicy(max_seconds=59)) == "too-large"


def test_an_empty_sound_has_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros((0, 1)), 8000)
    samples, rate = open_audio(str(tmp_path / "x.wav"))
    assert (samples.shape, rate) == ((0, 1), 8000)


def test_samples_become_wav_losslessly() -> None:
    samples = np.random.default_rng(0).normal(0, 1, (100, 2)).astype(np.float32)
    back, rate = soundfile.read(io.BytesIO(encode_wav(samples, 44100)), dtype="float32")
    assert rate == 44100
    assert np.array_equal(back, samples)
    integers = np.array([-32768, 0, 16384], np.int16)
    assert soundfile.read(io.BytesIO(encode_wav(integers, 8000)))[0].tolist() == [-1.0, 0.0, 0.5]
    for wrong in (np.zeros((2, 2, 2)), np.zeros(0), np.zeros(4, np.uint8)):
        with pytest.raises(InputError):
            encode_wav(wrong, 8000)


def test_real_recordings(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "fsdd" / "recordings.zip") as archive:
        file = archive.extract("0_george_0.wav", tmp_path)
    samples, rate = open_audio(file)
    assert (rate, samples.shape) == (8000, (2384, 1))
    flac = sorted((data_dir / "lj_reread" / "flac").iterdir())[0]
    info = audio_info(str(flac))
    assert (len(open_audio(str(flac))[0]), info.channels) == (info.frames, 1)
