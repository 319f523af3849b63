"""What the scorers of training dynamics share: reading labels and embeddings, and writing answers with their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View
from curate.counting import counted
from curate.fitting import FittedTable, answered, order_by_id, read_labels, read_vectors
from curate.scorers.noise.probabilities import encode_labels
from curate.scorers.noise.structure.ragged import is_list, read_strings
from curate.scorers.noise.structure.sets import label_matrix

__all__ = ["Items", "read_items", "read_logits", "read_sets"]


@dataclass(frozen=True, eq=False)
class Items:
    """Rows of a view in the order of their ids; those that can be used, with vectors and label codes.

    `order` (n,) rows of the view; `usable` (m,) positions in `order`; `x` (m, d); `codes` (m,) labels in 0 ... K - 1, or sets of them (m, K);
    `reasons` (n,) why a row cannot be used, None where it can, by position in `order`.
    """

    order: npt.NDArray[np.int64]
    usable: npt.NDArray[np.int64]
    x: npt.NDArray[Any]
    codes: npt.NDArray[Any]
    classes: tuple[str, ...]
    reasons: npt.NDArray[np.object_]

    def table(
        self,
        scorer: Any,
        columns: Mapping[str, npt.NDArray[Any]],
        notes: tuple[str, ...] = (),
        unscored: npt.NDArray[np.object_] | None = None,
    ) -> FittedTable:
        """The fitted scorer. `columns` (m,) by name, for the usable rows; a detail that is NaN or None is null.

        `unscored` (m,) adds reasons why a usable row has no answer, None where it has one.
        """
        why = np.full(len(self.order), None, object)
        why[self.order] = self.reasons
        rows = self.order[self.usable]
        if unscored is not None:
            why[rows] = unscored
        return answered(scorer, rows, columns, why, notes=notes, classes=self.classes)


def read_items(view: View, embedding: str, label: str) -> Items:
    """The column `label` and an embedding, the classes being those of rows that have both.

    Raises InputError for a single class.
    """
    return _read(view, (embedding, label), (), logits=False)


def read_sets(view: View, embedding: str, label: str) -> Items:
    """The same where the column may hold lists: the codes are then sets of labels, (m, K) bool."""
    if not is_list(view.to_arrow([label]).schema.field(label).type):
        return read_items(view, embedding, label)
    order = order_by_id(view)
    x, sets = read_vectors(view, embedding, order), read_strings(view, label, order, "")
    given, reasons, classes = label_matrix(sets, (), None)
    reasons[~np.isfinite(x).all(1)] = f"values of {embedding} are not finite"
    reasons[~np.isfinite(x).any(1)] = f"no {embedding}"
    usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
    return Items(order, usable, x[usable], given[usable], classes, reasons)


def read_logits(view: View, column: str, label: str, classes: tuple[str, ...]) -> Items:
    """The column `label` and logits, the classes being those named, or of all labels; rows may be finite in part.

    Raises InputError for a single class, or labels most of which are none of the classes.
    """
    return _read(view, (column, label), classes, logits=True)


def _read(view: View, columns: tuple[str, str], given: tuple[str, ...], *, logits: bool) -> Items:
    column, label = columns
    order = order_by_id(view)
    labels = read_labels(view, label, order)
    reasons = np.full(len(order), None, object)
    x = read_vectors(view, column, order)
    finite = np.isfinite(x)
    if not logits:
        reasons[~finite.all(1)] = f"values of {column} are not finite"
    reasons[~finite.any(1)] = f"no {column}"
    reasons[np.asarray(labels.is_null())] = f"no {label}"
    usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
    seen = labels if logits else labels.take(pa.array(usable))
    codes, classes = encode_labels(seen, given, None)
    codes = codes[usable] if logits else codes
    for row in np.flatnonzero(codes == -2):
        named = labels[int(usable[row])].as_py()
        reasons[usable[row]] = f"label {named!r} is none of the {counted(len(classes), 'class', 'classes')}"
    usable, codes = usable[codes >= 0], codes[codes >= 0]
    return Items(order, usable, x if len(usable) == len(x) else x[usable], codes, classes, reasons)
