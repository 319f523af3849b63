"""The same small model trained on several selections over several seeds: accuracy against budget, with intervals.

    trained = compare({"k-center": {100: chosen}, "herding": {100: other}}, train, n=5000)
    print(trained.summary)

`curate.compare` is this function with a result that draws itself; `Store.compare` makes the selections as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_array, as_rows
from curate.contracts import Finding, Findings, Selection
from curate.counting import counted
from curate.errors import InputError, require

__all__ = [
    "Choice",
    "Model",
    "Train",
    "Trial",
    "classifier",
    "compare_selections",
    "findings_of",
    "run_trials",
    "tabulate",
]

Ints = npt.NDArray[np.int64]
Train = Callable[[Ints, "npt.NDArray[np.float32] | None", int], float]
"""(rows, their weights or None for all 1, seed) -> accuracy, higher = better."""

Choice = Selection | Callable[[np.random.Generator], Selection]
"""A selection, or what makes one anew for each seed."""

Model = Literal["logistic-regression", "mlp"]


@dataclass(frozen=True)
class Trial:
    """One training: by which `selector`, for which `budget` (as asked: a count, a share, a number of classes), on how many
    `items`, with which `seed`, to what `accuracy`; `seconds` for choosing and training."""

    selector: str
    budget: float
    items: int
    seed: int
    accuracy: float
    seconds: float


def compare_selections(
    selections: Mapping[str, Mapping[float, Choice] | Choice],
    train: Train,
    *,
    n: int | None = None,
    seeds: int = 5,
    level: float = 0.95,
    whole: bool = True,
) -> Findings:
    """Train on every selection with every seed and say which beat random, by how much, and how surely.

    `selections`: by the name of its selector, a selection for each budget, or one alone; where a function (generator) ->
    Selection stands for one, each seed has its own. `n`: how many rows there are to choose from. With it, "random"
    is added, as many rows drawn anew for each seed, and, if `whole`, "everything"; a selector called "random" of
    your own (whole classes, say) is taken in place. `level` of the intervals, which are Student's over seeds; the gain
    over random is paired by seed. Raises InputError for fewer than two seeds, no selection, empty ones or accuracies that
    are not finite.
    """
    if seeds < 2:
        raise InputError(f"seeds={seeds}: an interval needs at least two")
    if not 0 < level < 1:
        raise InputError(f"level={level}: between 0 and 1")
    trials = run_trials(_per_budget(selections, n, whole), train, range(seeds))
    return findings_of(trials, level)


def _per_budget(
    selections: Mapping[str, Mapping[float, Choice] | Choice], n: int | None, whole: bool
) -> dict[str, dict[float, Choice]]:
    asked: dict[str, dict[float, Choice]] = {}
    for name, given in selections.items():
        if isinstance(given, Mapping):
            asked[name] = {float(budget): choice for budget, choice in given.items()}
        else:
            asked[name] = {float(len(given)) if isinstance(given, Selection) else 1.0: given}
    if not any(asked.values()):
        raise InputError("there is nothing to compare: give at least one selection")
    if n is not None and "random" not in asked:
        sizes: dict[float, int] = {}
        for choices in asked.values():
            for budget, choice in choices.items():
                sizes.setdefault(budget, len(_made(choice, 0)))
        asked["random"] = {budget: _at_random(n, size) for budget, size in sizes.items()}
    if n is not None and whole and "everything" not in asked:
        most = max(max(choices, default=0.0) for choices in asked.values())
        asked["everything"] = {max(float(n), most) if most > 1 else 1.0: Selection(np.arange(n))}
    return asked


def _at_random(n: int, size: int) -> Choice:
    return lambda rng: Selection(np.sort(rng.permutation(n)[:size]).astype(np.int64))


def _made(choice: Choice, seed: int) -> Selection:
    made = choice if isinstance(choice, Selection) else choice(np.random.default_rng([seed, 77]))
    if not len(made):
        raise InputError("a selection is empty: nothing can be trained on it")
    return made


def run_trials(
    selections: Mapping[str, Mapping[float, Choice]], train: Train, seeds: Sequence[int] | range
) -> list[Trial]:
    """Every selection with every seed, one training each, in the order given."""
    trials = []
    for name, choices in selections.items():
        for budget, choice in choices.items():
            for seed in seeds:
                start = time.perf_counter()
                made = _made(choice, seed)
                accuracy = float(train(made.index, made.weight, seed))
                if not np.isfinite(accuracy):
                    raise InputError(f"{name} at {budget:g}, seed {seed}: accuracy {accuracy} is no number")
                trials.append(Trial(name, budget, len(made), seed, accuracy, time.perf_counter() - start))
    return trials


# --- What the trainings say -----------------------------------------------------------------------------------------


def tabulate(trials: Sequence[Trial], level: float = 0.95) -> pa.Table:
    """A row for each selector and budget: mean accuracy and its interval, the gain over random and its, mean seconds."""
    by: dict[tuple[str, float], dict[int, Trial]] = {}
    for trial in trials:
        by.setdefault((trial.selector, trial.budget), {})[trial.seed] = trial
    rows = []
    for (name, budget), runs in by.items():
        mean, low, high = _interval([t.accuracy for t in runs.values()], level)
        rival = by.get(("random", budget), {})
        paired = [runs[s].accuracy - rival[s].accuracy for s in runs if s in rival]
        gain = _interval(paired, level) if name != "random" and len(paired) > 1 else (None, None, None)
        items = float(np.mean([t.items for t in runs.values()]))
        seconds = float(np.mean([t.seconds for t in runs.values()]))
        rows.append((name, budget, round(items), len(runs), mean, low, high, *gain, seconds))
    names = [
        "selector",
        "budget",
        "items",
        "seeds",
        "accuracy",
        "low",
        "high",
        "gain",
        "gain_low",
        "gain_high",
        "seconds",
    ]
    types = [pa.string(), pa.float64(), pa.int64(), pa.int64(), *[pa.float64()] * 7]
    columns = [pa.array([row[i] for row in rows], type_) for i, type_ in enumerate(types)]
    return pa.Table.from_arrays(columns, names=names)


def _interval(values: Sequence[float], level: float) -> tuple[float, float, float]:
    """Mean and Student's interval around it."""
    stats: Any = require("scipy.stats", "noise")
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, mean, mean
    half = float(
        stats.t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    )
    return mean, mean - half, mean + half


