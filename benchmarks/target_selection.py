"""Selection for a target on real data: how well a small network learns the target from what each method chose.

    python benchmarks/target_selection.py DATA [--tasks usps cifar] [--seeds 5] [--budgets 0.005 0.01 0.02 0.05 0.1] [--out FILE]

"usps": the pool is 7,000 MNIST digits and 800 of USPS, 16 x 16; 100 other USPS digits say what is wanted, 2,500 others test.
"cifar": the pool is 9,000 CIFAR-10 images of all classes with the labels of one annotator (CIFAR-10N "worst", about 40 % wrong),
as features of a ResNet-20; wanted are cat, deer, dog and horse, by 100 test images with their true labels, 2,500 others test.

By seed (split, network, all draws): the network (one hidden layer of 64) is warmed up on 5 % of the pool, with checkpoints after 1,
2 and 4 epochs; the last layer's gradients at each, projected to 256 numbers, are what all methods that need gradients read.
Then a new network is trained on each selection, always as many steps, and on the whole pool three times as many; weights that a
method gives are used as weights of the loss. The interval is that of the mean over seeds (Student, 95 %); "above top-k" is
the mean paired difference to the best of the three LESS, at each budget. No method sees the test items.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from _cifar_resnet import features_and_logits, listed_images
from _measure import markdown
from PIL import Image
from scipy.stats import t as student

from curate.choosing import Constraints
from curate.contracts import Selection
from curate.scorers.influence import gist, last_layer_gradients, less, loss_drop
from curate.selectors.coreset import craig, grad_match
from curate.selectors.pursuit import information_projection, pursue, target_subspaces

Array = npt.NDArray[Any]
TIMES, DIM, HIDDEN, STEPS = 3, 256, 64, 400
EPOCHS = (1, 1, 2)


class Split(NamedTuple):
    """Pool, wanted and test items: features (n, d) float32 and labels."""

    x: Array
    y: Array
    wanted_x: Array
    wanted_y: Array
    test_x: Array
    test_y: Array
    kin: Array
    """(n,) whether a pool item is of the target's domain, or of its classes and rightly labelled: shown, never used."""


class Seen(NamedTuple):
    """What methods may see."""

    split: Split
    train: Array
    wanted: Array
    drop: Array
    seed: int


# --- Data -----------------------------------------------------------------------------------------------------------


