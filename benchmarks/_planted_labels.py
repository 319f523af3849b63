"""Noise planted by class, and by item: the tasks `synthetic` and `unseen` of label_errors.py."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import numpy as np
from _label_peers import (
    DATA,
    Array,
    ap,
    cifar10n,
    cleanlab_doubts,
    cleanlab_flags,
    f1,
    ours,
    ratio_share,
    softmax,
    test_set,
)
from _measure import markdown

KINDS = (("uniform", 0.1), ("uniform", 0.2), ("uniform", 0.4), ("pair", 0.1), ("pair", 0.2), ("pair", 0.3))
KINDS += (("asymmetric", 0.2), ("asymmetric", 0.4), ("sparse", 0.2), ("sparse", 0.4), ("uneven", 0.2))


def plant(truth: Array, kind: str, rate: float, seed: int) -> Array:
    """Ten classes. `uniform`; `pair`: to the next; `asymmetric`: five classes to one like them; `sparse`: a random few
    targets for each class; `uneven`: a rate of its own for each class."""
    rng = np.random.default_rng(seed)
    labels, n = truth.copy(), len(truth)
    flip = rng.random(n) < (rate if kind != "uneven" else 2 * rate * rng.random(10)[truth])
    if kind == "pair":
        labels[flip] = (truth[flip] + 1) % 10
    elif kind == "asymmetric":
        for one, other in {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}.items():
            labels[flip & (truth == one)] = other
    elif kind == "sparse":
        matrix = rng.dirichlet(np.full(10, 0.3), 10)
        np.fill_diagonal(matrix, 0)
        for one in range(10):
            at = np.flatnonzero(flip & (truth == one))
            labels[at] = rng.choice(10, len(at), p=matrix[one] / matrix[one].sum())
    else:
        labels[flip] = (truth[flip] + rng.integers(1, 10, flip.sum())) % 10
    return labels


def worlds() -> Iterator[tuple[str, Callable[[Array], Array], Array]]:
    """Name, how probabilities come from labels, and the truth."""
    from sklearn.datasets import load_digits

    from curate.scorers.noise import out_of_fold_probabilities

    x, truth = load_digits(return_X_y=True)
    for model in ("logistic-regression", "knn"):
        yield (
            f"digits, {model}",
            lambda y, model=model: out_of_fold_probabilities(x, y, model=model).probabilities,
            truth,
        )
    raw = gzip.decompress((DATA / "mnist10k" / "data" / "t10k-images-idx3-ubyte.gz").read_bytes())
    pixels = (
        np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)[:, ::2, ::2].reshape(10000, -1) / 255.0
    )
    yield (
        "MNIST 10k, logistic regression",
        lambda y: out_of_fold_probabilities(pixels, y, folds=3).probabilities,
        test_set("mnist")[1],
    )
    for which in ("worst", "aggregate"):
        probs, _, truth = cifar10n(which)
        yield f"CIFAR-10 train, ResNet-18 of {which}", lambda _, probs=probs: probs, truth
    probs, truth = test_set("cifar10")
    yield "CIFAR-10 test", lambda _, probs=probs: probs, truth


def synthetic(seed: int) -> None:
    """F1 and AP over all worlds and kinds; where our flags are below cleanlab's default."""
    table: dict[str, list[tuple[float, ...]]] = {f"{kind} {rate}": [] for kind, rate in KINDS}
    losses = []
    for name, predict, truth in worlds():
        for kind, rate in KINDS:
            labels = plant(truth, kind, rate, seed)
            probs = np.asarray(predict(labels), np.float64)
            probs /= probs.sum(1, keepdims=True)
            wrong = labels != truth
            doubt, flags = ours(probs, labels)
            peer, known = f1(cleanlab_flags(probs, labels), wrong), cleanlab_doubts(probs, labels)
            mine = f1(flags, wrong)
            if mine < peer:
                losses.append(f"{name}, {kind} {rate}: {mine:.3f} against {peer:.3f}")
            scores = (
                ap(wrong, doubt),
                max(ap(wrong, one) for one in known.values()),
                ap(wrong, ratio_share(probs, labels)),
            )
            table[f"{kind} {rate}"].append(
                (mine, peer, f1(probs.argmax(1) != labels, wrong), *scores, wrong.mean())
            )
    rows = [(name, *(f"{value:.3f}" for value in np.mean(found, 0))) for name, found in table.items()]
    rows.append(
        (
            "mean",
            *(f"{value:.3f}" for value in np.mean([one for found in table.values() for one in found], 0)),
        )
    )
    head = (
        "noise",
        "F1 ours",
        "F1 cleanlab default",
        "F1 predicted ≠ given",
        "AP ours",
        "AP cleanlab, best",
        "AP ratio share",
    )
    print(markdown((*head, "random"), rows))
    print(
        f"\nOurs below cleanlab's default in {len(losses)} of {6 * len(KINDS)}: {'; '.join(losses) or 'none'}"
    )


def unseen() -> None:
    """USPS digits. "By item": the label is drawn from what a weak reader (16 blurred pixels) thinks of the very image."""
    from curate.scorers.noise import out_of_fold_probabilities

    with np.load(DATA / "usps" / "usps_train.npz") as data:
        pixels, truth = data["x"] / 255.0, data["y"].astype(np.int64)
    x = pixels.reshape(len(truth), -1)
    coarse = pixels.reshape(-1, 4, 4, 4, 4).mean((2, 4)).reshape(len(truth), -1)
    weak = out_of_fold_probabilities(coarse, truth).probabilities.astype(np.float64)
    rows = []
    for kind, rate in (
        ("uniform", 0.2),
        ("pair", 0.2),
        ("asymmetric", 0.4),
        ("by item", 1.0),
        ("by item", 0.6),
    ):
        if kind == "by item":
            chances = softmax(rate * np.log(np.maximum(weak, 1e-12)))
            labels = (np.random.default_rng(7).random((len(truth), 1)) > np.cumsum(chances, 1)[:, :-1]).sum(1)
        else:
            labels = plant(truth, kind, rate, 7)
        wrong = labels != truth
        for model in ("logistic-regression", "knn"):
            probs = out_of_fold_probabilities(x, labels, model=model).probabilities.astype(np.float64)  # type: ignore[arg-type]
            probs /= probs.sum(1, keepdims=True)
            doubt, flags = ours(probs, labels)
            known = cleanlab_doubts(probs, labels)
            scores = (
                f1(flags, wrong),
                f1(cleanlab_flags(probs, labels), wrong),
                f1(probs.argmax(1) != labels, wrong),
                ap(wrong, doubt),
                max(ap(wrong, one) for one in known.values()),
                wrong.mean(),
            )
            rows.append((f"{kind} {rate}, {model}", *(f"{value:.3f}" for value in scores)))
    head = (
        "USPS",
        "F1 ours",
        "F1 cleanlab default",
        "F1 predicted ≠ given",
        "AP ours",
        "AP cleanlab, best",
        "random",
    )
    print(markdown(head, rows))
