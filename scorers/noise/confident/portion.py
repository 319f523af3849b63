"""What confident learning asks of some of the rows, round by round: they are read in batches and stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.arrays.conversion import as_array, as_numbers
from curate.arrays.distributions import in_floats
from curate.arrays.labels import as_codes
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.confident.filters import Filter, agrees
from curate.scorers.noise.confident.joint import Thresholds, count_pairs, guess_labels
from curate.scorers.noise.confident.quality import Method, label_quality
from curate.scorers.noise.probabilities import keys_of

__all__ = ["Above", "Batches", "Cells", "Options", "Portion"]

Batch = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]
Batches = Callable[[], Iterable[Batch]]
"""Called once for each pass; gives (probabilities (b, k), labels (b,)) in the same order every time."""
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Options:
    """`filter_by` decides which labels are flagged, `method` how they are scored, `adjusted` by probabilities from which
    the class thresholds are subtracted."""

    filter_by: Filter = "prune_by_noise_rate"
    method: Method = "self_confidence"
    adjusted: bool = False


class Cells(NamedTuple):
    """Pairs of a `given` and another class `other` (c,), sorted by the former, and how many items to choose of each:
    `wanted` (c,), at least one."""

    given: npt.NDArray[np.int64]
    other: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]


class Above(NamedTuple):
    """Candidates (m,): which cell each is of, which row of the portion, and by how much the other class exceeds the given."""

    cell: npt.NDArray[np.int32]
    row: npt.NDArray[np.int32]
    margin: Floats


@dataclass(eq=False)
class _Judged:
    """What is kept of each row."""

    quality: Floats
    predicted: npt.NDArray[np.int32]
    top: npt.NDArray[np.float32]
    own: Floats
    labels: npt.NDArray[np.int32]
    margin: Floats
    agrees: npt.NDArray[np.bool_]
    off: npt.NDArray[np.bool_]


class Portion:
    """Some rows, in batches. `judge` comes before what follows it; each answers from all of the rows."""

    def __init__(self, batches: Batches, options: Options) -> None:
        self.batches, self.options = batches, options
        self.judged: _Judged | None = None

    @property
    def found(self) -> _Judged:
        """What `judge` found."""
        if self.judged is None:
            raise RuntimeError("asked before it was told to judge")
        return self.judged

    def sums(self) -> Thresholds | None:
        """Sums of the probabilities of given labels; None for no rows."""
        thresholds = None
        for probs, labels in self._checked():
            thresholds = thresholds or Thresholds(probs.shape[1])
            if probs.shape[1] != len(thresholds.counts):
                raise InputError(
                    f"a batch has {counted(probs.shape[1], 'class', 'classes')}, one before it {len(thresholds.counts)}"
                )
            thresholds.add(probs, labels)
        return thresholds

    def judge(self, thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Look at each row by the thresholds of all; gives the counts of given and guessed labels (k, k)."""
        classes = len(thresholds)
        joint = np.zeros((classes, classes), np.int64)
        parts: list[tuple[npt.NDArray[Any], ...]] = []
        for probs, labels in self._checked(classes):
            guess, predicted, row = guess_labels(probs, thresholds), probs.argmax(1), np.arange(len(labels))
            joint += count_pairs(labels, guess, classes)
            own = probs[row, labels]
            lowest = self.options.filter_by == "low_normalized_margin"
            margin = label_quality(probs, labels, "normalized_margin") if lowest else own
            off, top = (guess >= 0) & (guess != labels), probs[row, predicted].astype(np.float32)
            told = (predicted.astype(np.int32), top, own, labels.astype(np.int32), margin)
            parts.append((self._quality(probs, labels, thresholds), *told, agrees(probs, labels), off))
        if not parts:
            none, flags = np.empty(0, np.float32), np.empty(0, bool)
            parts.append((none, none.astype(np.int32), none, none, none.astype(np.int32), none, flags, flags))
        columns = zip(*parts, strict=True)
        self.judged = _Judged(*(one[0] if len(one) == 1 else np.concatenate(one) for one in columns))
        return joint

    def _quality(
        self, probs: Floats, labels: npt.NDArray[np.int64], thresholds: npt.NDArray[np.float64]
    ) -> Floats:
        subtract = thresholds if self.options.adjusted else None
        return label_quality(probs, labels, self.options.method, thresholds=subtract)

    def rows(self) -> int:
        """How many there are."""
        return len(self.found.own)

    def doubted(self) -> int:
        """How many are counted as another class and do not agree with their label."""
        return int((self.found.off & ~self.found.agrees).sum())

    def values(self, which: Literal["own", "margin"]) -> Floats:
        """The probability of the given label, or the normalised margin, of each row."""
        return self.found.own if which == "own" else self.found.margin

    def keys(self) -> npt.NDArray[np.uint32]:
        """What a diagnosis of the probabilities rests on (`keys_of`)."""
        return keys_of(self.found.top, self.found.predicted == self.found.labels)

    def given(self) -> npt.NDArray[Any]:
        """The label of each row, in as few bytes as hold it."""
        labels = self.found.labels
        return labels.astype(np.min_scalar_type(int(labels.max(initial=0))))

    def heads(self, cells: Cells, places: npt.NDArray[np.int64]) -> Floats:
        """The margins at these `places` of each cell (c, h), 1 being the highest and none above `wanted`; -inf where the cell
        has fewer rows. They tell how far down to look."""
        kept: dict[int, Floats] = {}
        for mine, excess, _ in self._excess(cells):
            for column, cell in enumerate(mine.tolist()):
                values, wanted = excess[:, column], int(cells.wanted[cell])
                values = np.concatenate([kept[cell], values]) if cell in kept else values
                first = max(0, len(values) - wanted)
                kept[cell] = np.partition(values, first)[first:] if first else values.copy()
        heads = np.full(places.shape, -np.inf, self.found.own.dtype)
        for cell, values in kept.items():
            values, there = np.sort(values), places[cell] <= len(values)
            heads[cell, there] = values[-places[cell, there]]
        return heads

    def above(self, cells: Cells, floor: Floats) -> Above:
        """The rows of each cell whose margin is `floor` (c,) or more."""
        found: list[Above] = []
        for mine, excess, rows in self._excess(cells):
            at, column = np.nonzero(excess >= floor[mine])
            cell, row = mine[column].astype(np.int32), rows[at].astype(np.int32)
            found.append(Above(cell, row, excess[at, column]))
        if not found:
            return Above(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, self.found.own.dtype))
        return Above(*(np.concatenate(part) for part in zip(*found, strict=True)))

    def issues(self, chosen: npt.NDArray[np.int32] | None) -> npt.NDArray[np.bool_]:
        """Which rows are flagged: those `chosen` among all rows, or what can be said of each alone (None)."""
        found = self.found
        issue = np.zeros(len(found.own), bool)
        if chosen is not None:
            issue[chosen] = True
        elif self.options.filter_by == "predicted_neq_given":
            issue = found.predicted != found.labels
        else:
            issue = found.off
        return issue if self.options.filter_by.startswith("low_") else issue & ~found.agrees

    # --- inside ------------------------------------------------------------------------------------------------------

    def _checked(self, classes: int | None = None) -> Iterator[Batch]:
        for probs, labels in self.batches():
            probs = in_floats(as_numbers(probs, "probabilities of a batch"))
            labels = as_array(labels, "labels of a batch")
            classes = classes or (probs.shape[1] if probs.ndim == 2 else None)
            if probs.ndim != 2 or probs.shape != (len(labels), classes):
                raise InputError(
                    f"a batch has probabilities {probs.shape} and {counted(len(labels), 'label')}; "
                    f"{counted(classes or 0, 'class', 'classes')} before"
                )
            if len(labels):
                yield (
                    probs,
                    as_codes(labels, *probs.shape, what="labels of a batch", of="rows of probabilities"),
                )

    def _excess(self, cells: Cells) -> Iterator[tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64]]]:
        """For each label of each batch: its cells (o,), by how much their other classes exceed it (rows, o), and the rows."""
        first = 0
        for probs, labels in self._checked():
            classes = probs.shape[1]
            begin = np.searchsorted(cells.given, np.arange(classes + 1))
            order = np.argsort(labels.astype(np.min_scalar_type(classes)), kind="stable")
            ends = np.cumsum(np.bincount(labels, minlength=classes))
            for label in np.flatnonzero((np.diff(ends, prepend=0) > 0) & (begin[1:] > begin[:-1])):
                rows = order[ends[label - 1] if label else 0 : ends[label]]
                places = np.arange(begin[label], begin[label + 1])
                excess = probs[np.ix_(rows, cells.other[places])] - probs[rows, label][:, None]
                yield places, excess, rows + first
            first += len(labels)
