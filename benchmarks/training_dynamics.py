"""Which score of training finds wrong labels: AUROC and average precision, with chance and cleanlab's ranking beside.

    python benchmarks/training_dynamics.py --data DIR [--seeds 2] [--sets digits,fsdd,cifar] [--images 15000]
    python benchmarks/training_dynamics.py --data DIR --flags [--sets digits,fsdd]

`--flags` shows precision and recall of AUM's cut by threshold samples instead.

Sets: `digits` (scikit-learn, pixels), `fsdd` (spoken digits, log spectra), `cifar` (the first CIFAR-10 images as ResNet-20 features).
**The ResNet was trained on clean labels of these very images**, so its features are better than anyone's would be who only has
noisy ones; all scores have the same features. Noise: uniform 0.2 and 0.4, pair 0.3, instance-dependent 0.15 (a random
linear map of the features decides how likely and to what); on `cifar` also people's own, CIFAR-10N worst and aggregate.
Every score uses one fixed configuration, the default of its function but for what its row names. Seconds are CPU seconds of this process.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _measure import markdown

from curate.scorers.noise.dynamics.head import Head, train_head
from curate.scorers.noise.dynamics.measures import Trajectory
from curate.scorers.noise.dynamics.memorisation import memorisation, subset_runs
from curate.scorers.noise.dynamics.rescaling import self_taught_weights
from curate.scorers.noise.dynamics.thresholds import aum_errors
from curate.scorers.noise.out_of_fold import out_of_fold_probabilities

Scores = dict[str, np.ndarray]


# --- Data ----------------------------------------------------------------------------------------------------------


def load(name: str, data: Path, images: int = 15000) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Features, true labels, and noisy labels made by people, by name."""
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.data.astype(np.float32), digits.target.astype(np.int64), {}
    if name == "fsdd":
        return *load_fsdd(data), {}
    x, index = load_cifar(data, images)
    with np.load(data / "cifar_n" / "cifar10n.npz") as labels:
        human = {f"human {kind}": labels[f"{key}_label"][index].astype(np.int64) for kind, key in HUMAN}
        return x, labels["clean_label"][index].astype(np.int64), human


HUMAN = (("worst", "worse"), ("aggregate", "aggre"))


