"""`drift`: items that came together, in an order or from one source, and are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import Finding, Findings, View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import order_by_id, read_labels, read_vectors
from curate.scorers.noise.health.shift import Shift, mean_shift, order_drift, source_drift
from curate.scorers.noise.neighbours.search import nearest, usable
from curate.scorers.noise.probabilities import dictionary

__all__ = ["Drift"]

Rows = npt.NDArray[np.int64]
_SHOWN = 30


@dataclass(frozen=True)
class Drift:
    """Says whether what items are like depends on when they came or where they came from.

    `embedding`  the vector column that says what items are like.
    `order`      the column that says when they came: a number, a time, or strings in the order of their code points
                 (the default: ids, which tell the order of import where they were numbered so); empty: no order.
    `source`     a column of sources, each compared with the rest; empty: none.
    `label`      a column of labels whose shares are compared over the same stretches and sources; empty: none.
    Looks at `rows` items drawn by `seed`, `neighbours` of each, the order cut into `bins` stretches, in `permutations`
    shuffles (also from `seed`). A test counts where its p, adjusted within the test, is below `alpha`.
    """

    embedding: str = "pixel_embedding"
    order: str = "id"
    source: str = ""
    label: str = ""
    neighbours: int = 10
    bins: int = 20
    rows: int = 10_000
    permutations: int = 499
    alpha: float = 0.05
    seed: int = 0

    name: ClassVar[str] = "drift"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not (self.order or self.source):
            raise InputError("drift: name the column of an `order` or of a `source`")
        if self.neighbours < 1 or self.bins < 2 or self.rows < 3:
            raise InputError(
                f"drift: neighbours={self.neighbours}, bins={self.bins}, rows={self.rows}: at least 1, 2 and 3"
            )
        if not (self.alpha * (1 + self.permutations) > 1 and self.alpha < 1):
            raise InputError(
                f"drift: {counted(self.permutations, 'permutation gives', 'permutations give')} no p below "
                f"alpha={self.alpha}: ask for more"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        named = (self.embedding, self.order if self.order != "id" else "", self.source, self.label)
        return tuple(column for column in named if column)

    def analyse(self, view: View) -> Findings:
        """Raises InputError where fewer than three items have a usable vector."""
        order = order_by_id(view)
        rows, x = self._draw(view, order)
        index = nearest(x, min(self.neighbours, len(x) - 1), metric="cosine", backend="numpy").rows
        findings: list[Finding] = []
        said: list[str] = []
        for tell in (self._over_order, self._over_sources):
            sentence, found = tell(view, rows, x, index)
            said += [sentence] if sentence else []
            findings += found
        findings.sort(key=lambda finding: not finding.serious)
        return Findings(
            f"{'; '.join(said)} ({len(rows):,} of {counted(len(order), 'item')})", tuple(findings)
        )

    def _draw(self, view: View, order: Rows) -> tuple[Rows, npt.NDArray[Any]]:
        """Rows of the view that are looked at, in the order of ids, and their vectors."""
        good = np.flatnonzero(_usable(view, self.embedding)[order])
        if len(good) < 3:
            raise InputError(
                f"drift: {len(good)} of {counted(len(order), 'item')} have a usable {self.embedding}; it takes at "
                "least three"
            )
        if len(good) > self.rows:
            good = np.sort(np.random.default_rng(self.seed).choice(good, self.rows, replace=False))
        return order[good], read_vectors(view, self.embedding, order[good])

    def _over_order(
        self, view: View, rows: Rows, x: npt.NDArray[Any], index: Rows
    ) -> tuple[str, list[Finding]]:
        if not self.order:
            return "", []
        place = _positions(view, self.order, rows)
        known = ~np.isnan(place)
        if known.sum() < 3:
            return (
                f"{counted(known.sum(), 'item has', 'items have')} a value of {self.order}: no order to look at",
                [],
            )
        if not known.all():
            rows, x, place = rows[known], x[known], place[known]
            index = nearest(x, min(self.neighbours, len(x) - 1), metric="cosine", backend="numpy").rows
        found = order_drift(index, place, permutations=self.permutations, seed=self.seed)
        drifts = found.p < self.alpha
        said = (
            f"{'drift' if drifts else 'no drift seen'} over {self.order}: neighbours lie {found.ratio:.1%} as far "
            f"apart as in shuffled orders (p = {found.p:.3g})"
        )
        text = (
            f"Pairs of nearest neighbours lie at {found.ratio:.1%} of the distance in {self.order} that shuffled "
            f"orders give, {found.z:.1f} standard deviations below them (p = {found.p:.3g}). "
        )
        text += (
            "Items are like those that came near them: a split by position is no random split, and the later items may "
            "be another population. Look where the line leaves the band."
            if drifts
            else "That is what an order without meaning gives."
        )
        if (~known).any():
            text += f" {counted((~known).sum(), 'item is', 'items are')} left out, without a value of {self.order}."
        stretch = _stretches(place, self.bins)
        shift = mean_shift(x, stretch, permutations=self.permutations, seed=self.seed)
        names = _bounds(view, self.order, rows, place, stretch)
        text += _beyond(shift, names, self.alpha)
        findings = [Finding(f"Drift over {self.order}", text, _line(shift), "line", serious=drifts)]
        return said, findings + self._labels(view, rows, stretch, names, self.order)

    def _over_sources(
        self, view: View, rows: Rows, x: npt.NDArray[Any], index: Rows
    ) -> tuple[str, list[Finding]]:
        if not self.source:
            return "", []
        codes, names = dictionary(read_labels(view, self.source, rows))
        codes = np.where(codes >= 0, codes, len(names))  # items without a source are one of their own
        named = [*map(str, names), *(["(none)"] if (codes == len(names)).any() else [])]
        if len(named) < 2:
            return f"{self.source} has one value in all items: nothing to compare", []
        found = source_drift(index, codes, alpha=self.alpha, permutations=self.permutations, seed=self.seed)
        with np.errstate(invalid="ignore"):
            apart = np.flatnonzero(found.p < self.alpha)
        tested = int((~np.isnan(found.p)).sum())
        said = f"{len(apart)} of {counted(tested, 'value')} of {self.source} differ from the rest"
        order = sorted(range(len(named)), key=lambda i: (-(found.value[i] - found.chance[i]), named[i]))
        table = pa.table(
            {
                "source": [named[i] for i in order[:_SHOWN]],
                "own neighbours": found.value[order[:_SHOWN]],
                "by chance": found.chance[order[:_SHOWN]],
                "items": found.size[order[:_SHOWN]],
                "p": found.p[order[:_SHOWN]],
            }
        )
        text = (
            f"The share of neighbours that are of the same {self.source}, beside chance; those that stand out are taken "
            f"away one by one before the others are compared; p adjusted for {tested}. "
        )
        if len(apart):
            first = max(apart, key=lambda i: (found.value[i] - found.chance[i], named[i]))
            text += (
                f"{named[first]} stands out most: {found.value[first]:.1%} of the neighbours of its items are its own, "
                f"{found.chance[first]:.1%} by chance. Split training and test by {self.source}, and see that no source "
                "carries a class alone."
            )
        else:
            text += "None stands out."
        findings = [
            Finding(f"Differences between {self.source}", text, table, "bars", serious=bool(len(apart)))
        ]
        return said, findings + self._labels(view, rows, codes, named, self.source)

    def _labels(self, view: View, rows: Rows, groups: Rows, names: list[str], over: str) -> list[Finding]:
        """Whether the shares of the labels differ between groups."""
        if not self.label:
            return []
        labels, classes = dictionary(read_labels(view, self.label, rows))
        known = labels >= 0
        if known.sum() < 3 or len(classes) < 2:
            return []
        one_hot = np.eye(len(classes), dtype=np.float32)[labels[known]]
        found = mean_shift(one_hot, groups[known], permutations=self.permutations, seed=self.seed)
        with np.errstate(invalid="ignore"):
            apart = np.flatnonzero(found.p < self.alpha)
        order = np.argsort(-np.nan_to_num(found.value), kind="stable")[:_SHOWN]
        held = [names[i] for i in order]
        table = pa.table(
            {over: held, "shift": found.value[order], "items": found.size[order], "p": found.p[order]}
        )
        told = f", most in {names[max(apart, key=lambda i: found.value[i])]}" if len(apart) else ""
        text = (
            f"The shares of {self.label} differ from those of all items in {len(apart)} of "
            f"{counted(len(found.size), 'part')} of {over}{told} (shift: squared distance of the shares, 1 = what "
            "chance gives; p adjusted)."
        )
        return [Finding(f"Labels over {over}", text, table, "bars", serious=bool(len(apart)))]


def _usable(view: View, column: str) -> npt.NDArray[np.bool_]:
    good = ~np.asarray(view.to_arrow([column]).column(0).is_null())
    at = 0
    for piece in view.vectors(column).chunks():
        good[at : at + len(piece)] &= usable(piece.astype(np.float32, copy=False))
        at += len(piece)
    return good


def _positions(view: View, column: str, rows: Rows) -> npt.NDArray[np.float64]:
    """Places in the order of a column, equal values sharing one; NaN where null."""
    import polars as pl

    values = view.take(rows, [column]).column(column)
    if pa.types.is_nested(values.type):
        raise InputError(f"drift: {column!r} is {values.type}, and an order is of numbers, times or strings")
    series = pl.Series("order", values)
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.dtype == pl.Null:
        return np.full(len(rows), np.nan)
    return series.rank("average").cast(pl.Float64).to_numpy()


def _stretches(place: npt.NDArray[np.float64], bins: int) -> Rows:
    """Consecutive stretches of about equally many items, at least five each; equal places stay together."""
    count = max(min(bins, len(place) // 5), 1)
    stretch = ((place - 1) / len(place) * count).astype(np.int64)
    return np.unique(stretch, return_inverse=True)[1].astype(np.int64)


def _bounds(view: View, column: str, rows: Rows, place: npt.NDArray[np.float64], stretch: Rows) -> list[str]:
    """The first and the last value of each stretch."""
    order = np.lexsort((place, stretch))
    firsts = np.flatnonzero(np.diff(stretch[order], prepend=-1))
    lasts = np.append(firsts[1:], len(order)) - 1
    ends = [_short(view.take(rows[order[at]], [column]).column(column)) for at in (firsts, lasts)]
    return [f"{first} to {last}" for first, last in zip(*ends, strict=True)]


def _short(values: pa.ChunkedArray) -> list[str]:
    if pa.types.is_floating(values.type):
        return [f"{value:.6g}" for value in values.to_pylist()]
    return [str(value) for value in values.cast(pa.string()).to_pylist()]


def _line(shift: Shift) -> pa.Table:
    stretch = np.arange(1, len(shift.value) + 1)
    low = np.zeros(len(shift.value))
    return pa.table({"stretch": stretch, "shift": shift.value, "low": low, "high": shift.limit})


def _beyond(shift: Shift, names: list[str], alpha: float) -> str:
    """Which stretches differ, the three that differ most by name."""
    with np.errstate(invalid="ignore"):
        apart = np.flatnonzero(shift.p < alpha)
    if not len(apart):
        return (
            f" The mean of none of {counted(len(names), 'stretch', 'stretches')} is further off than chance."
        )
    most = apart[np.argsort(-shift.value[apart], kind="stable")[:3]]
    told = "; ".join(f"{i + 1} ({names[i]}): {shift.value[i]:.0f} times" for i in most)
    return (
        f" The means of {len(apart)} of {counted(len(names), 'stretch', 'stretches')} are off by more than the band "
        f"allows, in squared distance as a multiple of chance: {told}."
    )
