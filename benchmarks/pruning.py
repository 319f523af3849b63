"""Which classes of a source to keep for a target: target accuracy against classes kept, random classes beside.

    python benchmarks/pruning.py --data DIR [--target usps|digits] [--seeds 5] [--items 300]

Source: thirty classes of 16 x 16 grey pictures, so many `--items` of each: ten of MNIST, ten of CIFAR-10 (the first
15,000 training images), and ten of USPS or of scikit-learn's digits, whichever is not the target. Target: USPS or digits, ten
labelled items of each class to train on and all others (2,000 at most) to measure. A small network (256-128-64) learns the source
classes that are kept, twelve rounds whatever their number; a logistic regression on its last layer learns the target.
Label mapping reads what a network trained on all thirty classes says of the target's training items, feature mapping its last layer.
The sets are small and the classes few: this shows the mechanism and the numbers below, not ImageNet.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import markdown

import curate
from curate.selectors.pruning import feature_mapping, label_mapping, random_classes

SHARES = (0.2, 0.4, 0.6)
SIDE = 16


# --- Data ----------------------------------------------------------------------------------------------------------


def resized(images: Any) -> np.ndarray:
    from PIL import Image

    size = (SIDE, SIDE)
    rows = [
        np.asarray(Image.fromarray(im).convert("L").resize(size, Image.Resampling.BILINEAR)) for im in images
    ]
    return np.stack(rows).reshape(len(rows), -1).astype(np.float32) / 255


def load(name: str, data: Path) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        return resized((digits.images * 15.9).astype(np.uint8)), digits.target
    if name == "usps":
        with np.load(data / "usps" / "usps_train.npz") as usps:
            x, y = usps["x"].astype(np.float32), usps["y"]
        return ((x - x.min()) / (x.max() - x.min())).reshape(len(x), -1), y
    if name == "mnist":
        folder = data / "mnist10k" / "data"
        raw = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
        images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
        return resized(images), np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    return load_cifar(data / "cifar10_images")


def load_cifar(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    with (folder / "train_first15000_index.csv").open() as file:
        listed = [(row["path"], int(row["label"])) for row in csv.DictReader(file)][:6000]
    with zipfile.ZipFile(folder / "train_first15000.zip") as archive:
        images = [np.asarray(Image.open(archive.open(path)).convert("RGB")) for path, _ in listed]
    return resized(images), np.array([label for _, label in listed])


def build(target: str, data: Path, items: int) -> dict[str, np.ndarray]:
    """A source of thirty named classes, the target's few labelled items and those that measure."""
    rng, x, y = np.random.default_rng(0), [], []
    for name in ("mnist", "cifar", "digits" if target == "usps" else "usps"):
        pixels, labels = load(name, data)
        for label in range(10):
            rows = rng.permutation(np.flatnonzero(labels == label))[:items]
            x.append(pixels[rows])
            y += [f"{name}-{label}"] * len(rows)
    pixels, labels = load(target, data)
    order = rng.permutation(len(labels))
    few = np.concatenate([order[labels[order] == c][:10] for c in range(10)])
    rest = np.setdiff1d(order, few)[:2000]
    sides = {"train": few, "test": rest}
    found = {
        f"{k}_{side}": v[rows] for side, rows in sides.items() for k, v in (("x", pixels), ("y", labels))
    }
    return {"x": np.concatenate(x), "y": np.array(y), **found}


# --- Training ------------------------------------------------------------------------------------------------------


