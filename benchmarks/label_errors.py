"""Wrong labels: our default `label_errors` beside cleanlab 2.9, the ratio share and random order.

    python benchmarks/label_errors.py people      # CIFAR-10N, and test sets that MTurk reviewed
    python benchmarks/label_errors.py coverage    # CIFAR-10H: every image judged by about 51 people; images allowed;
                                                  # with --folder DIR also ResNets fine-tuned (kept there, by --seed)
    python benchmarks/label_errors.py synthetic   # noise by class, planted: the flags
    python benchmarks/label_errors.py unseen      # USPS: noise by class and by item
    python benchmarks/label_errors.py speed       # each contestant in a process of its own

The data folder is ../shared/data, or $CURATE_DATA. One configuration throughout. Its constants (what doubt costs, and two
pseudo-counts) were chosen on "people" and "synthetic" with other seeds, and once more when "unseen" showed that noise by
item was under-flagged: these tables show what one setting can do, not what to expect of any data. "coverage" was only
looked at. --imdb-index FILE: the
file names of the IMDB test rows (dataset_indexing/imdb_test_set_index_to_filename.json of cleanlab/label-errors).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _measure import best, markdown

DATA = Path(os.environ.get("CURATE_DATA", Path(__file__).parents[2] / "shared" / "data"))
Array = npt.NDArray[Any]
METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


# --- Contestants: a doubt (high = wrong) or flags for each row ----------------------------------------------------------


def ours(probs: Any, labels: Array, seed: int = 0) -> tuple[Array, Array]:
    from curate.scorers.noise import label_errors

    found = label_errors(probs, labels, seed=seed)
    return -found.score, found.flagged


def cleanlab_doubts(probs: Array, labels: Array) -> dict[str, Array]:
    from cleanlab.rank import get_label_quality_scores

    return {name: -get_label_quality_scores(labels, probs, method=name) for name in METHODS}


def cleanlab_flags(probs: Array, labels: Array) -> Array:
    from cleanlab.filter import find_label_issues

    return np.asarray(find_label_issues(labels, probs, n_jobs=1))


def ratio_share(probs: Array, labels: Array) -> Array:
    row = np.arange(len(labels))
    ratio = probs / np.array([probs[labels == k, k].mean() for k in range(probs.shape[1])])
    own = ratio[row, labels].copy()
    ratio[row, labels] = 0
    return np.asarray(ratio.max(1) / (ratio.max(1) + own))


def ap(wrong: Array, doubt: Array) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, doubt))


def auroc(wrong: Array, doubt: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(wrong, doubt))


def f1(flagged: Array, wrong: Array) -> float:
    return float(2 * (flagged & wrong).sum() / max(1, flagged.sum() + wrong.sum()))


# --- People's errors ----------------------------------------------------------------------------------------------------


def cifar10n(which: str) -> tuple[Array, Array, Array]:
    with np.load(DATA / "led_pred_probs" / f"cifar10n_{which}_resnet18.npz") as data:
        return data["pred_probs"], data["noisy"].astype(np.int64), data["true"].astype(np.int64)


def test_set(name: str) -> tuple[Array, Array]:
    """Cross-validated probabilities and original labels."""
    folder = DATA / "label_errors"
    probs = np.load(folder / "cross_validated_predicted_probabilities" / f"{name}_test_set_pyx.npy")
    labels = np.load(folder / "original_test_labels" / f"{name}_test_set_original_labels.npy")
    return np.clip(probs, 0, 1), labels.astype(np.int64)


def reviews(name: str, imdb: Path | None) -> tuple[Array, Array] | None:
    """Rows that people reviewed, and whether fewer than three of five confirmed the label."""
    found = json.loads((DATA / "label_errors" / "mturk" / f"{name}_mturk.json").read_text())
    wrong = np.array([one["mturk"]["given"] < 3 for one in found])
    if name != "imdb":
        return np.array([int(one["id"]) for one in found]), wrong
    index = imdb or DATA / "label_errors" / "dataset_indexing" / "imdb_test_set_index_to_filename.json"
    if not index.exists():
        return None
    place = {path.removesuffix(".txt"): i for i, path in enumerate(json.loads(index.read_text()))}
    return np.array([place[one["id"].removeprefix("test/")] for one in found]), wrong


def people(imdb: Path | None) -> None:
    rows = []
    for which in ("worst", "aggregate"):
        probs, labels, truth = cifar10n(which)
        wrong = labels != truth
        runs = [ours(probs, labels, seed) for seed in range(5)]
        aps = [ap(wrong, doubt) for doubt, _ in runs]
        f1s = [f1(flags, wrong) for _, flags in runs]
        peer = {name: ap(wrong, doubt) for name, doubt in cleanlab_doubts(probs, labels).items()}
        rows.append(
            (
                f"CIFAR-10N {which} ({wrong.mean():.1%} wrong)",
                f"**{aps[0]:.4f}** ({min(aps):.4f} to {max(aps):.4f})",
                f"{max(peer.values()):.4f} ({max(peer, key=lambda name: peer[name])})",
                f"{ap(wrong, ratio_share(probs, labels)):.4f}",
                f"{wrong.mean():.3f}",
                f"**{f1s[0]:.4f}** ({min(f1s):.4f} to {max(f1s):.4f})",
                f"{f1(cleanlab_flags(probs, labels), wrong):.4f}",
                f"{f1(probs.argmax(1) != labels, wrong):.4f}",
            )
        )
    head = ("set", "AP ours (5 seeds)", "AP cleanlab, best", "AP ratio share", "random", "F1 ours (5 seeds)")
    print(markdown((*head, "F1 cleanlab default", "F1 predicted ≠ given"), rows), "\n")
    reviewed(imdb)


def reviewed(imdb: Path | None) -> None:
    rows = []
    for name in ("cifar10", "imdb", "mnist"):
        found = reviews(name, imdb)
        if found is None:
            rows.append((name, "no file names of the rows: give --imdb-index", "", "", "", ""))
            continue
        which, wrong = found
        probs, labels = test_set(name)
        runs = [ap(wrong, ours(probs, labels, seed)[0][which]) for seed in range(5)]
        peer = {method: ap(wrong, doubt[which]) for method, doubt in cleanlab_doubts(probs, labels).items()}
        rows.append(
            (
                f"{name} ({wrong.sum()} of {len(wrong)} reviewed)",
                f"**{runs[0]:.4f}** ({min(runs):.4f} to {max(runs):.4f})",
                f"{max(peer.values()):.4f} ({max(peer, key=lambda name: peer[name])})",
                f"{ap(wrong, ratio_share(probs, labels)[which]):.4f}",
                f"{wrong.mean():.3f}",
            )
        )
    print(
        markdown(
            ("reviewed only", "AP ours (5 seeds)", "AP cleanlab, best", "AP ratio share", "random"), rows
        )
    )


# --- Full coverage ------------------------------------------------------------------------------------------------------


def softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))


def images(name: str) -> Iterator[Any]:
    from PIL import Image

    with (DATA / "cifar10_images" / f"{name}_index.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["cifar_index"]))
    with zipfile.ZipFile(DATA / "cifar10_images" / f"{name}.zip") as archive:
        for row in rows:
            yield Image.open(io.BytesIO(archive.read(row["path"])))


def labelled(name: str) -> Array:
    """CIFAR-10's own labels, in the order of `images`."""
    with (DATA / "cifar10_images" / f"{name}_index.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["cifar_index"]))
    return np.array([int(row["label"]) for row in rows])


def tuned(weights: str, folder: Path, seed: int) -> Array:
    """Probabilities of the test images after fine-tuning on 15,000 images of the train set; no person's label is used."""
    import torch
    from _cifar_resnet import averaged, fine_tuned

    kept = folder / f"{Path(weights).stem}-{seed}.npy"
    if not kept.exists():
        threads, start = torch.get_num_threads(), time.process_time()
        torch.set_num_threads(1)
        train = "train_first15000"
        state = fine_tuned(images(train), labelled(train), DATA / "weights_resnet_cifar10" / weights, seed)
        np.save(kept, averaged(images("test"), state))
        torch.set_num_threads(threads)
        print(f"{weights}, seed {seed}: {time.process_time() - start:.0f} CPU s\n")
    return np.asarray(np.load(kept))


def coverage(cache: Path | None, seed: int) -> None:
    """Three models: the cross-validated one, two small ResNets trained on the train set, and a head on their features;
    and, with a folder for the results, the ResNets fine-tuned on the train set's JPEGs."""
    from _cifar_resnet import features_and_logits

    from curate.scorers.noise import label_errors, out_of_fold_probabilities

    probs, labels = test_set("cifar10")
    counts = np.load(DATA / "cifar10h" / "data" / "cifar10h-counts.npy")
    wrong = counts.argmax(1) != labels
    folder = DATA / "weights_resnet_cifar10"
    names = ("resnet20-12fca82f.th", "resnet32-d509ac18.th")
    nets = [features_and_logits(images("test"), folder / name) for name in names]
    features = np.concatenate([feature for feature, _ in nets], 1)
    head = out_of_fold_probabilities(features, labels).probabilities
    small = [softmax(logits) for _, logits in nets]
    sets = {
        "the cross-validated model alone": [probs],
        "and ResNet-20, ResNet-32": [probs, *small],
        "and a head on their features": [probs, *small, head],
        "ResNets and head alone": [*small, head],
    }
    if cache is not None:
        better = [tuned(name, cache, seed) for name in names]
        sets["fine-tuned ResNet-20 alone"], sets["fine-tuned ResNet-32 alone"] = [better[0]], [better[1]]
        sets["both fine-tuned ResNets"] = better
        sets["the cross-validated model and both fine-tuned ResNets"] = [probs, *better]
        folds = [np.load(file).astype(np.float64) for file in sorted(cache.glob("folds-*.npy"))]
        if folds := [p / p.sum(1, keepdims=True) for p in folds]:  # by cifar_folds.py
            sets["networks trained by folds"] = folds
            sets["the cross-validated model and networks trained by folds"] = [probs, *folds]
    rows = []
    for name, members in sets.items():
        found = label_errors(members, labels)
        weights = ", ".join(f"{weight:.2f}" for weight in found.weights)
        right = ", ".join(f"{(member.argmax(1) == labels).mean():.1%}" for member in members)
        scores = (f"{ap(wrong, -found.score):.4f}", f"{auroc(wrong, -found.score):.4f}")
        rows.append((f"ours: {name}", right, weights, *scores))
    for name, doubt in cleanlab_doubts(probs, labels).items():
        rows.append((f"cleanlab: {name}", "", "", f"{ap(wrong, doubt):.4f}", f"{auroc(wrong, doubt):.4f}"))
    chance = np.random.default_rng(seed).random(len(labels))
    rows.append(("random", "", "", f"{ap(wrong, chance):.4f}", f"{auroc(wrong, chance):.4f}"))
    print(markdown((f"CIFAR-10H, {wrong.sum()} of 10,000", "as given", "weights", "AP", "AUROC"), rows))


# --- Planted noise by class -----------------------------------------------------------------------------------------------


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


KINDS = (("uniform", 0.1), ("uniform", 0.2), ("uniform", 0.4), ("pair", 0.1), ("pair", 0.2), ("pair", 0.3))
KINDS += (("asymmetric", 0.2), ("asymmetric", 0.4), ("sparse", 0.2), ("sparse", 0.4), ("uneven", 0.2))


def synthetic(seed: int) -> None:
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


# --- Speed ----------------------------------------------------------------------------------------------------------------


def make(folder: Path, n: int, k: int) -> None:
    """A good model, a tenth of the labels at random."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, k, n)
    labels = np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)
    probs = np.lib.format.open_memmap(folder / f"p{k}.npy", "w+", np.float32, (n, k))
    for low in range(0, n, 20_000):
        rows = np.arange(low, min(n, low + 20_000))
        logits = rng.standard_normal((len(rows), k), np.float32)
        logits[rows - low, truth[rows]] += rng.normal(4 if k < 100 else 7, 1.5, len(rows))
        probs[rows] = softmax(logits)
    np.save(folder / f"y{k}.npy", labels)


def task(who: str, folder: Path, k: int) -> None:
    probs, labels = np.load(folder / f"p{k}.npy"), np.load(folder / f"y{k}.npy")
    run = {"ours": ours, "cleanlab": cleanlab_flags, "load": lambda *_: None}
    run[who](probs[:2000], labels[:2000] % k) if who != "load" else None  # imports
    wall, cpu = time.perf_counter(), time.process_time()
    run[who](probs, labels)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


def speed() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for n, k in ((1_000_000, 10), (50_000, 1000)):
            make(Path(made), n, k)
            found = {}
            for who in ("ours", "cleanlab", "load"):
                command = [
                    sys.executable,
                    __file__,
                    "task",
                    "--who",
                    who,
                    "--folder",
                    made,
                    "--classes",
                    str(k),
                ]
                found[who] = best(command, 3, **{**os.environ, "OMP_NUM_THREADS": "1"})
            for who in ("ours", "cleanlab"):
                result = found[who].result
                memory = f"{found[who].rss:.0f}"
                factor = found["cleanlab"].result["cpu"] / result["cpu"]
                rows.append(
                    (
                        f"{n:,} x {k}",
                        who,
                        f"{result['cpu']:.2f}",
                        f"{result['wall']:.2f}",
                        f"{factor:.1f}",
                        memory,
                    )
                )
            rows.append((f"{n:,} x {k}", "data alone", "", "", "", f"{found['load'].rss:.0f}"))
    print(
        markdown(
            ("rows x classes", "who", "CPU s", "wall s", "times as fast (CPU)", "peak MB of the process"),
            rows,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("people", "coverage", "synthetic", "unseen", "speed", "task"))
    parser.add_argument("--imdb-index", type=Path)
    parser.add_argument("--seed", type=int, default=7, help="of the planted noise, of the fine-tuning")
    parser.add_argument("--who", default="ours")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--classes", type=int, default=10)
    asked = parser.parse_args()
    if asked.what == "people":
        people(asked.imdb_index)
    elif asked.what == "task":
        task(asked.who, asked.folder, asked.classes)
    elif asked.what == "synthetic":
        synthetic(asked.seed)
    elif asked.what == "coverage":
        coverage(asked.folder, asked.seed)
    else:
        {"unseen": unseen, "speed": speed}[asked.what]()
