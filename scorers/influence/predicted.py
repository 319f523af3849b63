"""Labels, predicted probabilities and features of a view, for what is known in closed form of the last layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.arrays.distributions import FAULTS, faults_of
from curate.arrays.labels import check_strangers, name_classes
from curate.contracts import View
from curate.counting import counted
from curate.fitting import order_by_id, read_labels, read_vectors

__all__ = ["Predicted", "read_predicted"]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Rows of a view that have all that is asked for, in the order of ids: `rows` of the view, `probs` (m, k), `labels` (m,)
    codes of `classes`, `features` (m, d) or None; and `reasons` (n,), by row of the view, for the others."""

    rows: npt.NDArray[np.int64]
    probs: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    features: npt.NDArray[Any] | None
    classes: tuple[str, ...]
    reasons: npt.NDArray[np.object_]


def read_predicted(
    view: View, pred_probs: str, features: str, classes: tuple[str, ...], *, label: str
) -> Predicted:
    """The columns `label` and `pred_probs` and, where named, the vectors `features`. `classes` names the columns of the probabilities;
    none: the distinct labels, sorted by code point.

    Raises InputError where the classes do not match the probabilities, or most labels are none of them.
    """
    order = order_by_id(view)
    if not len(order):
        empty = np.empty(0, np.int64)
        return Predicted(empty, np.empty((0, 1)), empty, np.empty((0, 1)), classes, np.empty(0, object))
    probs = read_vectors(view, pred_probs, order)
    seen = read_vectors(view, features, order) if features else None
    labels = read_labels(view, label, order).to_pylist()
    counts = Counter(one for one in labels if one is not None)
    named = name_classes(list(counts), classes, probs.shape[1], f"the probabilities in {pred_probs!r}")
    check_strangers(counts, named)
    place = {name: i for i, name in enumerate(named)}
    codes = np.array([place.get(one, -1) if one is not None else -2 for one in labels], np.int64)
    why = np.array(FAULTS, object)[faults_of(probs)]
    if seen is not None:
        why[~np.isfinite(seen).all(axis=1)] = f"no {features}, or not finite"
    for i in np.flatnonzero(codes == -1):
        why[i] = f"label {labels[i]!r} is none of the {counted(len(named), 'class', 'classes')}"
    why[codes == -2] = f"no {label}"
    kept = np.flatnonzero(why == None)  # noqa: E711 - element by element
    reasons = np.empty(len(order), object)
    reasons[order] = why
    chosen = None if seen is None else seen[kept]
    return Predicted(order[kept], probs[kept], codes[kept], chosen, named, reasons)
