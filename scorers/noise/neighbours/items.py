"""What the scorers of this family share: vectors and labels read in the order of ids, answers handed back by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View
from curate.fitting import FittedTable, answered, order_by_id, read_labels, read_vectors
from curate.scorers.noise.neighbours.search import usable
from curate.scorers.noise.probabilities import encode_labels

__all__ = ["Items", "read_items"]


@dataclass(frozen=True, eq=False)
class Items:
    """The items of a view that can be scored, in the order of their ids; and why the others cannot.

    `rows` are their rows in the view, `x` their vectors by column, `labels` their codes among `classes` (all 0 where no
    label was asked for). `reasons` (n,) belong to rows of the view, None for those in `rows`.
    """

    rows: npt.NDArray[np.int64]
    x: Mapping[str, npt.NDArray[np.floating]]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    reasons: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.rows)

    def named(self, codes: npt.NDArray[np.int64], where: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
        """The classes of these codes; None where not `where`."""
        names = np.full(len(codes), None, object)
        names[where] = np.array([*self.classes, None], object)[codes[where]]
        return names

    def without(self, drop: npt.NDArray[np.bool_], reason: str) -> Items:
        """The same items but those to `drop`, which get this reason."""
        reasons = self.reasons.copy()
        reasons[self.rows[drop]] = reason
        x = {name: values[~drop] for name, values in self.x.items()}
        return Items(self.rows[~drop], x, self.labels[~drop], self.classes, reasons)

    def answer(
        self, scorer: Any, values: Mapping[str, npt.NDArray[Any]], notes: Sequence[str] = ()
    ) -> FittedTable:
        """A fitted scorer that gives each of these items its value, and every other null and the reason.

        `values` are by column of `scorer.gives`, (len(self),) each; none are needed where there are no items.
        """
        return answered(scorer, self.rows, values, self.reasons, notes=notes, classes=self.classes)


def read_items(
    view: View,
    embeddings: Sequence[str],
    label: str | None,
    metric: Literal["cosine", "euclidean"] = "cosine",
) -> Items:
    """The items that have a label and a usable vector in every column, ordered by id.

    Raises InputError if all labels are the same: see `encode_labels`.
    """
    order = order_by_id(view)
    x = {name: read_vectors(view, name, order) for name in embeddings}
    why = np.full(len(order), None, object)
    for name in reversed(embeddings):
        missing = np.isnan(x[name]).all(axis=1)
        why[~usable(x[name], metric)] = (
            f"{name} is zero or not finite" if metric == "cosine" else f"{name} is not finite"
        )
        why[missing] = f"no {name}"
    codes, classes = np.zeros(len(order), np.int64), tuple[str, ...]()
    if label is not None:
        given = read_labels(view, label, order)
        why[np.asarray(given.is_null())] = f"no {label}"
    kept = np.flatnonzero(why == None)  # noqa: E711 - element by element
    if label is not None:
        codes, classes = encode_labels(given.take(pa.array(kept)), (), None)
    reasons = np.empty(len(order), object)
    reasons[order] = why
    vectors = {name: values if len(kept) == len(values) else values[kept] for name, values in x.items()}
    return Items(order[kept], vectors, codes if label is not None else codes[kept], classes, reasons)
