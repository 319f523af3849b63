"""Numbers of a comparison by task, seed, budget and method: kept as they come, so that a run goes on where it ended; told with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from _measure import markdown
from scipy.stats import t as student

Array = npt.NDArray[Any]
Key = tuple[str, int, float, str]
WHOLE = "the whole pool"


class Cells:
    """A file of lines of JSON, one for each (task, seed, budget, method) and what was seen there.

    Whoever changes what is measured begins a new file: lines do not know of which code they are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: dict[Key, dict[str, float]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            *key, found = json.loads(line)
            self.seen[key[0], key[1], key[2], key[3]] = found

    def add(self, key: Key, **found: float) -> None:
        self.seen[key] = found
        with self.path.open("a") as file:
            file.write(json.dumps([*key, found]) + "\n")

    def missing(self, task: str, seed: int, budget: float, methods: Sequence[str]) -> list[str]:
        return [name for name in methods if (task, seed, budget, name) not in self.seen]


class Report(NamedTuple):
    """What is told of one task: `scale` makes points of the numbers, `lower` says that lower is better."""

    cells: Cells
    task: str
    seeds: int
    budgets: Sequence[float]
    scale: float = 100.0
    digits: int = 1
    lower: bool = False

    def series(self, budget: float, name: str, what: str = "value") -> Array:
        """By seed."""
        return np.array(
            [self.cells.seen[self.task, seed, budget, name][what] for seed in range(self.seeds)], np.float64
        )

    def told(self, values: Array, sign: str = "") -> str:
        return f"{self.scale * values.mean():{sign}.{self.digits}f} ± {self.scale * interval(values):.{self.digits}f}"

    def gains(self, budget: float, name: str, rival: Array) -> Array:
        """By how much a method is better than a rival, paired by seed."""
        return (rival - self.series(budget, name)) * (1 if self.lower else -1)


def interval(values: Array) -> float:
    """Half the width of the 95 % interval of the mean (Student)."""
    n = len(values)
    return float(student.ppf(0.975, n - 1) * values.std(ddof=1) / n**0.5) if n > 1 else 0.0


def table(report: Report, methods: Sequence[str], what: str) -> str:
    """A row for each method: the mean and its interval at each budget, and the share of kin at the first."""
    first = report.budgets[0]
    head = (what, *(f"{b:.1%}" for b in report.budgets), f"kin at {first:.1%}")
    rows = []
    for name in methods:
        cells = [report.told(report.series(b, name)) for b in report.budgets]
        rows.append((name, *cells, f"{report.series(first, name, 'kin').mean():.0%}"))
    return markdown(head, rows)


def leads(report: Report, ours: Sequence[str], rivals: Mapping[str, Sequence[str]]) -> str:
    """How far each of ours is above the rivals of a name, whichever turned out best at that budget; paired by seed."""
    rows = []
    for called, names in rivals.items():
        best = {b: max(names, key=lambda name, b=b: _good(report, b, name)) for b in report.budgets}
        for name in ours:
            gains = [report.gains(b, name, report.series(b, rival)) for b, rival in best.items()]
            rows.append((name, called, *(report.told(gain, sign="+") for gain in gains)))
    return markdown(("paired difference, + is better", "to", *(f"{b:.1%}" for b in report.budgets)), rows)


def reaches(report: Report, methods: Sequence[str]) -> str:
    """From which budget on each method is as good as everything, in the mean and within the interval of the difference."""
    whole, rows = report.series(1.0, WHOLE), []
    for name in methods:
        beyond = {b: report.gains(b, name, whole) for b in report.budgets}
        reached = [f"{b:.1%}" for b, gain in beyond.items() if gain.mean() >= 0]
        level = [f"{b:.1%}" for b, gain in beyond.items() if gain.mean() + interval(gain) >= 0]
        rows.append((name, *(found[0] if found else "none of these" for found in (reached, level))))
    return markdown(
        ("smallest budget", "whose mean reaches the whole pool's", "without a loss beyond the interval"), rows
    )


def _good(report: Report, budget: float, name: str) -> float:
    return float(report.series(budget, name).mean()) * (-1 if report.lower else 1)
