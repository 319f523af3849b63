"""speech-rate: by hand, planted, on real sentences."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.speech import speech_rate, spoken_length
from curate.scorers.speech.rate_scorer import SpeechRate
from curate.scorers.speech.sound import read_sound, resample, voiced_seconds
from curate.testing import score_all


def test_by_hand() -> None:
    # seconds per letter .1, .1, .1, .2: median .1; residuals 0, 0, 0, 1 over sqrt(1): the floor of 5 % is the scale
    found = speech_rate([1.0, 1.0, 1.0, 2.0], [10, 10, 10, 10])
    assert np.allclose(found.expected, 1.0)
    assert np.allclose(found.rate, [10, 10, 10, 5])
    assert np.allclose(found.deviation, [0, 0, 0, 20])
    assert found.issue.tolist() == [False, False, False, True]
    assert np.allclose(found.quality, [1, 1, 1, 1 / (1 + (20 / 3.5) ** 2)])


def test_scale_by_hand() -> None:
    # expected 1, 4, 9, 16, 25 s; residuals -.5, -1, 0, 1, 1 of which the scaled are -.5, -.5, 0, .25, .2
    seconds = np.array([0.5, 3.0, 9.0, 17.0, 26.0])
    found = speech_rate(seconds, [1, 4, 9, 16, 25])
    assert np.allclose(found.expected, [1, 4, 9, 16, 25])
    assert np.allclose(found.deviation, np.array([-0.5, -0.5, 0, 0.25, 0.2]) / (1.4826 * 0.25))


def test_cut_moves_flag_and_quality() -> None:
    seconds = [0.5, 3.0, 9.0, 17.0, 26.0]
    strict, lax = (speech_rate(seconds, [1, 4, 9, 16, 25], cut=c) for c in (1.0, 3.5))
    assert strict.issue.tolist() == [True, True, False, False, False] and not lax.issue.any()
    assert np.all(strict.quality <= lax.quality) and np.array_equal(strict.issue, strict.quality < 0.5)


def test_each_group_has_its_tempo_and_a_small_one_leans_on_all() -> None:
    lengths = np.full(41, 20.0)
    seconds = np.r_[np.full(20, 1.0), np.full(20, 2.0), 4.0]
    groups = np.r_[np.zeros(20), np.ones(20), 2]
    apart = speech_rate(seconds, lengths, groups)
    overall = 2.0  # the median of the 41
    assert np.allclose(apart.expected[:20], overall * 0.5 ** (20 / 25))
    assert np.allclose(apart.expected[40], overall * 2 ** (1 / 6))
    assert np.allclose(speech_rate(seconds, lengths).expected, overall)


@given(st.integers(0, 2**32 - 1))
def test_order_and_units_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    lengths, groups = rng.uniform(1, 100, n), rng.integers(0, 3, n)
    seconds = lengths * rng.lognormal(-2.5, 0.2, n)
    whole = speech_rate(seconds, lengths, groups)
    order = rng.permutation(n)
    moved = speech_rate(seconds[order], lengths[order], groups[order])
    assert np.allclose(moved.deviation, whole.deviation[order], rtol=1e-9, atol=1e-12)
    in_words = speech_rate(seconds, lengths / 5, groups)
    assert np.allclose(in_words.deviation, whole.deviation, rtol=1e-9, atol=1e-9)


def test_many_of_the_pairs_may_be_wrong() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.uniform(20, 150, 400)
    seconds = lengths * 0.07 * rng.lognormal(0, 0.05, 400)
    seconds[:160] *= rng.choice([0.3, 3.0], 160)
    found = speech_rate(seconds, lengths)
    assert found.issue[:160].mean() > 0.95 and found.issue[160:].mean() < 0.05


@pytest.mark.parametrize(
    ("seconds", "lengths", "words"),
    [([1.0, 0.0], [1, 1], "row 1"), ([1.0], [np.nan], "lengths"), ([1.0, 2.0], [1], "one of each")],
)
def test_bad_input(seconds: list[float], lengths: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        speech_rate(seconds, lengths)
    with pytest.raises(InputError, match="cut"):
        speech_rate([1.0], [1.0], cut=0)
    assert len(speech_rate([], []).quality) == 0


def test_spoken_length() -> None:
    texts = [
        "Ab, c!",
        "in 1455",
        "",
        None,
        "e\u0301t\u00e9",
        "\u0928\u092e\u0938\u094d\u0924\u0947",
        "...",
        "\u0663",
    ]
    assert spoken_length(texts).tolist() == [3, 18, 0, 0, 3, 6, 0, 4]
    assert spoken_length(["in 1455"], digit=1).tolist() == [6]


def test_voiced_seconds_by_hand() -> None:
    rate = 1000
    tone = np.sin(2 * np.pi * 100 * np.arange(rate) / rate).astype(np.float32)
    sound = np.concatenate([np.zeros(500), tone, np.zeros(700), 0.01 * tone]).astype(np.float32)
    assert voiced_seconds(sound, rate) == pytest.approx(1.0)  # the last second lies 40 dB below
    assert voiced_seconds(sound, rate, below=50.0) == pytest.approx(2.0)
    assert voiced_seconds(np.stack([sound, sound], 1), rate) == pytest.approx(1.0)
    assert voiced_seconds(np.zeros(rate, np.float32), rate) == 0
    assert voiced_seconds(np.full(rate, 0.5, np.float32), rate) == 0  # an offset is not heard
    assert voiced_seconds(np.zeros(0, np.float32), rate) == 0
    with pytest.raises(InputError):
        voiced_seconds(sound, 0)
    for samples, rates in ((sound, (np.nan, 8000)), (sound, (8000, 0)), (np.ones((2, 2)), (8000, 4000))):
        with pytest.raises(InputError, match="rates above 0"):
            resample(samples, *rates)
    with pytest.raises(InputError, match="samples is <U5: numbers"):
        voiced_seconds(["quiet"], 8000)  # type: ignore[arg-type]


def _view(folder: Path) -> ArrayView:
    """Eight tones whose length fits the text, but for the last; then a missing, a cut, a silent file, and no text."""
    rate, paths, texts = 8000, [], []
    for i in range(8):
        letters = 10 + 5 * i
        seconds = letters * 0.08 * (3 if i == 7 else 1)
        tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * rate)) / rate)
        paths.append(str(folder / f"{i}.wav"))
        soundfile.write(paths[-1], tone, rate)
        texts.append("a" * letters)
    cut, silent = folder / "cut.wav", folder / "silent.wav"
    cut.write_bytes(Path(paths[0]).read_bytes()[:3000])
    soundfile.write(silent, np.zeros(8000), rate)
    return ArrayView(
        {
            "id": [f"i{i}" for i in range(12)],
            "audio": [*paths, str(folder / "none.wav"), str(cut), str(silent), paths[0]],
            "text": [*texts, "words", "words", "words", " ?! "],
            "speaker": [*"aaaabbbc", None, None, None, None],
            "length": [None if i == 1 else 0.1 * (10 + 5 * i) for i in range(12)],
        }
    )


def test_scorer(tmp_path: Path) -> None:
    view = _view(tmp_path)
    found = score_all(SpeechRate(), view).to_pydict()
    assert found["implausible_rate"] == [False] * 7 + [True] + [None] * 4
    assert found["speech_rate"][7] < 0.1 < found["speech_rate"][0]
    assert found["speech_rate_letters"][0] == pytest.approx(12.5, rel=0.02)
    reasons = [r and r.partition(":")[0] for r in found["speech_rate_reason"]]
    assert reasons == [None] * 8 + ["missing", "truncated", "silent", "no text with letters or digits"]


def test_parameters_have_an_effect(tmp_path: Path) -> None:
    view = _view(tmp_path)
    whole = score_all(SpeechRate(), view).to_pydict()
    grouped = score_all(SpeechRate(group="speaker"), view).to_pydict()
    assert grouped["speech_rate_expected"] != whole["speech_rate_expected"]
    column = score_all(SpeechRate(seconds="length"), view).to_pydict()
    assert column["speech_rate_letters"][0] == pytest.approx(10) and not column["implausible_rate"][7]
    assert column["speech_rate_reason"][1] == "no positive number in length"
    assert not score_all(SpeechRate(cut=1e3), view).to_pydict()["implausible_rate"][7]
    digits = ArrayView({"id": ["a", "b", "c"], "text": ["12", "ab", "abc"], "length": [1.0, 1.0, 1.0]})
    for digit, letters in ((4.0, 8.0), (2.0, 4.0)):
        rates = score_all(SpeechRate(seconds="length", digit=digit), digits)[
            "speech_rate_letters"
        ].to_pylist()
        assert rates == [letters, 2.0, 3.0]
    for wrong in ({"cut": 0.0}, {"digit": -1.0}):
        with pytest.raises(InputError):
            SpeechRate(**wrong)


def test_two_recordings_tell_no_tempo() -> None:
    view = ArrayView({"id": ["a", "b"], "text": ["ab", "cd"], "length": [1.0, 2.0]})
    found = score_all(SpeechRate(seconds="length"), view)
    assert "at least 3" in found["speech_rate_reason"][0].as_py()


def area(bad: np.ndarray, score: np.ndarray) -> float:
    """AUROC of a score that is high where `bad`."""
    ranks = np.argsort(np.argsort(score, kind="stable")) + 1
    return float((ranks[bad].sum() - bad.sum() * (bad.sum() + 1) / 2) / (bad.sum() * (~bad).sum()))


@pytest.mark.data
def test_swapped_transcripts_of_real_sentences_are_found(data_dir: Path) -> None:
    folder = data_dir / "lj_reread"
    lines = [line.split("|") for line in (folder / "transcript.csv").read_text("utf-8").splitlines()]
    texts = {line[0]: line[1] for line in lines if (folder / "flac" / f"{line[0]}.flac").exists()}
    seconds = np.array([voiced_seconds(*read_sound(str(folder / "flac" / f"{n}.flac"))) for n in texts])
    lengths = spoken_length(list(texts.values()))
    assert len(lengths) == 141
    areas = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows, given, bad = rng.choice(141, 28, replace=False), lengths.copy(), np.zeros(141, bool)
        given[rows], bad[rows] = lengths[np.roll(rows, 1)], True
        areas.append(area(bad, -speech_rate(seconds, given).quality))
    assert np.mean(areas) > 0.86


@pytest.mark.data
def test_spoken_digits_are_read_at_the_tempo_of_their_speaker(data_dir: Path, tmp_path: Path) -> None:
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    with zipfile.ZipFile(data_dir / "fsdd" / "recordings.zip") as archive:
        files = [n for n in archive.namelist() if n.endswith(("_0.wav", "_1.wav"))]
        archive.extractall(tmp_path, files)
    parts = [Path(name).stem.split("_") for name in files]
    view = ArrayView(
        {
            "id": files,
            "audio": [str(tmp_path / name) for name in files],
            "text": [names[int(part[0])] for part in parts],
            "speaker": [part[1] for part in parts],
        }
    )
    apart, together = (score_all(SpeechRate(group=g), view) for g in ("speaker", None))
    spread = [np.std(np.log(t["speech_rate_expected"].to_numpy())) for t in (apart, together)]
    assert spread[0] > spread[1]
    assert np.mean(apart["implausible_rate"].to_numpy()) < 0.1
