"""Scores of alignment against people's ratings: published correlations, combinations, generators, balanced samples.

    python benchmarks/alignment_ratings.py --data FOLDER       # the folder of real data (or CURATE_DATA)
    python benchmarks/alignment_ratings.py --dsg FILE          # a model's answers to DSG's questions (not in that folder)
    python benchmarks/alignment_ratings.py --out FILE          # the tables as Markdown

TIFA's 800 images of 160 prompts by five generators, two ratings each. All folds and intervals are by prompt.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from _measure import markdown

from curate.formats.rated import read_dsg_answers, read_dsg_ratings, read_genai_bench, read_tifa
from curate.memory import ArrayView
from curate.scorers.alignment import dsg_score
from curate.scorers.alignment.generators import rank_generators
from curate.scorers.alignment.metrics import compare, interval, krcc, plcc, srcc
from curate.scorers.alignment.ratings import needs_more_ratings
from curate.scorers.combine import calibrate, contributions, learning_curve, rank_mean
from curate.scorers.combine.calibration import deal_groups
from curate.selectors.threshold.balanced import Balanced

Array = npt.NDArray[Any]
SEEDS = range(6)
FOLDS = 10
GENERATORS = {
    "mini-dalle": "mini_dalle",
    "vq-diffusion": "vq_diffusion",
    "sd1dot1": "stable_diffusion_v1_1",
    "sd1dot5": "stable_diffusion_v1_5",
    "sd2dot1": "stable_diffusion_v2_1",
}
"""DSG's names of TIFA's generators."""


class Tifa:
    """The file as arrays: metric columns, ratings, prompts, generators."""

    def __init__(self, folder: Path, answers: Path | None = None) -> None:
        table = read_tifa(folder / "tifa" / "human_annotations_with_scores.json").sort_by("id")
        self.columns = [f.name for f in table.schema if pa.types.is_floating(f.type) and f.name != "score"]
        self.x = np.column_stack([np.asarray(table[name], np.float64) for name in self.columns])
        self.y = np.asarray(table["score"], np.float64)
        self.ratings = table["ratings"]
        self.prompts = np.array(table["prompt_id"].to_pylist())
        self.makers = np.array(table["generator"].to_pylist())
        self.context = (self.makers[:, None] == np.unique(self.makers)).astype(float)
        self.random = np.random.default_rng(0).normal(size=len(self.y))
        self.dsg = self._dsg(folder, answers) if answers else None

    def _dsg(self, folder: Path, answers: Path) -> Array:
        """DSG's score of each image by a model's answers; NaN where there are none."""
        items = read_dsg_ratings(folder / "dsg" / "tifa160-likert-anns.csv")
        prompt = dict(zip(items["id"].to_pylist(), items["prompt_id"].to_pylist(), strict=True))
        found = {}
        for row in read_dsg_answers(answers).to_pylist():
            if row["id"] not in prompt:
                continue
            maker = row["id"].partition("/")[2]
            edges = np.column_stack([row["children"], row["parents"]]).astype(np.int64)
            score = dsg_score(np.array(row["right"]), [0, len(row["right"])], edges, rests_on="parents")[0][0]
            found[prompt[row["id"]], GENERATORS.get(maker, maker)] = score
        keys = zip(self.prompts.tolist(), self.makers.tolist(), strict=True)
        return np.array([found.get(key, np.nan) for key in keys])


def told(found: Any) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def column_table(tifa: Tifa) -> str:
    rows = []
    for name, x in [*zip(tifa.columns, tifa.x.T, strict=True), ("random", tifa.random)]:
        spread = interval("srcc", x, tifa.y, groups=tifa.prompts, resamples=500)
        rows.append(
            (
                name,
                told(spread),
                f"{plcc(x, tifa.y, fit=False):.4f}",
                f"{plcc(x, tifa.y):.4f}",
                f"{krcc(x, tifa.y):.4f}",
            )
        )
    return markdown(("column", "SRCC (95 % by prompt)", "Pearson", "PLCC, logistic fit", "KRCC"), rows)


def plain(make: Callable[[], Any], x: Array, tifa: Tifa, seed: int, shared: bool = False) -> Array:
    """A peer's model, out of fold on the same folds; with `shared`, all folds about one mean, as ours."""
    fold, folds = deal_groups(tifa.prompts, FOLDS, seed)
    predicted = np.empty(len(x))
    for held in range(folds):
        train = fold != held
        predicted[~train] = make().fit(x[train], tifa.y[train]).predict(x[~train])
        predicted[~train] += (tifa.y.mean() - tifa.y[train].mean()) * shared
    return predicted


