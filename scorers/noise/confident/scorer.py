"""`confident-learning`: labels that the predicted probabilities contradict (Northcutt, Jiang and Chuang 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.confident.filters import Filter
from curate.scorers.noise.confident.issues import ConfidentIssues, confident_learning
from curate.scorers.noise.confident.quality import Method, Weighting, ensemble_quality, ensemble_weights
from curate.scorers.noise.labelled import Labelled, answer, read_labelled
from curate.scorers.noise.probabilities import calibration_notes

__all__ = ["ConfidentLearning"]


@dataclass(frozen=True)
class ConfidentLearning:
    """Scores how well each label agrees with out-of-sample probabilities, and flags the likely errors.

    The score is the quality of the label in [0, 1], higher = keep.
    `pred_probs` is the vector column, or several, one of each model; `classes` the order of their columns (default: the
    distinct labels, sorted by code point, which is the order that `out-of-fold` writes). `filter_by` decides which
    labels are flagged, `method` how they are ranked, `adjusted` after class thresholds were subtracted; all as in
    cleanlab 2.9. `weighting` says what each of several models counts: their scores are averaged, and labels flagged by
    the average of their probabilities.
    Beside the score: `label_issue`, and `suggested_label`, the most probable class where there is an issue.
    Notes of the fitted scorer say if the probabilities look in-sample or uncalibrated.
    """

    pred_probs: str | tuple[str, ...] = "pred_probs"
    filter_by: Filter = "prune_by_noise_rate"
    method: Method = "self_confidence"
    classes: tuple[str, ...] = ()
    adjusted: bool = False
    weighting: Weighting = "log_loss_search"

    name: ClassVar[str] = "confident-learning"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not self.columns:
            raise InputError("confident-learning: pred_probs names no column")
        if self.adjusted and self.method == "confidence_weighted_entropy":
            raise InputError("confident-learning: confidence_weighted_entropy has no adjusted variant")

    @property
    def columns(self) -> tuple[str, ...]:
        """The vector columns read."""
        return (self.pred_probs,) if isinstance(self.pred_probs, str) else tuple(self.pred_probs)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("label", *self.columns)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("confident_learning"), flag("label_issue"), detail("suggested_label", pa.string()))

    def fit(self, view: View) -> FittedTable:
        """Find the label errors of a view. Raises InputError where the whole input is wrong, not a few rows."""
        read = read_labelled(view, self.columns, self.classes)
        if not len(read.usable):
            return answer(self, read, {field.name: np.empty(0, object) for field in self.gives}, ())
        found, notes = self._find(read)
        suggested = np.full(len(read.usable), None, object)
        suggested[found.issue] = np.array(read.classes, object)[found.predicted[found.issue]]
        values = {
            "confident_learning": found.quality.astype(np.float32),
            "label_issue": found.issue,
            "suggested_label": suggested,
        }
        return answer(self, read, values, notes)

    def _find(self, read: Labelled) -> tuple[ConfidentIssues, tuple[str, ...]]:
        members, probs = read.probs, read.probs[0]
        if len(members) > 1:
            weights = ensemble_weights(members, read.codes, self.weighting)
            probs = sum(weight * member for weight, member in zip(weights, members, strict=True))
        found = confident_learning(
            probs, read.codes, filter_by=self.filter_by, method=self.method, adjusted=self.adjusted
        )
        if len(members) > 1:
            quality = ensemble_quality(
                members, read.codes, self.method, adjusted=self.adjusted, weighting=self.weighting
            )
            found = ConfidentIssues(quality, found.issue, found.predicted, found.joint, found.lonely)
        notes = calibration_notes(probs, read.codes)
        if found.lonely and self.filter_by in ("prune_by_noise_rate", "prune_by_class", "both"):
            named = ", ".join(repr(read.classes[one]) for one in found.lonely[:5])
            notes += (
                f"{len(found.lonely)} classes have too few examples, one each, to flag any of them: {named}",
            )
        return found, notes
