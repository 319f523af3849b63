"""`el2n`, `grand`, `self-influence` and `loss-drop`: what is hard, what is learnt by heart, and what the target teaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import View, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, answered, columns_of, numbers, open_vectors
from curate.scorers.influence.last_layer import el2n, grand
from curate.scorers.influence.matching import self_influence
from curate.scorers.influence.predicted import read_predicted
from curate.scorers.influence.warm_up import loss_drop

__all__ = ["El2n", "Grand", "LossDrop", "SelfInfluence"]


@dataclass(frozen=True)
class El2n:
    """Scores items by the length of the model's error on them (EL2N), in [0, 1.414]; higher = hard = keep.

    Right for clean labels, where easy items are many alike: with wrong labels the hardest items are the wrong ones.
    `pred_probs` the column of probabilities, of a model trained for a few epochs; `classes` their order; `label`
    the column that they are held against.
    """

    pred_probs: str = "pred_probs"
    classes: tuple[str, ...] = ()
    label: str = "label"

    name: ClassVar[str] = "el2n"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.pred_probs)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("el2n"),)

    def fit(self, view: View) -> FittedTable:
        """Score a whole view. Raises InputError where the classes do not match the probabilities."""
        read = read_predicted(view, self.pred_probs, "", self.classes, label=self.label)
        values = {"el2n": el2n(read.probs, read.labels)}
        return answered(self, read.rows, values, read.reasons, classes=read.classes)


@dataclass(frozen=True)
class Grand:
    """Scores items by the length of the last layer's gradient (GraNd), in closed form; higher = it would teach much = keep.

    As with `el2n`, wrong labels score high. `features` the vectors that the last layer sees, `pred_probs` what it said, `classes` their
    order; `bias` whether that layer has one; `label` the column that they are held against.
    """

    features: str = "embedding"
    pred_probs: str = "pred_probs"
    classes: tuple[str, ...] = ()
    bias: bool = True
    label: str = "label"

    name: ClassVar[str] = "grand"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.features, self.pred_probs)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("grand"),)

    def fit(self, view: View) -> FittedTable:
        """Score a whole view. Raises InputError where the classes do not match the probabilities."""
        read = read_predicted(view, self.pred_probs, self.features, self.classes, label=self.label)
        assert read.features is not None
        values = {"grand": grand(read.probs, read.labels, read.features, bias=self.bias)}
        return answered(self, read.rows, values, read.reasons, classes=read.classes)


@dataclass(frozen=True)
class SelfInfluence:
    """Scores items by minus their influence on themselves: low = learnt by heart, as wrong labels and oddities are; higher = keep.

    `gradients` the column of gradients, not normalised, of `checkpoints` checkpoints, weighed by `rates` (none: 1).
    """

    gradients: str = "gradients"
    checkpoints: int = 1
    rates: tuple[float, ...] = ()

    name: ClassVar[str] = "self-influence"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.checkpoints < 1 or len(self.rates) not in (0, self.checkpoints):
            raise InputError(
                f"self-influence: {counted(self.checkpoints, 'checkpoint')} and {counted(len(self.rates), 'rate')}: as "
                "many are meant, or none"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.gradients,)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("self_influence"),)

    def fit(self, view: View) -> FittedTable:
        """Score a whole view."""
        vectors, null = open_vectors(view, self.gradients)
        if not len(view) or null.all():
            reasons = np.full(len(view), f"no {self.gradients}", object)
            return answered(self, np.empty(0, np.int64), {}, reasons)
        values = self_influence(vectors, checkpoints=self.checkpoints, rates=self.rates or None)
        reasons = np.full(len(view), None, object)
        reasons[~np.isfinite(values)] = f"{self.gradients} is not finite"
        reasons[null] = f"no {self.gradients}"
        rows = np.flatnonzero(reasons == None)  # noqa: E711 - element by element
        return answered(self, rows, {"self_influence": -values[rows]}, reasons)


@dataclass(frozen=True)
class LossDrop:
    """Scores items by how far their loss fell while a model was warmed up on the target; at most 1, higher = keep.

    `before` and `after` columns, or expressions, of each item's loss; `normalise` by the loss before.
    """

    before: str = "loss_before"
    after: str = "loss_after"
    normalise: bool = True

    name: ClassVar[str] = "loss-drop"
    version: ClassVar[int] = 1

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*columns_of(self.before), *columns_of(self.after))))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("loss_drop"),)

    def fit(self, view: View) -> FittedTable:
        """Score a whole view. Raises InputError for negative losses."""
        if not len(view):
            return answered(self, np.empty(0, np.int64), {}, np.empty(0, object))
        before, after = (
            numbers(view.compute(expression), expression) for expression in (self.before, self.after)
        )
        values = loss_drop(before, after, normalise=self.normalise)
        reasons = np.full(len(view), None, object)
        reasons[~np.isfinite(values)] = "a loss is missing or not finite"
        rows = np.flatnonzero(np.isfinite(values))
        return answered(self, rows, {"loss_drop": values[rows]}, reasons)
