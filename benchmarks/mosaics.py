"""A compressed set of images against as many, or as many bytes or patches, of the images themselves: accuracy of a small network.

    python benchmarks/mosaics.py --data DIR [--items 6000] [--per-class 10] [--steps 400] [--seeds 6] [--first 0] [--ablation]

CIFAR-10: the first `--items` training JPEGs, measured on the first 2,000 test images. A small network (three strided convolutions of
16, 32 and 64 maps) is trained from nothing on each set, `--steps` batches of 64 whatever its size, three times as many on
everything. Every batch cuts squares of its pictures (`draw_cuts`), flips them or not and brings them to 32 x 32: of a plain image
three quarters to all of its side, of a mosaic as much of one of its patches, "cut anywhere" as much of the whole mosaic. What is
learnt of a cut is the mixture of what it covers (`label_cuts`): with "soft" labels the teacher's probabilities of each
patch, with "hard" ones the class, with "label of the whole" the teacher's of the whole mosaic.

Mosaics are of 2 x 2 patches in so many pixels, chosen by the same teacher that gives random images their soft labels, out of five
times as many images as are taken, written by the exporter (PNG, or JPEG of quality 75) and read back. The teacher is a
published ResNet-32, trained on all of CIFAR-10's training images, these among them, and on no test image; `--teacher own`
takes the small network trained on the `--items` images instead. Facility location chooses in the teacher's features,
class by class. `--ablation` chooses, cuts and labels patches in other ways. Bytes are those of the files, of images
as they came (JPEG). All is drawn and trained anew with each seed; gains are paired by seed.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _cifar_resnet import MEAN, SPREAD, forward, listed_images, read_state
from _measure import markdown
from PIL import Image

from curate.comparing import Trial, tabulate
from curate.formats.mosaic import Mosaics, make_mosaics, write_mosaics
from curate.formats.patches import cut_patches, draw_cuts, label_cuts
from curate.selectors.coreset import facility_location

SIDE, BATCH, CLASSES = 32, 64, 10
WEIGHTS = "weights_resnet_cifar10/resnet32-d509ac18.th"


@dataclass(frozen=True, eq=False)
class Pictures:
    """`pixels` (n, s, s, 3) uint8, what is to be learnt of each patch (n, patches, 10), the side of the grid within one part of
    which cuts are made, and the bytes of the files."""

    pixels: np.ndarray
    aims: np.ndarray
    grid: int
    size: int


# --- Networks ------------------------------------------------------------------------------------------------------


def prepared(pixels: np.ndarray) -> Any:
    """(b, 3, 32, 32) of pictures of any side, standardised."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
    if x.shape[2] != SIDE:
        shrunk = x.shape[2] > SIDE
        x = torch.nn.functional.interpolate(x, SIDE, mode="bilinear", antialias=shrunk, align_corners=False)
    return standard(x)


def standard(x: Any) -> Any:
    import torch

    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(SPREAD)[:, None, None]
    return x.contiguous(memory_format=torch.channels_last)


class Teacher:
    """A published network: probabilities and the numbers before its last layer."""

    def __init__(self, weights: Path) -> None:
        import torch

        self.state = read_state(weights)
        for name, value in self.state.items():
            if value.dim() == 4:
                self.state[name] = value.contiguous(memory_format=torch.channels_last)

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        found = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for low in range(0, len(pixels), 250):
                seen = forward(prepared(pixels[low : low + 250]), self.state).float()
                logits = seen @ self.state["linear.weight"].T.float() + self.state["linear.bias"]
                found.append((logits.float().softmax(1).numpy(), seen.numpy()))
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


