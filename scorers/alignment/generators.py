"""Generators ranked by a score of what they made, with intervals and what the difference of two of them proves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_floats
from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import columns_of, numbers, order_by_id, read_labels

__all__ = ["GeneratorRanking", "Ranking", "rank_generators"]

Floats = npt.NDArray[np.float64]
_BLOCK = 1 << 22


class Ranking(NamedTuple):
    """Best first. `names`, `mean`, `low`, `high` (k,): mean score and its 95 % interval; `items` how many of each;
    `best_rank`, `worst_rank` (k,) the 95 % interval of the rank, from 1; `better` (k, k): of the resamplings, the share
    in which the row's generator is above the column's; `p` (k, k): two-sided bootstrap p-values, adjusted by Holm for
    the number of pairs."""

    names: tuple[str, ...]
    mean: Floats
    low: Floats
    high: Floats
    items: npt.NDArray[np.int64]
    best_rank: npt.NDArray[np.int64]
    worst_rank: npt.NDArray[np.int64]
    better: Floats
    p: Floats


def rank_generators(
    scores: Any, generators: Any, *, prompts: Any = None, resamples: int = 2000, seed: int = 0
) -> Ranking:
    """Rank generators by the mean of their items' scores.

    `scores` (n,) numbers, higher = better, NaN where an item has none (left out); `generators` (n,) names. `prompts`
    (n,): prompts are resampled whole, so that generators shown the same prompts are compared on the same ones; without
    it each generator's items are resampled by themselves. Ties of the mean go by name.
    Raises InputError for fewer than two generators, or lengths that differ.
    """
    values, who = as_floats(scores, "scores"), np.asarray(generators).astype(str)
    if values.ndim != 1 or values.shape != who.shape or (prompts is not None and len(prompts) != len(values)):
        raise InputError(f"{values.shape} scores, {who.shape} generators: one of each for an item")
    if resamples < 20:
        raise InputError(f"resamples={resamples}: an interval takes at least 20")
    known = np.isfinite(values)
    values, who = values[known], who[known]
    names, code = np.unique(who, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            f"{counted(len(names), 'generator has', 'generators have')} a score: a ranking takes two"
        )
    rng = np.random.default_rng(seed)
    if prompts is None:
        drawn = _resample_items(values, code, resamples, rng)
    else:
        group = np.unique(np.asarray(prompts)[known], return_inverse=True)[1]
        drawn = _resample_prompts(values, code, group, resamples, rng)
    count = np.bincount(code)
    mean = np.bincount(code, values) / count
    order = np.lexsort((names, -mean))
    return _ranking([str(names[i]) for i in order], mean[order], count[order], drawn[:, order])


def _resample_items(
    values: Floats, code: npt.NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> Floats:
    drawn = np.empty((resamples, int(code.max()) + 1))
    for k in range(drawn.shape[1]):
        own = values[code == k]
        block = max(1, _BLOCK // len(own))
        for low in range(0, resamples, block):
            size = min(block, resamples - low)
            drawn[low : low + size, k] = own[rng.integers(0, len(own), (size, len(own)))].mean(1)
    return drawn


def _resample_prompts(
    values: Floats,
    code: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    shape = (int(group.max()) + 1, int(code.max()) + 1)
    cell = group * shape[1] + code
    total = np.bincount(cell, values, shape[0] * shape[1]).reshape(shape)
    count = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    drawn = np.empty((resamples, shape[1]))
    block = max(1, _BLOCK // shape[0])
    for low in range(0, resamples, block):
        size = min(block, resamples - low)
        times = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn[low : low + size] = (times @ total) / (times @ count)
    return drawn


def _ranking(names: list[str], mean: Floats, count: npt.NDArray[np.int64], drawn: Floats) -> Ranking:
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    filled = np.where(np.isnan(drawn), -np.inf, drawn)  # no item of it was drawn
    ranks = np.argsort(np.argsort(-filled, axis=1, kind="stable"), axis=1, kind="stable") + 1
    best, worst = np.quantile(ranks, [0.025, 0.975], axis=0, method="nearest").astype(np.int64)
    k, resamples = len(names), len(drawn)
    better = np.zeros((k, k))
    for i in range(k):
        better[i] = ((drawn[:, [i]] > drawn).sum(0) + 0.5 * (drawn[:, [i]] == drawn).sum(0)) / resamples
    upper = np.triu_indices(k, 1)
    tail = np.minimum(better, 1 - better)[upper]
    raw = np.minimum(1.0, 2 * (tail * resamples + 1) / (resamples + 1))
    p = np.ones((k, k))
    p[upper] = _holm(raw)
    p = np.minimum(p, p.T)
    return Ranking(tuple(names), mean, low, high, count, best, worst, better, p)


def _holm(p: Floats) -> Floats:
    """Adjusted by Holm's step-down: any of them below 0.05 is so with 95 % confidence over all of them."""
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(np.minimum(1.0, p[order] * (len(p) - np.arange(len(p)))))
    back = np.empty(len(p))
    back[order] = adjusted
    return back