def usps(folder: Path, seed: int) -> Split:
    home = folder / "mnist10k" / "data"
    images = np.frombuffer(
        gzip.decompress((home / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16
    )
    labels = np.frombuffer(
        gzip.decompress((home / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8
    )
    small = [
        Image.fromarray(one).resize((16, 16), Image.Resampling.BILINEAR) for one in images.reshape(-1, 28, 28)
    ]
    mnist = np.stack([np.asarray(one) for one in small]).reshape(-1, 256) / 128 - 1
    with np.load(folder / "usps" / "usps_train.npz") as file:
        names = sorted(file.files, key=lambda name: -file[name].ndim)
        other, answers = file[names[0]].reshape(-1, 256) / 128 - 1, file[names[1]].ravel()
    rng = np.random.default_rng(seed)
    a, b = rng.permutation(len(mnist))[:7000], rng.permutation(len(other))
    pool, wanted, test = b[:800], b[800:900], b[900:3400]
    x = np.concatenate([mnist[a], other[pool]]).astype(np.float32)
    y = np.concatenate([labels[a], answers[pool]]).astype(np.int64)
    parts = [(other[rows].astype(np.float32), answers[rows].astype(np.int64)) for rows in (wanted, test)]
    return Split(x, y, *parts[0], *parts[1], np.arange(len(x)) >= 7000)


def cifar(folder: Path, seed: int) -> Split:
    train, index, true = _features(folder, "train_first15000")
    test, _, test_y = _features(folder, "test")
    with np.load(folder / "cifar_n" / "cifar10n.npz") as file:
        worst = next(name for name in file.files if "worse" in name or "worst" in name)
        noisy = file[worst][index]
    rng = np.random.default_rng(seed)
    pool = rng.permutation(len(train))[:9000]
    asked = np.flatnonzero(np.isin(test_y, (3, 4, 5, 7)))
    asked = rng.permutation(asked)[:2600]
    wanted, rest = asked[:100], asked[100:]
    kin = np.isin(true[pool], (3, 4, 5, 7)) & (true[pool] == noisy[pool])
    return Split(
        *(
            train[pool],
            noisy[pool].astype(np.int64),
            test[wanted],
            test_y[wanted],
            test[rest],
            test_y[rest],
            kin,
        )
    )


_CACHE: dict[str, tuple[Array, Array, Array]] = {}


def _features(folder: Path, part: str) -> tuple[Array, Array, Array]:
    """ResNet-20 features (n, 64) of one archive, to unit variance; indices in CIFAR-10; true labels."""
    if part not in _CACHE:
        images, places, labels = listed_images(folder, part)
        found, _ = features_and_logits(images, folder / "weights_resnet_cifar10" / "resnet20-12fca82f.th")
        _CACHE[part] = (found - found.mean(0)) / found.std(0), places, labels
    return _CACHE[part]


TASKS: dict[str, Callable[[Path, int], Split]] = {"usps": usps, "cifar": cifar}


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
        """Each network on its rows of (x, y), with the weights of the loss."""
        rng = np.random.default_rng(seed)
        data, answers = torch.from_numpy(x), torch.from_numpy(y)
        for _ in range(steps):
            picked = [rng.integers(0, len(rows), 32) for rows, _ in draws]
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
        parts.append(
            tuple(
                _gradients(network, *data) for data in ((split.x, split.y), (split.wanted_x, split.wanted_y))
            )
        )
    before = _loss(network, split.x, split.y)
    wanted = np.arange(len(split.wanted_x))
    network.train(split.wanted_x, split.wanted_y, [(wanted, np.ones(len(wanted), np.float32))], 30, seed)
    drop = loss_drop(before, _loss(network, split.x, split.y))
    return Seen(split, *(np.concatenate(side, 1) for side in zip(*parts, strict=True)), drop, seed)


def _gradients(network: Networks, x: Array, y: Array) -> Array:
    with torch.inference_mode():
        data = torch.from_numpy(x)[None]
        features, probs = network.hidden(data)[0].numpy(), network(data).softmax(2)[0].numpy()
    return last_layer_gradients(probs, y, features, dim=DIM)


def _loss(network: Networks, x: Array, y: Array) -> Array:
    with torch.inference_mode():
        out = network(torch.from_numpy(x)[None])[0]
        return torch.nn.functional.cross_entropy(out, torch.from_numpy(y), reduction="none").numpy()


# --- Methods: rows and weights ----------------------------------------------------------------------------------------


def _unit(rows: Array) -> Array:
    """Each checkpoint's gradient at length 1."""
    parts = rows.reshape(len(rows), TIMES, DIM)
    lengths = np.linalg.norm(parts, axis=2, keepdims=True)
    return (parts / np.where(lengths > 0, lengths, 1)).reshape(len(rows), -1).astype(np.float32)


def _means(rows: Array, labels: Array) -> Array:
    return np.stack([rows[labels == c].mean(0) for c in np.unique(labels)])


def _top(score: Array) -> Callable[[Seen, int], Array]:
    order = np.argsort(-score, kind="stable")
    return lambda seen, k: order[:k]


def _chosen(found: Selection) -> tuple[Array, Array]:
    weight = np.ones(len(found)) if found.weight is None else found.weight
    return found.index, np.asarray(weight, np.float32)


def at_random(seen: Seen, k: int) -> Any:
    return np.random.default_rng(seen.seed).permutation(len(seen.train))[:k]


def top_less(seen: Seen, k: int) -> Any:
    return _top(less(seen.train, seen.wanted, checkpoints=TIMES).score)(seen, k)


def top_less_by_class(seen: Seen, k: int) -> Any:
    return _top(less(seen.train, seen.wanted, checkpoints=TIMES, groups=list(seen.split.wanted_y)).score)(
        seen, k
    )


def top_less_shared(seen: Seen, k: int) -> Any:
    """An equal share for each class of the wanted: LESS without its preference for one sub-task."""
    by_task = less(seen.train, seen.wanted, checkpoints=TIMES, groups=list(seen.split.wanted_y)).by_task
    order = np.argsort(
        -by_task, axis=0, kind="stable"
    )  # in turn, the next best of each class that is not taken
    taken = dict.fromkeys(order.ravel().tolist())
    return np.array(list(taken)[:k])


def top_gist(seen: Seen, k: int) -> Any:
    groups = list(seen.split.wanted_y)
    return _top(gist(seen.train, seen.wanted, checkpoints=TIMES, rank=32, groups=groups).score)(seen, k)


def top_loss_drop(seen: Seen, k: int) -> Any:
    return _top(seen.drop)(seen, k)


def match(seen: Seen, k: int) -> Any:
    return _chosen(grad_match(seen.train, k, target=seen.wanted.mean(0), ridge=0.1))


def match_by_class(seen: Seen, k: int) -> Any:
    """GradMatch as published: of the whole pool, each class by itself."""
    return _chosen(grad_match(seen.train, k, within=Constraints(group=seen.split.y)))


def cover(seen: Seen, k: int) -> Any:
    """CRAIG as published: of the whole pool, each class by itself, at the last checkpoint."""
    return _chosen(craig(seen.train[:, -DIM:], k, within=Constraints(group=seen.split.y)))


def gtp(seen: Seen, k: int) -> Any:
    return _chosen(pursue(_unit(seen.train), _unit(seen.wanted).mean(0), k))


def gtp_raw(seen: Seen, k: int) -> Any:
    return _chosen(pursue(seen.train, seen.wanted.mean(0), k))


def gtp_by_class(seen: Seen, k: int) -> Any:
    return _chosen(pursue(_unit(seen.train), _means(_unit(seen.wanted), seen.split.wanted_y), k))


def gtp_by_class_unweighted(seen: Seen, k: int) -> Any:
    return gtp_by_class(seen, k)[0]


def gtp_in_subspace(seen: Seen, k: int) -> Any:
    wanted = _unit(seen.wanted)
    means = _means(wanted, seen.split.wanted_y)
    return _chosen(pursue(_unit(seen.train), means, k, subspaces=target_subspaces(wanted, 64, TIMES)))


def projected(seen: Seen, k: int) -> Any:
    """Information projection on the inputs alone: no gradients, no labels."""
    return information_projection(seen.split.x, seen.split.wanted_x, k).index


METHODS: dict[str, Callable[[Seen, int], Any]] = {
    "random": at_random,
    "top-k LESS": top_less,
    "top-k LESS, by class": top_less_by_class,
    "top-k LESS, a share for each class": top_less_shared,
    "top-k GIST": top_gist,
    "top-k loss drop": top_loss_drop,
    "GradMatch of the pool": match_by_class,
    "GradMatch of the target": match,
    "CRAIG of the pool": cover,
    "information projection": projected,
    "GTP": gtp,
    "GTP, lengths kept": gtp_raw,
    "GTP, by class": gtp_by_class,
    "GTP, by class, weights unused": gtp_by_class_unweighted,
    "GTP, by class, in GIST's subspace": gtp_in_subspace,
}


# --- Measuring --------------------------------------------------------------------------------------------------------


def run_seed(job: tuple[Path, str, list[float], list[str], int]) -> tuple[Array, Array, float]:
    """Accuracy (methods, budgets), the share of kin among the chosen, and accuracy on the whole pool."""
    folder, task, budgets, methods, seed = job
    torch.set_num_threads(1)
    split = TASKS[task](folder, seed)
    seen = look(split, seed)
    accuracy, kin = np.zeros((len(methods), len(budgets))), np.zeros((len(methods), len(budgets)))
    everything = np.arange(len(split.x)), np.ones(len(split.x), np.float32)
    full = Networks(1, split.x.shape[1], seed + 1000)
    full.train(split.x, split.y, [everything], 3 * STEPS, seed)
    whole = float(full.accuracy(split.test_x, split.test_y)[0])
    for b, budget in enumerate(budgets):
        draws = []
        for name in methods:
            found = METHODS[name](seen, round(budget * len(split.x)))
            draws.append(found if isinstance(found, tuple) else (found, np.ones(len(found), np.float32)))
        networks = Networks(len(methods), split.x.shape[1], seed + 1000)
        networks.train(split.x, split.y, draws, STEPS, seed)
        accuracy[:, b] = networks.accuracy(split.test_x, split.test_y)
        kin[:, b] = [split.kin[rows].mean() for rows, _ in draws]
    print(f"{task}: seed {seed} done, whole pool {whole:.3f}", flush=True)
    return accuracy, kin, whole


def run(job: tuple[Path, str, list[float], list[str]], seeds: int, jobs: int) -> tuple[Array, Array, Array]:
    """As `run_seed`, with the seeds as last axis."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        accuracy, kin, whole = zip(*pool.map(run_seed, [(*job, seed) for seed in range(seeds)]), strict=True)
    return np.stack(accuracy, -1), np.stack(kin, -1), np.array(whole)


def interval(values: Array) -> float:
    """Half the width of the 95 % interval of the mean over the last axis."""
    n = values.shape[-1]
    return (
        student.ppf(0.975, n - 1) * values.std(-1, ddof=1) / n**0.5 if n > 1 else np.zeros(values.shape[:-1])
    )


def tables(task: str, budgets: list[float], methods: list[str], found: tuple[Array, Array, Array]) -> str:
    accuracy, kin, whole = found
    half = interval(accuracy)
    head = ("accuracy, %", *(f"{b:.1%}" for b in budgets), f"kin at {budgets[0]:.1%}")
    rows = []
    for m, name in enumerate(methods):
        cells = [f"{100 * accuracy[m, b].mean():.1f} ± {100 * half[m, b]:.1f}" for b in range(len(budgets))]
        rows.append((name, *cells, f"{kin[m, 0].mean():.0%}"))
    text = f"{task}, {accuracy.shape[2]} seeds; the whole pool: {100 * whole.mean():.1f} ± {100 * interval(whole):.1f}\n\n"
    text += markdown(head, rows) + "\n\n"
    tops = [m for m, name in enumerate(methods) if name.startswith("top-k LESS")]
    if tops:
        best = accuracy[tops].mean(2).argmax(0)
        rival = np.stack([accuracy[tops[j], b] for b, j in enumerate(best)])
        rows = []
        for m, name in enumerate(methods):
            if name.startswith("GTP"):
                lead = accuracy[m] - rival
                margin = interval(lead)
                cells = [f"{100 * lead[b].mean():+.1f} ± {100 * margin[b]:.1f}" for b in range(len(budgets))]
                reached = [f"{b:.1%}" for i, b in enumerate(budgets) if (accuracy[m, i] - whole).mean() >= 0]
                rows.append((name, *cells, reached[0] if reached else "none of these"))
        text += markdown(("above top-k, points", *head[1:-1], "reaches the whole pool at"), rows) + "\n"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.005, 0.01, 0.02, 0.05, 0.1])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    made = []
    for task in asked.tasks:
        found = run((asked.data, task, asked.budgets, asked.methods), asked.seeds, asked.jobs)
        made.append(tables(task, asked.budgets, asked.methods, found))
        print(made[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(made))


if __name__ == "__main__":
    main()
