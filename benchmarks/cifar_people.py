"""Wrong labels of CIFAR-10's test set by what networks expect people to say, weighed by what people said of other images.

    python benchmarks/cifar_people.py train DIR --weights ARCHITECTURE=FILE [ARCHITECTURE=FILE ...] [--data FOLDER]
    python benchmarks/cifar_people.py judge DIR
    python benchmarks/cifar_people.py half

"train" (on a GPU): networks of timm that know ImageNet learn on from the 10,000 test and the 15,000 train images, but for a
fold of both that they then answer for. Each has two outputs: what CIFAR's label is, learnt from all of them, and what
people say, learnt from what three people each said of the train images (CIFAR-10N, three votes). What people said of the
test images is in nothing. DIR gets `asked-ARCHITECTURE-SEED.npy`, (25000, 20): test, then train images; both answers.

"judge": `expected_answers` learns from the votes on the train images, of which the networks had not seen that image, how much
either answer counts, and scores the test labels against their strongest rival, for what is asked is whether most people say something
else. So everything is learnt before the truth is looked at.

Fixed before looking: 192 pixels, 15 epochs, three folds, two seeds, batch 256, the rest as in `cifar_folds.py`, the score, and the
result: both answers and the cross-validated model ("in two steps"). `expected_answers` was written after that, to the same rule.

"half": a cheaper way, on one core, with people's answers about half of the test images.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
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
    wrong = np.load(DATA / "cifar10h" / "data" / "cifar10h-counts.npy").argmax(1) != labels
    train = labelled("train_first15000")
    votes = np.zeros((TESTS + len(train), 10), int)
    votes[TESTS:] = votes_on(len(train))
    both = {file.stem[6:]: np.load(file).astype(np.float64) for file in sorted(folder.glob("asked-*.npy"))}
    found = list(doubts(both, probs, (labels, train), votes))
    rows = [(name, weights, *ranges(wrong, doubt)) for name, weights, doubt in found]
    rows += [
        (f"cleanlab: {name}", "", *ranges(wrong, d)) for name, d in cleanlab_doubts(probs, labels).items()
    ]
    rows.append(("random", "", *ranges(wrong, np.random.default_rng(0).random(len(labels)))))
    print(markdown((f"CIFAR-10H, {wrong.sum()} of 10,000", "weights", "AP", "95 %", "AUROC", "95 %"), rows))
    names = [name for name, _, _ in found]
    ours = found[names.index("**expected_answers: all of both**")][2]
    print(paired(wrong, ours, cleanlab_doubts(probs, labels)["self_confidence"]))
    print()
    head = ("one person's label, the half nobody else was asked about", "AP", "F1 of the flags", "flagged")
    print(markdown(head, one_person(list(both.values()))))


def one_person(both: list[Array], seeds: int = 5) -> list[tuple[str, ...]]:
    """The train images with what the first of three people said as the label, the other two asked about half of them; judged
    on the other half by CIFAR's own labels: average precision and F1 of the flags, and how many are flagged."""
    from _label_peers import DATA, ap, cleanlab_flags, f1
    from label_errors import labelled

    from curate.scorers.noise import expected_answers, label_errors

    truth, said = labelled("train_first15000"), np.load(DATA / "cifar_n" / "cifar10n.npz")
    given, *others = (said[f"random_label{i}"][: len(truth)].astype(int) for i in (1, 2, 3))
    members, wrong = [part(one[TESTS:, 10:]) for one in both], given != truth
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(seeds):
        asked = np.random.default_rng(seed).random(len(truth)) < 0.5
        votes = sum(np.eye(10, dtype=int)[one] for one in others) * asked[:, None]
        people_say, labels_say = expected_answers(members, votes, given), label_errors(members, given)
        pooled = zip(labels_say.weights, members, strict=True)
        mean = np.exp(sum(w * np.log(np.maximum(one, 1e-7)) for w, one in pooled))
        for name, doubt, flags in (
            ("label_errors", -labels_say.score, labels_say.flagged),
            ("expected_answers", -people_say.score, people_say.flagged),
            ("the models expect something else", -people_say.score, people_say.score < 0.5),
            ("cleanlab's filter", rival(part(mean), given), cleanlab_flags(part(mean), given)),
            ("random", np.random.default_rng(seed).random(len(truth)), wrong[::-1]),
        ):
            rest = ~asked
            one = ap(wrong[rest], doubt[rest]), f1(flags[rest], wrong[rest]), float(flags[rest].mean())
            found.setdefault(name, []).append(one)
    return [(name, *(f"{value:.4f}" for value in np.mean(runs, 0))) for name, runs in found.items()]