def contestants(tifa: Tifa) -> Iterator[tuple[str, Callable[[int], Array]]]:
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def ridge() -> Any:
        return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))

    def boosting() -> Any:
        return GradientBoostingRegressor(
            n_estimators=100, max_depth=2, learning_rate=0.05, subsample=0.5, random_state=0
        )

    both = np.hstack([tifa.x, tifa.context])
    options: dict[str, Any] = {"groups": tifa.prompts, "folds": FOLDS}
    yield "random", lambda seed: np.random.default_rng(seed).normal(size=len(tifa.y))
    best = tifa.columns.index("tifa_mplug_large")
    yield "best single column", lambda seed: tifa.x[:, best]
    yield "rank-mean, no ratings", lambda seed: rank_mean(tifa.x)
    yield "scikit-learn RidgeCV", lambda seed: plain(ridge, tifa.x, tifa, seed)
    told = "RidgeCV that has seen the ratings it is compared with: no forecast, but the most a linear one could be"
    yield (
        "scikit-learn RidgeCV, one mean for all folds",
        lambda seed: plain(ridge, tifa.x, tifa, seed, shared=True),
    )
    yield told, lambda seed: ridge().fit(tifa.x, tifa.y).predict(tifa.x)
    yield "scikit-learn gradient boosting", lambda seed: plain(boosting, tifa.x, tifa, seed)
    for method in ("linear", "ordinal", "isotonic"):
        yield (
            f"calibrate, {method}",
            lambda seed, m=method: calibrate(tifa.x, tifa.y, method=m, seed=seed, **options).score,
        )
    if tifa.dsg is not None:
        more = np.column_stack([tifa.x, tifa.dsg])
        filled = np.where(np.isnan(more), np.nanmean(more, 0), more)  # five images have no answers
        yield "RidgeCV + DSG's score", lambda seed: plain(ridge, filled, tifa, seed)
        yield (
            "calibrate, linear, DSG's score as an eleventh column",
            lambda seed: calibrate(more, tifa.y, seed=seed, **options).score,
        )
        yield (
            "calibrate, linear, DSG's score, generator as context",
            lambda seed: calibrate(more, tifa.y, context=tifa.context, seed=seed, **options).score,
        )
    yield "RidgeCV + generator", lambda seed: plain(ridge, both, tifa, seed)
    for method in ("linear", "ordinal", "isotonic"):
        yield (
            f"calibrate, {method}, generator as context",
            lambda seed, m=method: (
                calibrate(tifa.x, tifa.y, method=m, context=tifa.context, seed=seed, **options).score
            ),
        )


def combination_table(tifa: Tifa) -> str:
    rows = []
    for name, score in contestants(tifa):
        start = time.process_time()
        runs = [score(seed) for seed in SEEDS]
        seconds = (time.process_time() - start) / len(runs)
        found = [srcc(run, tifa.y) for run in runs]
        spread = interval("srcc", runs[0], tifa.y, groups=tifa.prompts, resamples=300)
        best = tifa.x[:, tifa.columns.index("tifa_mplug_large")]
        over = compare("srcc", runs[0], best, tifa.y, groups=tifa.prompts, resamples=300)
        error = (
            float(np.abs(runs[0] - tifa.y).mean())
            if "calibrate" in name or "scikit" in name
            else float("nan")
        )
        rows.append(
            (
                name,
                f"{np.mean(found):.4f} ({min(found):.4f} to {max(found):.4f})",
                f"{spread.low:.3f} to {spread.high:.3f}",
                told(over),
                f"{error:.3f}",
                f"{seconds:.2f}",
            )
        )
    header = (
        "score",
        f"SRCC, mean of {len(SEEDS)} deals of 10 folds (least to most)",
        "95 %",
        "over the best column",
        "mean error (1-5)",
        "CPU s",
    )
    return markdown(header, rows)


