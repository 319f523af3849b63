"""Data-set health against planted and human truth, beside cleanlab.

python benchmarks/health.py [--data DIR] [--trials 40] [--only rates drift groups cost]

rates    CIFAR-10N (human label errors, ResNet-18 probabilities): estimated against true noise rates, and how often
         the intervals hold the truth, overall and by class; beside cleanlab's estimate, which has no interval
drift    digits in random order, and in orders in which the classes drift: alarms of ours and of Datalab's non_iid
groups   digits in 20 groups of equal quality, and with one group of twice or thrice the errors: ours and Datalab's
cost     time and memory, each run in a process of its own
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _measure import best, markdown

DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = ("worst", "aggregate")


def cifar10n(data: Path, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(data / "led_pred_probs" / f"cifar10n_{kind}_resnet18.npz") as held:
        return held["pred_probs"], held["noisy"].astype(np.int64), held["true"].astype(np.int64)


def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def datalab(table: dict[str, Any], issue: dict[str, Any], **given: Any) -> Any:
    """A Datalab that has looked for one kind of issue, silently."""
    import contextlib
    import io

    from cleanlab import Datalab

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        lab = Datalab(data=table, label_name="label" if "label" in table else None, verbosity=0)
        lab.find_issues(issue_types=issue, **given)
    return lab


# --- rates ---------------------------------------------------------------------------------------------------------


def rates(args: argparse.Namespace) -> None:
    from cleanlab.dataset import overall_label_health_score, rank_classes_by_label_quality

    from curate.scorers.noise.health import label_noise, noise_rates
    from curate.scorers.noise.health.counts import confident_counts, predicted_counts
    from curate.scorers.noise.health.joint import bracket

    overall, classes = [], []
    for kind in SETS:
        probs, labels, truth = cifar10n(args.data, kind)
        joint, counted = confident_counts(probs, labels)
        predicted = predicted_counts(probs, labels)
        wrong = labels != truth
        narrow, wide = label_noise(joint, counted), label_noise(joint, counted, predicted)
        theirs = 1 - overall_label_health_score(labels, probs, verbose=False)
        checked = _checked(labels, probs, wrong, 500, 200)
        alone = f"{narrow.rate:.4f} ({narrow.low:.4f}-{narrow.high:.4f})"
        reach = f"{wide.low:.4f}-{wide.high:.4f}"
        overall.append([kind, f"{wrong.mean():.4f}", f"{theirs:.4f}", alone, reach, checked])
        table = rank_classes_by_label_quality(labels, probs).sort_values("Class Index")
        for of, by, column in (("given", labels, "Label Noise"), ("true", truth, "Inverse Label Noise")):
            real = np.array([wrong[by == k].mean() for k in range(10)])
            ours = noise_rates(joint, counted, of)
            both = bracket(ours, noise_rates(predicted, predicted.sum(1), of))
            estimates = (table[column].to_numpy(), ours.rate, np.full(10, wrong.mean()))
            errors = [_error(estimate, real) for estimate in estimates]
            classes.append([f"{kind}, of the {of}", *errors, _held(ours, real), _held(both, real)])
    print("\n### Noise rates on CIFAR-10N\n")
    head = [
        "set",
        "truth",
        "cleanlab",
        "ours, sampling alone",
        "bracket",
        "500 checked: held in 200 draws, width",
    ]
    print(markdown(head, overall))
    print("\nBy class: mean absolute error, and how many of 10 intervals hold the truth.\n")
    head = ["rates", "cleanlab", "ours", "one rate for all", "sampling alone holds", "bracket holds"]
    print(markdown(head, classes))


def _checked(labels: np.ndarray, probs: np.ndarray, wrong: np.ndarray, count: int, draws: int) -> str:
    from curate.scorers.noise.health import verified_rate

    flags, rng, held, widths = probs.argmax(1) != labels, np.random.default_rng(0), 0, []
    for _ in range(draws):
        checked = np.zeros(len(labels), bool)
        checked[rng.choice(len(labels), count, replace=False)] = True
        found = verified_rate(flags, checked, wrong)
        held += bool(found.low[0] <= wrong.mean() <= found.high[0])
        widths.append(float(found.high[0] - found.low[0]))
    plain = 2 * 1.96 * (wrong.mean() * (1 - wrong.mean()) / count) ** 0.5
    return f"{held / draws:.1%}, {np.mean(widths):.4f} (without the model {plain:.4f})"


def _error(estimate: np.ndarray, real: np.ndarray) -> str:
    return f"{np.abs(estimate - real).mean():.4f}"


def _held(found: Any, real: np.ndarray) -> int:
    return int(((found.low <= real) & (real <= found.high)).sum())


# --- drift ---------------------------------------------------------------------------------------------------------


def drift(args: argparse.Namespace) -> None:
    from curate.memory import ArrayView
    from curate.scorers.noise.health.drift import Drift

    x, y = digits()
    orders: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
        "random": lambda rng: rng.permutation(len(y)),
        "weak drift of classes": lambda rng: np.argsort(y * 0.15 + rng.normal(size=len(y)) * 3),
        "drift of classes": lambda rng: np.argsort(y * 0.5 + rng.normal(size=len(y)) * 3),
        "last tenth two classes": lambda rng: np.argsort(
            (y < 2) * (rng.random(len(y)) < 0.5) + rng.random(len(y)) * 0.9
        ),
    }
    rows = []
    for name, order in orders.items():
        ours = theirs = 0
        for trial in range(args.trials):
            rng = np.random.default_rng(trial)
            taken = order(rng)[np.sort(rng.choice(len(y), 1000, replace=False))]
            table = {"id": [f"{i:04d}" for i in range(1000)]}
            found = Drift("v", seed=trial).analyse(ArrayView(table, {"v": x[taken]}))
            ours += found.summary.startswith("drift")
            lab = datalab({"i": np.arange(1000)}, {"non_iid": {"seed": trial}}, features=x[taken])
            theirs += lab.get_info("non_iid")["p-value"] < 0.05
        rows.append([name, f"{ours / args.trials:.0%}", f"{theirs / args.trials:.0%}"])
    print(f"\n### Alarms over {args.trials} orders of 1,000 digits (level 5 %)\n")
    print(markdown(["order", "ours", "Datalab non_iid"], rows))


# --- groups --------------------------------------------------------------------------------------------------------


def groups(args: argparse.Namespace) -> None:
    from curate.scorers.noise.health import compare_groups

    rows = []
    for name, times in (("no group is worse", 1.0), ("one of twice the errors", 2.0), ("thrice", 3.0)):
        alarm, hit, theirs_any, theirs_hit = 0, 0, 0, 0
        for trial in range(args.trials):
            rng = np.random.default_rng(trial)
            n, k = 4000, 10
            group, labels = rng.integers(0, 20, n), rng.integers(0, k, n)
            wrong = rng.random(n) < np.where(group == 7, 0.1 * times, 0.1)
            probs = rng.dirichlet(np.full(k, 0.3), n) * 0.3
            probs[np.arange(n), np.where(wrong, (labels + 1) % k, labels)] += 0.7
            quality = probs[np.arange(n), labels]
            worse = np.flatnonzero(compare_groups(quality, group).worse)
            alarm, hit = alarm + bool(len(set(worse) - {7})), hit + (7 in worse)
            lab = datalab(
                {"label": labels},
                {"underperforming_group": {"cluster_ids": group}},
                pred_probs=probs,
                features=rng.normal(size=(n, 2)),
            )
            flagged = lab.get_issues("underperforming_group")["is_underperforming_group_issue"].to_numpy()
            told = set(group[flagged].tolist())
            theirs_any, theirs_hit = theirs_any + bool(told - {7}), theirs_hit + (7 in told)
        share = [f"{v / args.trials:.0%}" for v in (hit, alarm, theirs_hit, theirs_any)]
        rows.append([name, *share])
    print(f"\n### One of 20 groups of 200 items worse, {args.trials} trials (any false alarm: level 5 %)\n")
    head = ["truth", "ours: told", "ours: another told", "Datalab: told", "Datalab: another told"]
    print(markdown(head, rows))


# --- cost ----------------------------------------------------------------------------------------------------------


def _probs(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probs = rng.random((n, k), np.float32) ** 8
    truth = rng.integers(0, k, n)
    probs[np.arange(n), truth] += 2
    probs /= probs.sum(1, keepdims=True)
    return probs, np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)


def _vectors(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(50, d))[np.arange(n) % 50] + rng.normal(size=(n, d))).astype(np.float32)


def _run(task: str) -> Any:
    """One of the tasks of `cost`; what it prints is thrown away."""
    from curate.memory import ArrayView
    from curate.scorers.combine import learn, rank_mean
    from curate.scorers.noise.health import (
        compare_groups,
        label_noise,
        noise_rates,
        overlapping_classes,
        rankme,
    )
    from curate.scorers.noise.health.counts import confident_counts, predicted_counts
    from curate.scorers.noise.health.drift import Drift

    what, _, size = task.partition(":")
    if what in ("load-health", "ours-health", "cleanlab-health"):
        probs, labels = _probs(*(int(s) for s in size.split("x")))
        if what == "ours-health":
            joint, counted = confident_counts(probs, labels)
            label_noise(joint, counted, predicted_counts(probs, labels))
            (
                noise_rates(joint, counted),
                noise_rates(joint, counted, "true"),
                overlapping_classes(joint, counted),
            )
        if what == "cleanlab-health":
            from cleanlab.dataset import health_summary

            health_summary(labels, probs, verbose=False)
    elif what in ("load-drift", "ours-drift", "cleanlab-drift"):
        x = _vectors(*(int(s) for s in size.split("x")))
        if what == "ours-drift":
            Drift("v").analyse(ArrayView({"id": [f"{i:07d}" for i in range(len(x))]}, {"v": x}))
        if what == "cleanlab-drift":
            datalab({"i": np.arange(len(x))}, {"non_iid": {}}, features=x)
    elif what == "ours-rankme":
        rankme(_vectors(*(int(s) for s in size.split("x"))))
    else:
        rng = np.random.default_rng(0)
        scores = rng.normal(size=(int(size), 5))
        if what == "ours-rank-mean":
            rank_mean(scores)
        if what == "ours-learned":
            truth = np.full(len(scores), np.nan)
            truth[:500] = scores[:500, 0] > 0.3
            learn(scores, truth)
        if what == "ours-groups":
            compare_groups(scores[:, 0], rng.integers(0, 100, len(scores)))
    return None


COST = (
    (
        "label health, 1M x 10",
        "load-health:1000000x10",
        "ours-health:1000000x10",
        "cleanlab-health:1000000x10",
    ),
    (
        "label health, 50k x 1000",
        "load-health:50000x1000",
        "ours-health:50000x1000",
        "cleanlab-health:50000x1000",
    ),
    (
        "drift, 20k x 256 (ours looks at 10k)",
        "load-drift:20000x256",
        "ours-drift:20000x256",
        "cleanlab-drift:20000x256",
    ),
    ("RankMe, 25,600 x 512", "", "ours-rankme:25600x512", ""),
    ("100 groups of 1M items", "", "ours-groups:1000000", ""),
    ("rank-mean, 1M x 5", "", "ours-rank-mean:1000000", ""),
    ("learned, 1M x 5, 500 answers", "", "ours-learned:1000000", ""),
)


def cost(args: argparse.Namespace) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    rows = []
    for name, load, ours, theirs in COST:
        cells = []
        base = best([sys.executable, __file__, "--run", load], 1, **environment) if load else None
        for task in (ours, theirs):
            if not task:
                cells += ["", ""]
                continue
            run = best([sys.executable, __file__, "--run", task], args.repeats, **environment)
            cells += [f"{run.cpu:.1f}", f"{run.pss:.0f}"]
        start = f"{base.cpu:.1f} / {base.pss:.0f}" if base else ""
        rows.append([name, *cells, start])
        print(f"{name}: {cells}", file=sys.stderr, flush=True)
    print(
        "\n### Cost, one core, a process each (making the data and imports included; last column: those alone)\n"
    )
    print(markdown(["job", "ours CPU s", "MB", "cleanlab CPU s", "MB", "data alone"], rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CURATE_DATA", DATA)))
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=["rates", "drift", "groups", "cost"])
    parser.add_argument("--run", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        _run(args.run)
        print(json.dumps(None))
        return
    for name in args.only:
        globals()[name](args)


if __name__ == "__main__":
    main()