def findings_of(trials: Sequence[Trial], level: float = 0.95) -> Findings:
    """The curve, the table, and the smallest budget that does as well as everything, as an analysis says it."""
    table = tabulate(trials, level)
    rows = table.to_pylist()
    better = [
        r for r in rows if r["gain_low"] is not None and r["gain_low"] > 0 and r["selector"] != "everything"
    ]
    worse = [r for r in rows if r["gain_high"] is not None and r["gain_high"] < 0]
    tried = [r for r in rows if r["gain"] is not None and r["selector"] != "everything"]
    best = max(tried, key=lambda r: r["gain"], default=None)
    summary = (
        f"{counted(len({t.selector for t in trials}), 'way')} to choose, "
        f"{counted(len({t.seed for t in trials}), 'seed')} each: {len(better)} of {counted(len(tried), 'selection')} "
        f"are above random beyond the interval, {len(worse)} below"
    )
    if best is not None:
        summary += f"; the largest gain is {best['selector']} at {best['budget']:.4g}: {best['gain']:+.2%}"
    found = [
        Finding("Accuracy against budget", _told(better, worse, level), _curve(rows), "line"),
        Finding(
            "All selections",
            f"Means over seeds with {level:.0%} intervals; the gain over random is paired by seed.",
            table,
        ),
    ]
    enough = _enough(rows)
    return Findings(summary + ".", (*found, *enough))


def _told(better: list[dict[str, Any]], worse: list[dict[str, Any]], level: float) -> str:
    def listed(rows: list[dict[str, Any]]) -> str:
        return ", ".join(
            f"{r['selector']} at {r['budget']:.4g} ({r['gain']:+.2%}, {r['gain_low']:+.2%} to {r['gain_high']:+.2%})"
            for r in rows
        )

    text = f"Above random beyond the {level:.0%} interval: {listed(better) or 'none'}."
    if worse:
        text += f" Below it: {listed(worse)}."
    return text + " The band is random's interval, a bar another's."


