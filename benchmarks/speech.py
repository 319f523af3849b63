"""Speech and transcripts that do not belong together: found by length, by recognition, by alignment, and at random.

    python benchmarks/speech.py                       # rate, digits and words: a minute and a half
    python benchmarks/speech.py rate                  # lj_reread and fsdd: transcripts swapped, duration against length
    python benchmarks/speech.py digits                # fsdd: a small CTC model trained here, labels swapped on digits held back
    python benchmarks/speech.py words --peer PYTHON   # counting errors beside jiwer, by an interpreter that has it
    python benchmarks/speech.py heard --peer PYTHON   # lj_reread heard by PocketSphinx (same interpreter): five CPU minutes
    python benchmarks/speech.py heard --heard FILE    # the same from what was heard before

Data: the folder in CURATE_DATA, or ../shared/data. Nothing sees the truth; each score has one fixed configuration, its default.
That pauses are left out and letters, not words or pauses, are counted was chosen on lj_reread itself, 141 sentences of one man.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from _measure import markdown

from curate.scorers.speech import (
    character_error_rate,
    ctc_align,
    speech_rate,
    spoken_length,
    voiced_seconds,
    word_error_rate,
)

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SHARES = (0.1, 0.2, 0.5)
DRAWS = 50


def area(bad: Mask, score: Floats) -> float:
    """AUROC of a score that is low where something is bad."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(bad, -score))


def swapped(n: int, share: float, draws: int = DRAWS) -> Iterator[tuple[npt.NDArray[np.int64], Mask]]:
    """Which text each recording is given, and which of them is another's: a ring of a random share."""
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        rows, given, bad = rng.choice(n, round(share * n), replace=False), np.arange(n), np.zeros(n, np.bool_)
        given[rows], bad[rows] = np.roll(rows, 1), True
        yield given, bad


def sentences() -> tuple[list[str], list[str], list[Path]]:
    """Names, texts and sounds of lj_reread, those that have a sound."""
    folder = DATA / "lj_reread"
    lines = [line.split("|") for line in (folder / "transcript.csv").read_text("utf-8").splitlines()]
    rows = [(line[0], line[1], folder / "flac" / f"{line[0]}.flac") for line in lines]
    there = [row for row in rows if row[2].exists()]
    names, texts, paths = zip(*there, strict=True)
    return list(names), list(texts), list(paths)