def pretrained(x: np.ndarray, labels: np.ndarray, seed: int, epochs: int = 12) -> Any:
    """A network after training, and the order of its classes."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    names, codes = np.unique(labels, return_inverse=True)
    layers = torch.nn.Sequential(
        torch.nn.Linear(SIDE * SIDE, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU()
    )
    head = torch.nn.Linear(64, len(names))
    learnt = [*layers.parameters(), *head.parameters()]
    descent = torch.optim.Adam(learnt, lr=2e-3)
    a, b = torch.from_numpy(x), torch.from_numpy(codes)
    for _ in range(epochs):
        order = torch.randperm(len(a))
        for low in range(0, len(a), 100):
            rows = order[low : low + 100]
            loss = torch.nn.functional.cross_entropy(head(layers(a[rows])), b[rows])
            descent.zero_grad()
            loss.backward()
            descent.step()
    return layers, head, names


def features(layers: Any, x: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        return layers(torch.from_numpy(x)).numpy()


def probe(train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> float:
    from sklearn.linear_model import LogisticRegression

    mean, scale = train[0].mean(0), train[0].std(0) + 1e-6
    fitted = LogisticRegression(max_iter=500).fit((train[0] - mean) / scale, train[1])
    return float(fitted.score((test[0] - mean) / scale, test[1]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target", choices=("usps", "digits"), default="usps")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--items", type=int, default=300)
    told = parser.parse_args()
    d = build(told.target, told.data, told.items)
    print(
        f"source {d['x'].shape}, target {told.target}: {len(d['y_train'])} to train, {len(d['y_test'])} to measure"
    )

    layers, head, names = pretrained(d["x"], d["y"], seed=1000)
    hidden, own = features(layers, d["x_train"]), features(layers, d["x"])
    logits = hidden @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    start = time.process_time()
    by_label = {s: label_mapping(logits, d["y"], s, classes=names) for s in SHARES}
    seconds = {"label mapping": (time.process_time() - start) / len(SHARES)}
    start = time.process_time()
    by_feature = {s: feature_mapping(hidden, own, d["y"], s) for s in SHARES}
    seconds["feature mapping"] = (time.process_time() - start) / len(SHARES)
    ways: dict[str, Any] = {
        "label mapping": by_label,
        "feature mapping": by_feature,
        "trimmed centroids": {s: feature_mapping(hidden, own, d["y"], s, centre="trimmed") for s in SHARES},
        "label mapping reversed": {
            s: label_mapping(logits, d["y"], s, classes=names, reverse=True) for s in SHARES
        },
        "random": {s: (lambda rng, s=s: random_classes(d["y"], s, rng=rng)) for s in SHARES},
    }
    for name, found in (("label", by_label), ("feature", by_feature)):
        chosen = found[SHARES[0]]
        kinds = [c.split("-")[0] for c in found[SHARES[1]].kept_classes]
        counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds)))
        print(
            f"{name} mapping: {len(chosen.unvoted)} of 30 classes without a vote; of the 12 kept at 40 %: {counts}"
        )

    spent: dict[int, list[float]] = {}

    def train(rows: np.ndarray, weights: Any, seed: int) -> float:
        begun = time.process_time()
        made, _, _ = pretrained(d["x"][rows], d["y"][rows], seed)
        spent.setdefault(len(rows), []).append(time.process_time() - begun)
        sides = [(features(made, d[f"x_{side}"]), d[f"y_{side}"]) for side in ("train", "test")]
        return probe(*sides)

    compared = curate.compare(ways, train, n=len(d["y"]), seeds=told.seeds)
    table = compared.table.to_pylist()
    full = next(r for r in table if r["selector"] == "everything")
    lines = []
    for r in table:
        loss = "" if r is full else "yes" if r["high"] >= full["low"] else "no"
        gain = "" if r["gain"] is None else f"{r['gain']:+.3f} [{r['gain_low']:+.3f}, {r['gain_high']:+.3f}]"
        kept = f"{r['budget']:.0%}"
        lines.append(
            (
                r["selector"],
                kept,
                r["items"],
                f"{r['accuracy']:.3f} [{r['low']:.3f}, {r['high']:.3f}]",
                gain,
                loss,
            )
        )
    head_ = (
        "classes by",
        "kept",
        "items",
        "target accuracy [95 %]",
        "over random classes",
        "no loss beyond the interval",
    )
    print(markdown(head_, lines))
    raw = probe((d["x_train"], d["y_train"]), (d["x_test"], d["y_test"]))
    print(f"\nWithout a source, on pixels: {raw:.3f}. Choosing, CPU s: {seconds}.")
    print("Pretraining, CPU s by items:", {k: round(float(np.mean(v)), 2) for k, v in sorted(spent.items())})


if __name__ == "__main__":
    main()
