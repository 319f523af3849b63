"""What scorers of labels by predicted probabilities share: reading both from a view, and rows that cannot be scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import validate_pred_probs
from curate.contracts import View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import order_by_id, read_labels, read_vectors
from curate.scorers.noise.probabilities import encode_labels

__all__ = ["Labelled", "read_labelled"]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows of a view in the order of their ids, so that nothing depends on the order of import.

    `order` (n,) rows of the view; `usable` (m,) places in `order` that can be scored; `probs`, one (m, k) array for each
    column read, and `codes` (m,) are theirs; `classes` names the columns; `reasons` (n,) strings say why a row is
    not usable, None where it is.
    """

    order: npt.NDArray[np.int64]
    usable: npt.NDArray[np.int64]
    probs: tuple[npt.NDArray[Any], ...]
    codes: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    reasons: npt.NDArray[np.object_]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Rows of the view that can be scored."""
        return self.order[self.usable]


def read_labelled(
    view: View, columns: tuple[str, ...], classes: tuple[str, ...], label: str = "label"
) -> Labelled:
    """The column `label` and probabilities of a view. Raises InputError where the whole input is wrong, not a few rows."""
    order = order_by_id(view)
    if not len(order):
        nothing = np.empty(0, np.int64)
        return Labelled(order, nothing, (), nothing, classes, np.empty(0, object))
    labels = read_labels(view, label, order)
    read = [read_vectors(view, column, order) for column in columns]
    reasons = np.full(len(order), None, object)
    codes, named = encode_labels(labels, classes, read[0].shape[1])
    for column, probs in zip(columns, read, strict=True):
        found = validate_pred_probs(probs, lambda: view.take(order, ["id"]).column("id").to_pylist())
        if probs.shape != read[0].shape:
            raise InputError(
                f"{column!r} has {counted(probs.shape[1], 'class', 'classes')}, {columns[0]!r} {read[0].shape[1]}"
            )
        bad = found != None  # noqa: E711 - element by element
        reasons[bad] = found[bad]
    reasons[codes == -1] = f"no {label}"
    for row in np.flatnonzero(codes == -2):
        reasons[row] = (
            f"label {labels[int(row)].as_py()!r} is none of the {counted(len(named), 'class', 'classes')}"
        )
    usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
    kept = tuple(probs if len(usable) == len(probs) else probs[usable] for probs in read)
    return Labelled(order, usable, kept, codes[usable], named, reasons)