def load_fsdd(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Log power in 20 bands at 20 moments of each sound."""
    import soundfile

    rows, labels = [], []
    with zipfile.ZipFile(data / "fsdd" / "recordings.zip") as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".wav")):
            samples, _ = soundfile.read(io.BytesIO(archive.read(name)))
            samples = np.pad(samples, (0, max(0, 256 - len(samples))))
            frames = np.lib.stride_tricks.sliding_window_view(samples, 256)[::80] * np.hanning(256)
            power = np.abs(np.fft.rfft(frames, axis=1))[:, 1:121].reshape(len(frames), 20, 6).mean(2)
            at = np.linspace(0, len(frames) - 1, 20).round().astype(int)
            rows.append(np.log(power[at] + 1e-4).reshape(-1))
            labels.append(int(Path(name).name[0]))
    return np.array(rows, np.float32), np.array(labels)


def load_cifar(data: Path, images: int) -> tuple[np.ndarray, np.ndarray]:
    """ResNet-20 features of the first training images, and their positions in CIFAR-10."""
    import torch
    from PIL import Image

    folder = data / "cifar10_images"
    with (folder / "train_first15000_index.csv").open() as file:
        listed = [(int(row["cifar_index"]), row["path"]) for row in csv.DictReader(file)][:images]
    with zipfile.ZipFile(folder / "train_first15000.zip") as archive:
        pixels = np.stack([np.asarray(Image.open(archive.open(path)).convert("RGB")) for _, path in listed])
    weights = torch.load(
        data / "weights_resnet_cifar10" / "resnet20-12fca82f.th", map_location="cpu", weights_only=True
    )["state_dict"]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    parts = []
    with torch.no_grad():
        for low in range(0, len(pixels), 500):
            batch = ((pixels[low : low + 500] / 255 - mean) / std).transpose(0, 3, 1, 2)
            parts.append(resnet20(torch.from_numpy(batch.astype(np.float32)), weights).numpy())
    return np.concatenate(parts), np.array([index for index, _ in listed])


def resnet20(x: Any, weights: dict[str, Any]) -> Any:
    """Features before the last layer, (b, 64)."""
    from torch.nn import functional as f

    def layer(x: Any, name: str, part: str, stride: int = 1) -> Any:
        x = f.conv2d(x, weights[f"module.{name}conv{part}.weight"], stride=stride, padding=1)
        norm = [
            weights[f"module.{name}bn{part}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        ]
        return f.batch_norm(x, *norm)

    x = f.relu(layer(x, "", "1"))
    for stage in (1, 2, 3):
        for block in range(3):
            name, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            y = layer(f.relu(layer(x, name, "1", stride)), name, "2")
            if stride == 2:
                extra = x.shape[1] // 2
                x = f.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra))
            x = f.relu(x + y)
    return x.mean((2, 3))


def corrupt(x: np.ndarray, truth: np.ndarray, kind: str, rate: float, rng: np.random.Generator) -> np.ndarray:
    given, n, k = truth.copy(), len(truth), int(truth.max()) + 1
    if kind == "instance":
        features = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
        likely = np.exp(2 * features @ rng.normal(size=(x.shape[1], k)) / np.sqrt(x.shape[1]))
        likely[np.arange(n), truth] = 0
        likely /= likely.sum(1, keepdims=True)
        rates = np.clip(rng.normal(rate, 0.1, n), 0, 1)
        hit = rng.random(n) < rates
        picked = (likely.cumsum(1) > rng.random((n, 1))).argmax(1)
        given[hit] = picked[hit]
        return given
    hit = rng.random(n) < rate
    step = rng.integers(1, k, hit.sum()) if kind == "uniform" else 1
    given[hit] = (given[hit] + step) % k
    return given


# --- Scores, high = keep ----------------------------------------------------------------------------------------------


def by_head(loss: str, **settings: Any) -> Callable[[np.ndarray, np.ndarray, int], Scores]:
    def run(x: np.ndarray, given: np.ndarray, seed: int) -> Scores:
        trajectory = Trajectory(given, int(given.max()) + 1)
        head = Head(loss=loss, seed=seed, **settings)
        done = train_head(
            x, given, trajectory.classes, head=head, on_epoch=lambda _, logits: trajectory.add(logits)
        )
        found = trajectory.result()
        scores: Scores = {
            "mean p (confidence)": found.confidence,
            "margin area (AUM)": found.margin,
            "mean loss": -done.mean_loss,
            "final loss": -done.final_loss,
        }
        if loss in ("ce", "elr"):
            scores["ELR target"] = found.target
        if loss == "ce":
            scores |= {
                "correctness": found.correctness,
                "forgetting": -np.where(found.learnt, found.forgetting, head.epochs).astype(float),
                "variability": -found.variability,
            }
        if done.lam is not None:
            scores["lambda"] = -done.lam
        return scores

    return run


def by_folds(x: np.ndarray, given: np.ndarray, seed: int) -> Scores:
    from cleanlab.rank import get_label_quality_scores

    p = out_of_fold_probabilities(x, given, seed=seed).probabilities
    p = p / p.sum(1, keepdims=True)
    methods = {"self_confidence": "self-confidence", "normalized_margin": "margin"}
    return {name: get_label_quality_scores(given, p, method=method) for method, name in methods.items()}


def by_neighbours(x: np.ndarray, given: np.ndarray, seed: int) -> Scores:
    """Cosine-weighted agreement of the 10 nearest others."""
    unit = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    out = np.empty(len(x))
    for low in range(0, len(x), 1000):
        likeness = unit[low : low + 1000] @ unit.T
        likeness[np.arange(len(likeness)), np.arange(low, low + len(likeness))] = -np.inf
        near = np.argpartition(-likeness, 10, axis=1)[:, :10]
        weight = np.take_along_axis(likeness, near, 1).clip(0)
        same = given[near] == given[low : low + 1000, None]
        out[low : low + 1000] = (weight * same).sum(1) / np.maximum(weight.sum(1), 1e-12)
    return {"agreement": out}


def by_subsets(x: np.ndarray, given: np.ndarray, seed: int) -> Scores:
    runs = subset_runs(x, given, int(given.max()) + 1, seed=seed)
    found = memorisation(runs.correct, runs.included)
    return {"1 - memorised": -np.nan_to_num(found.memorised)}


WAYS: dict[str, Callable[[np.ndarray, np.ndarray, int], Scores]] = {
    "ELR head": by_head("elr"),
    "CE head": by_head("ce"),
    "LDR head": by_head("ldr"),
    "LDR head, lam 10, unit-mean": by_head("ldr", lam=10.0, prepare="unit-mean"),
    "LDR head, unit-mean": by_head("ldr", prepare="unit-mean"),
    "ALDR head, lam0 10": by_head("aldr", lam0=10.0),
    "ALDR head, lam0 1": by_head("aldr", lam0=1.0),
    "ALDR head, lam0 10, unit-mean": by_head("aldr", lam0=10.0, prepare="unit-mean"),
    "AUM, 2 runs": lambda x, y, s: {"margin": aum_errors(x, y, int(y.max()) + 1, head=Head(seed=s)).margin},
    "out of fold (cleanlab's ranking)": by_folds,
    "10 nearest": by_neighbours,
    "memorisation, 100 nearest-neighbour runs": by_subsets,
    "self-taught weights": lambda x, y, s: {"weight": self_taught_weights(x, y, int(y.max()) + 1).weights},
    "random": lambda x, y, s: {"random": np.random.default_rng([s, 8]).random(len(y))},
}
ENSEMBLE = (
    ("CE head", "margin area (AUM)"),
    ("out of fold (cleanlab's ranking)", "margin"),
    ("10 nearest", "agreement"),
    ("ELR head", "mean p (confidence)"),
)


def settings(x: np.ndarray, truth: np.ndarray, human: dict[str, np.ndarray], seed: int) -> Iterator[Any]:
    for kind, rate in (("uniform", 0.2), ("uniform", 0.4), ("pair", 0.3), ("instance", 0.15)):
        yield f"{kind} {rate}", corrupt(x, truth, kind, rate, np.random.default_rng([seed, 7]))
    if not seed:
        yield from human.items()


def compare(name: str, options: Any, table: dict[Any, Any], cost: dict[str, float]) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    x, truth, human = load(name, options.data, options.images)
    for seed in range(options.seeds):
        for noise, given in settings(x, truth, human, seed):
            print(f"{name}, {len(x)} items, seed {seed}: {noise}", file=sys.stderr, flush=True)
            wrong, found = given != truth, {}
            for way, score in WAYS.items():
                start = time.process_time()
                for what, values in score(x, given, seed).items():
                    found[way, what] = values
                cost[way] += time.process_time() - start
            ranks = [np.argsort(np.argsort(found[key])) for key in ENSEMBLE]
            found["rank mean", "AUM + out-of-fold margin + 10 nearest + ELR mean p"] = np.mean(ranks, 0)
            for key, values in found.items():
                pair = roc_auc_score(wrong, -values), average_precision_score(wrong, -values)
                table[key][name, noise].append(pair)


def show_flags(options: Any) -> None:
    """Precision and recall of `aum_errors`, by loss and percentile; at random precision is the noise rate."""
    rows = []
    for name in options.sets.split(","):
        x, truth, _ = load(name, options.data, options.images)
        for kind, rate in (("uniform", 0.05), ("uniform", 0.2), ("pair", 0.3)):
            given = corrupt(x, truth, kind, rate, np.random.default_rng([0, 7]))
            wrong = given != truth
            for loss in ("elr", "ce"):
                cells: list[Any] = []
                for percentile in (99, 90):
                    head = Head(loss=loss)
                    issue = aum_errors(x, given, int(given.max()) + 1, head=head, percentile=percentile).issue
                    hits = (issue & wrong).sum()
                    cells += [f"{hits / issue.sum():.2f}", f"{hits / wrong.sum():.2f}"]
                rows.append([name, f"{kind} {rate}", loss, *cells, f"{wrong.mean():.2f}"])
    header = ["set", "noise", "loss", "precision at 99", "recall", "precision at 90", "recall", "chance"]
    print(markdown(header, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sets", default="digits,fsdd,cifar")
    parser.add_argument("--images", type=int, default=15000)
    parser.add_argument("--flags", action="store_true")
    options = parser.parse_args()
    if options.flags:
        show_flags(options)
        return
    table: dict[Any, Any] = defaultdict(lambda: defaultdict(list))
    cost: dict[str, float] = defaultdict(float)
    for name in options.sets.split(","):
        compare(name, options, table, cost)
    rows = []
    for key, by_case in table.items():
        cases = {case: np.mean(values, 0) for case, values in by_case.items()}
        made = [v for (_, noise), v in cases.items() if not noise.startswith("human")]
        people = [cases.get(("cifar", f"human {kind}"), (np.nan, np.nan)) for kind, _ in HUMAN]
        by_set = [
            np.mean([v[0] for (s, noise), v in cases.items() if s == name and "human" not in noise])
            for name in options.sets.split(",")
        ]
        rows.append([*key, *np.mean(made, 0), *by_set, *people[0], *people[1], cost.get(key[0], 0)])
    rows.sort(key=lambda row: -row[2])
    header = ["training", "score", "AUROC", "AP", *(f"AUROC {s}" for s in options.sets.split(","))]
    header += ["worst AUROC", "worst AP", "aggregate AUROC", "aggregate AP", "CPU s, all"]
    print(markdown(header, [[*row[:2], *(f"{v:.3f}" for v in row[2:-1]), f"{row[-1]:.0f}"] for row in rows]))


if __name__ == "__main__":
    main()
