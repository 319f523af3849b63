"""`confident-learning`: labels that the predicted probabilities contradict (Northcutt, Jiang and Chuang 2021)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, detail, flag, reason_name, score
from curate.errors import InputError, require
from curate.fitting import FittedTable, order_by_id, read_labels, read_vectors
from curate.scorers.noise.probabilities import calibration_notes, encode_labels, validate_pred_probs

__all__ = ["ConfidentLearning", "Filter", "LabelErrors", "Method", "label_errors"]

Filter = Literal[
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
]
Method = Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"]


@dataclass(frozen=True)
class ConfidentLearning:
    """Scores how well each label agrees with out-of-sample probabilities, and flags the likely errors.

    The score is the quality of the label in [0, 1], higher = keep.
    `pred_probs` is the vector column, `classes` the order of its columns (default: the distinct labels, sorted by
    code point, which is the order that `out-of-fold` writes). `filter_by` decides which labels are flagged, `method`
    how they are ranked; both as in cleanlab, which does the work (extra `noise`).
    Beside the score: `label_issue`, and `suggested_label`, the most probable class where there is an issue.
    Notes of the fitted scorer say if the probabilities look in-sample or uncalibrated.
    """

    pred_probs: str = "pred_probs"
    filter_by: Filter = "prune_by_noise_rate"
    method: Method = "self_confidence"
    classes: tuple[str, ...] = ()

    name: ClassVar[str] = "confident-learning"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return ("label", self.pred_probs)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("confident_learning"), flag("label_issue"), detail("suggested_label", pa.string()))

    def fit(self, view: View) -> FittedTable:
        """Find the label errors of a view. Raises InputError where the whole input is wrong, not a few rows."""
        order = order_by_id(view)
        labels, probs = read_labels(view, "label", order), read_vectors(view, self.pred_probs, order)
        reasons, codes, classes = self._check(view, order, labels, probs)
        usable = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        kept = probs if len(usable) == len(probs) else probs[usable]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message=".*(IProgress|ipywidgets).*")  # not about the data
            found = label_errors(kept, codes[usable], filter_by=self.filter_by, method=self.method)
        rows = order[usable]
        columns: dict[str, Any] = {
            "confident_learning": np.full(len(order), np.nan, np.float32),
            "label_issue": np.zeros(len(order), bool),
            "suggested_label": np.full(len(order), None, object),
        }
        columns["confident_learning"][rows] = found.quality
        columns["label_issue"][rows] = found.issue
        issues = rows[found.issue]
        columns["suggested_label"][issues] = np.array([*classes, None], object)[found.suggested[found.issue]]
        why = np.full(len(order), None, object)
        why[order] = reasons
        null = why != None  # noqa: E711 - element by element
        arrays = [pa.array(columns[f.name], f.type, mask=null) for f in self.gives]
        table = pa.table([*arrays, pa.array(why, pa.string())], [*columns, reason_name(self.name)])
        notes = calibration_notes(kept, codes[usable]) if len(usable) else ()
        notes += tuple(sorted({f"cleanlab: {warning.message}" for warning in caught}))
        return FittedTable(self.name, self.version, self.gives, table, notes, classes)

    def _check(
        self,
        view: View,
        order: npt.NDArray[np.int64],
        labels: npt.NDArray[np.object_],
        probs: npt.NDArray[Any],
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64], tuple[str, ...]]:
        """Why each row cannot be scored (None where it can), its label's code, and the classes."""
        if not len(order):
            return np.empty(0, object), np.empty(0, np.int64), ()
        try:
            reasons = validate_pred_probs(probs)
        except InputError:
            ids = view.take(order, ["id"]).column("id").to_pylist()
            validate_pred_probs(probs, ids)
            raise
        codes, classes = encode_labels(labels, self.classes, probs.shape[1])
        reasons[codes == -1] = "no label"
        for row in np.flatnonzero(codes == -2):
            reasons[row] = f"label {labels[int(row)].as_py()!r} is none of the {len(classes)} classes"
        return reasons, codes, classes


class LabelErrors(NamedTuple):
    """Row by row: `quality` (n,) float32 in [0, 1], low = doubtful; `issue` (n,) bool; `suggested` (n,) int64, the
    most probable class."""

    quality: npt.NDArray[np.float32]
    issue: npt.NDArray[np.bool_]
    suggested: npt.NDArray[np.int64]


def label_errors(
    pred_probs: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    *,
    filter_by: Filter = "prune_by_noise_rate",
    method: Method = "self_confidence",
) -> LabelErrors:
    """Confident learning by cleanlab on out-of-sample probabilities.

    `pred_probs` (n, k) rows that sum to 1, `labels` (n,) in 0 ... k - 1. Of rows that tie, cleanlab prefers some by
    position: sort by id for a result that does not depend on the order.
    Raises MissingExtraError without the extra `noise`.
    """
    if not len(labels):
        return LabelErrors(np.empty(0, np.float32), np.empty(0, bool), np.empty(0, np.int64))
    filters: Any = require("cleanlab.filter", "noise")
    rank: Any = require("cleanlab.rank", "noise")
    issue = filters.find_label_issues(labels, pred_probs, filter_by=filter_by, n_jobs=1)
    quality = rank.get_label_quality_scores(labels, pred_probs, method=method)
    return LabelErrors(
        quality.astype(np.float32), np.asarray(issue, bool), pred_probs.argmax(1).astype(np.int64)
    )
