"""Wrong labels by several models: how `label_errors` pools them, beside other weights, cleanlab's ensembles and one model.

    python benchmarks/label_pools.py [--seeds 3] [--usps-rows 2500]

scikit-learn's digits, and USPS where the data folder has it (../shared/data, or $CURATE_DATA), with noise planted uniformly,
to the next class, and by item (the label is drawn from what a weak reader of 16 blurred pixels thinks of the image). Three
models out of fold: logistic regression, 15 nearest neighbours, extremely randomised trees. Mean average precision of the wrong
labels over seeds. "by log-loss": weights proportional to exp(-T * log-loss), the T with the best pool (what cleanlab does for
arithmetic means, and `label_errors` did before); "best single model": chosen in hindsight.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np
from _label_peers import DATA, Array, ap, f1, ours
from _measure import markdown
from _planted_labels import plant

RATES = (0.05, 0.2, 0.4)


def sets(rows: int) -> dict[str, tuple[Array, Array, Array]]:
    """Pixels, what the weak reader sees, and the truth."""
    from sklearn.datasets import load_digits

    x, truth = load_digits(return_X_y=True)
    found = {"digits": (x / 16, x.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(len(x), -1), truth)}
    file = DATA / "usps" / "usps_train.npz"
    if file.exists():
        with np.load(file) as data:
            drawn = np.random.default_rng(0).choice(len(data["y"]), rows, replace=False)
            pixels, truth = data["x"][drawn] / 255.0, data["y"][drawn].astype(np.int64)
        coarse = pixels.reshape(-1, 4, 4, 4, 4).mean((2, 4)).reshape(len(truth), -1)
        found["USPS"] = (pixels.reshape(len(truth), -1), coarse, truth)
    return found


def members(x: Array, labels: Array) -> list[Array]:
    """What three models say out of fold, (n, 10) each."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    kinds = (
        LogisticRegression(max_iter=200),
        KNeighborsClassifier(15),
        ExtraTreesClassifier(60, random_state=0),
    )
    return [cross_val_predict(one, x, labels, cv=5, method="predict_proba") for one in kinds]


def by_item(coarse: Array, truth: Array, rate: float, rng: np.random.Generator) -> Array:
    """A share `rate` of the labels, those likelier that the weak reader doubts, become what it thinks instead."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    said = cross_val_predict(LogisticRegression(max_iter=200), coarse, truth, cv=5, method="predict_proba")
    row = np.arange(len(truth))
    doubt = 1 - said[row, truth] + 0.02
    which = rng.choice(len(truth), round(rate * len(truth)), replace=False, p=doubt / doubt.sum())
    said[row, truth] = 0
    labels = truth.copy()
    labels[which] = said[which].argmax(1)
    return labels


def log_pool(models: list[Array], weights: Array) -> Array:
    logs = sum(w * np.log(np.maximum(one, 1e-7)) for w, one in zip(weights, models, strict=True))
    pool = np.exp(logs - logs.max(1, keepdims=True))
    return np.asarray(pool / pool.sum(1, keepdims=True))


def by_log_loss(models: list[Array], labels: Array) -> Array:
    row = np.arange(len(labels))

    def loss(one: Array) -> float:
        return float(-np.log(np.maximum(one[row, labels], 1e-6)).mean())

    each = np.array([loss(one) for one in models])
    tried = np.exp(-np.array([0, 0.1, 0.3, 1, 3, 10, 30, 100])[:, None] * (each - each.min()))
    tried /= tried.sum(1, keepdims=True)
    return min((log_pool(models, weights) for weights in tried), key=loss)


def contestants(models: list[Array], labels: Array, wrong: Array) -> dict[str, tuple[float, float | None]]:
    """Average precision, and F1 of the flags where there are any."""
    from cleanlab.rank import get_label_quality_ensemble_scores

    pools = {
        "ours": models,
        "equal weights": log_pool(models, np.full(3, 1 / 3)),
        "by log-loss": by_log_loss(models, labels),
    }
    found: dict[str, tuple[float, float | None]] = {}
    for name, pool in pools.items():
        doubt, flags = ours(pool, labels)
        found[name] = ap(wrong, doubt), f1(flags, wrong)
    single = [ours(one, labels) for one in models]
    found["best single model"] = (
        max(ap(wrong, doubt) for doubt, _ in single),
        max(f1(flags, wrong) for _, flags in single),
    )
    for how in ("accuracy", "log_loss_search"):
        quality = get_label_quality_ensemble_scores(
            labels, models, weight_ensemble_members_by=how, verbose=False
        )
        found[f"cleanlab, {how}"] = ap(wrong, -quality), None
    found["random"] = float(wrong.mean()), None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--usps-rows", type=int, default=2500)
    asked = parser.parse_args()
    every: dict[str, dict[str, list[tuple[float, float | None]]]] = defaultdict(lambda: defaultdict(list))
    for name, (x, coarse, truth) in sets(asked.usps_rows).items():
        for kind in ("uniform", "pair", "by item"):
            for rate in RATES:
                for seed in range(asked.seeds):
                    rng = np.random.default_rng(seed)
                    labels = (
                        by_item(coarse, truth, rate, rng)
                        if kind == "by item"
                        else plant(truth, kind, rate, seed)
                    )
                    for who, scores in contestants(members(x, labels), labels, labels != truth).items():
                        every[f"{name}, {kind} {rate}"][who].append(scores)
    report(every)


def report(every: dict[str, dict[str, list[tuple[float, float | None]]]]) -> None:
    names = list(next(iter(every.values())))
    rows = [
        [task, *(f"{np.mean([ap for ap, _ in found[who]]):.4f}" for who in names)]
        for task, found in every.items()
    ]
    told = {who: [score for found in every.values() for score in found[who]] for who in names}
    rows.append(["**mean**", *(f"{np.mean([ap for ap, _ in told[who]]):.4f}" for who in names)])
    marks = [
        "" if told[who][0][1] is None else f"{np.mean([mark for _, mark in told[who]]):.4f}" for who in names
    ]
    rows.append(["mean F1 of the flags", *marks])
    mine = np.array([ap for ap, _ in told["ours"]])
    above = [
        f"{(mine > np.array([ap for ap, _ in told[who]])).sum()} of {len(mine)}" if who != "ours" else ""
        for who in names
    ]
    rows.append(["ours has the higher AP in", *above])
    print(markdown(("AP", *names), rows))


if __name__ == "__main__":
    main()
