"""Noise where a label is a set, a sequence, a number or a lone positive: ours beside cleanlab and a random order.

    python benchmarks/label_structure.py                       # all parts; minutes, most of them cleanlab's
    python benchmarks/label_structure.py --part regression     # speed, multilabel, tokens, regression, unlabelled, missing
    python benchmarks/label_structure.py --data FOLDER         # real label errors and people's votes (or CURATE_DATA)
    python benchmarks/label_structure.py --out FILE            # the tables as Markdown

Errors are planted, by seeds 0 to 4 (means are shown), except where human labels are named. In `speed` each contestant runs
in a process of its own; time and memory are those of the whole process, imports and making the data (the same for all)
included.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _label_peers import Array, ap, f1
from _measure import markdown
from _missing_labels import missing
from _structure_speed import SPEED, speed

SEEDS = range(5)
Row = tuple[object, ...]


def average_precision(wrong: Array, quality: Array) -> float:
    return ap(wrong, -np.asarray(quality, np.float64))


def means(found: Iterable[tuple[str, tuple[float, ...]]]) -> Iterator[Row]:
    """Mean figures of each contestant over its runs, in the order of their first appearance."""
    runs: dict[str, list[tuple[float, ...]]] = {}
    for name, figures in found:
        runs.setdefault(name, []).append(figures)
    for name, figures in runs.items():
        yield (name, *("" if math.isnan(value) else f"{value:.3f}" for value in np.mean(figures, axis=0)))


# --- Sets of labels -------------------------------------------------------------------------------------------------


def digit_sets(seed: int) -> tuple[Array, Array, Array, Array]:
    """Pixels, out-of-fold probabilities, given labels and where they are wrong: six properties of scanned digits, from frequent
    to rare, of which a tenth of the yes is lost and a hundredth of the no becomes yes."""
    from sklearn.datasets import load_digits

    from curate.scorers.noise import label_probabilities

    rng = np.random.default_rng(seed)
    x, digit = load_digits(return_X_y=True)
    members = ((0, 2, 4, 6, 8), (2, 3, 5, 7), (0, 6, 8, 9), (8, 9), (1,), (7,))
    truth = np.stack([np.isin(digit, which) for which in members], axis=1)
    wrong = rng.random(truth.shape) < np.where(truth, 0.1, 0.01)
    given = truth ^ wrong
    return x, label_probabilities(x, given, seed=seed).probabilities, given, wrong


def trained_on_sets(x: Array, given: Array, seed: int) -> Iterator[tuple[str, Array]]:
    """How far heads that were trained on the sets themselves believe them, by name."""
    from curate.scorers.noise.dynamics.trained import AldrLoss, LdrLoss
    from curate.testing import ArrayView, score_all

    names = np.array([f"label-{i}" for i in range(given.shape[1])])
    rows = {"id": [f"{i:05d}" for i in range(len(x))], "labels": [names[row].tolist() for row in given]}
    view = ArrayView(rows, {"pixel_embedding": x})
    for cls in (LdrLoss, AldrLoss):
        for by in ("margin", "mean_loss"):
            scorer = cls(by=by, seed=seed, label="labels")  # type: ignore[arg-type]
            yield f"curate {cls.name}, {by}", score_all(scorer, view).column(0).to_numpy()


def multilabel() -> str:
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
    from cleanlab.multilabel_classification.rank import get_label_quality_scores

    from curate.scorers.noise import multilabel_errors

    def runs() -> Iterator[tuple[str, tuple[float, ...]]]:
        for seed in SEEDS:
            x, probs, given, wrong = digit_sets(seed)
            sets = [np.flatnonzero(row).tolist() for row in given]
            for method in ("ratio", "self_confidence"):
                found = multilabel_errors(probs, given, method=method)  # type: ignore[arg-type]
                yield (
                    f"curate {method}",
                    (
                        average_precision(wrong.any(1), found.score),
                        average_precision(wrong.ravel(), found.quality.ravel()),
                        f1(found.issue, wrong),
                    ),
                )
            issues = find_multilabel_issues_per_class(sets, probs, n_jobs=1)
            own = np.where(given, probs, 1 - probs)
            score = get_label_quality_scores(sets, probs)
            yield (
                "cleanlab",
                (
                    average_precision(wrong.any(1), score),
                    average_precision(wrong.ravel(), own.ravel()),
                    f1(issues, wrong),
                ),
            )
            for name, score in trained_on_sets(x, given, seed):
                yield name, (average_precision(wrong.any(1), score), math.nan, math.nan)
            chance = np.random.default_rng(1000 + seed).random(wrong.shape)
            yield (
                "random",
                (
                    average_precision(wrong.any(1), chance[:, 0]),
                    average_precision(wrong.ravel(), chance.ravel()),
                    f1(chance < wrong.mean(), wrong),
                ),
            )

    head = ("sets of 6 labels, 1,797 digits", "AP of items", "AP of labels", "F1 of flags")
    return "### Sets of labels\n\n" + markdown(head, means(runs()))


# --- Sequences ------------------------------------------------------------------------------------------------------


def rare_tokens(seed: int) -> tuple[Array, Array, Array]:
    """Simulated tokens of five classes, nine tenths of one: out-of-sample probabilities, labels, which are wrong."""
    rng = np.random.default_rng(seed)
    n, prior = 40_000, np.array([0.9, 0.04, 0.03, 0.02, 0.01])
    truth = rng.choice(5, n, p=prior)
    seen = rng.normal(0, 1, (n, 5)) + 2 * np.eye(5)[truth]
    probs = prior * np.exp(2 * seen)  # what follows from what is seen, exactly
    probs /= probs.sum(1, keepdims=True)
    wrong = rng.random(n) < 0.03
    labels = np.where(wrong, (truth + rng.integers(1, 5, n)) % 5, truth)
    return probs, labels, wrong


def human_tokens(data: Path) -> tuple[Array, Array, Array]:
    with np.load(data / "led_pred_probs" / "cifar10n_aggregate_resnet18.npz") as found:
        labels = found["noisy"].astype(np.int64)
        return found["pred_probs"], labels, labels != found["true"]


def tokens(data: Path | None) -> str:
    from cleanlab.token_classification.filter import find_label_issues
    from cleanlab.token_classification.rank import get_label_quality_scores

    from curate.scorers.noise import token_errors

    def runs(make: Callable[[int], tuple[Array, Array, Array]]) -> Iterator[tuple[str, tuple[float, ...]]]:
        for seed in SEEDS:
            probs, labels, wrong = make(seed)
            rng = np.random.default_rng(seed)
            lengths = rng.integers(1, 20, len(labels))
            lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), len(labels)))]
            total = int(lengths.sum())
            probs, labels, wrong = probs[:total], labels[:total], wrong[:total]
            bad = np.add.reduceat(wrong, np.cumsum(lengths) - lengths) > 0
            for method in ("ratio", "self_confidence"):
                found = token_errors(probs, labels, lengths, method=method)  # type: ignore[arg-type]
                yield (
                    f"curate {method}",
                    (
                        average_precision(bad, found.score),
                        average_precision(wrong, found.token_score),
                        f1(found.issue, wrong),
                    ),
                )
            cuts = np.cumsum(lengths)[:-1]
            nested = [part.tolist() for part in np.split(labels, cuts)]
            parts = np.split(probs, cuts)
            score, quality = get_label_quality_scores(nested, parts)
            flagged = np.zeros(total, bool)
            starts = np.cumsum(lengths) - lengths
            for i, j in find_label_issues(nested, parts, n_jobs=1):
                flagged[starts[i] + j] = True
            yield (
                "cleanlab",
                (
                    average_precision(bad, score),
                    average_precision(wrong, np.concatenate(quality)),
                    f1(flagged, wrong),
                ),
            )
            chance = rng.random(total)
            yield (
                "random",
                (
                    average_precision(bad, chance[: len(bad)]),
                    average_precision(wrong, chance),
                    f1(chance < wrong.mean(), wrong),
                ),
            )

    figures = ("AP of sequences", "AP of tokens", "F1 of flags")
    text = "### Sequences\n\n" + markdown(("simulated, 90 % one class", *figures), means(runs(rare_tokens)))
    if data:
        human = means(runs(lambda seed: human_tokens(data)))
        text += "\n\n" + markdown(("CIFAR-10N aggregate, cut into sequences of 1-19", *figures), human)
    return text


# --- Numbers --------------------------------------------------------------------------------------------------------


def numbers(seed: int) -> Iterator[tuple[str, Array, Array]]:
    """Three data sets with honest targets: real; noise the same everywhere; noise that grows with the value."""
    from sklearn.datasets import load_diabetes, make_friedman1

    rng = np.random.default_rng(seed)
    x, y = load_diabetes(return_X_y=True)
    yield "diabetes (442, real)", x, y
    x, y = make_friedman1(3000, noise=1.0, random_state=seed)
    yield "friedman, even noise (3,000)", x, y
    x, y = make_friedman1(3000, noise=0.0, random_state=seed)
    yield "exp(friedman), growing noise (3,000)", x, np.exp(y / 6) * np.exp(rng.normal(0, 0.2, 3000))


def spoil(y: Array, how: str, rng: np.random.Generator) -> tuple[Array, Array]:
    """A twentieth of the numbers made wrong: another item's, shifted by 1.5 to 4 standard deviations, or ten times."""
    wrong = np.zeros(len(y), bool)
    wrong[rng.choice(len(y), len(y) // 20, replace=False)] = True
    given, count = y.copy(), int(wrong.sum())
    if how == "another's":
        given[wrong] = y[rng.choice(len(y), count)]
    elif how == "shifted":
        given[wrong] += rng.choice([-1, 1], count) * rng.uniform(1.5, 4, count) * y.std()
    else:
        given[wrong] *= 10
    return given, wrong


def regression() -> str:
    from cleanlab.regression.rank import get_label_quality_scores

    from curate.scorers.noise import out_of_fold_predictions, regression_errors

    text = ["### Numbers (average precision; predictions out of fold by `ridge`, the same for all)"]
    tables: dict[str, list[tuple[str, tuple[float, ...]]]] = {}
    for seed in SEEDS:
        for name, x, y in numbers(seed):
            figures: dict[str, list[float]] = {}
            for how in ("another's", "shifted", "times ten"):
                given, wrong = spoil(y, how, np.random.default_rng(100 + seed))
                predicted = out_of_fold_predictions(x, given, seed=seed)
                for method in ("local", "outre", "residual"):
                    found = regression_errors(given, predicted, method=method)  # type: ignore[arg-type]
                    figures.setdefault(f"curate {method}", []).append(average_precision(wrong, found.score))
                figures.setdefault("cleanlab outre", []).append(
                    average_precision(wrong, get_label_quality_scores(given, predicted))
                )
                figures.setdefault("random", []).append(
                    average_precision(wrong, np.random.default_rng(seed).random(len(y)))
                )
            tables.setdefault(name, []).extend((who, tuple(values)) for who, values in figures.items())
    for name, found in tables.items():
        text.append(markdown((name, "another's", "shifted", "times ten"), means(found)))
    return "\n\n".join(text)


# --- Positives alone ------------------------------------------------------------------------------------------------


def unlabelled() -> str:
    from sklearn.datasets import load_digits

    from curate.scorers.noise import out_of_fold_probabilities, positive_unlabelled

    x, digit = load_digits(return_X_y=True)

    def runs() -> Iterator[tuple[str, tuple[float, ...]]]:
        for seed in SEEDS:
            rng = np.random.default_rng(seed)
            truth = np.isin(digit, (3, 8))
            labelled = truth & (rng.random(len(digit)) < 0.4)
            real = truth[~labelled]
            chance = out_of_fold_probabilities(x, labelled.astype(np.int64), model="knn").probabilities[:, 1]
            for estimate in ("best-bin", "elkan-noto"):
                found = positive_unlabelled(chance, labelled, estimate=estimate)  # type: ignore[arg-type]
                yield (
                    f"curate {estimate}",
                    (
                        found.share - real.mean(),
                        average_precision(real, found.score[~labelled]),
                        f1(found.hidden[~labelled], real),
                    ),
                )
            plain = chance[~labelled]
            yield (
                "the model, unlabelled taken for negative",
                (-real.mean(), average_precision(real, -plain), f1(plain > 0.5, real)),
            )
            order = rng.random(len(real))
            yield (
                "random",
                (np.nan, average_precision(real, order), f1(order < real.mean(), real)),
            )

    head = (
        "digits 3 and 8, four tenths marked",
        "error of the share",
        "AP of hidden positives",
        "F1 of flags",
    )
    return "### Positives alone\n\n" + markdown(head, means(runs()))


# --- All ------------------------------------------------------------------------------------------------------------


PARTS: dict[str, Callable[[Any], str]] = {
    "speed": lambda _: speed(),
    "multilabel": lambda _: multilabel(),
    "tokens": tokens,
    "regression": lambda _: regression(),
    "unlabelled": lambda _: unlabelled(),
    "missing": missing,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=tuple(PARTS), action="append")
    parser.add_argument("--data", type=Path, default=os.environ.get("CURATE_DATA"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--who", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.child:
        SPEED[asked.child][0](asked.who, asked.rows)
        print(json.dumps(None))
        return
    tables = []
    for part in asked.part or PARTS:
        if part == "missing" and not asked.data:
            print("missing: needs --data", file=sys.stderr)
            continue
        tables.append(PARTS[part](asked.data))
        print(tables[-1] + "\n", flush=True)
    if asked.out:
        asked.out.write_text("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
