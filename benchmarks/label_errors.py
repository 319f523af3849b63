"""Wrong labels: our default `label_errors` beside cleanlab 2.9, the ratio share and random order.

    python benchmarks/label_errors.py people      # CIFAR-10N, and test sets that MTurk reviewed
    python benchmarks/label_errors.py coverage    # CIFAR-10H: every image judged by about 51 people; images allowed;
                                                  # with --folder DIR also ResNets fine-tuned (kept there, by --seed;
                                                  # not with --no-tuning) and what cifar_folds.py left there
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
import io
import json
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _label_peers import (
    DATA,
    Array,
    ap,
    auroc,
    cifar10n,
    cleanlab_doubts,
    cleanlab_flags,
    f1,
    ours,
    ratio_share,
    softmax,
    test_set,
)
from _measure import Measurement, markdown, measure
from _planted_labels import synthetic, unseen

# --- People's errors ----------------------------------------------------------------------------------------------------


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


def kept(folder: Path, pattern: str) -> list[Array]:
    """Probabilities that lie in a folder, summing to 1."""
    found = [np.load(file).astype(np.float64) for file in sorted(folder.glob(pattern))]
    return [p / p.sum(1, keepdims=True) for p in found]


def coverage(cache: Path | None, seed: int, tune: bool) -> None:
    """Three models: the cross-validated one, two small ResNets trained on the train set, and a head on their features;
    with a folder for the results also the ResNets fine-tuned on the train set's JPEGs, unless they are not to be, and
    what `cifar_folds.py` left there."""
    probs, labels = test_set("cifar10")
    counts = np.load(DATA / "cifar10h" / "data" / "cifar10h-counts.npy")
    wrong = counts.argmax(1) != labels
    head = (f"CIFAR-10H, {wrong.sum()} of 10,000", "as given", "weights", "AP", "95 %", "AUROC", "95 %")
    rows = [judged(name, models, labels, wrong) for name, models in pools(probs, labels, cache, seed, tune)]
    for name, doubt in cleanlab_doubts(probs, labels).items():
        rows.append((f"cleanlab: {name}", "", "", *ranges(wrong, doubt)))
    rows.append(("random", "", "", *ranges(wrong, np.random.default_rng(seed).random(len(labels)))))
    print(markdown(head, rows))


def pools(
    probs: Array, labels: Array, cache: Path | None, seed: int, tune: bool
) -> Iterator[tuple[str, list[Array]]]:
    """Which models are asked together."""
    from _cifar_resnet import features_and_logits

    from curate.scorers.noise import out_of_fold_probabilities

    names = ("resnet20-12fca82f.th", "resnet32-d509ac18.th")
    nets = [features_and_logits(images("test"), DATA / "weights_resnet_cifar10" / name) for name in names]
    features = np.concatenate([feature for feature, _ in nets], 1)
    head = out_of_fold_probabilities(features, labels).probabilities
    small = [softmax(logits) for _, logits in nets]
    yield "the cross-validated model alone", [probs]
    yield "and ResNet-20, ResNet-32", [probs, *small]
    yield "and a head on their features", [probs, *small, head]
    yield "ResNets and head alone", [*small, head]
    if cache is None:
        return
    better = [tuned(name, cache, seed) for name in names] if tune else []
    if better:
        yield "fine-tuned ResNet-20 alone", better[:1]
        yield "fine-tuned ResNet-32 alone", better[1:]
        yield "both fine-tuned ResNets", better
        yield "the cross-validated model and both fine-tuned ResNets", [probs, *better]
    folds, large, train, people = (
        kept(cache, pattern)
        for pattern in ("folds-[!t]*.npy", "folds-tf_*.npy", "train-*.npy", "people-*.npy")
    )  # by cifar_folds.py
    groups = {
        "networks trained by folds": folds,
        "networks that know ImageNet, by folds": large,
        "networks that know ImageNet, train set only": train,
        "networks that know ImageNet, what people said of the train set": people,
    }
    for name, models in groups.items():
        for one in models[: len(models) if len(models) > 1 else 0]:
            yield f"one of: {name}", [one]
        if models:
            yield name, models
            yield f"the cross-validated model and {name}", [probs, *models]
    if large and folds:
        yield "all networks trained by folds", [*folds, *large]
    if large and people:
        yield "the cross-validated model, ImageNet by folds and people", [probs, *large, *people]
    if any(groups.values()):
        yield "all of them", [probs, *small, head, *better, *folds, *large, *train, *people]


def judged(name: str, models: list[Array], labels: Array, wrong: Array) -> tuple[str, ...]:
    """What `label_errors` makes of them."""
    from curate.scorers.noise import label_errors

    found = label_errors(models, labels)
    weights = ", ".join(f"{weight:.2f}" for weight in found.weights)
    right = ", ".join(f"{(one.argmax(1) == labels).mean():.1%}" for one in models)
    return f"ours: {name}", right, weights, *ranges(wrong, -found.score)


def ranges(wrong: Array, doubt: Array, times: int = 300) -> tuple[str, ...]:
    """Average precision and area under the curve, and where they lie in 95 % of so many resamplings of the images."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(wrong), len(wrong)) for _ in range(times)]
    told = []
    for measure_, digits in ((ap, 4), (auroc, 3)):
        low, high = np.percentile([measure_(wrong[at], doubt[at]) for at in drawn], [2.5, 97.5])
        told += [f"{measure_(wrong, doubt):.{digits}f}", f"{low:.{digits - 1}f} to {high:.{digits - 1}f}"]
    return tuple(told)


