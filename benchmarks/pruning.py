"""Which classes of a source to keep for a target: target accuracy against classes kept, random classes beside.

    python benchmarks/pruning.py --data DIR [--target usps|digits] [--seeds 5] [--items 300] [--shares 0.2 0.4 0.6] [--steps]
    python benchmarks/pruning.py --data DIR --fonts /usr/share/fonts/truetype --items 100 [--without WORD ...]

Source: thirty classes of 16 x 16 grey pictures, so many `--items` of each: ten of MNIST, ten of CIFAR-10 (the first
15,000 training images), and ten of USPS or of scikit-learn's digits, whichever is not the target; with `--fonts` 62 more, the
digits and Latin letters, large and small, as the DejaVu and Liberation faces in that folder print them, turned, moved and
scaled a little: a fifth of thirty classes are fewer than the target has, a fifth of ninety-two are not. Target: USPS or digits, ten
labelled items of each class to train on and all others (2,000 at most) to measure. A small network (256-128-64) learns the source
classes that are kept, twelve rounds whatever their number (`--steps`: as many steps as all classes take); a logistic
regression on its last layer learns the target.
Label mapping reads what a network trained on all classes says of the target's training items, feature mapping its last layer;
"parts" is feature mapping with every class cut into four by k-means of its features, which are then kept or pruned.
Ways whose name has one of the words of `--without` are left out. The sets are small and the classes few: this shows the
mechanism and the numbers below, not ImageNet.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import string
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _cifar_resnet import listed_images
from _measure import markdown

from curate.comparing import Trial, run_trials, tabulate
from curate.contracts import Selection
from curate.selectors.pruning import feature_mapping, label_mapping, random_classes

SIDE, ROUNDS, BATCH, PARTS = 16, 12, 100, 4
EVERYTHING = "everything"


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
    images, _, labels = listed_images(data, "train_first15000", 6000)
    return resized([np.asarray(image) for image in images]), labels


def printed(folder: Path, items: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """So many pictures of each digit and letter, white on black, by the faces in turn."""
    from PIL import Image, ImageDraw, ImageFont

    paths = sorted(path for kind in ("dejavu", "liberation") for path in (folder / kind).glob("*.ttf"))
    faces = [ImageFont.truetype(path, 40) for path in paths]
    for letter in string.digits + string.ascii_letters:
        made = []
        for i in range(items):
            sheet = Image.new("L", (64, 64))
            ImageDraw.Draw(sheet).text((32, 32), letter, 255, faces[i % len(faces)], anchor="mm")
            edge, (across, down) = rng.uniform(20, 28), rng.uniform(-3, 3, 2)
            box = (32 + across - edge, 32 + down - edge, 32 + across + edge, 32 + down + edge)
            turned = sheet.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR)
            made.append(np.asarray(turned.resize((32, 32), Image.Resampling.BILINEAR, box)))
        yield f"printed-{letter}", resized(made)


def build(target: str, data: Path, items: int, fonts: Path | None = None) -> dict[str, np.ndarray]:
    """A source of thirty named classes, or ninety-two, the target's few labelled items and those that measure."""
    rng, x, y = np.random.default_rng(0), [], []
    for name in ("mnist", "cifar", "digits" if target == "usps" else "usps"):
        pixels, labels = load(name, data)
        for label in range(10):
            rows = rng.permutation(np.flatnonzero(labels == label))[:items]
            x.append(pixels[rows])
            y += [f"{name}-{label}"] * len(rows)
    for name, pictures in printed(fonts, items, np.random.default_rng(1)) if fonts else ():
        x.append(pictures)
        y += [name] * len(pictures)
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


