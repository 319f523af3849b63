"""Selection for a target on real data: how well a small network learns the target from what each method chose.

    python benchmarks/target_selection.py DATA [--tasks usps cifar cifar-noisy] [--seeds 5] [--budgets 0.005 0.01 0.02 0.05 0.1] [--out FILE]

"usps": the pool is 7,000 MNIST digits and 800 of USPS, 16 x 16; 100 other USPS digits say what is wanted, 2,500 others test.
"cifar": the pool is 9,000 CIFAR-10 images of all classes, as histograms of edges and colours; wanted are cat, deer, dog and horse, by
100 test images, 2,500 others test. "cifar-noisy": the same with the pool's labels from one annotator (CIFAR-10N "worst", about
40 % wrong) and features of a ResNet-20 that knows these images.

By seed (split, network, all draws): the network (one hidden layer of 64) is warmed up on 5 % of the pool, with checkpoints after 1,
2 and 4 epochs; the last layer's gradients at each, projected to 256 numbers, are what all methods that need gradients read.
Then a new network is trained on each selection, always as many steps, and on the whole pool three times as many; weights that a
method gives are used as weights of the loss. The interval is that of the mean over seeds (Student, 95 %). Differences are paired by seed, to whichever top-k turned out best at that
budget. "A share for each task" is LESS that gives each class an equal share of the budget, which nobody published. No method
sees the test items. What is finished is kept in FILE: the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from _cells import WHOLE, Cells, Report, leads, reaches, table
from _target_methods import GTPS, METHODS, RIVALS, Seen, choose
from _target_pools import TASKS, Split

from curate.scorers.influence import last_layer_gradients, loss_drop

Array = npt.NDArray[Any]
DIM, HIDDEN, STEPS = 256, 64, 400
EPOCHS = (1, 1, 2)


# --- Networks: many at once, one per row of the first axis -------------------------------------------------------------


class Networks:
    """`count` networks d -> 64 -> 10, trained side by side, each on draws of its own."""

    def __init__(self, count: int, width: int, seed: int) -> None:
        rng = torch.Generator().manual_seed(seed)  # all begin alike: what differs is what they are shown
        first = torch.randn((width, HIDDEN), generator=rng) / width**0.5
        last = torch.randn((HIDDEN, 10), generator=rng) / HIDDEN**0.5
        shapes = (first, torch.zeros(1, HIDDEN), last, torch.zeros(1, 10))
        self.weights = [w.expand(count, *w.shape).clone().requires_grad_() for w in shapes]
        self.adam = torch.optim.Adam(self.weights, lr=2e-3, weight_decay=1e-4)

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.baddbmm(self.weights[1], x, self.weights[0]))

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.weights[3], self.hidden(x), self.weights[2])

    def train(self, x: Array, y: Array, draws: list[tuple[Array, Array]], steps: int, seed: int) -> None:
        """Each network on its rows of (x, y), with the weights of the loss; what one draws no other changes."""
        dice = [np.random.default_rng(seed) for _ in draws]
        data, answers = torch.from_numpy(x), torch.from_numpy(y)
        for _ in range(steps):
            picked = [rng.integers(0, len(rows), 32) for rng, (rows, _) in zip(dice, draws, strict=True)]
            rows = torch.from_numpy(np.stack([own[p] for (own, _), p in zip(draws, picked, strict=True)]))
            worth = torch.from_numpy(np.stack([w[p] for (_, w), p in zip(draws, picked, strict=True)]))
            out = self(data[rows])
            loss = torch.nn.functional.cross_entropy(
                out.flatten(0, 1), answers[rows].flatten(), reduction="none"
            )
            self.adam.zero_grad()
            (loss.view_as(worth) * worth).mean(1).sum().backward()
            self.adam.step()

    def accuracy(self, x: Array, y: Array) -> Array:
        with torch.inference_mode():
            out = self(torch.from_numpy(x).expand(len(self.weights[0]), *x.shape))
            return (out.argmax(2).numpy() == y).mean(1)


def look(split: Split, seed: int) -> Seen:
    """Gradients of pool and wanted items at the checkpoints of a warm-up, and the pool's loss drop by training on the wanted."""
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(split.x))[: len(split.x) // 20]
    network = Networks(1, split.x.shape[1], seed)
    parts: list[tuple[Array, Array]] = []
    ones = np.ones(len(some), np.float32)
    for t, epochs in enumerate(EPOCHS):
        network.train(split.x, split.y, [(some, ones)], epochs * len(some) // 32, seed + t)
        own, theirs = (split.x, split.y), (split.wanted_x, split.wanted_y)
        parts.append((_gradients(network, *own), _gradients(network, *theirs)))
    before = _loss(network, split.x, split.y)
    wanted = np.arange(len(split.wanted_x))
    network.train(split.wanted_x, split.wanted_y, [(wanted, np.ones(len(wanted), np.float32))], 30, seed)
    drop = loss_drop(before, _loss(network, split.x, split.y))
    train, aim = (np.concatenate(side, 1) for side in zip(*parts, strict=True))
    return Seen(
        train,
        aim,
        train,
        aim,
        DIM,
        split.y,
        split.wanted_y,
        split.x,
        split.wanted_x,
        drop,
        seed,
        (1.0,) * len(EPOCHS),
    )


def _gradients(network: Networks, x: Array, y: Array) -> Array:
    with torch.inference_mode():
        data = torch.from_numpy(x)[None]
        features, probs = network.hidden(data)[0].numpy(), network(data).softmax(2)[0].numpy()
    return last_layer_gradients(probs, y, features, dim=DIM)


def _loss(network: Networks, x: Array, y: Array) -> Array:
    with torch.inference_mode():
        out = network(torch.from_numpy(x)[None])[0]
        return torch.nn.functional.cross_entropy(out, torch.from_numpy(y), reduction="none").numpy()


# --- Measuring --------------------------------------------------------------------------------------------------------


class Job(NamedTuple):
    folder: Path
    task: str
    budgets: list[float]
    methods: list[str]
    out: Path


def run_seed(job: Job, seed: int) -> None:
    """Accuracy of all methods at all budgets, and on the whole pool, into the file."""
    torch.set_num_threads(1)
    cells = Cells(job.out)
    left = {b: cells.missing(job.task, seed, b, job.methods) for b in job.budgets}
    if not any(left.values()) and not cells.missing(job.task, seed, 1.0, [WHOLE]):
        return
    split = TASKS[job.task](job.folder, seed)
    if cells.missing(job.task, seed, 1.0, [WHOLE]):
        everything = np.arange(len(split.x)), np.ones(len(split.x), np.float32)
        found = learn(split, [everything], seed, 3 * STEPS)
        cells.add((job.task, seed, 1.0, WHOLE), value=float(found[0]), kin=float(split.kin.mean()))
    seen = look(split, seed)
    for budget, methods in left.items():
        draws = [choose(name, seen, round(budget * len(split.x))) for name in methods]
        found = learn(split, draws, seed, STEPS) if draws else []
        for name, value, (rows, _) in zip(methods, found, draws, strict=True):
            kin = float(split.kin[rows].mean())
            cells.add((job.task, seed, budget, name), value=float(value), kin=kin)
    print(f"{job.task}: seed {seed} done", flush=True)


def learn(split: Split, draws: list[tuple[Array, Array]], seed: int, steps: int) -> Array:
    networks = Networks(len(draws), split.x.shape[1], seed + 1000)
    networks.train(split.x, split.y, draws, steps, seed)
    return networks.accuracy(split.test_x, split.test_y)


def told(job: Job, seeds: int) -> str:
    report = Report(Cells(job.out), job.task, seeds, job.budgets)
    whole = report.told(report.series(1.0, WHOLE))
    parts = [f"{job.task}, {seeds} seeds; the whole pool: {whole}", table(report, job.methods, "accuracy, %")]
    ours = [name for name in job.methods if name in GTPS]
    known = {called: [n for n in names if n in job.methods] for called, names in RIVALS.items()}
    if ours and all(known.values()):
        parts += [leads(report, ours, known), reaches(report, ours)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.005, 0.01, 0.02, 0.05, 0.1])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = asked.out or Path(scratch) / "cells.jsonl"
        for task in asked.tasks:
            job = Job(asked.data, task, asked.budgets, asked.methods, out)
            with ProcessPoolExecutor(asked.jobs, get_context("spawn")) as pool:
                list(pool.map(run_seed, [job] * asked.seeds, range(asked.seeds)))
            print(told(job, asked.seeds), flush=True)


if __name__ == "__main__":
    main()