def digits() -> tuple[list[tuple[npt.NDArray[np.float32], int]], list[str], list[str], npt.NDArray[np.int64]]:
    """Sounds and rates, texts, speakers and numbers of the recording of fsdd."""
    sounds, texts, speakers, numbers = [], [], [], []
    with zipfile.ZipFile(DATA / "fsdd" / "recordings.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".wav")):
            digit, speaker, number = Path(name).stem.split("_")
            sounds.append(soundfile.read(io.BytesIO(archive.read(name)), dtype="float32"))
            texts.append(DIGITS[int(digit)])
            speakers.append(speaker)
            numbers.append(int(number))
    return sounds, texts, speakers, np.array(numbers)


# --- Duration against length ----------------------------------------------------------------------------------------


def rate() -> None:
    """AUROC of swapped transcripts by what needs no model."""
    _, texts, paths = sentences()
    read = [soundfile.read(path, dtype="float32") for path in paths]
    start = time.process_time()
    spoken = np.array([voiced_seconds(sound, rate_) for sound, rate_ in read])
    cost = time.process_time() - start
    whole = np.array([len(sound) / rate_ for sound, rate_ in read])
    letters, characters = spoken_length(texts), np.array([float(len(text)) for text in texts])
    print(
        f"### Transcripts swapped: lj_reread, {len(texts)} sentences of one reader (mean of {DRAWS} draws)\n"
    )
    rows = []
    for share in SHARES:
        found: dict[str, list[float]] = {}
        flags = []
        for given, bad in swapped(len(texts), share):
            ours = speech_rate(spoken, letters[given])
            flags.append((ours.issue[bad].mean(), bad[ours.issue].mean() if ours.issue.any() else np.nan))
            ratio = np.log(whole / characters[given])
            scores = {
                "ours": ours.quality,
                "file": speech_rate(whole, letters[given]).quality,
                "plain": -np.abs(ratio - ratio.mean()),
                "random": np.random.default_rng(int(given.sum()) + len(flags)).random(len(bad)),
            }
            for name, score in scores.items():
                found.setdefault(name, []).append(area(bad, score))
        means = [f"{np.mean(values):.3f} ± {np.std(values):.3f}" for values in found.values()]
        recall, precision = np.nanmean(flags, axis=0)
        rows.append([f"{share:.0%}", *means, f"{recall:.0%} / {precision:.0%}"])
    head = [
        "swapped",
        "speech-rate",
        "by the file's length",
        "characters a second, mean",
        "random",
        "flags: recall / precision",
    ]
    print(markdown(head, rows))
    print(f"\n{whole.sum():.0f} s of sound: spoken time measured in {cost:.2f} CPU s, decoding aside.\n")
    sounds, words, speakers, _ = digits()
    spoken = np.array([max(voiced_seconds(*sound), 0.01) for sound in sounds])
    letters = spoken_length(words)
    groups = np.unique(speakers, return_inverse=True)[1]
    apart, together = [], []
    for given, bad in swapped(len(words), 0.1, 10):
        apart.append(area(bad, speech_rate(spoken, letters[given], groups).quality))
        together.append(area(bad, speech_rate(spoken, letters[given]).quality))
    print(
        f"fsdd, {len(words)} single digits of {len(set(speakers))} speakers, a tenth swapped: {np.mean(apart):.3f} with a tempo "
        f"for each speaker, {np.mean(together):.3f} with one for all: words of three to five letters say next to nothing.\n"
    )


# --- Alignment by a model trained here ------------------------------------------------------------------------------


def bands(sound: npt.NDArray[np.float32], rate_: int) -> npt.NDArray[np.float32]:
    """Log power in 40 bands, every 20 ms, of unit variance: (frames, 40)."""
    hop, size = rate_ // 50, 256
    padded = np.pad(sound, (size // 2, size // 2 + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.round(np.linspace(0, 1, 42) ** 1.7 * (power.shape[1] - 1)).astype(int)
    rows = [power[:, lo : max(hi, lo + 1)].mean(1) for lo, hi in zip(edges[:-2], edges[2:], strict=True)]
    values = np.log(np.stack(rows, 1) + 1e-8)
    return ((values - values.mean()) / values.std()).astype(np.float32)


def train(features: list[Any], targets: list[list[int]], classes: int, epochs: int = 20) -> Any:
    """A small CTC model: two convolutions and a recurrent layer."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ahead = nn.Sequential(
                nn.Conv1d(40, 64, 5, padding=2), nn.ReLU(), nn.Conv1d(64, 64, 5, padding=2), nn.ReLU()
            )
            self.along = nn.GRU(64, 64, batch_first=True, bidirectional=True)
            self.out = nn.Linear(128, classes)

        def forward(self, x: Any) -> Any:
            return self.out(self.along(self.ahead(x.mT).mT)[0]).log_softmax(-1)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    net, rng = Net(), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(epochs):
        order = rng.permutation(len(features))
        for low in range(0, len(order), 32):
            rows = order[low : low + 32]
            lengths = torch.tensor([len(features[i]) for i in rows])
            x = nn.utils.rnn.pad_sequence([torch.from_numpy(features[i]) for i in rows], batch_first=True)
            y = torch.tensor([c for i in rows for c in targets[i]])
            sizes = torch.tensor([len(targets[i]) for i in rows])
            loss = nn.functional.ctc_loss(net(x).transpose(0, 1), y, lengths, sizes, zero_infinity=True)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net.eval()


def alignment() -> None:
    """Digits held back, a tenth of their labels swapped: CTC alignment beside recognition and duration."""
    import torch

    sounds, words, _, numbers = digits()
    alphabet = {c: i + 1 for i, c in enumerate(sorted(set("".join(words))))}
    features = [bands(*sound) for sound in sounds]
    targets = [[alphabet[c] for c in word] for word in words]
    held = np.flatnonzero(numbers < 10)
    kept = np.flatnonzero(numbers >= 10)
    start = time.process_time()
    net = train([features[i] for i in kept], [targets[i] for i in kept], len(alphabet) + 1)
    cost = time.process_time() - start
    with torch.inference_mode():
        probs = [net(torch.from_numpy(features[i])[None])[0].numpy() for i in held]
    letters = "-" + "".join(alphabet)
    heard = []
    for one in probs:
        path = one.argmax(1)
        first = np.append(True, path[1:] != path[:-1])
        heard.append("".join(letters[c] for c in path[first & (path > 0)]))
    right = np.mean([h == words[i] for h, i in zip(heard, held, strict=True)])
    spoken = np.array([max(voiced_seconds(*sounds[i]), 0.01) for i in held])
    size = np.array([float(len(words[i])) for i in held])
    found: dict[str, list[float]] = {}
    start = time.process_time()
    pairs = {(i, w): ctc_align(one, [alphabet[c] for c in w]) for i, one in enumerate(probs) for w in DIGITS}
    aligning = time.process_time() - start
    for given, bad in swapped(len(held), 0.1):
        said = [words[held[i]] for i in given]
        bad &= np.array(
            [s != words[i] for s, i in zip(said, held, strict=True)]
        )  # the same digit of another is no error
        aligned = [pairs[i, w] for i, w in enumerate(said)]
        scores = {
            "ctc-alignment, confidence": np.array([a.confidence for a in aligned]),
            "ctc-alignment, likelihood": np.array([a.likelihood for a in aligned]),
            "transcript-errors, characters": character_error_rate(said, heard).matched,
            "speech-rate": speech_rate(spoken, size[given]).quality,
            "random": np.random.default_rng(int(bad.sum())).random(len(bad)),
        }
        for name, score in scores.items():
            found.setdefault(name, []).append(area(bad, score))
    print(
        f"### Labels swapped: fsdd, {len(held)} digits held back, a tenth of them swapped (mean of {DRAWS} draws)\n"
    )
    print(
        f"The model is trained here on the other {len(kept)}, {cost:.0f} CPU s; it spells {right:.1%} of those held back.\n"
    )
    print(
        markdown(
            ["score", "AUROC"], [[name, f"{np.mean(v):.4f} ± {np.std(v):.4f}"] for name, v in found.items()]
        )
    )
    print(
        f"\nAn alignment of {np.mean([len(p) for p in probs]):.0f} frames takes {1e3 * aligning / len(pairs):.2f} CPU ms.\n"
    )


# --- Counting errors ------------------------------------------------------------------------------------------------

_JIWER = """
import json, sys, time, jiwer
refs, hyps = json.load(open(sys.argv[1]))
start = time.process_time(); w = jiwer.wer(refs, hyps); words = time.process_time() - start
start = time.process_time(); c = jiwer.cer(refs, hyps); print(json.dumps([w, words, c, time.process_time() - start]))
"""


def counting(peer: str | None, folder: Path) -> None:
    """20,000 pairs of 5 to 24 words, a tenth of the words left out or replaced."""
    rng = np.random.default_rng(0)
    lexicon = sorted({word for text in sentences()[1] for word in text.lower().split()})
    references = [" ".join(rng.choice(lexicon, rng.integers(5, 25))) for _ in range(20_000)]
    hypotheses = [
        " ".join(
            str(rng.choice(lexicon)) if rng.random() < 0.05 else w for w in r.split() if rng.random() > 0.05
        )
        for r in references
    ]
    rows = []
    for name, count in (("word", word_error_rate), ("character", character_error_rate)):
        start = time.process_time()
        plain = count(references, hypotheses, normalise=False).pooled
        cost = time.process_time() - start
        start = time.process_time()
        count(references, hypotheses)
        rows.append([name, f"{plain:.6f}", f"{cost:.2f}", f"{time.process_time() - start:.2f}"])
    head = ["unit", "ours", "CPU s", "with normalisation"]
    if peer:
        file = folder / "pairs.json"
        file.write_text(json.dumps([references, hypotheses]))
        done = subprocess.run([peer, "-c", _JIWER, str(file)], check=True, capture_output=True, text=True)
        seen = json.loads(done.stdout)
        head += ["jiwer", "CPU s"]
        rows = [[*row, f"{seen[2 * i]:.6f}", f"{seen[2 * i + 1]:.2f}"] for i, row in enumerate(rows)]
    print("### Error rates of 20,000 pairs of sentences, one thread\n")
    print(markdown(head, rows) + "\n")


# --- Real recognition -----------------------------------------------------------------------------------------------

_SPHINX = """
import json, sys, numpy, pocketsphinx, soundfile, soxr
decoder = pocketsphinx.Decoder(samprate=16000, loglevel="FATAL")
heard = {}
for path in sys.argv[2:]:
    sound, rate = soundfile.read(path, dtype="float32")
    pcm = (soxr.resample(sound, rate, 16000) * 32767).astype("<i2").tobytes()
    decoder.start_utt(); decoder.process_raw(pcm, full_utt=True); decoder.end_utt()
    heard[path.rpartition("/")[2].partition(".")[0]] = decoder.hyp().hypstr if decoder.hyp() else ""
json.dump(heard, open(sys.argv[1], "w"))
"""


def recognition(peer: str | None, file: Path) -> None:
    """Sentences as PocketSphinx hears them: transcripts swapped, and transcripts of which one word was changed."""
    names, texts, paths = sentences()
    if not file.exists():
        if not peer:
            print(
                "heard: give --peer PYTHON, an interpreter with pocketsphinx, soundfile and soxr, or --heard FILE\n"
            )
            return
        subprocess.run([peer, "-c", _SPHINX, str(file), *map(str, paths)], check=True)
    said = json.loads(file.read_text())
    rows = [i for i, name in enumerate(names) if name in said]
    names, texts = [names[i] for i in rows], [texts[i] for i in rows]
    heard = [said[name] for name in names]
    spoken = np.array([voiced_seconds(*soundfile.read(paths[i], dtype="float32")) for i in rows])
    letters = spoken_length(texts)
    truth = word_error_rate(texts, heard)
    print(
        f"### lj_reread as PocketSphinx hears it: {len(rows)} sentences, word error rate {truth.pooled:.1%}\n"
    )
    table = []
    changed = [half(text) for text in texts]
    for what in ("transcripts swapped", "second half lost", "one word left out"):
        found: dict[str, list[float]] = {}
        for given, bad in swapped(len(texts), 0.1):
            rng = np.random.default_rng(int(bad.nonzero()[0].sum()))
            if what == "transcripts swapped":
                shown = [texts[i] for i in given]
            elif what == "second half lost":
                shown = [changed[i] if b else texts[i] for i, b in enumerate(bad)]
            else:
                shown = [without(texts[i], rng) if b else texts[i] for i, b in enumerate(bad)]
            scores = {
                "words": word_error_rate(shown, heard).matched,
                "characters": character_error_rate(shown, heard).matched,
                "speech-rate": speech_rate(spoken, spoken_length(shown)).quality,
                "random": rng.random(len(bad)),
            }
            for name, score in scores.items():
                found.setdefault(name, []).append(area(bad, score))
        table.append([what, *(f"{np.mean(v):.3f} ± {np.std(v):.3f}" for v in found.values())])
    print(
        markdown(
            ["a tenth of them", "transcript-errors, words", "characters", "speech-rate", "random"], table
        )
    )
    print(f"\n(AUROC, mean of {DRAWS} draws; {letters.sum():.0f} letters.)\n")


def half(text: str) -> str:
    """The first half of the words."""
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)])


def without(text: str, rng: np.random.Generator) -> str:
    """A text without one of its words."""
    words = text.split()
    lost = int(rng.integers(len(words)))
    return " ".join(words[:lost] + words[lost + 1 :])


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", default=["rate", "digits", "words"])
    parser.add_argument("--peer", help="an interpreter with jiwer, pocketsphinx, soundfile and soxr")
    parser.add_argument(
        "--heard", type=Path, help="JSON of what was heard: read if it is there, else written"
    )
    chosen = parser.parse_args()
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        if "rate" in chosen.what:
            rate()
        if "digits" in chosen.what:
            alignment()
        if "words" in chosen.what:
            counting(chosen.peer, Path(folder))
        if "heard" in chosen.what:
            recognition(chosen.peer, chosen.heard or Path(folder) / "heard.json")


if __name__ == "__main__":
    main()
