"""The plain embedding of sounds: the same recording again and no other; quiet ends, gain and rate do not count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from curate.errors import InputError
from curate.scorers.speech import sound_embedding
from curate.scorers.speech.spectrum import COEFFICIENTS, SoundEmbedding, _cosines, _mel_bank, _parts
from curate.testing import ArrayView, check_scorer, score_all

Samples = npt.NDArray[np.float32]


def sweep(low: float, high: float, rate: int = 16_000, seconds: float = 1.0) -> Samples:
    """A voice-like sound of five harmonics that glides from one pitch to another."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (low * t + (high - low) * t**2 / (2 * seconds))
    return np.asarray(sum(np.sin(k * phase) / k for k in range(1, 6)) / 5, np.float32)


UP, DOWN = sweep(150, 400), sweep(400, 150)


def cosine(one: Samples, other: Samples, rates: tuple[int, int] = (16_000, 16_000), **options: Any) -> float:
    first, second = (sound_embedding(x, rate, **options) for x, rate in zip((one, other), rates, strict=True))
    return float(first @ second)


def test_parts_are_means_also_where_they_end_within_a_frame() -> None:
    frames = np.arange(1.0, 6.0)[:, None]  # 1 2 3 4 5
    assert _parts(frames, 5)[:, 0].tolist() == [1, 2, 3, 4, 5]
    # two parts of 2.5 frames: (1 + 2 + 3 / 2) / 2.5 and (3 / 2 + 4 + 5) / 2.5
    assert _parts(frames, 2)[:, 0].tolist() == pytest.approx([1.8, 4.2])
    assert _parts(frames[:1], 3)[:, 0].tolist() == pytest.approx([1, 1, 1])


def test_cosines_are_orthonormal_and_bands_are_means() -> None:
    cosines = _cosines()
    assert cosines.shape == (40, COEFFICIENTS)
    assert np.allclose(cosines.T @ cosines, np.eye(COEFFICIENTS), atol=1e-12)
    sums = _mel_bank(512, 16_000).sum(axis=0)
    assert ((np.abs(sums - 1) < 1e-9) | (sums == 0)).all() and (sums > 0).mean() > 0.8


def test_a_vector_has_unit_length_and_so_many_numbers() -> None:
    for samples, rate, steps in ((UP, 16_000, 8), (UP[:100], 16_000, 3), (np.stack([UP, DOWN], 1), 8_000, 1)):
        found = sound_embedding(samples, rate, steps=steps)
        assert found.shape == (steps * COEFFICIENTS,) and found.dtype == np.float32
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_gain_ends_and_rate_do_not_count_and_direction_does() -> None:
    silence = np.zeros(4_000, np.float32)
    assert cosine(UP, UP * np.float32(0.1)) > 0.9999
    assert cosine(UP, np.concatenate([silence, UP, silence])) > 0.98
    assert cosine(UP, sweep(150, 400, 22_050), (16_000, 22_050)) > 0.98
    assert cosine(UP, DOWN) < 0.6
    assert cosine(UP, DOWN, steps=1) > 0.95  # one part knows no before and after


def test_long_sounds_are_read_by_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sound_embedding(UP, 16_000)
    monkeypatch.setattr("curate.scorers.speech.spectrum._AT_ONCE", 7)
    assert np.allclose(sound_embedding(UP, 16_000), whole, atol=1e-6)


def test_where_nothing_can_be_heard_there_is_no_direction() -> None:
    hum = np.sin(2 * np.pi * 7_000 * np.arange(16_000) / 16_000).astype(np.float32)
    for nothing in (np.zeros(16_000, np.float32), np.zeros(0, np.float32)):
        assert not sound_embedding(nothing, 16_000).any()
    assert np.isfinite(sound_embedding(hum, 16_000)).all()
    with pytest.raises(InputError, match="steps=0"):
        sound_embedding(UP, 16_000, steps=0)
    with pytest.raises(InputError, match="0 steps"):
        SoundEmbedding(steps=0)


@pytest.fixture
def sounds(tmp_path: Path) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    made = {
        "up": UP,
        "up again": UP * np.float32(0.3) + rng.normal(0, 1e-4, len(UP)).astype(np.float32),
        "down": DOWN,
        "silent": np.zeros(800, np.float32),
    }
    for name, samples in made.items():
        soundfile.write(tmp_path / f"{name}.flac", samples, 16_000)
    (tmp_path / "torn.flac").write_bytes(b"fLaC")
    names = [*made, "torn"]
    return {"id": [*names, "none"], "audio": [*(str(tmp_path / f"{name}.flac") for name in names), None]}


def test_the_scorer(sounds: dict[str, list[Any]]) -> None:
    view = ArrayView(sounds)
    check_scorer(SoundEmbedding(), view)
    scored = score_all(SoundEmbedding(steps=2), view)
    reasons = scored["sound_embedding_reason"].to_pylist()
    assert reasons[:3] == [None] * 3 and [why.partition(":")[0] for why in reasons[3::2]] == [
        "silent",
        "missing",
    ]
    assert scored["sound_embedding"].to_pylist()[3:] == [None] * 3 and reasons[4]


def test_a_recording_is_found_again_in_a_store(sounds: dict[str, list[Any]], tmp_path: Path) -> None:
    import curate

    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(
            [{"id": i, "audio": a} for i, a in zip(sounds["id"][:3], sounds["audio"][:3], strict=True)],
            kind="speech",
        )
        with pytest.raises(InputError, match="score sound-embedding"):
            store.score("near-duplicate")
        store.score("near-duplicate", embedding="sound_embedding")  # which is made first
        rows = store.items.to_polars(["id", "near_duplicate"]).rows()
    assert dict(rows) == {"up": False, "up again": True, "down": False}
