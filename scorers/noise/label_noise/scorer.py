"""`label-errors`: the default scorer of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.label_noise.finder import LabelIssues, label_errors
from curate.scorers.noise.labelled import answer, read_labelled

__all__ = ["LabelErrors"]


@dataclass(frozen=True)
class LabelErrors:
    """Scores how well each label stands up to out-of-sample probabilities, and flags those that are likely wrong.

    One configuration for all data: a noise model fitted to probabilities and labels corrects both and sets the cut.
    `pred_probs` is the vector column, or several of an ensemble; `classes` the order of their columns (default: the
    distinct labels, sorted by code point, which is the order that `out-of-fold` writes); `seed` draws the items the
    model is fitted on. Beside the score: `label_error`, `label_error_suggestion` (the likelier class where there is an
    error), `label_right` (probability that the label is right) and `label_error_because`.
    Notes of the fitted scorer say what noise was found, and if the probabilities look in-sample or uncalibrated.
    """

    pred_probs: str | tuple[str, ...] = "pred_probs"
    classes: tuple[str, ...] = ()
    seed: int = 0

    name: ClassVar[str] = "label-errors"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.columns:
            raise InputError("label-errors: pred_probs names no column")

    @property
    def columns(self) -> tuple[str, ...]:
        """The vector columns read."""
        return (self.pred_probs,) if isinstance(self.pred_probs, str) else tuple(self.pred_probs)

    @property
    def needs(self) -> tuple[str, ...]:
        return ("label", *self.columns)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("label_errors"),
            flag("label_error"),
            detail("label_error_suggestion", pa.string()),
            detail("label_right", pa.float32()),
            detail("label_error_because", pa.string()),
        )

    def fit(self, view: View) -> FittedTable:
        """Find the label errors of a view. Raises InputError where the whole input is wrong, not a few rows."""
        read = read_labelled(view, self.columns, self.classes)
        if not len(read.usable):
            return answer(self, read, {field.name: np.empty(0, object) for field in self.gives}, ())
        found = label_errors(read.probs if len(read.probs) > 1 else read.probs[0], read.codes, seed=self.seed)
        suggestion = np.full(len(found), None, object)
        suggestion[found.flagged] = np.array(read.classes, object)[found.suggested[found.flagged]]
        values = {
            "label_errors": found.score.astype(np.float32),
            "label_error": found.flagged,
            "label_error_suggestion": suggestion,
            "label_right": found.right,
            "label_error_because": found.reason,
        }
        return answer(self, read, values, (*describe(found), *found.notes))


def describe(found: LabelIssues) -> tuple[str, ...]:
    """What was found, in sentences for a person."""
    if found.noise is None:
        return ()
    kind = {
        "class-conditional": "wrong labels depend on the class alone",
        "instance-dependent": "wrong labels depend on the item: what is hard to tell apart is mislabelled, as by people",
        "undecided": "too little contradicts the model where it is sure to say what wrong labels depend on",
    }[found.noise.kind]
    told = [
        f"{int(found.flagged.sum())} of {len(found)} labels are flagged, {1 - float(found.right.mean()):.1%} expected wrong; "
        f"{kind}"
    ]
    if len(found.weights) > 1:
        shares = ", ".join(f"{weight:.2f}" for weight in found.weights)
        told.append(f"the models were pooled with weights {shares}, by their log-loss on the labels")
    return tuple(told)
