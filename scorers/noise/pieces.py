"""Labels and predicted probabilities where the pieces of a view are: read there, checked, gone through in rounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.distributions import FAULTS, faults_of, in_floats, validate_pred_probs
from curate.contracts import Held, Vectors, View
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.fitting import FittedTable, answered, open_vectors, read_labels, without_lists
from curate.scorers.noise.labelled import read_labelled
from curate.scorers.noise.probabilities import dictionary, name_labels

__all__ = ["LabelledPiece", "Tally", "answer_pieces", "settle"]

CELLS = 1 << 22
"""Probabilities gone through at a time: 16 MB of float32."""
_NONE = 1
"""The code in `FAULTS` of a row without probabilities."""

Block = tuple[tuple[npt.NDArray[Any], ...], npt.NDArray[np.int64]]


class Tally(NamedTuple):
    """How often each label is there; of each column its width (None where the piece has nothing in it), how many rows have
    probabilities, and how many of them are at fault."""

    labels: dict[str, int]
    widths: tuple[int | None, ...]
    faults: tuple[tuple[int, int], ...]


class LabelledPiece:
    """The column `label` and probabilities of a piece of a view, in the order of its rows. It is asked for its `tally`, told
    to `settle` the classes, and then goes through the rows that can be scored, a block at a time."""

    def __init__(self, columns: tuple[str, ...], piece: View, first: int, *, label: str = "label") -> None:
        self.first, self.label = first, label
        places, self.names = dictionary(read_labels(piece, label, np.arange(len(piece), dtype=np.int64)))
        self.places = places.astype(np.int32)
        opened = [_open(piece, column) for column in columns]
        self.sources = [vectors for vectors, _ in opened if vectors is not None]
        found = [_find_faults(vectors, null) for vectors, null in opened]
        self.faults = np.zeros(len(piece), np.uint8)
        for codes in found:
            np.copyto(self.faults, codes, where=codes > 0)
        counts = np.bincount(self.places[self.places >= 0], minlength=len(self.names))
        self.counted = Tally(
            dict(zip(self.names.tolist(), counts.tolist(), strict=True)),
            tuple(None if vectors is None else vectors.shape[1] for vectors, _ in opened),
            tuple((int((codes != _NONE).sum()), int((codes > _NONE).sum())) for codes in found),
        )

    def tally(self) -> Tally:
        """What is there."""
        return self.counted

    def settle(self, classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Take these classes in the order of the columns; gives how many labels of each can be scored, (k,)."""
        position = {name: i for i, name in enumerate(classes)}
        codes = np.array([*(position.get(name, -2) for name in self.names), -1], np.int32)
        self.codes, self.classes = codes[self.places], classes
        self.usable = np.flatnonzero((self.faults == 0) & (self.codes >= 0))
        return np.bincount(self.codes[self.usable], minlength=len(classes))

    def blocks(self) -> Iterator[Block]:
        """The probabilities (b, k) by each model, and the labels (b,), of the rows that can be scored, in their order."""
        if not len(self.usable):
            return
        step, first = max(1, CELLS // self.sources[0].shape[1]), 0
        for parts in zip(*(_runs(source, step) for source in self.sources), strict=True):
            low, high = np.searchsorted(self.usable, (first, first + len(parts[0])))
            rows = self.usable[low:high]
            if len(rows) == len(parts[0]):
                yield tuple(map(in_floats, parts)), self.codes[rows].astype(np.int64)
            elif len(rows):
                at = rows - first
                yield tuple(in_floats(part[at]) for part in parts), self.codes[rows].astype(np.int64)
            first += len(parts[0])

    def rows_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of the view, from places among those that can be scored."""
        return self.usable[places] + self.first

    def answer(self, component: Any, values: dict[str, Any]) -> pa.Table:
        """The rows of the piece as the scorer gives them: `values` of those that can be scored, and why others cannot."""
        reasons: npt.NDArray[np.object_] = np.array(FAULTS, object)[self.faults]
        reasons[self.codes == -1] = f"no {self.label}"
        for row in np.flatnonzero(self.codes == -2):
            label = self.names[self.places[row]]
            reasons[row] = f"label {label!r} is none of the {counted(len(self.classes), 'class', 'classes')}"
        return answered(component, self.usable, values, reasons).table


def settle(
    held: Held,
    view: View,
    columns: tuple[str, ...],
    classes: tuple[str, ...],
    *,
    label: str = "label",
) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Settle the classes of all `LabelledPiece`s: their names, and how many labels of each can be scored, (k,).

    Raises InputError where the whole input is wrong, not a few rows.
    """
    tallies: list[Tally] = held.ask("tally")
    if not tallies:
        return classes, np.zeros(len(classes), np.int64)
    widths = [{tally.widths[i] for tally in tallies} - {None} for i in range(len(columns))]
    at_fault = [np.sum([tally.faults[i] for tally in tallies], axis=0).tolist() for i in range(len(columns))]
    for column, one, (present, bad) in zip(columns, widths, at_fault, strict=True):
        if len(one) != 1 or 2 * bad > present:
            # sees all at once, and says what is wrong by naming items
            read_labelled(view, columns, classes, label)
            raise InputError(
                f"{column!r} holds no probabilities: {bad} of {counted(present, 'row')} are at fault"
            )
    labels: Counter[str] = Counter()
    for tally in tallies:
        labels.update(tally.labels)
    width, *others = (one.pop() for one in widths)
    names = name_labels(labels, classes, width)
    for column, other in zip(columns[1:], others, strict=True):
        if other != width:
            raise InputError(
                f"{column!r} has {counted(other or 0, 'class', 'classes')}, {columns[0]!r} {width}"
            )
    return names, np.asarray(np.sum(held.tell("settle", names), axis=0))


def answer_pieces(
    component: Any, tables: Sequence[pa.Table], notes: tuple[str, ...], classes: tuple[str, ...]
) -> FittedTable:
    """A fitted scorer from what each piece answered."""
    fitted = answered(component, np.empty(0, np.int64), {}, np.empty(0, object), notes=notes, classes=classes)
    return replace(fitted, table=pa.concat_tables([fitted.table, *tables]).combine_chunks())


def _open(piece: View, column: str) -> tuple[Vectors | None, npt.NDArray[np.bool_]]:
    """The vectors, and which rows have none; None for lists that came with the items where all are missing: nobody knows
    here how wide they are."""
    if not without_lists(piece, column):
        return open_vectors(piece, column)
    nothing = np.ones(len(piece), np.bool_)
    try:
        vectors = piece.vectors(column)
    except SchemaError:
        return None, nothing
    return vectors if vectors.shape[1] else None, nothing


def _find_faults(vectors: Vectors | None, null: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Codes into `FAULTS` (n,)."""
    codes = np.full(len(null), _NONE, np.uint8)
    if vectors is not None:
        if vectors.shape[1] < 2:
            validate_pred_probs(np.empty(vectors.shape))  # says what is meant
        runs = _runs(vectors, max(1, CELLS // vectors.shape[1]))
        codes = np.concatenate([codes[:0], *(faults_of(run) for run in runs)])
        codes[null] = _NONE
    return codes


def _runs(vectors: Vectors, rows: int) -> Iterator[npt.NDArray[Any]]:
    """All vectors in their order, so many at a time (the last may be fewer); a copy only where chunks meet."""
    waiting: list[npt.NDArray[Any]] = []
    held = 0
    for chunk in vectors.chunks():
        start = 0
        while start < len(chunk):
            taken = chunk[start : start + rows - held]
            waiting.append(taken)
            start, held = start + len(taken), held + len(taken)
            if held == rows:
                yield _joined(waiting)
                waiting, held = [], 0
    if held:
        yield _joined(waiting)


def _joined(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