class Network:
    """Three convolutions and a linear layer, in bfloat16 products."""

    def __init__(self, seed: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        layers: list[Any] = []
        for fan, out in ((3, 16), (16, 32), (32, 64)):
            conv = torch.nn.Conv2d(fan, out, 3, stride=2, padding=1, bias=False)
            layers += [conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU()]
        self.body = torch.nn.Sequential(*layers, torch.nn.Flatten()).to(memory_format=torch.channels_last)
        self.head = torch.nn.Linear(64 * 16, CLASSES)

    def _logits(self, x: Any) -> Any:
        with self.torch.autocast("cpu", self.torch.bfloat16):
            return self.head(self.body(x)).float()

    def train(self, given: Pictures, steps: int, seed: int) -> Network:
        torch, rng = self.torch, np.random.default_rng([seed, 9])
        x = torch.from_numpy(given.pixels).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        learnt = [*self.body.parameters(), *self.head.parameters()]
        descent = torch.optim.AdamW(learnt, lr=3e-3, weight_decay=0.01)
        course = torch.optim.lr_scheduler.OneCycleLR(descent, 3e-3, total_steps=steps)
        self.body.train()
        for _ in range(steps):
            rows = rng.integers(len(x), size=BATCH)
            boxes = draw_cuts(BATCH, given.grid, rng=rng)
            aims = torch.from_numpy(label_cuts(given.aims[rows], boxes))
            seen = self._cut(x[rows].float() / 255, torch.from_numpy(boxes), rng)
            loss = torch.nn.functional.cross_entropy(self._logits(seen), aims)
            descent.zero_grad()
            loss.backward()
            descent.step()
            course.step()
        return self

    def _cut(self, x: Any, boxes: Any, rng: np.random.Generator) -> Any:
        """These boxes of the pictures, flipped or not, at 32 x 32."""
        torch, n = self.torch, len(x)
        top, left, bottom, right = boxes.T
        turn = torch.from_numpy(np.where(rng.random(n) < 0.5, -1, 1).astype(np.float32))
        zero = torch.zeros(n)
        across = torch.stack([(right - left) * turn, zero, left + right - 1], 1)
        down = torch.stack([zero, bottom - top, top + bottom - 1], 1)
        grid = torch.nn.functional.affine_grid(
            torch.stack([across, down], 1), [n, 3, SIDE, SIDE], align_corners=False
        )
        return standard(
            torch.nn.functional.grid_sample(x, grid, align_corners=False, padding_mode="reflection")
        )

    def look(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and the numbers before the last layer of pictures, brought to 32 x 32."""
        found = []
        self.body.eval()
        with self.torch.inference_mode():
            for low in range(0, len(pixels), 500):
                x = prepared(pixels[low : low + 500])
                seen = self.body(x).float().view(len(x), 64, 16).mean(2)
                found.append((self._logits(x).softmax(1).numpy(), seen.numpy()))
        return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


# --- Sets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Pool:
    """The images that may be learnt from, `sizes` the bytes of their files, and what the teacher says of each."""

    pixels: np.ndarray
    labels: np.ndarray
    sizes: np.ndarray
    soft: np.ndarray
    seen: np.ndarray
    teacher: Teacher | Network

    def take(self, rows: np.ndarray, soft: bool = True) -> Pictures:
        aims = self.soft[rows] if soft else np.eye(CLASSES)[self.labels[rows]]
        return Pictures(self.pixels[rows], aims[:, None], 1, int(self.sizes[rows].sum()))

    def per_class(self, choose: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Rows chosen within each class by a function from its rows to places among them."""
        every = [np.flatnonzero(self.labels == code) for code in range(CLASSES)]
        return np.concatenate([rows[choose(rows)] for rows in every])


def load(data: Path, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The training images, their labels and the bytes of each file; and the test images and labels."""
    import csv
    import zipfile

    images, _, labels = listed_images(data, "train_first15000", items)
    with (data / "cifar10_images" / "train_first15000_index.csv").open() as file:
        paths = [row["path"] for row in csv.DictReader(file)][:items]
    with zipfile.ZipFile(data / "cifar10_images" / "train_first15000.zip") as archive:
        sizes = np.array([archive.getinfo(path).file_size for path in paths])
    tests, _, truth = listed_images(data, "test", 2000)
    pixels, shown = (np.stack([np.asarray(image) for image in group]) for group in (images, tests))
    return pixels, labels, sizes, shown, truth


def compressed(
    pool: Pool, per_class: int, side: int, seed: int, rows: np.ndarray | None = None, **options: Any
) -> Mosaics:
    """Mosaics of these images (default: all), of which five times as many are looked at as are taken."""
    rows = np.arange(len(pool.labels)) if rows is None else rows
    slots = per_class * options.get("grid", 2) ** 2
    return make_mosaics(
        pool.pixels[rows].__getitem__,
        pool.labels[rows],
        lambda pixels: pool.teacher.look(pixels)[0],
        per_class=per_class,
        side=side,
        rng=np.random.default_rng(seed),
        **{"candidates": 5 * slots, **options},
    )


def exported(made: Mosaics, quality: int | None = None, whole: bool = False) -> Pictures:
    """What comes back from the files that the exporter writes: with the labels of the patches, or of the `whole` picture."""
    with tempfile.TemporaryDirectory() as folder:
        write_mosaics(made, Path(folder) / "small", quality=quality)
        files = sorted(Path(folder).rglob("*.parquet"))
        rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    images = [row["image"]["bytes"] for row in rows]
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in images])
    assert quality is not None or np.array_equal(pixels, made.pixels)
    aims = np.array([[row["soft_label"]] if whole else row["patch_soft_labels"] for row in rows])
    return Pictures(pixels, aims, round(aims.shape[1] ** 0.5), sum(map(len, images)))


def hard(given: Pictures) -> Pictures:
    """The same mosaics with their class alone."""
    owned = np.repeat(np.arange(CLASSES), len(given.pixels) // CLASSES)
    return replace(given, aims=np.eye(CLASSES)[owned][:, None].repeat(given.aims.shape[1], 1))


def sets(pool: Pool, per_class: int, seed: int) -> Iterator[tuple[str, Pictures]]:
    """What is trained on, by name."""
    rng = np.random.default_rng([seed, 5])
    order = rng.permutation(len(pool.labels))
    rank = np.argsort(order, kind="stable")

    def drawn(count: int) -> np.ndarray:
        return pool.per_class(lambda rows: np.argsort(rank[rows])[:count])

    yield "random, soft", pool.take(drawn(per_class))
    yield "random, hard", pool.take(drawn(per_class), soft=False)
    made = compressed(pool, per_class, SIDE, seed)
    small = exported(made)
    yield "mosaics of 32, soft", small
    yield "mosaics of 32, hard", hard(small)
    yield "mosaics of 32, cut anywhere, soft", replace(small, grid=1)
    yield "mosaics of 32, cut anywhere, label of the whole, soft", exported(made, whole=True)
    made = compressed(pool, per_class, 2 * SIDE, seed)
    yield "mosaics of 64, soft", exported(made)
    yield "random, as many as patches, soft", pool.take(drawn(4 * per_class))
    lossy = exported(made, quality=75)
    yield "mosaics of 64 in JPEG, soft", lossy
    count = int(np.searchsorted(np.cumsum(pool.sizes[order]), lossy.size))
    yield "random, bytes of mosaics of 64 in JPEG, soft", pool.take(order[:count])
    yield "mosaics of 1 x 1 of 32, soft", exported(compressed(pool, per_class, SIDE, seed, grid=1))

    def covering(rows: np.ndarray) -> np.ndarray:
        return np.asarray(facility_location(pool.seen[rows], per_class).index)

    yield "facility location, soft", pool.take(pool.per_class(covering))


def ablated(pool: Pool, per_class: int, seed: int) -> Iterator[tuple[str, Pictures]]:
    """Mosaics of 2 x 2 at 32 pixels whose patches are chosen, cut and labelled in other ways."""
    slots, rng = 4 * per_class, np.random.default_rng([seed, 5])
    right = pool.soft[np.arange(len(pool.labels)), pool.labels]

    def made(**options: Any) -> Pictures:
        return exported(compressed(pool, per_class, SIDE, seed, **options))

    def only(choose: Callable[[np.ndarray], np.ndarray]) -> Pictures:
        return made(rows=pool.per_class(choose), candidates=slots)

    def ranked(rows: np.ndarray, first: float) -> np.ndarray:
        """From `first` (0: the surest, 1: the least sure) of a draw five times as large that the teacher gets right."""
        known = np.flatnonzero(pool.soft[rows].argmax(1) == pool.labels[rows])
        drawn = rng.permutation(known)[: 5 * slots]
        start = round(first * (len(drawn) - slots))
        return drawn[np.argsort(-right[rows[drawn]], kind="stable")][start : start + slots]

    def spread(rows: np.ndarray) -> np.ndarray:
        return np.asarray(facility_location(pool.seen[rows], slots).index)

    few = pool.per_class(lambda rows: rng.permutation(len(rows))[:per_class])
    yield "random, soft", pool.take(few)
    small = made()
    yield OURS, small
    seen = cut_patches(small.pixels, 2)
    told = pool.teacher.look(seen.reshape(-1, *seen.shape[2:]))[0].reshape(small.aims.shape)
    yield "labelled as they stand, at 16 pixels, soft", replace(small, aims=told)
    yield "surest pieces of half to all of the side, soft", made(smallest=0.5, crops=3)
    yield (
        "one piece of half to all of each image, at random, soft",
        made(smallest=0.5, crops=1, candidates=slots),
    )
    yield "four pieces of each of as few images as pictures, soft", made(rows=few, smallest=0.5, crops=4)
    yield "random images, soft", only(lambda rows: rng.permutation(len(rows))[:slots])
    yield "images of middling sureness, soft", only(lambda rows: ranked(rows, 0.5))
    yield "least sure images, soft", only(lambda rows: ranked(rows, 1))
    yield "facility location, soft", only(spread)


# --- Measuring -----------------------------------------------------------------------------------------------------


OURS = "the exporter's, soft"
PAIRS = (
    ("mosaics of 32, soft", "facility location, soft"),
    ("mosaics of 64, soft", "random, as many as patches, soft"),
    ("mosaics of 64 in JPEG, soft", "random, as many as patches, soft"),
    ("mosaics of 64 in JPEG, soft", "random, bytes of mosaics of 64 in JPEG, soft"),
    ("mosaics of 32, soft", "mosaics of 32, hard"),
    ("mosaics of 32, soft", "mosaics of 32, cut anywhere, label of the whole, soft"),
)


def gained(trials: list[Trial], name: str, rival: str) -> str:
    """Points of accuracy over another, paired by seed, or nothing."""
    named = [replace(t, selector="random") if t.selector == rival else t for t in trials]
    rows = tabulate([t for t in named if t.selector in (name, "random")]).to_pylist()
    found = [row for row in rows if row["selector"] == name and row["gain"] is not None]
    return "".join(
        f"{100 * r['gain']:+.1f} [{100 * r['gain_low']:+.1f}, {100 * r['gain_high']:+.1f}]" for r in found
    )


def shown(trials: list[Trial], kilobytes: dict[str, list[float]]) -> str:
    lines = []
    for row in tabulate(trials).to_pylist():
        name = row["selector"]
        accuracy = f"{row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        over = gained(trials, name, f"random, {name[-4:]}")
        lines.append((name, row["items"], f"{np.mean(kilobytes[name]):.0f}", accuracy, over))
    head = ("set", "pictures", "kB", "accuracy [95 %]", "points over as many random, same labels, paired")
    known = dict.fromkeys(trial.selector for trial in trials)
    asked = [(name, OURS) for name in known if name != OURS] if OURS in known else PAIRS
    pairs = [(*pair, gained(trials, *pair)) for pair in asked if known.keys() >= set(pair)]
    more = "\n\n" + markdown(("set", "against", "points, paired"), pairs) if pairs else ""
    return markdown(head, lines) + more


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--items", type=int, default=6000)
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--teacher", choices=("published", "own"), default="published")
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--everything", action="store_true")
    told = parser.parse_args()
    pixels, labels, sizes, tests, truth = load(told.data, told.items)
    whole = Pictures(pixels, np.eye(CLASSES)[labels][:, None], 1, int(sizes.sum()))
    teacher: Teacher | Network = Teacher(told.data / WEIGHTS)
    if told.teacher == "own":
        teacher = Network(1000).train(whole, 3 * told.steps, 1000)
    pool = Pool(pixels, labels, sizes, *teacher.look(pixels), teacher)
    right = (teacher.look(tests)[0].argmax(1) == truth).mean()
    known = (pool.soft.argmax(1) == labels).mean()
    print(f"{len(pixels)} images, {whole.size / 1e3:.0f} kB; the teacher: {right:.3f}, on these {known:.3f}")
    trials: list[Trial] = []
    kilobytes: dict[str, list[float]] = {}

    def reach(name: str, given: Pictures, seed: int, steps: int) -> None:
        start = time.process_time()
        network = Network(seed).train(given, steps, seed)
        found = float((network.look(tests)[0].argmax(1) == truth).mean())
        spent = time.process_time() - start
        trials.append(Trial(name, 1, len(given.pixels), seed, found, spent))
        kilobytes.setdefault(name, []).append(given.size / 1e3)
        print(f"seed {seed} {name}: {found:.4f}, {spent:.1f} CPU s", flush=True)

    for seed in range(told.first, told.first + told.seeds):
        if told.everything:
            reach("everything", whole, seed, 3 * told.steps)
        for name, given in (ablated if told.ablation else sets)(pool, told.per_class, seed):
            reach(name, given, seed, told.steps)
        print(f"\n{told.per_class} a class, to seed {seed}\n\n{shown(trials, kilobytes)}\n", flush=True)


if __name__ == "__main__":
    main()