def _curve(rows: list[dict[str, Any]]) -> pa.Table:
    """Budgets in the first column, a line for each selector, random's interval as the band, and the others'."""
    shown = [r for r in rows if r["selector"] != "everything"]
    budgets = sorted({r["budget"] for r in shown})
    names = list(dict.fromkeys(r["selector"] for r in shown))
    at = {(r["selector"], r["budget"]): r for r in shown}
    lines = {"budget": pa.array(budgets, pa.float64())}
    for name in names:
        lines[name] = pa.array([at.get((name, b), {}).get("accuracy") for b in budgets], pa.float64())
    for name in sorted(names, key=lambda name: name != "random"):
        for end in ("low", "high"):
            values = pa.array([at.get((name, b), {}).get(end) for b in budgets], pa.float64())
            lines[end if name == "random" else f"{name} {end}"] = values
    return pa.table(lines)


def _enough(rows: list[dict[str, Any]]) -> list[Finding]:
    """The smallest budget of each selector whose interval reaches the mean accuracy of training on everything."""
    whole = next((r for r in rows if r["selector"] == "everything"), None)
    if whole is None:
        return []
    names, budgets, values, reaching = [], [], [], []
    for name in dict.fromkeys(r["selector"] for r in rows if r["selector"] != "everything"):
        reached = [r for r in rows if r["selector"] == name and r["high"] >= whole["accuracy"]]
        first = min(reached, key=lambda r: r["budget"], default=None)
        names.append(name)
        budgets.append(first["budget"] if first else None)
        values.append(first["accuracy"] if first else None)
        reaching += [f"{name} at {first['budget']:.4g}"] if first else []
    text = f"Everything reaches {whole['accuracy']:.2%} ({whole['low']:.2%} to {whole['high']:.2%})"
    text += f"; as much is within the interval of {', '.join(reaching) or 'none'}."
    table = pa.table(
        {
            "selector": names,
            "smallest budget": pa.array(budgets, pa.float64()),
            "accuracy": pa.array(values, pa.float64()),
        }
    )
    return [Finding("The smallest budget whose interval reaches that of everything", text, table)]


# --- The small model ------------------------------------------------------------------------------------------------


def classifier(
    x: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    test_x: npt.NDArray[Any],
    test_labels: npt.NDArray[Any],
    *,
    model: Model = "logistic-regression",
) -> Train:
    """A `train` for `compare`: a scikit-learn `model` on vectors `x` (n, d), its accuracy on `test_x` (m, d).

    Features are standardised by what is trained on. "mlp": one layer of 64. The test items are drawn with replacement
    for each seed, the same for all selections, so that the intervals hold for other test items, too. Where the rows chosen
    are of one class, that is what is predicted. Raises InputError for vectors not finite or lengths that differ.
    """
    x, test_x = as_rows(x), as_rows(test_x, "test_x")
    labels, test_labels = as_array(labels, "labels"), as_array(test_labels, "test_labels")
    for name, vectors, given in (("x", x, labels), ("test_x", test_x, test_labels)):
        if len(vectors) != len(given) or not len(given):
            raise InputError(
                f"{name} has shape {vectors.shape} for {counted(len(given), 'label')}: (n, d) and (n,) are meant"
            )
        if not np.isfinite(vectors).all():
            bad = np.flatnonzero(~np.isfinite(vectors).all(1))
            raise InputError(
                f"{name} is not finite in {counted(len(bad), 'row')}, as {bad[:5].tolist()}: leave those out"
            )
    if model not in ("logistic-regression", "mlp"):
        raise InputError(f"model={model!r}: logistic-regression or mlp")

    def train(rows: Ints, weights: npt.NDArray[np.float32] | None, seed: int) -> float:
        drawn = np.random.default_rng([seed, 99]).integers(0, len(test_labels), len(test_labels))
        own = labels[rows]
        if (own == own[0]).all():
            return float((test_labels[drawn] == own[0]).mean())
        mean, scale = x[rows].mean(0), np.maximum(x[rows].std(0), 1e-6)
        fitted = _fit((x[rows] - mean) / scale, own, weights, model, seed)
        return float((fitted.predict((test_x - mean) / scale)[drawn] == test_labels[drawn]).mean())

    return train


def _fit(x: Any, labels: Any, weights: Any, model: Model, seed: int) -> Any:
    import warnings

    if model == "logistic-regression":
        linear: Any = require("sklearn.linear_model", "noise")
        fresh = linear.LogisticRegression(max_iter=300)
    else:
        neural: Any = require("sklearn.neural_network", "noise")
        fresh = neural.MLPClassifier(64, max_iter=100, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged within the rounds given: the same for every selection
        return fresh.fit(x, labels, sample_weight=weights)
