"""Sets of labels as a matrix of yes and no, and probabilities of each label by itself, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.arrays.labels import check_strangers, listed, name_classes
from curate.counting import counted
from curate.errors import InputError
from curate.scorers.noise.probabilities import dictionary
from curate.scorers.noise.structure.ragged import Ragged, is_list, split, to_lists

__all__ = ["label_matrix", "label_targets", "names_where", "validate_label_probs"]


def label_matrix(
    sets: Ragged, classes: Sequence[str], columns: int | None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.object_], tuple[str, ...]]:
    """Which item has which label (n, l) bool, why an item's set is unusable (n,) (None where it is not), the labels.

    `classes` is the order of the probabilities' `columns` (None: as many as there are); empty means the distinct labels in
    the order of their code points. An empty set is a set; a missing one, one with a null, or with a label that is none of the classes is not.
    Raises InputError if the counts differ, a class is named twice, or most labels are none of the classes.
    """
    codes, values = dictionary(sets.values)
    names = name_classes(values.tolist(), classes, columns)
    position = {name: i for i, name in enumerate(names)}
    places = np.array([*(position.get(value, -2) for value in values), -1], np.int64)[codes]
    owner = sets.owner
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    check_strangers(dict(zip(values.tolist(), counts.tolist(), strict=True)), names)
    reasons = np.full(len(sets.lengths), None, object)
    for i in np.flatnonzero(places == -2):
        reasons[owner[i]] = reasons[owner[i]] or (
            f"label {str(values[codes[i]])!r} is none of the {counted(len(names), 'class', 'classes')}"
        )
    reasons[owner[places == -1]] = "a null among the labels"
    reasons[sets.lengths < 0] = "no set of labels"
    given = np.zeros((len(sets.lengths), len(names)), bool)
    known = places >= 0
    given[owner[known], places[known]] = True
    return given, reasons, names


def label_targets(sets: Any, classes: Sequence[str] = ()) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Sets of labels as a matrix to train on, (n, l) float32: 1 where an item has a label, 0 where not, NaN where its set is
    missing, which `ldr_kl_multilabel` and `AldrKl` leave out; and the labels in the order of the columns.

    `sets` is a column of lists of texts, in Arrow or Polars, or a list of lists. `classes` is that order, by default the
    distinct labels by their code points. Raises InputError for a null within a set and a label that is none of the classes,
    naming rows, and for anything but lists.
    """
    column = sets.to_arrow() if hasattr(sets, "to_arrow") else sets
    try:
        column = column if isinstance(column, (pa.Array, pa.ChunkedArray)) else pa.array(column)
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"sets of labels are no lists of texts: {error}") from None
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not is_list(column.type) and not pa.types.is_null(column.type):
        raise InputError(f"sets of labels are {column.type}: lists of texts are meant")
    read = split(column.cast(pa.list_(pa.string())))
    given, faults, names = label_matrix(read, classes, None)
    targets = given.astype(np.float32)
    targets[read.lengths < 0] = np.nan
    wrong = np.flatnonzero((faults != None) & (read.lengths >= 0))  # noqa: E711 - element by element
    if len(wrong):
        raise InputError(f"rows {listed(wrong.tolist())}: {faults[wrong[0]]}")
    return targets, names


def validate_label_probs(
    probs: npt.NDArray[Any], ids: Callable[[], Sequence[str]] | None = None
) -> npt.NDArray[np.object_]:
    """Why each row holds no probabilities of labels, each by itself: (n,) strings, None where it does.

    `probs` (n, l) numbers, l >= 1; rows need not sum to one. `ids` gives (n,) what is named in the error instead
    of row numbers.
    Raises InputError if the shape is wrong, or more than half of the rows that hold anything are at fault.
    """
    if probs.ndim != 2 or probs.shape[1] < 1:
        raise InputError(f"probabilities of labels have shape {probs.shape}: (items, labels >= 1) is meant")
    nan = np.isnan(probs)
    with np.errstate(invalid="ignore"):
        outside = (probs.min(1) < -1e-6) | (probs.max(1) > 1 + 1e-6)
    reasons = np.full(len(probs), None, object)
    reasons[outside] = "probabilities of labels outside [0, 1]"
    reasons[nan.any(1)] = "NaN among the probabilities of labels"
    reasons[nan.all(1)] = "no probabilities of labels"
    present = ~nan.all(1)
    bad = np.flatnonzero(present & (outside | nan.any(1)))
    if 2 * len(bad) > present.sum():
        named = listed(np.array(ids(), object)[bad[:3]].tolist() if ids else [f"row {i}" for i in bad[:3]])
        first = np.array2string(probs[bad[0]][:4], precision=4)
        raise InputError(
            f"{len(bad)} of {counted(int(present.sum()), 'row')} are no probabilities of labels, as {named}: "
            f"{first}... Numbers in [0, 1] are meant: take the sigmoid of logits, divide percentages by 100."
        )
    return reasons


def names_where(chosen: npt.NDArray[np.bool_], names: Sequence[str], null: npt.NDArray[np.bool_]) -> pa.Array:
    """The names of the chosen columns, a list per row: list<string>, null where `null`."""
    chosen = chosen & ~null[:, None]
    lengths = chosen.sum(1)
    values = pa.array(names, pa.string()).take(pa.array(np.nonzero(chosen)[1]))
    return to_lists(values, lengths, null)
