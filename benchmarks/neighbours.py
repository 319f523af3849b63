"""Neighbourhood scorers: speed and memory beside cleanlab, and how well they find wrong labels, strangers and captions.

    python benchmarks/neighbours.py speed        # each contestant in a process of its own
    python benchmarks/neighbours.py quality      # the data folder is ../shared/data, or $CURATE_DATA
    python benchmarks/neighbours.py outliers
    python benchmarks/neighbours.py captions

No parameter was chosen by looking at these results; every score has random beside it. The ResNet-20 was trained on the
clean labels of the very CIFAR-10 images it embeds here: its features are better than anyone's with noisy labels would be.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _cifar_resnet import features_and_logits
from _measure import markdown, measure
from PIL import Image

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
WEIGHTS = DATA / "weights_resnet_cifar10" / "resnet20-12fca82f.th"
K = 10
Scores = dict[str, npt.NDArray[Any]]


# --- Speed ----------------------------------------------------------------------------------------------------------


def task(name: str, n: int, dim: int) -> None:
    """One contestant: prints what it took without imports and data."""
    import time

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n)
    run: Callable[[], Any]
    if name.startswith("core"):
        rows = rng.integers(0, n, (n, int(name.rpartition("-")[2])))
        run = _core(name, rows, labels)
    else:
        x = rng.standard_normal((10, dim), np.float32)[labels] + rng.standard_normal((n, dim), np.float32)
        run = _whole(name, x, labels)
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


def _core(name: str, rows: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Callable[[], Any]:
    if "cleanlab" in name:
        from cleanlab.data_valuation import _knn_shapley_score

        return lambda: _knn_shapley_score(rows, labels, rows.shape[1])
    from curate.scorers.noise import shapley_of_neighbours

    return lambda: shapley_of_neighbours(rows, labels, K)


def _whole(name: str, x: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Callable[[], Any]:
    if name == "cleanlab":
        from cleanlab.data_valuation import data_shapley_knn

        return lambda: data_shapley_knn(labels, features=x, k=K, metric="cosine")
    from curate.scorers.noise import knn_agreement, knn_shapley

    if name == "agreement":
        return lambda: knn_agreement(x, labels, K)
    form, _, search = name.partition("-")
    kind: dict[str, Any] = {"backend": "numpy"} if search == "numpy" else {"search": search}
    return lambda: knn_shapley(x, labels, k=K, form=form, **kind)  # type: ignore[arg-type]


def speed() -> None:
    dim = 64
    rows = []
    core = [(n, "core-10") for n in (5_000, 20_000, 100_000, 1_000_000)]
    core += [(n, "core-100") for n in (20_000, 1_000_000)] + [
        (n, "core-cleanlab-10") for n in (5_000, 20_000)
    ]
    whole = [(5_000, "cleanlab"), (20_000, "cleanlab"), (5_000, "cleanlab-exact"), (20_000, "cleanlab-exact")]
    whole += [(n, "truncated-exact") for n in (5_000, 20_000, 100_000)]
    whole += [(20_000, "truncated-numpy"), (20_000, "agreement"), (100_000, "agreement")]
    whole += [
        (5_000, "exact-exact"),
        (100_000, "truncated-approximate"),
        (1_000_000, "truncated-approximate"),
    ]
    for n, name in core + whole:
        done = measure([sys.executable, __file__, "task", name, str(n), str(dim)], **os.environ)
        took = done.result
        rows.append((name, f"{n:,}", f"{took['wall']:.2f}", f"{took['cpu']:.2f}", f"{done.rss:,.0f}"))
        print(rows[-1], file=sys.stderr, flush=True)
    print(markdown(("what", "n", "wall s", "CPU s", "peak MB of the process"), rows))


# --- Quality --------------------------------------------------------------------------------------------------------


def images_of(archive: Path, names: Iterable[str]) -> list[Image.Image]:
    with zipfile.ZipFile(archive) as opened:
        return [Image.open(io.BytesIO(opened.read(name))).convert("RGB") for name in names]


def cifar() -> tuple[npt.NDArray[Any], ...]:
    """Dataset index, features and logits of the 15,000 training images."""
    folder = DATA / "cifar10_images"
    with (folder / "train_first15000_index.csv").open() as opened:
        table = list(csv.reader(opened))[1:]
    images = images_of(folder / "train_first15000.zip", (row[1] for row in table))
    x, logits = features_and_logits(images, WEIGHTS)
    return np.array([int(row[0]) for row in table]), x, logits


def scored(wrong: npt.NDArray[Any], score: npt.NDArray[Any], flagged: Any = None) -> tuple[str, ...]:
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    f1 = "" if flagged is None else f"{f1_score(wrong, flagged):.4f}"
    return f"{average_precision_score(wrong, -score):.4f}", f"{roc_auc_score(wrong, -score):.4f}", f1


def label_scores(x: npt.NDArray[Any], given: npt.NDArray[Any]) -> dict[str, tuple[Any, Any]]:
    """Score and flags of every contestant."""
    from cleanlab.data_valuation import data_shapley_knn
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    from curate.scorers.noise import class_gaussian, knn_agreement, knn_shapley, out_of_fold_probabilities

    vote, rank = (knn_agreement(x, given, K, rule=rule) for rule in ("vote", "rank"))  # type: ignore[arg-type]
    probabilities = out_of_fold_probabilities(x, given).probabilities
    found: dict[str, tuple[Any, Any]] = {
        "knn-agreement, vote": (vote.score, vote.flagged),
        "knn-agreement, rank": (rank.score, rank.flagged),
        "knn-agreement, k = 50": ((wide := knn_agreement(x, given, 50)).score, wide.flagged),
    }
    for form in ("truncated", "cleanlab"):
        value = knn_shapley(x, given, k=K, form=form)  # type: ignore[arg-type]
        found[f"knn-shapley, {form}"] = (value, value < (0.5 if form == "cleanlab" else 0))
    for covariance in ("shared", "class"):
        margin = class_gaussian(x, given, covariance=covariance).margin  # type: ignore[arg-type]
        found[f"class-gaussian, {covariance}"] = (margin, margin < 0)
    found["cleanlab data_shapley_knn"] = (
        data_shapley_knn(given, features=x, k=K, metric="cosine"),
        None,
    )
    found["cleanlab on out-of-fold logistic regression"] = (
        get_label_quality_scores(given, probabilities),
        find_label_issues(given, probabilities, n_jobs=1),
    )
    found["random"] = (
        np.random.default_rng(98).random(len(given)),
        np.random.default_rng(99).random(len(given)) < 0.5,
    )
    return found


def quality() -> None:
    from sklearn.datasets import load_digits

    index, x, logits = cifar()
    with np.load(DATA / "cifar_n" / "cifar10n.npz") as data:
        names = {name.lower(): name for name in data}
        clean = data[names[next(n for n in names if "clean" in n)]][index].astype(np.int64)
        print(
            f"ResNet-20 is right on {(logits.argmax(1) == clean).mean():.1%} of the clean labels it was trained on\n"
        )
        for part in ("aggre", "worse"):
            name = next(n for n in names if part in n or part.replace("worse", "worst") in n)
            given = data[names[name]][index].astype(np.int64)
            wrong = given != clean
            print(f"CIFAR-10N {name}, {len(given):,} images, {wrong.mean():.1%} wrong, ResNet-20 features\n")
            rows = [(who, *scored(wrong, *pair)) for who, pair in label_scores(x, given).items()]
            print(markdown(("score", "AP", "AUROC", "F1 of the flags"), rows) + "\n", flush=True)
    digits, truth = load_digits(return_X_y=True)
    for rate in (0.05, 0.2, 0.4):
        runs = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            wrong = rng.random(len(truth)) < rate
            given = np.where(wrong, (truth + rng.integers(1, 10, len(truth))) % 10, truth)
            runs.append({who: scored(wrong, *pair) for who, pair in label_scores(digits, given).items()})
        rows = [(who, *(_mean(run[who][i] for run in runs) for i in range(3))) for who in runs[0]]
        print(f"digits, 8 x 8 pixels, {rate:.0%} flipped uniformly, means of 3 seeds\n")
        print(markdown(("score", "AP", "AUROC", "F1 of the flags"), rows) + "\n", flush=True)


def _mean(values: Iterable[str]) -> str:
    numbers = [float(value) for value in values if value]
    return f"{np.mean(numbers):.4f}" if numbers else ""


# --- Outliers -------------------------------------------------------------------------------------------------------


def strangers() -> dict[str, list[Image.Image]]:
    """Images that are no CIFAR-10 class: handwritten digits in colour, uniform noise, CIFAR-like blur of noise."""
    rng = np.random.default_rng(0)
    with np.load(DATA / "usps" / "usps_train.npz") as data:
        digits = next(data[name] for name in data if data[name].ndim == 3 or data[name].size > 100_000)
    digits = digits.reshape(-1, 16, 16)[:250].astype(np.float64)
    digits = (digits - digits.min()) / (digits.max() - digits.min())
    drawn, noise, blots = [], [], []
    for digit in digits:
        ink, paper = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        pixels = digit[..., None] * ink + (1 - digit[..., None]) * paper
        drawn.append(Image.fromarray(pixels.astype(np.uint8)).resize((32, 32)))
        noise.append(Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)))
        small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        blots.append(Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC))
    return {"digits in colour": drawn, "noise": noise, "blots": blots}


def outliers() -> None:
    from cleanlab.outlier import OutOfDistribution

    from curate.scorers.noise.neighbours.outlier import confidence, energy, knn_distance, mahalanobis_distance

    index, x, logits = cifar()
    with np.load(DATA / "cifar_n" / "cifar10n.npz") as data:
        labels = data[next(n for n in data if "clean" in n.lower())][index].astype(np.int64)
    table: dict[str, list[str]] = {}
    kinds = strangers()
    for images in kinds.values():
        more, more_logits = features_and_logits(images, WEIGHTS)
        both, all_logits = np.concatenate([x[:5000], more]), np.concatenate([logits[:5000], more_logits])
        strange = np.arange(len(both)) >= 5000
        rng = np.random.default_rng(0)
        given = np.concatenate([labels[:5000], rng.integers(0, 10, len(more))])
        shares = np.exp(all_logits - all_logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        scores = {
            "knn, mean, cosine": -knn_distance(both, K),
            "knn, mean, euclidean": -knn_distance(both, K, metric="euclidean"),
            "knn, last of 100, cosine": -knn_distance(both, 100, of="last"),
            "knn against 10,000 clean others": -knn_distance(both, K, reference=x[5000:]),
            "mahalanobis, one class": -mahalanobis_distance(both),
            "mahalanobis, 10 classes": -mahalanobis_distance(both, given, trim=0.1),
            "mahalanobis against 10,000 clean others": -mahalanobis_distance(
                both, labels[5000:], reference=x[5000:]
            ),
            "energy": energy(all_logits),
            "confidence": confidence(shares),
            "cleanlab, features": OutOfDistribution().fit_score(features=both, verbose=False),
            "cleanlab, probabilities": OutOfDistribution().fit_score(
                pred_probs=shares, labels=given, verbose=False
            ),
            "random": rng.random(len(both)),
        }
        for who, value in scores.items():
            table.setdefault(who, []).append(scored(strange, value)[1])
    print("AUROC, 250 strangers among 5,000 CIFAR-10 images, ResNet-20\n")
    print(markdown(("score", *kinds), [(who, *values) for who, values in table.items()]))


# --- Captions -------------------------------------------------------------------------------------------------------


def captions() -> None:
    from curate.scorers.embedding.minilm import _encode
    from curate.scorers.noise import lemon

    folder = DATA / "flickr8k_1k"
    with zipfile.ZipFile(folder / "images.zip") as opened:
        inside = {Path(name).name: name for name in opened.namelist() if name.endswith(".jpg")}
    lines = [line.split("\t", 1) for line in (folder / "captions.tsv").read_text().splitlines()]
    pairs = [(key.partition("#")[0], text) for key, text in lines if key.partition("#")[0] in inside]
    files = sorted({name for name, _ in pairs})
    pictures = images_of(folder / "images.zip", [inside[name] for name in files])
    seen = {
        "ResNet-20 of CIFAR-10": features_and_logits(pictures, WEIGHTS)[0],
        "pixels, 8 x 8": np.stack([np.asarray(p.resize((8, 8)), np.float32).ravel() - 127 for p in pictures]),
        "random vectors": np.random.default_rng(0).standard_normal((len(files), 64)),
    }
    place = {name: i for i, name in enumerate(files)}
    words = _encode([text for _, text in pairs], "cpu", 64)
    of = np.array([place[name] for name, _ in pairs])
    first = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    rows = []
    for what, chosen in (("five captions an image", np.arange(len(of))), ("one caption an image", first)):
        image_of, text = of[chosen], words[chosen]
        for name, vectors in seen.items():
            runs = [_shuffled(seed, image_of, text, vectors, lemon) for seed in range(3)]
            rows.append((what, name, *(_mean(run[key] for run in runs) for key in runs[0])))
    print(
        f"{len(files)} photos, {len(of):,} captions, 20 % of the captions shuffled among each other: AUROC\n"
    )
    print(
        markdown(
            ("pairs", "images seen by", "lemon", "texts of like images", "images of like texts", "random"),
            rows,
        )
    )


def _shuffled(seed: int, image_of: Any, text: Any, vectors: Any, lemon: Any) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    moved = rng.choice(len(text), len(text) // 5, replace=False)
    mixed = text.copy()
    mixed[moved] = text[np.roll(moved, 1)]
    wrong = np.zeros(len(text), bool)
    wrong[moved] = image_of[moved] != image_of[np.roll(moved, 1)]
    found = lemon(vectors[image_of], mixed, joint=False)
    scores = {
        "lemon": found.score,
        "text": -found.text,
        "image": -found.image,
        "random": rng.random(len(text)),
    }
    return {key: scored(wrong, value)[1] for key, value in scores.items()}


PARTS = {"speed": speed, "quality": quality, "outliers": outliers, "captions": captions}

if __name__ == "__main__":
    if sys.argv[1:2] == ["task"]:
        task(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
        parser.add_argument("part", choices=PARTS)
        PARTS[parser.parse_args().part]()
