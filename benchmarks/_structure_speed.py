"""Time and memory where a label is a set, a sequence or a number: the part `speed` of label_structure.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _measure import markdown, measure


def speed_regression(who: str, n: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=n)
    p = y + rng.normal(0, 0.3, n)
    if who == "cleanlab outre":
        from cleanlab.regression.rank import get_label_quality_scores

        get_label_quality_scores(y, p)
    elif who != "nothing":
        from curate.scorers.noise import regression_errors

        regression_errors(y, p, method=who.removeprefix("curate "))  # type: ignore[arg-type]


def speed_multilabel(who: str, n: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((n, 20)) < np.geomspace(0.5, 0.01, 20)
    probs = (1 / (1 + np.exp(3 - 6 * truth + rng.normal(0, 1.5, (n, 20))))).astype(np.float32)
    given = truth ^ (rng.random((n, 20)) < 0.03)
    if who == "curate":
        from curate.scorers.noise import multilabel_errors

        multilabel_errors(probs, given)
    elif who == "cleanlab":
        from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
        from cleanlab.multilabel_classification.rank import get_label_quality_scores

        sets = [np.flatnonzero(row).tolist() for row in given]
        find_multilabel_issues_per_class(sets, probs, n_jobs=1)
        get_label_quality_scores(sets, probs)


def speed_tokens(who: str, n: int) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 25, n)
    total = int(lengths.sum())
    labels = rng.integers(0, 9, total)
    probs = rng.random((total, 9), np.float32) + 2 * np.eye(9, dtype=np.float32)[labels]
    probs /= probs.sum(1, keepdims=True)
    labels = np.where(rng.random(total) < 0.03, rng.integers(0, 9, total), labels)
    if who == "curate":
        from curate.scorers.noise import token_errors

        token_errors(probs, labels, lengths)
    elif who == "cleanlab":
        from cleanlab.token_classification.filter import find_label_issues
        from cleanlab.token_classification.rank import get_label_quality_scores

        cuts = np.cumsum(lengths)[:-1]
        nested, parts = [part.tolist() for part in np.split(labels, cuts)], np.split(probs, cuts)
        find_label_issues(nested, parts, n_jobs=1)
        get_label_quality_scores(nested, parts)


SCRIPT = Path(__file__).with_name("label_structure.py")
SPEED: dict[str, tuple[Callable[[str, int], None], tuple[tuple[str, tuple[int, ...]], ...]]] = {
    "regression": (
        speed_regression,
        (
            ("cleanlab outre", (5_000, 10_000, 20_000)),
            ("curate outre", (5_000, 10_000, 20_000, 1_000_000)),
            ("curate local", (5_000, 10_000, 20_000, 1_000_000)),
            ("nothing", (20_000, 1_000_000)),
        ),
    ),
    "sets of 20 labels": (
        speed_multilabel,
        (("cleanlab", (100_000,)), ("curate", (100_000, 1_000_000)), ("nothing", (100_000, 1_000_000))),
    ),
    "sequences of 5-24 tokens": (
        speed_tokens,
        (("cleanlab", (20_000,)), ("curate", (20_000, 100_000)), ("nothing", (20_000, 100_000))),
    ),
}


def speed() -> str:
    text = ["### Speed (`nothing` makes the data and stops)"]
    for part, (_, contestants) in SPEED.items():
        rows = []
        for who, sizes in contestants:
            for n in sizes:
                run = measure([sys.executable, str(SCRIPT), "--child", part, "--who", who, "--rows", str(n)])
                rows.append((who, f"{n:,}", f"{run.wall:.2f}", f"{run.cpu:.2f}", f"{run.rss:,.0f}"))
                print(*rows[-1], file=sys.stderr, flush=True)
        text.append(markdown((part, "items", "wall s", "CPU s", "peak MB"), rows))
    return "\n\n".join(text)