def paired(wrong: Array, ours: Array, theirs: Array, times: int = 1000) -> str:
    """How far ours is above theirs, in as many resamplings of the images."""
    from _label_peers import ap, auroc

    rng, more, high = np.random.default_rng(0), [], 0
    for _ in range(times):
        at = rng.integers(0, len(wrong), len(wrong))
        pair = [(auroc(wrong[at], doubt[at]), ap(wrong[at], doubt[at])) for doubt in (ours, theirs)]
        more.append(np.subtract(*pair))
        high += pair[0][0] >= 0.9
    area, precision = np.percentile(more, [2.5, 50, 97.5], axis=0).T
    return (
        f"\n{high / times:.0%} of {times} resamplings have an AUROC of .90 or more; above self_confidence in "
        f"{np.mean(np.array(more)[:, 0] > 0):.1%}, by {area[1]:.3f} ({area[0]:.3f} to {area[2]:.3f}), AP by {precision[1]:.3f} "
        f"({precision[0]:.3f} to {precision[2]:.3f})"
    )


def votes_on(rows: int) -> Array:
    """How many of three people said each class of the first train images."""
    from _label_peers import DATA
    from cifar_folds import people

    return np.asarray((people(DATA)[:rows] * 3).round().numpy().astype(int))


def doubts(
    both: dict[str, Array], probs: Array, labels: tuple[Array, Array], votes: Array
) -> Iterator[tuple[str, str, Array]]:
    """Name, weights and how doubtful each test label is, of several ways to hear the networks."""
    test, every = labels[0], np.concatenate(labels)
    cifar = [part(one[:, :10]) for one in both.values()]
    people_say = [part(one[:, 10:]) for one in both.values()]
    yield "label_errors: what CIFAR's label is", *by_labels([one[:TESTS] for one in cifar], test)
    yield "and the cross-validated model", *by_labels([probs, *(one[:TESTS] for one in cifar)], test)
    yield "label_errors: what people say", *by_labels([one[:TESTS] for one in people_say], test)
    for name, one in zip(both, people_say, strict=True):
        yield f"expected_answers: what people say, {name}", *by_people([one], votes, every)
    yield "expected_answers: what people say, all", *by_people(people_say, votes, every)
    yield "**expected_answers: all of both**", *by_people([*cifar, *people_say], votes, every)
    yield from in_two_steps([one[:TESTS] for one in cifar], people_say, probs, (labels, votes, cifar))


def part(said: Array) -> Array:
    return np.asarray(said / said.sum(1, keepdims=True))


def by_labels(members: list[Array], labels: Array) -> tuple[str, Array]:
    from curate.scorers.noise import label_errors

    found = label_errors(members, labels)
    return told(found.weights), -found.score


def by_people(members: list[Array], votes: Array, labels: Array) -> tuple[str, Array]:
    from curate.scorers.noise import expected_answers

    found = expected_answers(members, votes, labels)
    return told(found.exponents), -found.score[:TESTS]


def in_two_steps(
    tests: list[Array], people_say: list[Array], probs: Array, rest: tuple[Any, Array, list[Array]]
) -> Iterator[tuple[str, str, Array]]:
    """The way that was fixed first: what says CIFAR's label is pooled by the labels, what says what people say by the votes,
    and the two by the votes, so that the cross-validated model, which knows the test images alone, can join."""
    from curate.scorers.noise.label_noise.evidence import Evidence, Pool
    from curate.scorers.noise.label_noise.pooling import learn_pool

    (labels, train), votes, cifar = rest
    row, value = np.nonzero(votes)
    voted, said = np.repeat(row, votes[row, value]), np.repeat(value, votes[row, value])

    def heard(pool: Pool, members: list[Array]) -> Array:
        return np.asarray(Evidence(tuple(members), pool).take(slice(None)))

    own = learn_pool((probs, *tests), labels)
    among = learn_pool(tuple(one[voted] for one in people_say), said)
    seen = [one[TESTS:] for one in cifar]
    learnt = np.zeros((len(votes), 10))
    learnt[TESTS:] = heard(learn_pool(tuple(seen), train), seen)
    asked = heard(among, people_say)
    between = learn_pool((learnt[voted], asked[voted]), said)
    joined = heard(own, [probs, *tests])
    name = "in two steps, with the cross-validated model"
    for weights, how in ((between.weights, name), ((0.5, 0.5), f"{name}, equal weights")):
        pooled = heard(Pool(weights, between.least), [joined, asked[:TESTS]])
        yield how, f"({told(own.weights)}), {told(weights)}", rival(pooled, labels)


