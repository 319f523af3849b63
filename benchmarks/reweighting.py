"""CW-ERM on labels that people gave wrong: accuracy and time against plain training and full reweighting.

    python benchmarks/reweighting.py --data DIR [--seeds 5] [--first 0] [--epochs 20] [--without WORD ...] [--cache FILE.npz]

CIFAR-10N *worst* (40 % wrong in the first 15,000 training images), as ResNet-20 features, measured on the 10,000 clean test images. **The
ResNet was trained on clean labels of these very images**, so its features are better than anyone's would be who only has noisy
ones; all rows have the same features. The network that is trained with the weights is 64-256-10, SGD with a cosine. Full
reweighting is the same code with all items as the coreset. "random weights" are the weights of the 5 % coreset, shuffled.
Ways whose name has one of the words of `--without` are left out; seeds are `--first` and those after it.
Seconds are CPU seconds of learning the weights on one core, once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from _cifar_resnet import features_and_logits, listed_images
from _measure import markdown

from curate.comparing import Trial, tabulate
from curate.selectors.reweighting import MetaTraining, cw_erm, effective_size


def load(data: Path, cache: Path | None) -> dict[str, np.ndarray]:
    """Features of training and test images, noisy and clean labels."""
    if cache is not None and cache.exists():
        with np.load(cache) as kept:
            return dict(kept)
    found, weights = {}, data / "weights_resnet_cifar10" / "resnet20-12fca82f.th"
    for side, name in (("train", "train_first15000"), ("test", "test")):
        images, places, found[f"y_{side}"] = listed_images(data, name)
        found[f"x_{side}"] = features_and_logits(images, weights)[0]
        if side == "train":
            with np.load(data / "cifar_n" / "cifar10n.npz") as labels:
                found["noisy"] = labels["worse_label"][places].astype(np.int64)
    if cache is not None:
        np.savez(cache, **found)
    return found


def accuracies(d: dict[str, np.ndarray], weights: np.ndarray, seed: int, epochs: int) -> list[float]:
    """On the clean test images, after training with each row of `weights`: a network each, with one start and one order
    of batches for all, side by side."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    mean, scale = d["x_train"].mean(0), d["x_train"].std(0)
    x, t = (torch.from_numpy((d[f"x_{s}"] - mean) / scale) for s in ("train", "test"))
    y, w = torch.from_numpy(d["noisy"]), torch.from_numpy(weights.astype(np.float32))
    layers = torch.nn.Linear(64, 256), torch.nn.Linear(256, 10)
    learnt = [
        p.detach().expand(len(w), *p.shape).clone().requires_grad_()
        for one in layers
        for p in one.parameters()
    ]

    def logits(x: Any) -> Any:
        first, add, last, bias = learnt
        hidden = torch.relu(torch.baddbmm(add[:, None], x.expand(len(w), -1, -1), first.mT))
        return torch.baddbmm(bias[:, None], hidden, last.mT)

    descent = torch.optim.SGD(learnt, lr=0.05, momentum=0.9, weight_decay=5e-4)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(descent, epochs * (len(x) // 100))
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for low in range(0, len(x) - 99, 100):
            rows = order[low : low + 100]
            wrong = torch.nn.functional.cross_entropy(
                logits(x[rows]).flatten(0, 1), y[rows].repeat(len(w)), reduction="none"
            )
            loss = (wrong.view(len(w), -1) * w[:, rows]).mean(1).sum()
            descent.zero_grad()
            loss.backward()
            descent.step()
            course.step()
    with torch.no_grad():
        found = logits(t).argmax(2).numpy() == d["y_test"]
    return [float(share) for share in found.mean(1)]


def auroc(weights: np.ndarray, right: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, weights)) if weights.std() > 0 else 0.5


PLAIN = "plain (all weights 1)"
CORES = (
    (0.01, "neighbours"),
    (0.02, "neighbours"),
    (0.05, "neighbours"),
    (0.01, "network"),
    (0.02, "network"),
    (0.05, "network"),
)
WAYS: dict[str, Any] = {
    PLAIN: None,
    "random weights": "shuffled",
    **{f"CW-ERM {share:.0%}, {how}": (share, how, True) for share, how in CORES},
    **{
        f"CW-ERM {share:.0%}, neighbours, classes uneven": (share, "neighbours", False)
        for share in (0.02, 0.05)
    },
    "full reweighting": ("all", "network", True),
}


def learnt(d: dict[str, np.ndarray], seed: int, ways: dict[str, Any]) -> dict[str, tuple[np.ndarray, float]]:
    """Each way's weights, and the CPU seconds they took; the shuffled ones are of those of "CW-ERM 5%, neighbours"."""
    found, ones = {}, np.ones(len(d["noisy"]))
    for name, way in ways.items():
        start, weights = time.process_time(), ones
        if isinstance(way, tuple):
            training = MetaTraining(seed=seed)
            made = cw_erm(d["x_train"], d["noisy"], way[0], spread=way[1], even=way[2], training=training)
            weights = made.by_row
        found[name] = weights, time.process_time() - start
    mixed = np.random.default_rng(seed).permutation(found["CW-ERM 5%, neighbours"][0])
    return {
        name: (mixed if way == "shuffled" else found[name][0], found[name][1]) for name, way in ways.items()
    }


def shown(trials: list[Trial], facts: dict[str, list[tuple[float, ...]]]) -> str:
    """`facts`: by way and seed, the seconds, the AUROC and the effective size."""
    table = {r["selector"]: r for r in tabulate(trials).to_pylist()}
    full = np.mean([f[0] for f in facts.get("full reweighting", [(np.nan,)])])
    lines = []
    for name in facts:
        r = table["random" if name == PLAIN else name]
        took, area, size = np.mean(facts[name], 0)
        gain = "" if r["gain"] is None else f"{r['gain']:+.4f} [{r['gain_low']:+.4f}, {r['gain_high']:+.4f}]"
        accurate = f"{r['accuracy']:.4f} [{r['low']:.4f}, {r['high']:.4f}]"
        lines.append(
            (name, accurate, gain, f"{took:.2f}", f"{took / full:.3f}", f"{area:.3f}", f"{size:.0f}")
        )
    head = ("weights", "accuracy [95 %]", "over plain, paired", "CPU s", "of full's", "AUROC right/wrong")
    return markdown((*head, "effective size"), lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--without", nargs="*", default=[])
    parser.add_argument("--cache", type=Path)
    told = parser.parse_args()
    d = load(told.data, told.cache)
    right = d["noisy"] == d["y_train"]
    print(f"{len(right)} items, {1 - right.mean():.1%} of the labels wrong")
    trials: list[Trial] = []
    ways = {name: way for name, way in WAYS.items() if not any(word in name for word in told.without)}
    facts: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    for seed in range(told.first, told.first + told.seeds):
        made = learnt(d, seed, ways)
        reached = accuracies(d, np.stack([weights for weights, _ in made.values()]), seed, told.epochs)
        for (name, (weights, took)), found in zip(made.items(), reached, strict=True):
            facts[name].append((took, auroc(weights, right), effective_size(weights)))
            called = "random" if name == PLAIN else name  # what gains are counted from
            trials.append(Trial(called, 1, len(right), seed, found, took))
            print(
                f"seed {seed} {name}: {found:.4f}, {took:.1f} s, AUROC {facts[name][-1][1]:.3f}", flush=True
            )
    print(shown(trials, facts))


if __name__ == "__main__":
    main()
