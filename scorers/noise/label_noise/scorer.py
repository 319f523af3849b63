"""`label-errors`: the default scorer of labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable
from curate.scorers.noise.label_noise.finder import LabelIssues
from curate.scorers.noise.label_noise.pieces import ErrorsPiece, Judged, fit_pieces
from curate.scorers.noise.label_noise.transition import Transition
from curate.scorers.noise.pieces import answer_pieces, settle
from curate.scorers.noise.probabilities import exact_sum

__all__ = ["LabelErrors"]


@dataclass(frozen=True)
class LabelErrors:
    """Scores how well each label stands up to out-of-sample probabilities, and flags those that are likely wrong.

    One configuration for all data: a noise model fitted to probabilities and labels corrects both and sets the cut.
    `pred_probs` is the vector column, or several of an ensemble; `classes` the order of their columns (default: the
    distinct labels, sorted by code point, which is the order that `out-of-fold` writes); `seed` draws the items the
    model is fitted on; `label` is the column judged. Beside the score: `label_error`, `label_error_suggestion` (the
    likelier class where there is an error), `label_right` (probability that the label is right) and
    `label_error_because`.
    Notes of the fitted scorer say what noise was found, and if the probabilities look in-sample or uncalibrated.
    """

    pred_probs: str | tuple[str, ...] = "pred_probs"
    classes: tuple[str, ...] = ()
    seed: int = 0
    label: str = "label"

    name: ClassVar[str] = "label-errors"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not self.columns:
            raise InputError("label-errors: pred_probs names no column")

    @property
    def columns(self) -> tuple[str, ...]:
        """The vector columns read."""
        return (self.pred_probs,) if isinstance(self.pred_probs, str) else tuple(self.pred_probs)

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, *self.columns)

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
        with view.resident(partial(ErrorsPiece, self)) as held:
            names, counts = settle(held, view, self.columns, self.classes, label=self.label)
            if not counts.sum():
                return answer_pieces(self, held.ask("answer_nothing"), (), names)
            fitted = fit_pieces(held, view, counts, self.seed)
            found: list[Judged] = held.ask("judge", fitted.pool, fitted.noise)
        flagged, right = sum(one.flagged for one in found), sum(one.right for one in found)
        notes = _describe(fitted.noise, fitted.pool.weights, (flagged, right, int(counts.sum())))
        return answer_pieces(self, [one.table for one in found], (*notes, *fitted.diagnosis.notes()), names)


def describe(found: LabelIssues) -> tuple[str, ...]:
    """What was found, in sentences for a person."""
    if found.noise is None:
        return ()
    return _describe(
        found.noise, found.weights, (int(found.flagged.sum()), exact_sum(found.right), len(found))
    )


def _describe(noise: Transition, weights: tuple[float, ...], found: tuple[int, int, int]) -> tuple[str, ...]:
    """`found`: how many labels are flagged, the `exact_sum` of the probabilities that they are right, and how many they are."""
    kind = {
        "class-conditional": "wrong labels depend on the class alone",
        "instance-dependent": "wrong labels depend on the item: what is hard to tell apart is mislabelled, as by people",
        "undecided": "too little contradicts the model where it is sure to say what wrong labels depend on",
    }[noise.kind]
    flagged, right, total = found
    told = [
        f"{flagged} of {counted(total, 'label')} are flagged, {1 - right / 2**32 / total:.1%} expected wrong; {kind}"
    ]
    if len(weights) > 1:
        shares = ", ".join(f"{weight:.2f}" for weight in weights)
        told.append(
            f"the models were pooled with weights {shares}, by what each adds to the likelihood of the labels"
        )
    return tuple(told)
