"""`audio-basics`: the standard's own check tones, numbers by hand, and real speech spoilt on purpose."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import soundfile

from curate.scorers.quality import audio as module
from curate.scorers.quality.audio import (
    AudioBasics,
    AudioMeasures,
    audio_measures,
    audio_score,
    clipped_share,
    frame_power,
    integrated_loudness,
    k_filters,
    k_weighting,
    signal_to_noise,
)
from curate.testing import ArrayView, check_scorer

GOOD = AudioMeasures(duration=2.0, loudness=-20.0, clipping=0.0, silence=0.1, snr=40.0, offset=0.0)
Samples = npt.NDArray[np.float32]


def tone(hertz: float, level: float, seconds: float = 5.0, rate: int = 48000) -> Samples:
    """A sine with its peak `level` dB below full scale."""
    return (10 ** (level / 20) * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


# --- Loudness ---


def test_filters_at_48_khz_are_those_the_standard_prints() -> None:
    (b1, a1), (b2, a2) = k_filters(48000)
    np.testing.assert_allclose(b1, [1.53512485958697, -2.69169618940638, 1.19839281085285], rtol=1e-9)
    np.testing.assert_allclose(a1, [1, -1.69065929318241, 0.73248077421585], rtol=1e-9)
    np.testing.assert_allclose(b2, [1, -2, 1])
    np.testing.assert_allclose(a2, [1, -1.99004745483398, 0.99007225036621], rtol=1e-9)


def test_the_standards_check_tone() -> None:
    assert integrated_loudness(tone(997, 0)[:, None], 48000) == pytest.approx(-3.01, abs=0.01)


def test_ebu_tech_3341_cases_1_to_3() -> None:
    def stereo(*parts: Samples) -> Samples:
        return np.repeat(np.concatenate(parts)[:, None], 2, axis=1)

    assert integrated_loudness(stereo(tone(1000, -23, 20)), 48000) == pytest.approx(-23, abs=0.1)
    assert integrated_loudness(stereo(tone(1000, -33, 20)), 48000) == pytest.approx(-33, abs=0.1)
    quiet, loud = tone(1000, -36, 10), tone(1000, -23, 60)
    assert integrated_loudness(stereo(quiet, loud, quiet), 48000) == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 96000])
def test_other_rates_agree(rate: int) -> None:
    assert integrated_loudness(tone(997, -20, 3, rate)[:, None], rate) == pytest.approx(-23.01, abs=0.06)


def test_low_tones_weigh_less_and_high_ones_more() -> None:
    low, middle, high = (integrated_loudness(tone(f, -20)[:, None], 48000) for f in (30, 1000, 5000))
    assert low < middle - 5 and high > middle + 2.5


def test_spectral_filtering_is_the_recursion() -> None:
    x = np.random.default_rng(0).normal(size=3000)
    expected = x
    for b, a in k_filters(16000):
        y = np.zeros(len(x))
        for i in range(len(x)):
            y[i] = sum(b[k] * expected[i - k] for k in range(3) if i >= k) - sum(
                a[k] * y[i - k] for k in (1, 2) if i >= k
            )
        expected = y
    np.testing.assert_allclose(k_weighting(x, 16000), expected, atol=1e-9)


def test_pieces_join_without_a_seam() -> None:
    x = np.random.default_rng(0).normal(size=8000 * 45)  # three pieces of 20 s
    whole = np.fft.irfft(np.fft.rfft(x, 1 << 20) * module._response(8000, 1 << 20), 1 << 20)[: len(x)]
    np.testing.assert_allclose(k_weighting(x, 8000), whole, atol=1e-9)


def test_silence_and_very_short_sounds_have_a_loudness() -> None:
    assert integrated_loudness(np.zeros((48000, 1), np.float32), 48000) == -120
    assert integrated_loudness(np.ones((1, 1), np.float32) * 0.5, 8000) > -30
    short = tone(997, -20, 0.2)[:, None]
    assert integrated_loudness(short, 48000) == pytest.approx(-23.01, abs=0.3)


# --- Clipping, noise, silence ---


def test_runs_at_full_scale_by_hand() -> None:
    x = np.array([0, 1, 1, 1, 0, -1, -1, 0, -1, -1, -1, -1, 1, 1], np.float32)
    assert clipped_share(x[:, None]) == pytest.approx(
        7 / 14
    )  # runs of 3 and 4; of 2 and 2 not, signs do not mix
    assert clipped_share(np.stack([x, 0 * x], 1)) == pytest.approx(7 / 28)
    assert clipped_share(np.full((5, 1), 0.998, np.float32)) == 0
    assert clipped_share(np.ones((5, 1), np.float32)) == 1
    assert clipped_share(tone(440, 0, 1, 16000)[:, None]) == 0


def test_frames_by_hand() -> None:
    x = np.array([1, -1, 1, -1, 3, 3, 3, 3], np.float32)  # at 160 Hz a frame has 4 samples, every 2
    np.testing.assert_allclose(frame_power(x, 160), [1.0, 5 - 1.5**2, 0.0])
    np.testing.assert_allclose(frame_power(x[:3], 160), [np.var([1, -1, 1])])


def test_signal_to_noise_by_hand() -> None:
    power = np.array([1e-6] * 50 + [1e-2] * 50)
    assert signal_to_noise(power) == pytest.approx(10 * np.log10((1e-2 - 1e-6) / 1e-6))
    assert signal_to_noise(np.full(10, 1e-3)) == 0
    assert signal_to_noise(np.array([0.0] * 5 + [1.0] * 5)) == pytest.approx(120)
    assert signal_to_noise(np.zeros(5)) == 0


def test_silence_is_absolute_or_relative() -> None:
    rate = 16000
    loud, faint = tone(440, -6, 1, rate), tone(440, -55, 1, rate)
    assert audio_measures(np.concatenate([loud, faint]), rate).silence == pytest.approx(0.5, abs=0.03)
    assert audio_measures(faint, rate).silence == 0
    assert audio_measures(tone(440, -80, 1, rate), rate).silence == 1


def test_duration_and_offset() -> None:
    measured = audio_measures(tone(100, -12, 1.5, 8000) + np.float32(0.1), 8000)
    assert measured.duration == 1.5
    assert measured.offset == pytest.approx(0.1, abs=1e-3)


def test_score_is_the_worst_part() -> None:
    assert audio_score(GOOD) == pytest.approx(0.8)  # 40 / 50
    assert audio_score(GOOD._replace(snr=10.0)) == pytest.approx(0.5)
    assert audio_score(GOOD._replace(silence=0.75)) == pytest.approx(0.5)
    assert audio_score(GOOD._replace(clipping=0.025)) == pytest.approx(0.5)
    assert audio_score(GOOD._replace(loudness=-45.0)) == pytest.approx(0.5)
    assert audio_score(GOOD._replace(offset=-0.05)) == pytest.approx(0.5)
    assert audio_score(GOOD._replace(loudness=-90.0)) == 0


# --- Real speech ---


def spoken(data_dir: Path) -> list[tuple[Samples, int]]:
    with zipfile.ZipFile(data_dir / "fsdd" / "recordings.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".wav"))[::50]
        digits = [soundfile.read(io.BytesIO(archive.read(n)), dtype="float32", always_2d=True) for n in names]
    read = [
        soundfile.read(path, dtype="float32", always_2d=True)
        for path in sorted((data_dir / "lj_reread" / "flac").glob("*.flac"))[:10]
    ]
    return [*digits, *read]


@pytest.mark.data
def test_spoilt_speech_scores_below_the_same_speech(data_dir: Path) -> None:
    rng = np.random.default_rng(0)
    for samples, rate in spoken(data_dir):
        peak = np.abs(samples).max()
        before = audio_measures(samples, rate)
        assert before.clipping < 1e-4  # one of the ten sentences touches full scale, three samples long
        clipped = audio_measures(np.clip(samples / peak * 8, -1, 1), rate)
        assert clipped.clipping > 0.03
        assert audio_score(clipped) < audio_score(before)
        noisy = audio_measures(samples + rng.normal(0, samples.std(), samples.shape).astype(np.float32), rate)
        assert noisy.snr < 12
        assert noisy.snr < before.snr or before.snr < 5
        padded = audio_measures(
            np.concatenate([samples, np.zeros((4 * len(samples), samples.shape[1]), np.float32)]), rate
        )
        assert padded.silence > 0.78
        assert audio_score(padded) < audio_score(before)
        half = audio_measures(samples / 2, rate)
        assert half.loudness == pytest.approx(before.loudness - 6.02, abs=0.3)


@pytest.mark.data
def test_the_estimate_follows_a_known_signal_to_noise_ratio(data_dir: Path) -> None:
    rng = np.random.default_rng(0)
    sounds = spoken(data_dir)[-10:]
    for decibel in (10, 20):
        told = []
        for samples, rate in sounds:
            level = samples.std() * 10 ** (-decibel / 20)
            noisy = samples + rng.normal(0, level, samples.shape).astype(np.float32)
            told.append(audio_measures(noisy, rate).snr)
        # The 95th percentile of the frames lies some decibels above the mean power of speech with pauses.
        assert decibel < np.median(told) < decibel + 8


def test_unreadable_sounds_are_null_with_the_code(tmp_path: Path) -> None:
    fine = tmp_path / "fine.wav"
    soundfile.write(fine, tone(440, -20, 1, 16000), 16000)
    none = tmp_path / "none.wav"
    soundfile.write(none, np.zeros(0, np.float32), 16000)
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    uris = [str(fine), str(none), str(text), str(tmp_path / "gone.wav"), None]
    table = AudioBasics().score(pa.record_batch({"audio": pa.array(uris, pa.string())}))
    reasons = table.column("audio_basics_reason").to_pylist()
    assert reasons[0] is None and reasons[4] == "no audio"
    assert [str(r).partition(":")[0] for r in reasons[1:4]] == ["empty", "wrong-format", "missing"]
    for name in table.schema.names[:-1]:
        assert table.column(name).is_null().to_pylist() == [False, True, True, True, True]


def test_conformance_with_planted_noise(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rate = 16000
    bursts = tone(440, -10, 2, rate) * (np.arange(2 * rate) % rate < rate * 0.8)
    sounds = {"clean": bursts, "noisy": bursts + rng.normal(0, 0.2, len(bursts)), "short": bursts[:3]}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
    view = ArrayView({"id": list(sounds), "audio": [str(tmp_path / f"{n}.wav") for n in sounds]})
    check_scorer(AudioBasics(), view, planted=("clean", "noisy"))
