"""`pair-filter`: does a text belong to its image, judged by a network that learned it from the pairs you trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View, detail, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, columns_of, true_rows
from curate.scorers.alignment.pairs.crossfit import PairScores, pair_filter
from curate.scorers.alignment.pairs.embedder import JointEmbedder, train_joint
from curate.scorers.alignment.pairs.reading import Pairs, read_pairs

__all__ = ["PairFilter"]

_WEAK = 0.65
"""An AUROC below which a note says that the filter knows little."""


@dataclass(frozen=True)
class PairFilter:
    """Scores whether image and text of a pair belong together by joint embedders trained on trusted pairs of your own.

    The score tells how many standard deviations of chance pairs a pair lies above their mean: about 0 for a text that
    could be any image's, higher = keep. `pair_filter_fold` is the fold whose model judged it.

    `image`, `text`  columns of vectors, of any two models: `pixel_embedding` and `minilm`, say.
    `trusted`        a column or expression, true for pairs to learn from; null counts as no. Without it all pairs teach,
                     which works as long as most are right.
    `groups`         a column whose equal values stay in one fold: the picture, a group of near-duplicates.
    `folds`, `seed`  of the cross-fitting: no pair is judged by a model that has seen one of its group.
    `dim`            numbers of the joint space.
    `components`     principal components of each side that are looked at; fewer where few pairs are trusted.
    `shrinkage`      how strongly small components are held down, in mean variances; 0 counts all alike.
    `hidden`         units of a hidden layer in each tower; 0 for linear towers.
    `epochs`         of contrastive training at most; 0 leaves the closed form, which needs no torch.
    """

    image: str = "clip_image"
    text: str = "minilm"
    trusted: str = ""
    groups: str = ""
    folds: int = 5
    seed: int = 0
    dim: int = 64
    hidden: int = 0
    epochs: int = 40
    components: int = 128
    shrinkage: float = 1.0

    name: ClassVar[str] = "pair-filter"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"pair-filter: folds={self.folds}: cross-validation needs at least two")
        if self.dim < 1 or self.hidden < 0 or self.epochs < 0:
            raise InputError(
                f"pair-filter: dim={self.dim} is at least 1, hidden={self.hidden} and epochs={self.epochs} at least 0"
            )
        if self.components < 1 or not 0 <= self.shrinkage < float("inf"):
            raise InputError(
                f"pair-filter: components={self.components} is at least 1, shrinkage={self.shrinkage} at least 0 and finite"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        named = (self.image, self.text, *(columns_of(self.trusted) if self.trusted else ()))
        return tuple(dict.fromkeys((*named, *((self.groups,) if self.groups else ()))))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (score("pair_filter"), detail("pair_filter_fold", pa.int32()))

    def fit(self, view: View) -> FittedTable:
        """Train and judge. Raises InputError where there are fewer groups of trusted pairs than folds, or than 4."""
        pairs = read_pairs(view, self.image, self.text, self.groups)
        if not len(pairs):
            return pairs.answer(self, {})
        trusted = self._trusted(view, pairs)
        found = pair_filter(
            pairs.images,
            pairs.texts,
            trusted=trusted,
            groups=pairs.groups,
            folds=self.folds,
            seed=self.seed,
            train=self._train,
        )
        values: dict[str, npt.NDArray[Any]]
        values = {"pair_filter": found.score.astype(np.float32), "pair_filter_fold": found.fold}
        return pairs.answer(self, values, self._notes(found, trusted, pairs))

    def _trusted(self, view: View, pairs: Pairs) -> npt.NDArray[np.bool_] | None:
        if not self.trusted:
            return None
        return true_rows(view, self.trusted)[pairs.rows]

    def _train(self, images: Any, texts: Any, groups: Any) -> JointEmbedder:
        return train_joint(
            images,
            texts,
            groups=groups,
            dim=self.dim,
            components=self.components,
            shrinkage=self.shrinkage,
            hidden=self.hidden,
            epochs=self.epochs,
            seed=self.seed,
        )

    def _notes(
        self, found: PairScores, trusted: npt.NDArray[np.bool_] | None, pairs: Pairs
    ) -> tuple[str, ...]:
        known = pairs.groups if trusted is None else pairs.groups[trusted]
        told = (
            f"learned from {counted(len(known), 'pair')} in {counted(len(np.unique(known)), 'group')}; unseen, they "
            f"score above pairs put together by chance with AUROC {found.auroc:.3f} (0.5 is random)"
        )
        if found.auroc >= _WEAK:
            return (told,)
        return (
            f"{told}: these vectors, or so few pairs, tell little about what belongs together; do not drop by this score",
        )
