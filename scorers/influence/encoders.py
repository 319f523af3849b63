"""`gradients`: the last layer's gradient of each item as a vector, in closed form from what a model said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from curate.contracts import View, vector
from curate.errors import InputError, check_installed
from curate.fitting import FittedTable, answered
from curate.scorers.influence.last_layer import last_layer_gradients
from curate.scorers.influence.predicted import read_predicted
from curate.scorers.influence.projection import Kind, Projection

__all__ = ["Gradients"]


@dataclass(frozen=True)
class Gradients:
    """Gives `gradients`: the gradient of each item's loss in a classifier's last layer, projected; no model is run.

    From the vectors `features` that the last layer sees, the column `pred_probs` of what it said (`classes` their order) and
    the column `label`; `bias` whether the layer has one. Projected to `dim` numbers by `projection` and `seed`, as
    `projection.Projection` does; lengths are kept. What reads them: `less`, `tracin`, `gist`, `datainf`, `trak`,
    `self-influence`, gradient pursuit.
    """

    features: str = "embedding"
    pred_probs: str = "pred_probs"
    classes: tuple[str, ...] = ()
    dim: int = 512
    seed: int = 0
    projection: Kind = "count-sketch"
    bias: bool = True
    label: str = "label"

    name: ClassVar[str] = "gradients"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        try:
            Projection(self.dim, self.seed, self.projection)
        except InputError as error:
            raise InputError(f"gradients: {error}") from error

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.features, self.pred_probs)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (vector("gradients", self.dim),)

    def ready(self) -> None:
        """Raises MissingExtraError where numba is not installed."""
        check_installed("numba", "select")

    def fit(self, view: View) -> FittedTable:
        """Compute them for a whole view. Raises InputError where the classes do not match the probabilities."""
        read = read_predicted(view, self.pred_probs, self.features, self.classes, label=self.label)
        assert read.features is not None
        if not len(read.rows):
            return answered(self, read.rows, {}, read.reasons)
        values = last_layer_gradients(
            read.probs,
            read.labels,
            read.features,
            dim=self.dim,
            seed=self.seed,
            kind=self.projection,
            bias=self.bias,
        )
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), self.dim)
        return answered(self, read.rows, {"gradients": lists}, read.reasons, classes=read.classes)