# --- Speed ----------------------------------------------------------------------------------------------------------------


def make(folder: Path, n: int, k: int, lead: float) -> None:
    """A tenth of the labels at random, and a model whose logit of the truth leads by `lead` on average: with 2 of a
    thousand classes it is mostly wrong, and then wrong in every direction."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, k, n)
    labels = np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)
    probs = np.lib.format.open_memmap(folder / f"p{k}.npy", "w+", np.float32, (n, k))
    for low in range(0, n, 20_000):
        rows = np.arange(low, min(n, low + 20_000))
        logits = rng.standard_normal((len(rows), k), np.float32)
        logits[rows - low, truth[rows]] += rng.normal(lead, 1.5, len(rows))
        probs[rows] = softmax(logits)
    np.save(folder / f"y{k}.npy", labels)


def every_core(probs: Array, labels: Array) -> Array:
    from cleanlab.filter import find_label_issues

    return np.asarray(find_label_issues(labels, probs))


RUNS = {
    "ours": ours,
    "cleanlab": cleanlab_flags,
    "cleanlab, all cores": every_core,
    "data alone": lambda *_: None,
}


def spent() -> float:
    """CPU seconds of this process and of those it has waited for."""
    own, waited = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime


def task(who: str, folder: Path, k: int) -> None:
    probs, labels = np.load(folder / f"p{k}.npy"), np.load(folder / f"y{k}.npy")
    RUNS[who](probs[:2000], labels[:2000] % k)  # imports
    wall, cpu = time.perf_counter(), spent()
    RUNS[who](probs, labels)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": spent() - cpu}))


def speed(repeats: int) -> None:
    """Medians over runs taken in turn, forwards and backwards."""
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for n, k, lead in ((1_000_000, 10, 4), (50_000, 1000, 7), (50_000, 1000, 2)):
            make(Path(made), n, k, lead)
            command = [sys.executable, __file__, "task", "--folder", made, "--classes", str(k), "--who"]
            runs: dict[str, list[Measurement]] = {who: [] for who in RUNS}
            for turn in range(repeats):
                for who in list(RUNS)[:: 1 if turn % 2 == 0 else -1]:
                    runs[who].append(measure([*command, who], **{**os.environ, "OMP_NUM_THREADS": "1"}))
            for who, found in runs.items():
                rows.append((f"{n:,} x {k}, lead {lead}", who, *figures(found, runs["ours"])))
    head = (
        "rows x classes, lead of the truth",
        "who",
        "CPU s (least)",
        "wall s (least)",
        "ours: times as fast, CPU",
        "wall",
    )
    print(markdown((*head, "peak MB of the process"), rows))


def figures(found: list[Measurement], our: list[Measurement]) -> list[str]:
    """Median and least seconds, how many times ours they are (medians), and the most memory."""
    told, times = [], []
    for clock in ("cpu", "wall"):
        its, mine = ([run.result[clock] for run in runs] for runs in (found, our))
        told.append(f"{np.median(its):.3f} ({min(its):.3f})")
        times.append(f"{np.median(its) / np.median(mine):.1f}")
    if max(run.result["cpu"] for run in found) < 1e-3:
        told, times = ["", ""], ["", ""]
    return [*told, *times, f"{max(run.rss for run in found):.0f}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("people", "coverage", "synthetic", "unseen", "speed", "task"))
    parser.add_argument("--imdb-index", type=Path)
    parser.add_argument("--seed", type=int, default=7, help="of the planted noise, of the fine-tuning")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each contestant in `speed`")
    parser.add_argument("--who", default="ours")
    parser.add_argument("--folder", type=Path)
    parser.add_argument(
        "--no-tuning", action="store_true", help="coverage: fine-tune no ResNet (CPU minutes)"
    )
    parser.add_argument("--classes", type=int, default=10)
    asked = parser.parse_args()
    if asked.what == "people":
        people(asked.imdb_index)
    elif asked.what == "task":
        task(asked.who, asked.folder, asked.classes)
    elif asked.what == "synthetic":
        synthetic(asked.seed)
    elif asked.what == "coverage":
        coverage(asked.folder, asked.seed, not asked.no_tuning)
    elif asked.what == "unseen":
        unseen()
    else:
        speed(asked.repeats)
