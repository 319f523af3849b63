"""`score-contributions`: what each score brings to a combination of them, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import order_by_id
from curate.scorers.combine.growth import learning_curve
from curate.scorers.combine.leave_one_out import (
    LEARNING,
    Contributions,
    Method,
    Part,
    contributions,
    correlations,
)
from curate.scorers.combine.reading import (
    check_columns,
    needed,
    read_context,
    read_groups,
    read_scores,
    read_truth,
)

__all__ = ["ScoreContributions"]

_PAYS = 0.005
"""A rise of SRCC by less is not worth twice the work."""


@dataclass(frozen=True)
class ScoreContributions:
    """Says what each score column brings to their combination, measured on trusted answers, with intervals.

    `columns`, `method`, `truth`, `groups`, `context`, `folds` and `seed` are those of the scorer `combine`; `truth` is
    required here. With `groups` whole groups are resampled.
    `metric` is "AP" (of finding the items answered no), "AUROC" or "SRCC"; empty: AP for yes or no, SRCC for numbers.
    Intervals come from `repeats` resamplings of the items with an answer.
    `curve` also learns from ever more of the answers, and says what twice as many would bring; for methods that learn.
    """

    columns: tuple[str, ...]
    truth: str
    method: Method = "rank-mean"
    metric: str = ""
    groups: str = ""
    context: tuple[str, ...] = ()
    curve: bool = False
    folds: int = 5
    repeats: int = 400
    seed: int = 0

    name: ClassVar[str] = "score-contributions"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_columns(self.name, self.columns)
        if not self.truth:
            raise InputError("score-contributions: name the column of answers as `truth`")
        if self.method not in LEARNING and self.curve:
            raise InputError(
                f"score-contributions: {self.method} learns nothing, so it has no learning curve"
            )
        if self.context and self.method not in LEARNING[1:]:
            raise InputError(f"score-contributions: context is for {', '.join(LEARNING[1:])}")
        if self.folds < 2 or self.repeats < 20:
            raise InputError(
                f"score-contributions: folds={self.folds}, repeats={self.repeats}: at least 2 and 20"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        groups = (self.groups,) if self.groups else ()
        return tuple(dict.fromkeys((*needed((*self.columns, self.truth, *self.context)), *groups)))

    def analyse(self, view: View) -> Findings:
        """Raises InputError where no item has an answer, or all answers are equal."""
        order = order_by_id(view)
        scores, truth = read_scores(view, self.columns, order), read_truth(view, self.truth, order)
        options: dict[str, Any] = {"groups": read_groups(view, self.groups, order), "seed": self.seed}
        options["context"] = read_context(view, self.context, order)[0]
        given: dict[str, Any] = {"folds": self.folds, "repeats": self.repeats, "metric": self.metric}
        found = contributions(scores, truth, self.method, **given, **options)
        summary = (
            f"{self.method} of {counted(len(self.columns), 'column')} reaches {found.metric} {_told(found.combined)} "
            f"on {counted(found.items, 'answer')}; the best column alone ({self.columns[found.best]}) "
            f"{found.alone[found.best].value:.3f}, random {found.random:.3f}"
        )
        findings = [self._overall(found), *self._columns(found), *self._correlations(scores)]
        if self.curve:
            findings.append(self._growth(scores, truth, options))
        return Findings(summary, tuple(sorted(findings, key=lambda finding: not finding.serious)))

    def _overall(self, found: Contributions) -> Finding:
        over = found.over_best
        text = (
            f"{found.metric} of the combination minus that of {self.columns[found.best]}, the best single column: "
            f"{over.value:+.3f} (95 % interval {over.low:+.3f} to {over.high:+.3f}, on the same resamplings). "
        )
        worse = over.high < 0
        if worse:
            text += "The combination is worse than that column: use the column, or learn the weights."
        elif over.low <= 0:
            text += "No difference that these answers could show."
        names = ["combined", *self.columns, "random"]
        chance = Part(found.random, found.random, found.random)
        parts = [found.combined, *found.alone, chance]
        table = pa.table({"score": pa.array(names, pa.string()), **_parts(found.metric, parts)})
        return Finding("Combined, and each column alone", text.strip(), table, "bars", serious=worse)

    def _columns(self, found: Contributions) -> tuple[Finding, ...]:
        gains = [gain for gain in found.gain if gain is not None]
        if not gains:
            return ()
        order = sorted(range(len(gains)), key=lambda i: (-gains[i].value, self.columns[i]))
        harmful = [self.columns[i] for i in order if gains[i].high < 0]
        idle = [self.columns[i] for i in order if gains[i].low <= 0 <= gains[i].high]
        table = pa.table(
            {
                "column": pa.array([self.columns[i] for i in order], pa.string()),
                **_parts("gain", [gains[i] for i in order]),
                "without": [part.value for i in order if (part := found.without[i]) is not None],
            }
        )
        text = (
            f"{found.metric} of all columns minus that of all others ({self.method}). {self.columns[order[0]]} brings "
            f"most: {_told(gains[order[0]])}."
        )
        if harmful:
            text += f" Better without: {', '.join(harmful)}."
        if idle:
            text += f" No contribution that these answers could show: {', '.join(idle)}."
        return (Finding("What each column brings", text, table, "bars", serious=bool(harmful)),)

    def _growth(self, scores: npt.NDArray[Any], truth: npt.NDArray[Any], options: dict[str, Any]) -> Finding:
        found = learning_curve(scores, truth, self.method, **options)
        more = found.doubled
        pays = (
            "More answers would hardly pay."
            if more.high < _PAYS
            else "Whether more would pay these cannot tell."
        )
        pays = "More answers would pay." if more.low > _PAYS else pays
        text = (
            f"SRCC with held-back answers, learned from ever more: {found.mean[-1]:.3f} from {found.at:,} (the band holds "
            f"95 % of the splits). Twice as many would bring {_told(more)} more, if the curve goes on as it came. {pays}"
        )
        columns = {"answers": found.ratings, "SRCC": found.mean, "low": found.low, "high": found.high}
        return Finding("What more answers would bring", text, pa.table(columns), "line")

    def _correlations(self, scores: npt.NDArray[Any]) -> tuple[Finding, ...]:
        if len(self.columns) < 2:
            return ()
        found = correlations(scores)
        off = np.nan_to_num(np.where(np.eye(len(found), dtype=bool), np.nan, np.abs(found)))
        i, j = (int(k) for k in np.unravel_index(off.argmax(), off.shape))
        i, j = min(i, j), max(i, j)
        rows = [pa.array(column, from_pandas=True) for column in found.T]
        table = pa.table([pa.array(self.columns, pa.string()), *rows], ["column", *self.columns])
        text = (
            f"Rank correlations over all items with both values. {self.columns[i]} and {self.columns[j]} say most alike: "
            f"{found[i, j]:.2f}. Columns near 1 add little to one another, and weigh double in a mean."
        )
        return (Finding("How far the columns say the same", text, table, "matrix"),)


def _told(part: Part) -> str:
    return f"{part.value:.3f} ({part.low:.3f} to {part.high:.3f})"


def _parts(name: str, parts: list[Part]) -> dict[str, pa.Array]:
    columns = zip(*parts, strict=True)
    return {
        label: pa.array(values, pa.float64(), from_pandas=True)
        for label, values in zip((name, "low", "high"), columns, strict=True)
    }
