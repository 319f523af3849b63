"""`knn-shapley`: what each labelled item is worth to a nearest-neighbour classifier (Jia et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.conversion import as_numbers, as_rows
from curate.arrays.labels import as_codes
from curate.contracts import View, flag, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.neighbours.candidates import Backend, Rows, load_faiss
from curate.scorers.noise.neighbours.items import read_items
from curate.scorers.noise.neighbours.search import Metric, check_count, nearest_blocks

__all__ = ["Form", "KnnShapley", "Search", "chosen_search", "knn_shapley", "shapley_of_neighbours"]

Form = Literal["truncated", "exact", "cleanlab"]
Search = Literal["auto", "exact", "approximate"]
Values = npt.NDArray[np.float64]

_PIECE = 1 << 21
"""Neighbours valued at a time."""
_MANY = 200_000**2
"""Pairs from which on "auto" searches approximately: with 256 numbers a row they are 20 TFLOP."""


@dataclass(frozen=True)
class KnnShapley:
    """Scores what each labelled item is worth to a nearest-neighbour classifier: below 0 it does harm.

    The score is the Shapley value times the number of items, higher = keep: its mean is the share of right votes of the
    classifier, so 1 is about what a good item is worth, whatever the size of the data set. Reads the vector column
    `embedding`, compared by `metric`; `k` neighbours vote; `form` and `width` as in `knn_shapley` ("cleanlab": in
    [0, 1], 0.5 neutral). Items are judged by all others, or, where the boolean column `trusted` is given, by the items
    for which it is true, which are not scored themselves. `label` is the column judged.
    `search`: "exact", "approximate" (extra `select`), or "auto": approximate for 200,000 items and more where the extra
    is installed, said in a note.
    Beside the score: `knn_harmful`, worth less than nothing.
    """

    embedding: str = "pixel_embedding"
    k: int = 10
    form: Form = "truncated"
    width: int = 100
    trusted: str | None = None
    search: Search = "auto"
    metric: Metric = "cosine"
    label: str = "label"

    name: ClassVar[str] = "knn-shapley"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.width:
            raise InputError(f"knn-shapley: k={self.k}, width={self.width}: 1 <= k <= width is meant")

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding, *((self.trusted,) if self.trusted else ()))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("knn_shapley"), flag("knn_harmful"))

    def fit(self, view: View) -> FittedTable:
        """Score a view. Raises InputError for fewer items than `k`, where all have one label, or nothing is trusted."""
        everyone = items = read_items(view, (self.embedding,), self.label, self.metric)
        if not len(items):
            return items.answer(self, {})
        validation: tuple[Any, Any] = (None, None)
        if self.trusted:
            trusted = self._trusted(view)[items.rows]
            items = items.without(trusted, "trusted: others are judged by it")
            validation = (everyone.x[self.embedding][trusted], everyone.labels[trusted])
        value = knn_shapley(
            items.x[self.embedding],
            items.labels,
            *validation,
            k=self.k,
            form=self.form,
            width=self.width,
            metric=self.metric,
            search=self.search,
        )
        zero = 0.5 if self.form == "cleanlab" else 0.0
        scale = 1.0 if self.form == "cleanlab" else len(items)
        notes: tuple[str, ...] = ()
        judges = len(items) if validation[0] is None else len(validation[0])
        if chosen_search(self.search, len(items), judges) == "approximate":
            notes = (
                f"the neighbours of {counted(len(items), 'item')} were searched approximately, by an inverted index",
            )
        return items.answer(self, {"knn_shapley": value * scale, "knn_harmful": value < zero}, notes)

    def _trusted(self, view: View) -> npt.NDArray[np.bool_]:
        column = view.to_arrow([self.trusted or ""]).column(0)
        if not pa.types.is_boolean(column.type):
            raise InputError(f"knn-shapley: {self.trusted!r} is {column.type}, not true or false")
        trusted: npt.NDArray[np.bool_] = column.fill_null(False).to_numpy()
        if not trusted.any() or trusted.all():
            raise InputError(f"knn-shapley: {self.trusted!r} is {'all' if trusted.any() else 'never'} true")
        return trusted


def chosen_search(search: Search, items: int, judges: int) -> Search:
    """What "auto" stands for with so many items and others that judge them."""
    if search not in ("auto", "exact", "approximate"):
        raise InputError(f"search {search!r}: 'auto', 'exact' or 'approximate'")
    if search != "auto":
        return search
    return "approximate" if items * judges >= _MANY and load_faiss("auto") is not None else "exact"


def knn_shapley(
    features: npt.NDArray[Any],
    labels: npt.NDArray[np.integer],
    validation: npt.NDArray[Any] | None = None,
    validation_labels: npt.NDArray[np.integer] | None = None,
    *,
    k: int = 10,
    form: Form = "truncated",
    width: int = 100,
    metric: Metric = "cosine",
    search: Search = "auto",
    backend: Backend = "auto",
) -> Values:
    """The Shapley value of each item for a classifier by `k` nearest neighbours: (n,) float64, higher = keep.

    `features` (n, d), `labels` (n,) integers. The game is played for each validation item: a set of training items is
    worth the share (of k) of its k nearest to that item that have its label; values are means over validation items,
    so they sum up to the classifier's mean share of right votes. Without `validation` (q, d) and `validation_labels`
    (q,) each item is judged by all others in turn, and has no value for itself. Below 0: the item does harm.

    `form`  "exact": every training item is sorted by distance to every validation item, O(q n log n) time;
            "truncated": only the `width` nearest get a value from a validation item, wrong by at most 1 / width, and
            exact where there are no more than `width`; O(q width) after the search, no n x n table;
            "cleanlab": the `k` nearest alone and the mean m mapped to (m + 1) / 2, as `data_shapley_knn` there:
            in [0, 1], 0.5 = neutral.
    `search` "exact" compares all pairs. "approximate" looks into some lists of an inverted index (extra `select`; see
            `approximate_blocks`) and misses some neighbours. "auto" is approximate from 200,000 x 200,000 pairs on,
            where to compare them all takes the better part of an hour, if the extra is installed.
    `metric`, `backend` as in `nearest`. Memory beyond a copy of `features` in float32: some 100 MB, whatever n.

    Raises InputError where `nearest` does, for labels of another length, and for fewer items than `k`.
    Source: Jia et al., "Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms", VLDB 2019, Theorem 1,
    Theorem 2 (truncation).
    """
    features = as_rows(features, "features")
    validation = None if validation is None else as_rows(validation, "validation")
    labels, asked = _check(features, labels, validation, validation_labels)
    players = len(labels) - (validation is None)
    check_count(k)
    check_count(width, "width")
    if not 1 <= k <= players:
        raise InputError(
            f"k={counted(k, 'neighbour')}: {counted(max(players, 0), 'item votes', 'items vote')}; give k from 1 to "
            "that"
        )
    if width < k:
        raise InputError(f"width={width}: at least k={k}")
    look = {"truncated": min(width, players), "exact": players, "cleanlab": k}.get(form)
    if look is None:
        raise InputError(f"form {form!r}: 'truncated', 'exact' or 'cleanlab'")
    options: dict[str, Any] = {"metric": metric, "queries": validation}
    if chosen_search(search, len(labels), len(asked)) == "approximate":
        from curate.scorers.noise.neighbours.inverted import approximate_blocks

        blocks = approximate_blocks(features, look, **options)
    else:
        blocks = nearest_blocks(features, look, backend=backend, **options)
    total = np.zeros(len(labels))
    for block in blocks:
        part = asked[block.low : block.low + len(block.rows)]
        _add(total, block.rows, labels, part, (k, players if form != "cleanlab" else 0))
    mean = total / len(asked)
    return (mean + 1) / 2 if form == "cleanlab" else mean


def shapley_of_neighbours(
    rows: npt.NDArray[np.integer],
    labels: npt.NDArray[np.integer],
    k: int,
    *,
    query_labels: npt.NDArray[np.integer] | None = None,
    players: int | None = None,
) -> Values:
    """The Shapley values from neighbours that are known: (n,) float64, mean over the rows of the table.

    `rows` (q, w) training rows, nearest first, w at least `k`, -1 where there is none; `labels` (n,) of the training
    rows. `query_labels` (q,): default `labels`, where every item is asked for in its turn (and is no neighbour of
    itself). `players`: how many training items took part in each game, by default more than w, so that the last of a
    row gets 0; where it is w, values are exact. With m_j = 1 if the j-th nearest (from 1) has the label asked for,
    s_j = s_{j+1} + (m_j - m_{j+1}) / k * min(k, j) / j, and s_N = m_N / N for the last of N players.
    Raises InputError for shapes that do not fit. Time O(q w), memory O(n) beyond the input.
    """
    rows, labels = as_numbers(rows, "neighbours"), as_numbers(labels, "labels")
    asked = labels if query_labels is None else as_numbers(query_labels, "query_labels")
    if rows.ndim != 2 or rows.shape[0] != len(asked) or not len(asked):
        raise InputError(
            f"neighbours have shape {rows.shape}: ({counted(len(asked), 'query', 'queries')} >= 1, neighbours) is meant"
        )
    if rows.dtype.kind not in "iu" or labels.ndim != 1 or asked.ndim != 1:
        raise InputError(
            f"neighbours are {rows.dtype}, labels have shape {labels.shape}: row numbers and (n,) are meant"
        )
    check_count(k)
    if not 1 <= k <= rows.shape[1]:
        raise InputError(f"k={k} of {counted(rows.shape[1], 'neighbour')}")
    if rows.max(initial=-1) >= len(labels):
        raise InputError(f"neighbour {int(rows.max())} of {counted(len(labels), 'row')}")
    total = np.zeros(len(labels))
    step = max(1, _PIECE // rows.shape[1])
    for low in range(0, len(rows), step):
        _add(total, rows[low : low + step], labels, asked[low : low + step], (k, players or 0))
    return total / len(asked)


def _add(
    total: Values,
    rows: npt.NDArray[np.integer],
    labels: npt.NDArray[np.integer],
    asked: npt.NDArray[np.integer],
    game: tuple[int, int],
) -> None:
    """Add the values from these games to those so far."""
    k, players = game
    match = (labels[rows] == asked[:, None]) & (rows >= 0)
    width = rows.shape[1]
    place = np.arange(1, width + 1)
    factor = np.minimum(k, place[:-1]) / (k * place[:-1])
    value = np.zeros(rows.shape)
    if width == players:
        value[:, -1] = match[:, -1] / players
    value[:, :-1] = (match[:, :-1].astype(np.int8) - match[:, 1:]) * factor
    np.cumsum(value[:, ::-1], axis=1, out=value[:, ::-1])
    there = rows >= 0
    total += np.bincount(rows[there], value[there], len(total))


def _check(
    features: npt.NDArray[Any],
    labels: npt.NDArray[np.integer],
    validation: npt.NDArray[Any] | None,
    validation_labels: npt.NDArray[np.integer] | None,
) -> tuple[Rows, Rows]:
    if (validation is None) != (validation_labels is None):
        raise InputError("validation items need both their features and their labels")
    checked = []
    for what, x, y in (
        ("labels", features, labels),
        ("validation_labels", validation, validation_labels),
    ):
        if x is None:
            continue
        codes = as_codes(y, len(x), what=what, of="items")
        if not len(codes):
            raise InputError(f"{what} are of no items")
        checked.append(codes)
    return checked[0], checked[-1]