@dataclass(frozen=True)
class GeneratorRanking:
    """Ranks the generators of a data set by a score of their items, with intervals, and says which differences hold.

    `by`         a score column or an expression, higher = better.
    `generator`  the column that says which model made an item.
    `prompt`     the column of prompts (empty: none): prompts are then resampled whole, so that comparisons are paired.
    `resamples`, `seed`  of the bootstrap.
    """

    by: str
    generator: str
    prompt: str = ""
    resamples: int = 2000
    seed: int = 0

    name: ClassVar[str] = "generator-ranking"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.resamples < 20:
            raise InputError(f"generator-ranking: resamples={self.resamples}: at least 20")

    @property
    def needs(self) -> tuple[str, ...]:
        own = (self.generator, self.prompt) if self.prompt else (self.generator,)
        return tuple(dict.fromkeys((*columns_of(self.by), *own)))

    def analyse(self, view: View) -> Findings:
        """Raises InputError where fewer than two generators have a score."""
        order = order_by_id(view)
        values = numbers(view.compute(self.by), self.by)[order].astype(np.float64)
        who = read_labels(view, self.generator, order)
        values[np.asarray(who.is_null())] = np.nan
        names = np.asarray(who.fill_null("").to_pylist(), np.str_)
        prompts = None
        if self.prompt:
            prompts = np.asarray(read_labels(view, self.prompt, order).fill_null("").to_pylist(), np.str_)
        found = rank_generators(values, names, prompts=prompts, resamples=self.resamples, seed=self.seed)
        first, second = found.names[:2]
        lead = found.mean[0] - found.mean[1]
        held = "holds" if found.p[0, 1] < 0.05 else "is no more than chance could make"
        summary = (
            f"{first} comes first of {counted(len(found.names), 'generator')} by {self.by} ({found.mean[0]:.3f}), "
            f"{lead:.3f} before {second}; that lead {held} (p {found.p[0, 1]:.3f})"
        )
        return Findings(summary, (self._means(found), self._pairs(found)))

    def _means(self, found: Ranking) -> Finding:
        table = pa.table(
            {
                "generator": found.names,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "best_rank": found.best_rank,
                "worst_rank": found.worst_rank,
                "items": found.items,
            }
        )
        unit = "prompts" if self.prompt else "items"
        text = (
            f"Mean {self.by} with 95 % intervals from {counted(self.resamples, 'resampling')} of {unit}; `best_rank` "
            "to `worst_rank` is where a generator may stand."
        )
        return Finding("Generators by mean score", text, table, "bars")

    def _pairs(self, found: Ranking) -> Finding:
        k = len(found.names)
        apart = int((found.p[np.triu_indices(k, 1)] < 0.05).sum())
        columns = [pa.array(found.names), *(pa.array(column) for column in found.better.T)]
        text = (
            f"The share of resamplings in which the row is above the column. {apart} of "
            f"{counted(k * (k - 1) // 2, 'pair')} differ with 95 % confidence over all pairs (Holm)."
        )
        return Finding(
            "Who is better than whom", text, pa.table(columns, ["generator", *found.names]), "matrix"
        )
