"""How well influence scores foretell retraining: the linear datamodelling score on digits and MNIST, random beside.

    python benchmarks/influence.py [DATA] [--sets digits mnist] [--subsets 48] [--items 600] [--only WORD]

A small network (one hidden layer) is trained on each of many random halves of the training set, several times from other
starts, all at once as one batch of networks. For every target item the sum of its scores over a half is compared, by rank
correlation over the halves, with how well the networks trained on that half do on the item (minus its loss, averaged over starts).
The mean over target items is the LDS; the interval is a bootstrap over them. Scores come from one run on the whole training
set: five checkpoints, Adam. "wrong labels" is another use of the same scores: a tenth of the labels is
made wrong, and the average precision of finding them by the lowest score is given.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from _measure import markdown
from scipy.stats import rankdata

from curate.scorers.influence import (
    AdamMoments,
    Checkpoint,
    Plan,
    adam_moments,
    collect_gradients,
    datainf,
    ekfac,
    el2n,
    gist,
    grad_cos,
    last_layer_gradients,
    less,
    loss_drop,
    self_influence,
    tracin,
    trak,
    warm_up_losses,
)
from curate.scorers.influence.precision import PRECISIONS

Array = npt.NDArray[Any]
HIDDEN, STEPS, RATE, DECAY, CLASSES = 32, 150, 5e-3, 1e-3, 10
POINTS = (10, 30, 60, 100, 150)


class Data(NamedTuple):
    x: Array
    y: Array
    target_x: Array
    target_y: Array


def load(name: str, folder: Path | None, items: int, targets: int = 60) -> Data:
    if name == "digits":
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        x = x / 8 - 1
    else:
        assert folder is not None, "MNIST needs the folder of real data"
        home = folder / "mnist10k" / "data"
        pixels = unzip(home / "t10k-images-idx3-ubyte.gz", 16)
        x = pixels.reshape(-1, 7, 4, 7, 4).mean((2, 4)).reshape(-1, 49) / 64 - 1
        y = unzip(home / "t10k-labels-idx1-ubyte.gz", 8)
    order = np.random.default_rng(0).permutation(len(x))[: items + targets]
    x, y = x[order].astype(np.float32), y[order].astype(np.int64)
    return Data(x[:items], y[:items], x[items:], y[items:])


def unzip(path: Path, header: int) -> Array:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


# --- Training: one network, and many at once ---------------------------------------------------------------------------


def network(width: int, seed: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(width, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, CLASSES)
        )


def train(data: Data, seed: int = 0) -> tuple[torch.nn.Module, list[Checkpoint]]:
    """A network on all items, with checkpoints and Adam's moments."""
    model = network(data.x.shape[1], seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    points = []
    for step in range(1, STEPS + 1):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
        if step in POINTS:
            named = dict(model.named_parameters())
            moments = adam_moments(optimiser.state_dict(), named)
            copied = AdamMoments(
                *({n: t.clone() for n, t in m.items()} for m in (moments.first, moments.second))
            )
            points.append(Checkpoint({n: p.detach().clone() for n, p in named.items()}, RATE, copied))
    return model, points


def retrain(data: Data, halves: Array, starts: int) -> Array:
    """Minus the loss of each target item (halves, targets), mean over starts, of networks trained on each half."""
    count, width = len(halves) * starts, data.x.shape[1]
    layers: list[list[torch.Tensor]] = [[], [], [], []]
    for run in range(count):
        for slot, p in zip(layers, network(width, 1000 + run).parameters(), strict=True):
            slot.append(p.detach())
    w1, b1, w2, b2 = (torch.stack(slot).requires_grad_() for slot in layers)
    mask = torch.from_numpy(np.repeat(halves, starts, axis=0).astype(np.float32))
    mask /= mask.sum(1, keepdim=True)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    optimiser = torch.optim.Adam([w1, b1, w2, b2], lr=RATE, weight_decay=DECAY)

    def losses(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(inputs @ w1.transpose(1, 2) + b1[:, None])
        said = torch.log_softmax(hidden @ w2.transpose(1, 2) + b2[:, None], -1)
        return -said.gather(-1, labels.expand(count, -1)[..., None])[..., 0]

    for _ in range(STEPS):
        optimiser.zero_grad()
        (losses(x, y) * mask).sum().backward()
        optimiser.step()
    with torch.no_grad():
        found = losses(torch.from_numpy(data.target_x), torch.from_numpy(data.target_y))
    return -found.reshape(len(halves), starts, -1).mean(1).numpy()


# --- Scores, (items, targets) ------------------------------------------------------------------------------------------


def loss(model: Any, batch: Any) -> Any:
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="sum")


def output(model: Any, batch: Any) -> Any:
    """log(p / (1 - p)) of the label: what TRAK takes the gradient of."""
    logits = model(batch[0])
    own = torch.nn.functional.one_hot(batch[1], CLASSES).bool()
    return (logits[own] - torch.logsumexp(logits.masked_fill(own, -1e9), -1)).sum()


def stores(data: Data, points: list[Checkpoint], model: Any, folder: Path) -> dict[str, Any]:
    """Gradients of items and targets: plain, as Adam steps, projected, and of the last checkpoint alone."""
    plain = [Checkpoint(p.values, p.rate) for p in points]
    sets = {"train": (data.x, data.y), "target": (data.target_x, data.target_y)}
    out = {}
    for kind, checkpoints, dim in (
        ("plain", plain, None),
        ("adam", points, None),
        ("sketch", plain, 512),
        ("output", plain[-1:], 512),
        ("int8", plain, 512),
        ("1-bit", plain, 512),
    ):
        for name, (x, y) in sets.items():
            tensors = torch.from_numpy(x), torch.from_numpy(y)
            plan = Plan(
                dim, normalised=False, precision=kind if kind in PRECISIONS else "fp16", batch_size=64
            )
            made = collect_gradients(
                model,
                lambda rows, t=tensors: tuple(one[torch.from_numpy(rows)] for one in t),
                folder / f"{kind}-{name}",
                rows=len(y),
                loss=output if kind == "output" else loss,
                checkpoints=checkpoints,
                plan=plan,
                dataset=name,
            )
            out[f"{kind}-{name}"] = made.store
    return out


def by_target(function: Callable[..., Any], train_set: Any, target: Any, **options: Any) -> Array:
    """Scores (items, targets): each target item a sub-task of its own, which come sorted by name."""
    each = [f"{i:04}" for i in range(len(target))]
    return np.asarray(function(train_set, target, groups=each, **options).by_task)


def scores(data: Data, folder: Path, ensemble: int = 3) -> dict[str, Callable[[], Array]]:
    """Contestants: each gives (items, targets)."""
    runs = [train(data, seed) for seed in range(ensemble)]
    models = [model for model, _ in runs]
    made = [stores(data, points, model, folder / str(i)) for i, (model, points) in enumerate(runs)]
    targets = len(data.target_y)
    probs, tops = last_layer(models[0], data)
    return {
        "random": lambda: np.random.default_rng(5).standard_normal((len(data.y), targets)),
        "EL2N (the same for all targets)": lambda: np.repeat(el2n(probs, data.y)[:, None], targets, 1),
        "loss drop": lambda: drops(data, network(data.x.shape[1], 7)),
        **cosines(made[0]),
        "TracIn, last layer in closed form": lambda: by_target(tracin, *tops),
        **products(made[0]),
        **curved(data, models, made),
    }


def last_layer(model: Any, data: Data) -> tuple[Array, list[Array]]:
    """The probabilities of the items, and the last layer's gradients of items and targets, in closed form."""
    probs, gradients = [], []
    for x, y in (data[:2], data[2:]):
        with torch.no_grad():
            hidden = torch.tanh(model[0](torch.from_numpy(x)))
            probs.append(torch.softmax(model[2](hidden), -1).numpy())
        gradients.append(last_layer_gradients(probs[-1], y, hidden.numpy()))
    return probs[0], gradients


def last(store: Any) -> Array:
    """The gradients of the last checkpoint."""
    return np.asarray(store.to_numpy()[:, -store.header.dim :])


def cosines(made: dict[str, Any]) -> dict[str, Callable[[], Array]]:
    train_set, target, sketched = made["plain-train"], made["plain-target"], made["sketch-target"]
    return {
        "Grad-Cos, 5 checkpoints": lambda: by_target(grad_cos, train_set, target),
        "LESS (Adam), 5 checkpoints": lambda: by_target(
            less, made["adam-train"].to_numpy(), target.to_numpy(), checkpoints=5
        ),
        "Grad-Cos, projected to 512": lambda: by_target(grad_cos, made["sketch-train"], sketched),
        "Grad-Cos, 512 bytes": lambda: by_target(grad_cos, made["int8-train"], sketched),
        "Grad-Cos, 512 bits": lambda: by_target(grad_cos, made["1-bit-train"], sketched),
        "GIST, rank 16": lambda: by_target(gist, train_set, target),
    }


def products(made: dict[str, Any]) -> dict[str, Callable[[], Array]]:
    train_set, target = made["plain-train"], made["plain-target"]
    return {
        "TracIn, last checkpoint": lambda: by_target(tracin, last(train_set), last(target)),
        "TracInCP, 5 checkpoints": lambda: by_target(tracin, train_set, target),
        "TracInCP, projected to 512": lambda: by_target(tracin, made["sketch-train"], made["sketch-target"]),
    }


def curved(
    data: Data, models: list[torch.nn.Module], made: list[dict[str, Any]]
) -> dict[str, Callable[[], Array]]:
    """With curvature; TRAK of several models, too."""
    one, count = made[0], len(models)
    layers = [p.numel() for p in models[0].parameters()]
    joined = [np.concatenate([m[f"output-{s}"].to_numpy() for m in made], 1) for s in ("train", "target")]
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(m(x), y, reduction="none") for m in models]
    rest = np.stack([1 - torch.exp(-found) for found in losses], 1)
    sets = [torch.utils.data.TensorDataset(*map(torch.from_numpy, pair)) for pair in (data[:2], data[2:])]
    return {
        "DataInf, by layer": lambda: by_target(
            datainf, last(one["plain-train"]), last(one["plain-target"]), layers=layers
        ),
        "TRAK, 1 model, 512": lambda: by_target(
            trak, one["output-train"], one["output-target"], residuals=rest[:, 0]
        ),
        f"TRAK, {count} models, 512": lambda: by_target(trak, *joined, checkpoints=count, residuals=rest),
        "TRAK on gradients of the loss": lambda: by_target(
            trak, last(one["sketch-train"]), last(one["sketch-target"])
        ),
        "EK-FAC (kronfluence)": lambda: by_target(
            partial(ekfac, models[0]), *sets, loss=loss, batch_size=256
        ),
    }


