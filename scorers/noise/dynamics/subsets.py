"""`memorisation` and `self-rescaling`: what many models, or one that weighs its own items, say about each label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import View, detail, score
from curate.counting import counted
from curate.errors import InputError, check_installed
from curate.fitting import FittedTable
from curate.scorers.noise.dynamics.head import Head
from curate.scorers.noise.dynamics.items import read_items
from curate.scorers.noise.dynamics.memorisation import SubsetModel, memorisation, subset_runs
from curate.scorers.noise.dynamics.rescaling import FEATURES, Feature, SelfTaught, self_taught_weights

__all__ = ["MemorisationScore", "SelfRescaling"]


@dataclass(frozen=True)
class MemorisationScore:
    """Scores labels by 1 - memorisation (Feldman and Zhang 2020), from 0 (learnt by heart) to 1 and above; higher = keep.

    `runs` models are trained on random shares (`share`) of the items of an embedding; an item is memorised if models are right
    when trained on it and wrong when not. `model` nearest, logistic-regression or mlp (a small head of `epochs`). Rare items
    are memorised too: `memorisation_excluded`, the share of models right without the item, and what its neighbours
    say, tell them from wrong labels. Beside it `memorisation_included`, and `memorisation_error`, a standard error.
    `label` is the column judged.
    """

    embedding: str = "pixel_embedding"
    model: SubsetModel = "nearest"
    runs: int = 100
    share: float = 0.7
    epochs: int = 30
    seed: int = 0
    device: str = "cpu"
    label: str = "label"

    name: ClassVar[str] = "memorisation"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.runs < 2 or not 0 < self.share < 1:
            raise InputError(
                f"memorisation: runs={self.runs}, share={self.share}: two runs or more, and a share between 0 and 1"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        names = ("included", "excluded", "error")
        return (score("memorisation"), *(detail(f"memorisation_{name}", pa.float32()) for name in names))

    def ready(self) -> None:
        """Raises MissingExtraError where what trains the models is not installed."""
        if self.model == "mlp":
            check_installed("torch", "train")
        elif self.model == "logistic-regression":
            check_installed("sklearn", "noise")

    def fit(self, view: View) -> FittedTable:
        """Train on shares of a whole view. Raises InputError for a single class, or too few items to share."""
        items = read_items(view, self.embedding, self.label)
        empty = np.empty(0)
        if not len(items.usable):
            names = [f.name for f in self.gives]
            return items.table(self, dict.fromkeys(names, empty))
        runs = subset_runs(
            items.x,
            items.codes,
            len(items.classes),
            runs=self.runs,
            share=self.share,
            model=self.model,
            head=Head(epochs=self.epochs, seed=self.seed, device=self.device),
            seed=self.seed,
        )
        found = memorisation(runs.correct, runs.included)
        unscored = np.full(len(items.usable), None, object)
        unscored[np.isnan(found.memorised)] = (
            f"in all {counted(self.runs, 'run')} or in none: ask for more runs"
        )
        columns = {
            "memorisation": 1 - found.memorised,
            "memorisation_included": found.included,
            "memorisation_excluded": found.excluded,
            "memorisation_error": found.error,
        }
        return items.table(self, columns, unscored=unscored)


@dataclass(frozen=True)
class SelfRescaling:
    """Weighs items by self-taught rescaling in the manner of STORM (2025): training weights of mean 1, higher = keep.

    A small model is trained on an embedding while a rescaler learns, from `features` of how the model behaves on an item, how
    much the item should weigh; see `rescaling.SelfTaught` for `passes`, `dropout`, `hidden`, `warmup` and the others.
    `label` is the column learnt.
    """

    embedding: str = "pixel_embedding"
    features: tuple[Feature, ...] = FEATURES
    passes: int = 4
    dropout: float = 0.3
    hidden: int = 128
    epochs: int = 20
    warmup: float = 0.2
    batch_size: int = 64
    learning_rate: float = 0.02
    meta_learning_rate: float = 0.003
    seed: int = 0
    device: str = "cpu"
    label: str = "label"

    name: ClassVar[str] = "self-rescaling"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self._how()

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.label, self.embedding)

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("self_rescaling"),)

    def ready(self) -> None:
        """Raises MissingExtraError where torch is not installed."""
        check_installed("torch", "train")

    def fit(self, view: View) -> FittedTable:
        """Train on a whole view. Raises InputError for a single class or a training that diverges."""
        items = read_items(view, self.embedding, self.label)
        weights = np.empty(0)
        if len(items.usable):
            found = self_taught_weights(items.x, items.codes, len(items.classes), how=self._how())
            weights = found.weights
        return items.table(self, {"self_rescaling": weights})

    def _how(self) -> SelfTaught:
        names = SelfTaught.__dataclass_fields__
        return SelfTaught(**{name: getattr(self, name) for name in names})
