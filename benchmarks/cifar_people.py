"""Wrong labels of CIFAR-10's test set by what networks expect people to say, weighed by what people said of other images.

    python benchmarks/cifar_people.py train DIR --weights ARCHITECTURE=FILE [ARCHITECTURE=FILE ...] [--data FOLDER]
    python benchmarks/cifar_people.py judge DIR

"train" (on a GPU): networks of timm that know ImageNet learn on from the 10,000 test and the 15,000 train images, but for a
fold of both that they then answer for. Each has two outputs: what CIFAR's label is, learnt from all of them, and what
people say, learnt from what three people each said of the train images (CIFAR-10N, three votes). What people said of the
test images is in nothing. DIR gets `asked-ARCHITECTURE-SEED.npy`, (25000, 20): test, then train images; both answers.

"judge": how much either answer counts is what makes the votes on the train images likeliest, for which the networks had not
seen the image. On the test set the cross-validated model of `label_errors` joins those that answer what CIFAR's label is,
with the weights that `label_errors` gives them there. The score is that of the given label against its strongest rival,
for what is asked is whether most people say something else. So everything is learnt before the truth is looked at.

Fixed before looking: 192 pixels, 15 epochs, three folds, two seeds, batch 256, the rest as in `cifar_folds.py`; both answers with the
cross-validated model are the result, the other rows are there to compare.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FOLDS, SEEDS = 3, 2
TESTS = 10_000

# --- Training, where neither curate nor scikit-learn need be ---------------------------------------------------------------


def of_fold(task: tuple[str, int, int], asked: argparse.Namespace) -> tuple[tuple[str, int, int], Array]:
    """What an architecture, with a seed, says of a fold: (m, 20)."""
    import torch
    from cifar_folds import Enlarged, answered, both_sets, folds, people, trained

    (architecture, seed, k), start = task, time.perf_counter()
    torch.manual_seed(FOLDS * seed + k)
    x, given, tests = both_sets(asked)
    votes = torch.zeros_like(given)
    votes[tests:] = people(asked.data)[: len(given) - tests].to(given.device)
    held = torch.from_numpy(folds(len(x), FOLDS, seed) == k).to(x.device)
    model = Enlarged(architecture, Path(asked.weights[architecture]), asked.size, questions=2)
    plan, y = (FOLDS * seed + k, asked.epochs, 0.04), torch.cat([given, votes], 1)
    model = trained(model, x[~held], y[~held], plan, batch=min(asked.batch, len(x) // 4), memory=0.99)
    learnt = time.perf_counter() - start
    said = answered(model, x[held])
    print(f"{task}: {learnt:.0f} s, answers after {time.perf_counter() - start:.0f} s", flush=True)
    return task, said


def train(asked: argparse.Namespace) -> None:
    """All folds of all seeds and architectures; a seed is kept as soon as its folds are there."""
    from cifar_folds import folds, people, read

    sets = [
        read(asked.data / "cifar10_images", name)[1][: asked.rows] for name in ("test", "train_first15000")
    ]
    labels, tests = np.concatenate(sets), len(sets[0])
    majority = people(asked.data)[: len(sets[1])].argmax(1).numpy()
    tasks = [(name, seed, k) for name in asked.weights for seed in range(SEEDS) for k in range(FOLDS)]
    said = {(name, seed): np.full((len(labels), 20), np.nan, np.float32) for name, seed, _ in tasks}
    with ProcessPoolExecutor(asked.at_once, get_context("spawn")) as pool:
        for (name, seed, k), answers in pool.map(of_fold, tasks, [asked] * len(tasks)):
            one = said[name, seed]
            one[folds(len(labels), FOLDS, seed) == k] = answers
            if not np.isnan(one).any():
                np.save(asked.folder / f"asked-{name}-{seed}.npy", one)
                agree = (one[:tests, :10].argmax(1) == labels[:tests]).mean()
                vote = (one[tests:, 10:].argmax(1) == majority).mean()
                print(f"{name}, {seed}: {agree:.2%} of the test labels, {vote:.2%} of the votes", flush=True)


# --- Judging ------------------------------------------------------------------------------------------------------------


def judge(folder: Path) -> None:
    from _label_peers import DATA, cleanlab_doubts, test_set
    from _measure import markdown
    from label_errors import labelled, ranges

    probs, labels = test_set("cifar10")
    counts = np.load(DATA / "cifar10h" / "data" / "cifar10h-counts.npy")
    wrong = counts.argmax(1) != labels
    both = [np.load(file).astype(np.float64) for file in sorted(folder.glob("asked-*.npy"))]
    rows = [
        (name, weights, *ranges(wrong, doubt))
        for name, weights, doubt in doubts(both, probs, labels, labelled("train_first15000"))
    ]
    rows += [
        (f"cleanlab: {name}", "", *ranges(wrong, d)) for name, d in cleanlab_doubts(probs, labels).items()
    ]
    rows.append(("random", "", *ranges(wrong, np.random.default_rng(0).random(len(labels)))))
    print(markdown((f"CIFAR-10H, {wrong.sum()} of 10,000", "weights", "AP", "95 %", "AUROC", "95 %"), rows))


def doubts(both: list[Array], probs: Array, labels: Array, train: Array) -> list[tuple[str, str, Array]]:
    """Name, weights and how doubtful each test label is, of several ways to hear the networks."""
    from _label_peers import DATA
    from cifar_folds import people

    said = (people(DATA)[: len(train)] * 3).round().numpy().astype(int)
    voted, votes = (
        np.repeat(np.arange(len(train)), 3),
        np.concatenate([np.repeat(range(10), row) for row in said]),
    )
    cifar = [part(one[:, :10]) for one in both]
    people_say = [part(one[:, 10:]) for one in both]
    learnt, _ = pooled([one[TESTS:] for one in cifar], train)
    alone, _ = pooled([one[:TESTS] for one in cifar], labels)
    joined, own = pooled([probs, *(one[:TESTS] for one in cifar)], labels)
    _, among = pooled([one[TESTS:][voted] for one in people_say], votes)
    learnt_votes, asked = (
        heard(among, [one[at] for one in people_say]) for at in (slice(TESTS, None), slice(TESTS))
    )
    _, between = pooled([learnt[voted], learnt_votes[voted]], votes)
    equal = type(between)((0.5, 0.5), between.least)
    both_ways = heard(between, [joined, asked])
    return [
        ("what CIFAR's label is: label_errors", *by_noise_model([one[:TESTS] for one in cifar], labels)),
        ("and the cross-validated model", *by_noise_model([probs, *(one[:TESTS] for one in cifar)], labels)),
        ("what people say", told(among), rival(asked, labels)),
        ("both", told(between), rival(heard(between, [alone, asked]), labels)),
        (
            "**both and the cross-validated model**",
            f"({told(own)}), {told(between)}",
            rival(both_ways, labels),
        ),
        ("the same, equal weights", told(equal), rival(heard(equal, [joined, asked]), labels)),
        ("the same, the noise model of label_errors on top", "", by_noise_model([both_ways], labels)[1]),
    ]


def part(said: Array) -> Array:
    return np.asarray(said / said.sum(1, keepdims=True))


def pooled(members: list[Array], labels: Array) -> tuple[Array, Any]:
    """Models as `label_errors` hears them where these labels were given, and how."""
    from curate.scorers.noise.label_noise.pooling import learn_pool

    pool = learn_pool(tuple(members), labels)
    return heard(pool, members), pool


def heard(pool: Any, members: list[Array]) -> Array:
    from curate.scorers.noise.label_noise.evidence import Evidence

    return np.asarray(Evidence(tuple(members), pool).take(slice(None)))


def told(pool: Any) -> str:
    return ", ".join(f"{weight:.2f}" for weight in pool.weights)


def rival(probs: Array, labels: Array) -> Array:
    """The share of the strongest other class against the given one."""
    row = np.arange(len(labels))
    own, others = probs[row, labels], probs.copy()
    others[row, labels] = 0
    return np.asarray(others.max(1) / (others.max(1) + own))


def by_noise_model(members: list[Array], labels: Array) -> tuple[str, Array]:
    from curate.scorers.noise import label_errors

    found = label_errors(members, labels)
    return ", ".join(f"{weight:.2f}" for weight in found.weights), -found.score


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "judge"))
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--weights", nargs="+", default=[], help="timm's name of each network and its weights: NAME=FILE"
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CURATE_DATA", "../shared/data")))
    parser.add_argument("--size", type=int, default=192, help="pixels the images are enlarged to")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=256, help="images in a step")
    parser.add_argument("--rows", type=int, help="only so many images of each set")
    parser.add_argument("--at-once", type=int, default=FOLDS * SEEDS, help="folds that share the GPU")
    asked = parser.parse_args()
    if asked.what == "judge":
        judge(asked.folder)
        return
    asked.weights = dict(one.split("=", 1) for one in asked.weights)
    asked.people = False  # of the functions shared with cifar_folds.py: the labels are CIFAR's own
    asked.folder.mkdir(parents=True, exist_ok=True)
    train(asked)


if __name__ == "__main__":
    main()