def drops(data: Data, model: Any) -> Array:
    """The loss drop by a warm-up on each target item alone, of an untrained network."""
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    out = []
    for tx, ty in zip(data.target_x, data.target_y, strict=True):
        xs, ys = torch.cat([x, torch.from_numpy(tx)[None]]), torch.cat([y, torch.tensor([ty])])
        pair = warm_up_losses(
            model,
            lambda rows, xs=xs, ys=ys: (xs[rows], ys[rows]),
            rows=len(ys),
            target=[len(ys) - 1],
            loss=loss,
            steps=5,
        )
        out.append(loss_drop(*pair)[:-1])
    return np.stack(out, 1)


# --- What is measured --------------------------------------------------------------------------------------------------


def lds(score: Array, halves: Array, outcome: Array) -> Array:
    """The rank correlation for each target item."""
    foretold = rankdata(halves.astype(float) @ score, axis=0)
    came = rankdata(outcome, axis=0)
    a, b = foretold - foretold.mean(0), came - came.mean(0)
    return np.asarray((a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0)).clip(1e-12))


def interval(values: Array) -> str:
    draws = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def wrong_labels(data: Data, folder: Path) -> list[tuple[str, str]]:
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(3)
    bad = rng.random(len(data.y)) < 0.1
    noisy = data._replace(y=np.where(bad, (data.y + rng.integers(1, 10, len(data.y))) % 10, data.y))
    model, points = train(noisy)
    made = stores(noisy, points[:3], model, folder / "noisy")
    train_set, target = made["plain-train"], made["plain-target"]
    low = {
        "random": rng.random(len(bad)),
        "self-influence": -self_influence(train_set),
        "TracInCP on the target": tracin(train_set, target).score,
        "Grad-Cos on the target": grad_cos(train_set, target).score,
        "DataInf on the target": datainf(train_set, target).score,
        "TRAK on the target": trak(made["sketch-train"], made["sketch-target"]).score,
    }
    return [(name, f"{average_precision_score(bad, -values):.3f}") for name, values in low.items()]


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--sets", nargs="+", default=["digits", "mnist"])
    parser.add_argument("--subsets", type=int, default=48)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--items", type=int, default=600)
    parser.add_argument("--only", default="", help="scores whose name holds this")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.sets:
        data = load(name, given.data, given.items)
        halves = np.stack(
            [
                np.random.default_rng(100 + i).permutation(len(data.y)) < len(data.y) // 2
                for i in range(given.subsets)
            ]
        )
        start = time.process_time()
        outcome = retrain(data, halves, given.starts)
        spent = time.process_time() - start
        table = []
        with tempfile.TemporaryDirectory() as folder:
            for method, call in scores(data, Path(folder)).items():
                if given.only not in method:
                    continue
                start = time.process_time()
                found = lds(call(), halves, outcome)
                table.append((method, interval(found), f"{time.process_time() - start:.1f}"))
            labels = wrong_labels(data, Path(folder))
        print(
            f"\n**{name}**: {given.items} items, {len(data.target_y)} target items, {given.subsets} halves x {given.starts} "
            f"starts ({spent:.0f} CPU-s to retrain)\n"
        )
        print(markdown(("score", "LDS", "CPU-s"), table))
        print(markdown(("a tenth of the labels wrong", "average precision of the lowest"), labels))


if __name__ == "__main__":
    main()
