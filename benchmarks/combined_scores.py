"""What combining scores gains: AP on CIFAR-10N of scores alone and combined, 500 items checked, measured on the others.

    python benchmarks/combined_scores.py

The data folder is ../shared/data, or $CURATE_DATA.
"""

from __future__ import annotations

import argparse

import numpy as np
from _label_peers import DATA, cifar10n, ratio_share
from _measure import markdown

SETS = ("worst", "aggregate")


def main() -> None:
    from curate.scorers.noise.neighbours import knn_agreement

    alone, joined = [], []
    for kind in SETS:
        probs, labels, truth = cifar10n(kind)
        good, columns = (labels == truth).astype(float), _columns(probs, labels)
        near = np.asarray(knn_agreement(np.sqrt(probs), labels, k=50).score, float)
        alone.append(_gain(good, {**columns, "kNN of probabilities": near}))
        votes, same = _votes(kind, labels, truth)
        ratio = columns["ratio share"]
        joined.append(_gain(good[same], {"ratio share": ratio[same], "annotators' votes": votes[same]}))
    for title, found in (
        ("scores of one model's probabilities", alone),
        ("a model and the share of three annotators who gave the label", joined),
    ):
        table = [
            [name, *(f"{np.mean(r[name]):.4f} +- {np.std(r[name]):.4f}" for r in found)] for name in found[0]
        ]
        print(
            f"\n### Combined: {title}. AP on CIFAR-10N, 500 items checked, measured on the others (5 draws)\n"
        )
        print(markdown(["score", *SETS], table))


def _gain(good: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, list[float]]:
    from curate.scorers.combine import average_precision, learn, mean_score, rank_mean

    scores, n = np.column_stack(list(columns.values())), len(good)
    found: dict[str, list[float]] = {}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        answers = np.full(n, np.nan)
        drawn = rng.choice(n, 500, replace=False)
        answers[drawn] = good[drawn]
        rest = np.isnan(answers)
        picked = int(np.argmax([average_precision(good[drawn], s[drawn]) for s in scores.T]))
        tried = {
            "random": rng.random(n),
            **columns,
            "best of them on the 500": scores[:, picked],
            "combine: mean": mean_score(scores),
            "combine: rank-mean": rank_mean(scores),
            "combine: learned": learn(scores, answers, seed=seed).score,
        }
        for name, score in tried.items():
            found.setdefault(name, []).append(average_precision(good[rest], np.asarray(score)[rest]))
    return found


def _votes(kind: str, labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of three annotators gave the label, and which rows can be told: some stretches of the file of
    probabilities are in another order than CIFAR-10."""
    with np.load(DATA / "cifar_n" / "cifar10n.npz") as held:
        given = sum((held[f"random_label{i}"] == labels).astype(float) for i in (1, 2, 3)) / 3
        named = held["worse_label" if kind == "worst" else "aggre_label"]
        equal = (truth == held["clean_label"]) & (labels == named)
    return given, np.convolve(equal, np.ones(101) / 101, "same") > 0.9


def _columns(probs: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    p, rows = probs.astype(float), np.arange(len(labels))
    own = p[rows, labels]
    others = p.copy()
    others[rows, labels] = -1
    margin = (own - others.max(1) + 1) / 2
    return {"self-confidence": own, "normalised margin": margin, "ratio share": 1 - ratio_share(p, labels)}


if __name__ == "__main__":
    argparse.ArgumentParser(description=str(__doc__).partition("\n")[0]).parse_args()
    main()