def pretrained(x: np.ndarray, labels: np.ndarray, seed: int, steps: int | None = None) -> Any:
    """A network after so many steps (none: twelve rounds), and the order of its classes."""
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
    a, b, order = torch.from_numpy(x), torch.from_numpy(codes), torch.empty(0, dtype=torch.long)
    for _ in range(steps or ROUNDS * -(-len(a) // BATCH)):
        order = order if len(order) else torch.randperm(len(a))
        rows, order = order[:BATCH], order[BATCH:]
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


# --- Measuring -----------------------------------------------------------------------------------------------------


def cut(own: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A finer label for each item: its class and the part of it that k-means puts it in."""
    from sklearn.cluster import KMeans

    finer = labels.astype(object)
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        finer[rows] += [f"/{c}" for c in KMeans(PARTS, n_init=1, random_state=0).fit_predict(own[rows])]
    return finer.astype(str)


def mapped(
    d: dict[str, np.ndarray], shares: list[float]
) -> tuple[dict[str, dict[float, Any]], dict[str, float]]:
    """What is kept, by way of choosing and share, and the CPU seconds that one choice takes."""
    layers, head, names = pretrained(d["x"], d["y"], seed=1000)
    hidden, own = features(layers, d["x_train"]), features(layers, d["x"])
    logits = hidden @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    parts = cut(own, d["y"])
    ways: dict[str, Callable[[float], Any]] = {
        "label mapping": lambda s: label_mapping(logits, d["y"], s, classes=names),
        "feature mapping": lambda s: feature_mapping(hidden, own, d["y"], s),
        "feature mapping, parts": lambda s: feature_mapping(hidden, own, parts, s),
        "trimmed centroids": lambda s: feature_mapping(hidden, own, d["y"], s, centre="trimmed"),
        "label mapping reversed": lambda s: label_mapping(logits, d["y"], s, classes=names, reverse=True),
        "random": lambda s: lambda rng: random_classes(d["y"], s, rng=rng),
        "random parts": lambda s: lambda rng: random_classes(parts, s, rng=rng),
    }
    found, seconds = {}, {}
    for name, choose in ways.items():
        start = time.process_time()
        found[name] = {share: choose(share) for share in shares}
        seconds[name] = (time.process_time() - start) / len(shares)
    return found, seconds


def describe(name: str, found: dict[float, Any]) -> str:
    share, least = max(found), min(found)
    kinds = [c.split("-")[0] for c in found[share].kept_classes]
    counts = ", ".join(f"{kind} {kinds.count(kind)}" for kind in sorted(set(kinds)))
    empty = len(found[least].unvoted)
    return f"{name}: {empty} classes without a vote; of the {len(kinds)} kept at {share:.0%}: {counts}"


def compared(
    d: dict[str, np.ndarray], ways: dict[str, Any], seeds: int, steps: int | None
) -> tuple[list[Trial], dict[int, list[float]]]:
    """Every training, and the CPU seconds of pretraining by the number of items."""
    spent: dict[int, list[float]] = {}

    def train(rows: np.ndarray, weights: Any, seed: int) -> float:
        begun = time.process_time()
        made, _, _ = pretrained(d["x"][rows], d["y"][rows], seed, steps)
        spent.setdefault(len(rows), []).append(time.process_time() - begun)
        sides = [(features(made, d[f"x_{side}"]), d[f"y_{side}"]) for side in ("train", "test")]
        return probe(*sides)

    everything = {EVERYTHING: {1.0: Selection(np.arange(len(d["y"])))}}
    return run_trials({**ways, **everything}, train, range(seeds)), spent


def lost(trials: list[Trial]) -> dict[tuple[str, float], tuple[float, float, float]]:
    """What each way is over training on everything, paired by seed, and the 95 % interval."""
    full = {t.seed: t.accuracy for t in trials if t.selector == EVERYTHING}
    own = [t for t in trials if t.selector != EVERYTHING]
    rivals = [
        Trial("random", budget, 0, seed, full[seed], 0.0)
        for budget in {t.budget for t in own}
        for seed in full
    ]
    named = [dataclasses.replace(t, selector=f"way {t.selector}") for t in own]
    table = tabulate([*named, *rivals]).to_pylist()
    return {
        (r["selector"].removeprefix("way "), r["budget"]): (r["gain"], r["gain_low"], r["gain_high"])
        for r in table
        if r["gain"] is not None
    }


def shown(trials: list[Trial]) -> str:
    beside, lines = lost(trials), []
    for r in tabulate(trials).to_pylist():
        over = beside.get((r["selector"], r["budget"]))
        cells = [
            "" if gain is None or gain[0] is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain)
            for gain in ((r["gain"], r["gain_low"], r["gain_high"]), over)
        ]
        loss = "" if over is None else "yes" if over[2] >= 0 else "no"
        accuracy = f"{r['accuracy']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
        lines.append((r["selector"], f"{r['budget']:.0%}", r["items"], accuracy, *cells, loss))
    head = ("classes by", "kept", "items", "target accuracy [95 %]", "over random classes", "over everything")
    return markdown((*head, "no loss beyond the interval"), lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--target", choices=("usps", "digits"), default="usps")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2, 0.4, 0.6])
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--without", nargs="*", default=[])
    told = parser.parse_args()
    d = build(told.target, told.data, told.items, told.fonts)
    few, rest = len(d["y_train"]), len(d["y_test"])
    print(f"source {d['x'].shape}, target {told.target}: {few} to train, {rest} to measure")
    ways, seconds = mapped(d, told.shares)
    ways = {name: way for name, way in ways.items() if not any(word in name for word in told.without)}
    for name in ("label mapping", "feature mapping", "feature mapping, parts"):
        if name in ways:
            print(describe(name, ways[name]))
    steps = ROUNDS * -(-len(d["y"]) // BATCH) if told.steps else None
    trials, spent = compared(d, ways, told.seeds, steps)
    print(shown(trials))
    raw = probe((d["x_train"], d["y_train"]), (d["x_test"], d["y_test"]))
    chosen = {name: seconds[name] for name in ("label mapping", "feature mapping")}
    print(f"\nWithout a source, on pixels: {raw:.3f}. Choosing, CPU s: {chosen}.")
    print("Pretraining, CPU s by items:", {k: round(float(np.mean(v)), 2) for k, v in sorted(spent.items())})


if __name__ == "__main__":
    main()