def gain_table(tifa: Tifa) -> str:
    found = contributions(tifa.x, tifa.y, "linear", groups=tifa.prompts, context=tifa.context, repeats=200)
    rows = [
        (name, f"{alone.value:.3f}", f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")
        for name, alone, gain in zip(tifa.columns, found.alone, found.gain, strict=True)
        if gain is not None
    ]
    curve = learning_curve(tifa.x, tifa.y, groups=tifa.prompts, context=tifa.context)
    steps = ", ".join(f"{n}: {m:.3f}" for n, m in zip(curve.ratings, curve.mean, strict=True))
    more = curve.doubled
    return (
        markdown(("column", "alone", "what it adds to the others"), rows)
        + f"\n\nSRCC on held-back prompts by images rated: {steps}. Twice as many would bring {more.value:+.4f} "
        f"({more.low:+.4f} to {more.high:+.4f})."
    )


def generator_table(tifa: Tifa) -> str:
    score = calibrate(tifa.x, tifa.y, groups=tifa.prompts, folds=FOLDS).score
    people = rank_generators(tifa.y, tifa.makers, prompts=tifa.prompts)
    ours = rank_generators(score, tifa.makers, prompts=tifa.prompts)
    rows = []
    for i, name in enumerate(people.names):
        j = ours.names.index(name)
        rows.append(
            (
                name,
                f"{people.mean[i]:.3f} ({people.low[i]:.3f} to {people.high[i]:.3f})",
                f"{i + 1} ({people.best_rank[i]}-{people.worst_rank[i]})",
                f"{ours.mean[j]:.3f} ({ours.low[j]:.3f} to {ours.high[j]:.3f})",
                f"{j + 1} ({ours.best_rank[j]}-{ours.worst_rank[j]})",
            )
        )
    return markdown(("generator", "people", "rank", "metrics combined (no context)", "rank"), rows)


def dsg_table(likert: Path, answers: Path) -> str:
    ratings, found = read_dsg_ratings(likert), read_dsg_answers(answers)
    human = dict(zip(ratings["id"].to_pylist(), ratings["score"].to_pylist(), strict=True))
    rows = [row for row in found.to_pylist() if row["id"] in human]
    start = np.concatenate([[0], np.cumsum([len(row["right"]) for row in rows])])
    right = np.concatenate([row["right"] for row in rows])
    edges = np.array(
        [
            (child + low, parent + low)
            for low, row in zip(start, rows, strict=False)
            for child, parent in zip(row["children"], row["parents"], strict=True)
        ]
    )
    y = [human[row["id"]] for row in rows]
    means = {
        "no dependencies": np.add.reduceat(right, start[:-1]) / np.diff(start),
        "parents, as the authors' code": dsg_score(right, start, edges, rests_on="parents")[0],
        "ancestors": dsg_score(right, start, edges)[0],
        "random": np.random.default_rng(0).random(len(y)),
    }
    table = [
        (k, f"{srcc(x, y):.4f}", f"{plcc(x, y, fit=False):.4f}", f"{krcc(x, y):.4f}")
        for k, x in means.items()
    ]
    return markdown((f"{answers.stem}, {len(y)} images", "SRCC", "Pearson", "KRCC"), table)


def balance_table(folder: Path) -> str:
    import json

    entries = json.loads((folder / "tifa" / "tifa_v1.0_text_inputs.json").read_text())
    texts = [entry["caption"] for entry in entries]
    view = ArrayView(
        {
            "id": [entry["id"] for entry in entries],
            "source": [entry["id"].partition("_")[0] for entry in entries],
            "counts": [
                any(w in f" {t.lower()} " for w in (" two ", " three ", " four ", " five ")) for t in texts
            ],
            "places": [
                any(w in f" {t.lower()} " for w in (" on ", " under ", " left ", " behind ")) for t in texts
            ],
            "length": [float(len(t.split())) for t in texts],
        }
    )
    rows = []
    for solver in ("milp", "greedy"):
        start = time.process_time()
        chosen = Balanced(("source", "counts", "places", "length"), solver=solver).select(
            view, 200, np.random.default_rng(0)
        )
        rows.append((solver, f"{chosen.random['objective']:.4f}", f"{time.process_time() - start:.2f}"))
    rows.append(("random", f"{chosen.random['random']:.4f}", ""))
    return markdown((f"200 of {len(texts)} prompts, four axes", "balance (1 = even)", "CPU s"), rows)


def rule_table(tifa: Tifa, folder: Path) -> str:
    likert = read_dsg_ratings(folder / "dsg" / "tifa160-likert-anns.csv")["ratings"]
    three = read_genai_bench(folder / "t2v_metrics" / "stanfordt23d.json")["ratings"]
    sets = (
        ("TIFA, 2 raters", tifa.ratings),
        ("DSG Likert, 3-5 raters", likert),
        ("text to 3D, 3 raters", three),
    )
    rows = [(name, len(r), int(needs_more_ratings(r).sum())) for name, r in sets]
    return markdown(("ratings", "items", "range of 2 or more"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = Path(__file__).parents[1].parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CURATE_DATA", here)))
    parser.add_argument("--dsg", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")
    folder = given.data / "t2i_ratings"
    tifa = Tifa(folder, given.dsg)
    parts = [
        ("Metric columns of TIFA against people", lambda: column_table(tifa)),
        ("Who needs more ratings", lambda: rule_table(tifa, folder)),
        ("Combined and calibrated, folds by prompt", lambda: combination_table(tifa)),
        ("What each column adds (linear, generator as context)", lambda: gain_table(tifa)),
        ("Generators", lambda: generator_table(tifa)),
        ("Balanced samples of prompts", lambda: balance_table(folder)),
    ]
    if given.dsg:
        likert = folder / "dsg" / "tifa160-likert-anns.csv"
        parts.append(("DSG", lambda: dsg_table(likert, given.dsg)))
    text = ""
    for title, make in parts:
        piece = f"### {title}\n\n{make()}\n\n"
        print(piece, flush=True)
        text += piece
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