def told(weights: tuple[float, ...]) -> str:
    return ", ".join(f"{weight:.2f}" for weight in weights)


def rival(probs: Array, labels: Array) -> Array:
    """The share of the strongest other class against the given one."""
    row = np.arange(len(labels))
    own, others = probs[row, labels], probs.copy()
    others[row, labels] = 0
    return np.asarray(others.max(1) / (others.max(1) + own))


# --- Half of the test set, one core ---------------------------------------------------------------------------------------


def half(seeds: int) -> None:
    """People were asked about half of the test images, three each of those who were; the other half is judged. What they say
    is learnt from features of the published ResNets by `out_of_fold_probabilities`."""
    from _cifar_resnet import features_and_logits
    from _label_peers import DATA, ap, auroc, test_set
    from _measure import markdown
    from label_errors import images

    from curate.scorers.noise import out_of_fold_probabilities

    probs, labels = test_set("cifar10")
    counts = np.load(DATA / "cifar10h" / "data" / "cifar10h-counts.npy")
    wrong = counts.argmax(1) != labels
    nets = [
        features_and_logits(images("test"), DATA / "weights_resnet_cifar10" / name)
        for name in ("resnet20-12fca82f.th", "resnet32-d509ac18.th")
    ]
    x = np.concatenate([feature for feature, _ in nets], 1)
    head = out_of_fold_probabilities(x, labels).probabilities
    rows: dict[str, list[tuple[float, float]]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        asked = rng.permutation(len(labels)) < len(labels) // 2
        votes = np.zeros_like(counts, dtype=int)
        for row in np.flatnonzero(asked):
            votes[row] = rng.multivariate_hypergeometric(counts[row].astype(int), 3)
        settled = votes[asked].argmax(1)
        found = out_of_fold_probabilities(x[asked], settled, unlabelled=x[~asked])
        people_say = np.zeros_like(head)
        people_say[asked], people_say[~asked] = found.probabilities, found.unlabelled
        ways = {
            "label_errors: the cross-validated model and a head on the features": by_labels(
                [probs, head], labels
            )[1],
            "expected_answers: the same": by_people([probs, head], votes, labels)[1],
            "expected_answers: and a head that learnt the answers": by_people(
                [probs, head, people_say], votes, labels
            )[1],
            "random": rng.random(len(labels)),
        }
        for name, doubt in ways.items():
            rows.setdefault(name, []).append(
                (ap(wrong[~asked], doubt[~asked]), auroc(wrong[~asked], doubt[~asked]))
            )
    table = [
        (
            name,
            f"{np.mean(one, 0)[0]:.4f} ± {np.std(one, 0)[0]:.3f}",
            f"{np.mean(one, 0)[1]:.3f} ± {np.std(one, 0)[1]:.3f}",
        )
        for name, one in rows.items()
    ]
    print(markdown((f"the half nobody was asked about, {seeds} halves", "AP", "AUROC"), table))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("train", "judge", "half"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--halves", type=int, default=5)
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
    if asked.what == "half":
        half(asked.halves)
        return
    if asked.folder is None:
        parser.error(f"{asked.what} needs a folder")
    if asked.what == "judge":
        judge(asked.folder)
        return
    asked.weights = dict(one.split("=", 1) for one in asked.weights)
    asked.people = False  # of the functions shared with cifar_folds.py: the labels are CIFAR's own
    asked.folder.mkdir(parents=True, exist_ok=True)
    train(asked)


if __name__ == "__main__":
    main()
