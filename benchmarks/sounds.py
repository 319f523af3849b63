"""The plain embedding of sounds: recordings found again, words told apart, wrong labels found, beside a baseline and chance.

    python benchmarks/sounds.py            # a minute and a half

Data: fsdd (2,000 spoken digits of 4 people) and lj_reread (141 sentences of one man) in the folder CURATE_DATA, or
../shared/data. The number of parts and coefficients was chosen on these very sets, among 60 configurations. The baseline is the
mean spectrum, `steps=1`. Edits need only soundfile and numpy.
"""

from __future__ import annotations

import argparse
import io
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from _measure import markdown

from curate.scorers.duplicates.semdedup import semdedup
from curate.scorers.noise import knn_agreement
from curate.scorers.speech import sound_embedding

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
Sound = tuple[npt.NDArray[np.float32], int]


def digits() -> tuple[list[Sound], npt.NDArray[np.str_], npt.NDArray[np.str_]]:
    """Sounds, the digit and the speaker of each."""
    with zipfile.ZipFile(DATA / "fsdd" / "recordings.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))
        sounds = [soundfile.read(io.BytesIO(archive.read(name)), dtype="float32") for name in names]
    said = [Path(name).name.split("_") for name in names]
    return sounds, np.array([one[0] for one in said]), np.array([one[1] for one in said])


def sentences() -> list[Sound]:
    return [
        soundfile.read(path, dtype="float32") for path in sorted((DATA / "lj_reread" / "flac").glob("*.flac"))
    ]


def embed(sounds: list[Sound], steps: int = 8) -> npt.NDArray[np.float32]:
    return np.stack([sound_embedding(samples, rate, steps=steps) for samples, rate in sounds])


def edits(samples: npt.NDArray[np.float32], rate: int) -> Iterator[tuple[str, Sound]]:
    """The same recording as other people would keep it."""
    rng = np.random.default_rng(0)
    yield "8 dB quieter", (samples * np.float32(0.4), rate)
    noise = rng.normal(0, samples.std() * 10 ** (-30 / 20), len(samples)).astype(np.float32)
    yield "noise 30 dB below", (samples + noise, rate)
    quiet = rng.normal(0, 1e-5, rate // 4).astype(np.float32)
    yield "a quarter of a second of silence at both ends", (np.concatenate([quiet, samples, quiet]), rate)
    for name, subtype in (("OGG", "VORBIS"), ("MP3", None)):
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format=name, subtype=subtype)
        file.seek(0)
        yield name, soundfile.read(file, dtype="float32")
    yield "the first twentieth cut off", (samples[len(samples) // 20 :], rate)


def again(name: str, sounds: list[Sound], cosine: float) -> list[list[str]]:
    """Every tenth recording once more, edited: recall and precision of what is flagged, and chance."""
    own, rows = embed(sounds), []
    planted = sounds[::10]
    for edit in [edit for edit, _ in edits(*sounds[0])]:
        copies = embed([dict(edits(*sound))[edit] for sound in planted])
        flagged = ~semdedup(np.concatenate([own, copies]), threshold=cosine).kept
        found, all_ = int(flagged[len(own) :].sum()), int(flagged.sum())
        chance = len(planted) / (len(own) + len(planted))
        rows.append(
            [
                name,
                f"{cosine}",
                edit,
                f"{found / len(planted):.2f}",
                f"{found / max(all_, 1):.2f}",
                f"{chance:.2f}",
            ]
        )
    return rows


def nearest(
    x: npt.NDArray[np.float32], of: npt.NDArray[np.str_], apart: npt.NDArray[np.str_] | None
) -> float:
    """How often the nearest other (of another group) is of the same class."""
    alike = x @ x.T
    np.fill_diagonal(alike, -9)
    if apart is not None:
        alike[apart[:, None] == apart] = -9
    return float((of[alike.argmax(axis=1)] == of).mean())


def wrong_labels(x: npt.NDArray[np.float32], truth: npt.NDArray[np.str_]) -> float:
    """AUROC of finding 5 % flipped labels by their neighbours, mean of five draws."""
    from sklearn.metrics import roc_auc_score

    (names, codes), found = np.unique(truth, return_inverse=True), []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        bad = rng.random(len(truth)) < 0.05
        labels = np.where(bad, (codes + rng.integers(1, len(names), len(codes))) % len(names), codes)
        found.append(roc_auc_score(bad, -knn_agreement(x, labels).score))
    return float(np.mean(found))


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    spoken, digit, speaker = digits()
    read = sentences()
    header = ["set", "cosine", "edit", "recall", "precision", "at random"]
    print(markdown(header, [*again("sentences", read, 0.95), *again("digits", spoken, 0.99)]))
    rows = []
    for name, x in (
        ("sound-embedding", embed(spoken)),
        ("mean spectrum", embed(spoken, steps=1)),
        ("random", np.random.default_rng(0).normal(size=(len(spoken), 160)).astype(np.float32)),
    ):
        numbers = nearest(x, digit, None), nearest(x, digit, speaker), wrong_labels(x, digit)
        rows.append([name, *(f"{number:.3f}" for number in numbers)])
    print(
        markdown(
            [
                "of 2,000 digits",
                "nearest is the same digit",
                "nearest of other speakers",
                "AUROC, 5 % flipped",
            ],
            rows,
        )
    )
    for name, sounds in (("sentences, 22 kHz", read), ("digits, 8 kHz", spoken)):
        start = time.process_time()
        embed(sounds)
        seconds = sum(len(samples) / rate for samples, rate in sounds)
        print(
            f"{name}: {seconds / (time.process_time() - start):,.0f} seconds of sound a CPU second, decoding aside"
        )


if __name__ == "__main__":
    main()
