"""A compressed set of images against as many, or as many bytes, of the images themselves: accuracy of a small network.

    python benchmarks/mosaics.py --data DIR [--items 6000] [--per-class 20] [--steps 120] [--seeds 3]

CIFAR-10: the first `--items` training JPEGs, measured on the first 2,000 test images. A small network (three convolutions of 16, 32
and 64 maps) is trained from nothing on each set, `--steps` batches of 64 whatever its size, three times as many on everything;
every picture is flipped or not and cut to a square of half to all of its side, brought to 32 x 32. The same network trained on
everything (another seed) is the model that mosaics are made by, and it gives the soft labels: nothing else is known of the
images. Mosaics are written by the exporter and read back. "soft": the teacher's probabilities of the whole picture are learnt,
"hard": its class. Facility location chooses in the teacher's features, class by class. Five images are looked at for each patch.
Bytes: the files, PNG of mosaics and JPEG of images. Everything is drawn and trained anew with each seed.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _cifar_resnet import listed_images
from _measure import markdown
from PIL import Image

from curate.comparing import Trial, tabulate
from curate.formats.mosaic import make_mosaics, write_mosaics
from curate.selectors.coreset import facility_location

SIDE, BATCH, CLASSES = 32, 64, 10
MEAN, SPREAD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


@dataclass(frozen=True, eq=False)
class Pictures:
    """`pixels` (n, s, s, 3) uint8, what is to be learnt of each (n, 10), and the bytes of their files."""

    pixels: np.ndarray
    aims: np.ndarray
    size: int

    def take(self, rows: np.ndarray, sizes: np.ndarray) -> Pictures:
        return Pictures(self.pixels[rows], self.aims[rows], int(sizes[rows].sum()))


# --- Training ------------------------------------------------------------------------------------------------------


class Network:
    """Three convolutions and a linear layer, in bfloat16 products."""

    def __init__(self, seed: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        layers: list[Any] = []
        for fan, out in ((3, 16), (16, 32), (32, 64)):
            conv = torch.nn.Conv2d(fan, out, 3, padding=1, bias=False)
            layers += [conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        self.body = torch.nn.Sequential(*layers, torch.nn.Flatten()).to(memory_format=torch.channels_last)
        self.head = torch.nn.Linear(64 * 16, CLASSES)

    def _logits(self, x: Any) -> Any:
        x = (x - self.torch.tensor(MEAN)[:, None, None]) / self.torch.tensor(SPREAD)[:, None, None]
        with self.torch.autocast("cpu", self.torch.bfloat16):
            return self.head(self.body(x.contiguous(memory_format=self.torch.channels_last))).float()

    def train(self, given: Pictures, steps: int, seed: int) -> Network:
        torch = self.torch
        x, y = torch.from_numpy(given.pixels), torch.from_numpy(given.aims.astype(np.float32))
        rng = torch.Generator().manual_seed(seed)
        learnt = [*self.body.parameters(), *self.head.parameters()]
        descent = torch.optim.AdamW(learnt, lr=3e-3, weight_decay=0.01)
        course = torch.optim.lr_scheduler.OneCycleLR(descent, 3e-3, total_steps=steps)
        self.body.train()
        for _ in range(steps):
            rows = torch.randint(0, len(x), (BATCH,), generator=rng)
            seen = self._cut(x[rows].permute(0, 3, 1, 2).float() / 255, rng)
            loss = torch.nn.functional.cross_entropy(self._logits(seen), y[rows])
            descent.zero_grad()
            loss.backward()
            descent.step()
            course.step()
        return self

    def _cut(self, x: Any, rng: Any) -> Any:
        """Squares of half to all of the side, flipped or not, at 32 x 32."""
        torch, n = self.torch, len(x)
        edge = 0.5 + 0.5 * torch.rand(n, generator=rng)
        across, down = ((1 - edge) * (2 * torch.rand(n, generator=rng) - 1) for _ in range(2))
        turn = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0)
        zero = torch.zeros(n)
        where = torch.stack(
            [torch.stack([edge * turn, zero, across], 1), torch.stack([zero, edge, down], 1)], 1
        )
        grid = torch.nn.functional.affine_grid(where, [n, 3, SIDE, SIDE], align_corners=False)
        return torch.nn.functional.grid_sample(x, grid, align_corners=False, padding_mode="reflection")

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and the numbers before the last layer of pictures, brought to 32 x 32."""
        torch, found = self.torch, []
        self.body.eval()
        with torch.inference_mode():
            for low in range(0, len(pixels), 500):
                x = torch.from_numpy(pixels[low : low + 500]).permute(0, 3, 1, 2).float() / 255
                x = x if x.shape[2] == SIDE else torch.nn.functional.interpolate(x, SIDE, mode="area")
                logits = self._logits(x)
                seen = self.body(x.contiguous(memory_format=torch.channels_last))
                found.append((logits.softmax(1).numpy(), seen.view(len(x), 64, 16).mean(2).numpy()))
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


