"""Coresets: facility location and k-center beside apricot, submodlib and scikit-learn; a million items; what models learn.

    python benchmarks/coresets.py speed                  # ours alone
    python benchmarks/coresets.py speed --peers VENV     # VENV: apricot-select, submodlib-py and scikit-learn installed
    python benchmarks/coresets.py large                  # n = 1,000,000, d = 256, k = 10,000: minutes and gigabytes
    python benchmarks/coresets.py quality                # what sparse neighbours cost, by budget and kind of data
    python benchmarks/coresets.py accuracy               # what a model learns from each choice of digits
    python benchmarks/coresets.py noisy                  # the same with a fifth of the labels wrong

Every contestant runs in a process of its own, imports included, on one thread; the objective is computed in one way for
all: the mean over the items of the highest cosine to one that was chosen, negative ones counting as 0.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

K = 1000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def clouds(n: int, d: int, seed: int = 0, spread: float = 0.5) -> npt.NDArray[np.float32]:
    """Items around 200 centres."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, d), np.float32)
    x = rng.standard_normal((n, d), np.float32)
    x *= spread
    of = rng.integers(0, 200, n)
    for low in range(0, n, 8192):
        x[low : low + 8192] += centres[of[low : low + 8192]]
    return x


def unit(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def coverage(x: npt.NDArray[Any], rows: npt.NDArray[Any]) -> float:
    z = unit(x)
    chosen = z[rows].T
    best = [np.maximum((z[low : low + 4096] @ chosen).max(1), 0) for low in range(0, len(z), 4096)]
    return float(np.concatenate(best).mean(dtype=np.float64))


# --- Contestants, each in a process of its own -----------------------------------------------------------------------


def ours(x: npt.NDArray[Any], k: int, what: str) -> Any:
    from curate.selectors.coreset import facility_location, k_center

    if what == "k-center":
        return k_center(x, k).index
    return facility_location(x, k, method=what).index  # type: ignore[arg-type]


def apricot(x: npt.NDArray[Any], k: int, what: str) -> Any:
    from apricot import FacilityLocationSelection

    similarity = np.maximum(unit(x) @ unit(x).T, 0).astype(np.float64)
    return FacilityLocationSelection(k, metric="precomputed", optimizer="lazy").fit(similarity).ranking


def submodlib(x: npt.NDArray[Any], k: int, what: str) -> Any:
    from submodlib import FacilityLocationFunction

    similarity = np.maximum(unit(x) @ unit(x).T, 0)
    function = FacilityLocationFunction(n=len(x), mode="dense", sijs=similarity, separate_rep=False)
    return np.array([i for i, _ in function.maximize(budget=k, optimizer="LazyGreedy", show_progress=False)])


def scikit(x: npt.NDArray[Any], k: int, what: str) -> Any:
    from sklearn.metrics import pairwise_distances

    rows, far = [int(np.linalg.norm(x - x.mean(0), axis=1).argmin())], np.full(len(x), np.inf)
    while len(rows) < k:
        far = np.minimum(far, pairwise_distances(x, x[rows[-1:]])[:, 0])
        rows.append(int(far.argmax()))
    return np.array(rows)


CONTESTANTS = {"ours": ours, "apricot": apricot, "submodlib": submodlib, "scikit-learn": scikit}


def task(who: str, what: str, n: int, d: int, k: int) -> None:
    x = clouds(n, d)
    CONTESTANTS[who](
        x[:500].copy(), 10, what
    )  # so that the core is without imports and compiled code's loading
    start, cpu = time.perf_counter(), time.process_time()
    rows = np.asarray(CONTESTANTS[who](x, k, what))
    spent = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    if "ROWS" in os.environ:
        np.save(os.environ["ROWS"], rows)
    print(json.dumps(spent))


# --- Speed ----------------------------------------------------------------------------------------------------------

JOBS = [
    ("facility location, sparse", "ours", "sparse", 20_000, 64),
    ("facility location, exact", "ours", "exact", 20_000, 64),
    ("facility location, auto", "ours", "auto", 20_000, 64),
    ("apricot, lazy, precomputed", "apricot", "", 20_000, 64),
    ("facility location, exact", "ours", "exact", 5_000, 64),
    ("apricot, lazy, precomputed", "apricot", "", 5_000, 64),
    ("submodlib, LazyGreedy, dense", "submodlib", "", 5_000, 64),
    ("k-center", "ours", "k-center", 50_000, 64),
    ("scikit-learn, a step at a time", "scikit-learn", "", 50_000, 64),
]


def speed(peers: str = "", only: str = "") -> None:
    from _measure import best, markdown

    rows_file, table = Path(os.environ.get("TMPDIR", "/tmp")) / f"coreset_rows_{os.getpid()}.npy", []
    for name, who, what, n, d in JOBS:
        if only not in name or (who != "ours" and not peers):
            continue
        k = 500 if n == 5000 else K
        python = sys.executable if who == "ours" else str(Path(peers) / "bin" / "python")
        command = [python, __file__, "task", who, what, str(n), str(d), str(k)]
        environment = {**os.environ, **ONE_THREAD, "ROWS": str(rows_file)}
        got = best(command, 3 if who == "ours" else 1, **environment)
        x, rows = clouds(n, d), np.load(rows_file)
        chance = np.random.default_rng(1).choice(n, k, replace=False)
        if "center" in name or "scikit" in name:
            values = [radius(x, rows), radius(x, chance)]
        else:
            values = [coverage(x, rows), coverage(x, chance)]
        table.append(
            (
                name,
                f"{n:,}",
                k,
                f"{got.cpu:.2f}",
                f"{got.result['cpu']:.2f}",
                f"{got.rss:,.0f}",
                *(f"{v:.5f}" for v in values),
            )
        )
        print(table[-1], file=sys.stderr, flush=True)
    header = ("", "n", "k", "CPU-s, whole process", "CPU-s, core", "peak MB", "objective", "random")
    print(markdown(header, table))
    rows_file.unlink(missing_ok=True)


def radius(x: npt.NDArray[Any], rows: npt.NDArray[Any]) -> float:
    squares = np.einsum("ij,ij->i", x, x)
    chosen = x[rows]
    own = np.einsum("ij,ij->i", chosen, chosen)
    far = [(own - 2 * x[low : low + 4096] @ chosen.T).min(1) for low in range(0, len(x), 4096)]
    return float(np.sqrt((np.concatenate(far) + squares).max()))


# --- A million ------------------------------------------------------------------------------------------------------


def large(n: int = 1_000_000, d: int = 256, k: int = 10_000) -> None:
    from _measure import markdown, measure

    rows_file = Path(os.environ.get("TMPDIR", "/tmp")) / f"coreset_rows_{os.getpid()}.npy"
    command = [sys.executable, __file__, "task", "ours", "sparse", str(n), str(d), str(k)]
    got = measure(command, **{**os.environ, **ONE_THREAD, "ROWS": str(rows_file)})
    rows = np.load(rows_file)
    rows_file.unlink()
    x = clouds(n, d)
    some = np.random.default_rng(2).choice(n, 20_000, replace=False)
    z, chance = unit(x[some]), np.random.default_rng(1).choice(n, k, replace=False)
    values = [float(np.maximum((z @ unit(x[r]).T).max(1), 0).mean()) for r in (rows, chance)]
    header = ("n", "d", "k", "CPU-s", "wall s", "peak MB", "objective (20,000 items)", "random")
    line = (
        f"{n:,}",
        d,
        f"{k:,}",
        f"{got.cpu:.0f}",
        f"{got.wall:.0f}",
        f"{got.rss:,.0f}",
        *(f"{v:.4f}" for v in values),
    )
    print(markdown(header, [line]))


# --- Quality --------------------------------------------------------------------------------------------------------


def quality(n: int = 20_000, d: int = 64) -> None:
    from _measure import markdown

    from curate.selectors.coreset import facility_location

    rng = np.random.default_rng(0)
    sets = {
        "200 clouds": clouds(n, d),
        "200 wide clouds": clouds(n, d, spread=0.8),
        "one cloud": rng.standard_normal((n, d), np.float32),
        "heavy tails": rng.standard_t(3, (n, d)).astype(np.float32),
    }
    table = []
    for name, x in sets.items():
        for k in (50, 200, 1000, 4000):
            values, spent = [], []
            for method in ("exact", "sparse"):
                cpu = time.process_time()
                rows = facility_location(x, k, method=method).index  # type: ignore[arg-type]
                spent.append(time.process_time() - cpu)
                values.append(coverage(x, rows))
            chance = coverage(x, np.random.default_rng(1).choice(n, k, replace=False))
            table.append(
                (
                    name,
                    k,
                    *(f"{v:.5f}" for v in values),
                    f"{values[1] / values[0]:.2%}",
                    f"{chance:.5f}",
                    *(f"{s:.2f}" for s in spent),
                )
            )
            print(table[-1], file=sys.stderr, flush=True)
    header = ("items", "k", "exact", "sparse", "sparse / exact", "random", "exact, CPU-s", "sparse, CPU-s")
    print(markdown(header, table))


# --- What a model learns from them -----------------------------------------------------------------------------------


def accuracy(noise: float = 0.0, seeds: int = 5) -> None:
    """Digits: logistic regression on what each selector chose of 1,437 images, measured on the other 360.

    Everything is chosen per class; `noise` of the labels are wrong. Difficulty is that of out-of-fold probabilities.
    """
    from _measure import markdown
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split

    images, truth = load_digits(return_X_y=True)
    budgets = (0.01, 0.03, 0.1, 0.3)
    table: dict[str, list[list[float]]] = {}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x, test, y, wanted = train_test_split(
            images / 16, truth, test_size=0.2, random_state=seed, stratify=truth
        )
        wrong = rng.random(len(y)) < noise
        y = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
        for budget in budgets:
            for name, (rows, weight) in choices(x, y, budget, rng).items():
                model = LogisticRegression(max_iter=300).fit(x[rows], y[rows], weight)
                table.setdefault(name, [[] for _ in budgets])[budgets.index(budget)].append(
                    model.score(test, wanted)
                )
    lines = [
        (name, *(f"{np.mean(v):.3f} ± {1.96 * np.std(v, ddof=1) / len(v) ** 0.5:.3f}" for v in values))
        for name, values in table.items()
    ]
    print(f"{noise:.0%} wrong labels, {seeds} seeds, mean accuracy with 95 % intervals\n")
    print(markdown(("selector", *(f"{b:.0%}" for b in budgets)), lines))


def choices(
    x: npt.NDArray[Any], y: npt.NDArray[Any], budget: float, rng: np.random.Generator
) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    from curate.choosing import Constraints, at_random
    from curate.selectors import coreset as c

    p = cross_val_predict(LogisticRegression(max_iter=300), x, y, cv=5, method="predict_proba")
    gradients, hard = c.last_layer_gradients(p, y, x), c.el2n(p, y)
    k, n, classes = round(budget * len(x)), len(x), Constraints(group=y)
    chosen = {
        "facility-location": c.facility_location(x, k, within=classes),
        "k-center": c.k_center(x, k, within=classes),
        "herding": c.herding(x, k, within=classes),
        "graph-cut": c.graph_cut(x, k, within=classes),
        "craig, pixels": c.craig(x, k, within=classes),
        "craig, gradients": c.craig(gradients, k, within=classes),
        "grad-match, gradients": c.grad_match(gradients, k, within=classes),
        "moderate": c.moderate(x, k, within=classes),
        "prototypes": c.prototypes(x, k, within=classes),
        "prototypes, far": c.prototypes(x, k, within=classes, keep="far"),
        "semdedup": c.semdedup(x, k, within=classes),
        "ccs, EL2N": c.ccs(-hard, k, rng=rng, drop=0.1),
        "hardest, EL2N": c.hardest(hard, k, within=classes),
        "easiest, EL2N": c.hardest(hard, k, within=classes, easiest=True),
        "d2, EL2N": c.d2(x, hard, k, within=classes),
    }
    found = {name: (s.index, s.weight) for name, s in chosen.items()}
    found["random"] = (at_random(classes.terms(n, k), rng), None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    jobs = parser.add_subparsers(dest="job", required=True)
    one = jobs.add_parser("task", help="one contestant, in this process; ROWS names a file for what it chose")
    one.add_argument("who", choices=sorted(CONTESTANTS))
    one.add_argument("what")
    for size in ("n", "d", "k"):
        one.add_argument(size, type=int)
    told = jobs.add_parser("speed")
    told.add_argument("--peers", default="", metavar="VENV")
    told.add_argument("--only", default="", help="jobs with this in their name")
    others = {"large": large, "quality": quality, "accuracy": accuracy, "noisy": lambda: accuracy(0.2)}
    for name in others:
        jobs.add_parser(name)
    asked = vars(parser.parse_args())
    {"task": task, "speed": speed, **others}[asked.pop("job")](**asked)


if __name__ == "__main__":
    main()