# --- Sets ----------------------------------------------------------------------------------------------------------


def load(data: Path, items: int) -> tuple[Pictures, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The training images with hard labels, the bytes of each, their labels; and the test images and labels."""
    import csv
    import zipfile

    images, _, labels = listed_images(data, "train_first15000", items)
    with (data / "cifar10_images" / "train_first15000_index.csv").open() as file:
        paths = [row["path"] for row in csv.DictReader(file)][:items]
    with zipfile.ZipFile(data / "cifar10_images" / "train_first15000.zip") as archive:
        sizes = np.array([archive.getinfo(path).file_size for path in paths])
    tests, _, truth = listed_images(data, "test", 2000)
    pixels = np.stack([np.asarray(image) for image in images])
    whole = Pictures(pixels, np.eye(CLASSES)[labels], int(sizes.sum()))
    return whole, sizes, labels, np.stack([np.asarray(image) for image in tests]), truth


def compressed(
    whole: Pictures, labels: np.ndarray, teacher: Network, per_class: int, grid: int, side: int, seed: int
) -> Pictures:
    """Mosaics as they come back from the files that the exporter writes, with their soft labels."""
    made = make_mosaics(
        whole.pixels.__getitem__,
        labels,
        lambda pixels: teacher.look(pixels)[0],
        per_class=per_class,
        grid=grid,
        side=side,
        candidates=5 * per_class * grid * grid,
        rng=np.random.default_rng(seed),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_mosaics(made, Path(folder) / "small")
        rows = [
            row for path in sorted(Path(folder).rglob("*.parquet")) for row in pq.read_table(path).to_pylist()
        ]
    files = [row["image"]["bytes"] for row in rows]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    assert np.array_equal(pixels, made.pixels)
    return Pictures(pixels, np.array([row["soft_label"] for row in rows]), sum(map(len, files)))


def hard(given: Pictures, per_class: int) -> Pictures:
    """The same mosaics with their class alone."""
    return replace(given, aims=np.eye(CLASSES)[np.repeat(np.arange(CLASSES), per_class)])


def per_class_rows(labels: np.ndarray, choose: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Rows chosen within each class by a function from its rows to places among them."""
    every = [np.flatnonzero(labels == code) for code in range(CLASSES)]
    return np.concatenate([rows[choose(rows)] for rows in every])


def sets(
    d: tuple[Pictures, np.ndarray, np.ndarray, Any, Any], teacher: Network, per_class: int, seed: int
) -> dict[str, tuple[Pictures, float]]:
    """What is trained on, by name, and the CPU seconds that making it took."""
    whole, sizes, labels = d[:3]
    sure, seen = teacher.look(whole.pixels)
    soft, rng = replace(whole, aims=sure), np.random.default_rng([seed, 5])
    found: dict[str, tuple[Pictures, float]] = {}

    def add(name: str, make: Callable[[], Pictures]) -> Pictures:
        start = time.process_time()
        found[name] = make(), time.process_time() - start
        return found[name][0]

    def mosaics(grid: int, side: int) -> Callable[[], Pictures]:
        return lambda: compressed(whole, labels, teacher, per_class, grid, side, seed)

    small = add("mosaics 2 x 2, 32 pixels, soft", mosaics(2, 32))
    add("mosaics 2 x 2, 32 pixels, hard", lambda: hard(small, per_class))
    add("mosaics 1 x 1, 32 pixels, soft", mosaics(1, 32))
    large = add("mosaics 2 x 2, 64 pixels, soft", mosaics(2, 64))
    order = rng.permutation(len(labels))
    rank = np.argsort(order, kind="stable")
    drawn = per_class_rows(labels, lambda rows: np.argsort(rank[rows])[:per_class])
    add("random, soft", lambda: soft.take(drawn, sizes))
    add("random, hard", lambda: whole.take(drawn, sizes))
    for side, given in ((32, small), (64, large)):
        rows = order[: int(np.searchsorted(np.cumsum(sizes[order]), given.size))]
        add(f"random, bytes of mosaics of {side}, soft", lambda rows=rows: soft.take(rows, sizes))

    def covering(rows: np.ndarray) -> np.ndarray:
        return np.asarray(facility_location(seen[rows], per_class).index)

    add("facility location, soft", lambda: soft.take(per_class_rows(labels, covering), sizes))
    return found


# --- Measuring -----------------------------------------------------------------------------------------------------


def gains(trials: list[Trial]) -> dict[str, str]:
    """Over as many random images with labels of the same kind, paired by seed."""
    told = {}
    for kind in ("soft", "hard"):
        own = [t for t in trials if t.selector.endswith(kind)]
        named = [replace(t, selector="random") if t.selector == f"random, {kind}" else t for t in own]
        for row in tabulate(named).to_pylist():
            if row["gain"] is not None:
                told[row["selector"]] = (
                    f"{row['gain']:+.3f} [{row['gain_low']:+.3f}, {row['gain_high']:+.3f}]"
                )
    return told


def shown(trials: list[Trial], facts: dict[str, list[tuple[float, float, float]]]) -> str:
    """`facts`: by name and seed, kilobytes, CPU seconds of making the set and of training on it."""
    beside, lines = gains(trials), []
    for row in tabulate(trials).to_pylist():
        size, made, trained = np.mean(facts[row["selector"]], 0)
        accuracy = f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        numbers = (f"{size:.0f}", f"{made:.2f}", f"{trained:.1f}")
        lines.append((row["selector"], row["items"], accuracy, beside.get(row["selector"], ""), *numbers))
    head = ("set", "pictures", "accuracy [95 %]", "over as many random, same labels", "kB", "CPU s to make")
    return markdown((*head, "CPU s to train"), lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--items", type=int, default=6000)
    parser.add_argument("--per-class", type=int, nargs="+", default=[20])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    told = parser.parse_args()
    d = load(told.data, told.items)
    whole, _, _, tests, truth = d

    def reached(given: Pictures, seed: int, steps: int) -> tuple[float, float, Network]:
        start = time.process_time()
        network = Network(seed).train(given, steps, seed)
        spent = time.process_time() - start
        return float((network.look(tests)[0].argmax(1) == truth).mean()), spent, network

    found, spent, teacher = reached(whole, 1000, 3 * told.steps)
    print(
        f"{len(whole.pixels)} images, {whole.size / 1e3:.0f} kB; the teacher: {found:.3f}, {spent:.1f} CPU s"
    )
    full = [reached(whole, seed, 3 * told.steps)[:2] for seed in range(told.seeds)]
    for per_class in told.per_class:
        trials = [
            Trial("everything", 1, len(whole.pixels), seed, right, 0.0)
            for seed, (right, _) in enumerate(full)
        ]
        facts = {"everything": [(whole.size / 1e3, 0.0, spent) for _, spent in full]}
        for seed in range(told.seeds):
            for name, (given, took) in sets(d, teacher, per_class, seed).items():
                right, spent, _ = reached(given, seed, told.steps)
                trials.append(Trial(name, 1, len(given.pixels), seed, right, spent))
                facts.setdefault(name, []).append((given.size / 1e3, took, spent))
                print(f"seed {seed} {name}: {right:.3f}", flush=True)
        print(f"\n{per_class} pictures of each class\n\n{shown(trials, facts)}", flush=True)


if __name__ == "__main__":
    main()
