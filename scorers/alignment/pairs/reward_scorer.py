"""`caption-reward`: how well people would like a caption of its image, learned from captions they ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from curate.contracts import View, detail, flag, score
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import FittedTable, columns_of, numbers
from curate.scorers.alignment.pairs.captions import choose_caption, rank_captions
from curate.scorers.alignment.pairs.preferring import CaptionRewards, caption_reward
from curate.scorers.alignment.pairs.reading import read_pairs

__all__ = ["CaptionReward"]

_WEAK = 0.55
"""Agreement below which a note says that little was learned."""


@dataclass(frozen=True)
class CaptionReward:
    """Scores captions as people would who ranked some of them: `caption_reward`, higher = preferred.

    Items are an image with one of its captions each. 0 is the mean of all captions, 1 a standard deviation. Of the
    captions of one image, `caption_reward_rank` is the place, 1 = best, and `caption_reward_best` marks the one to keep
    (of equal ones the first by id). No caption is judged by a model that has seen rankings of its image.

    `image`, `text`  columns of vectors: CLIP's, or those of any two models with a joint space of `dim` numbers.
    `ranks`          a column or expression: 1 = best of its image, equal = as good, null = nobody ranked it. Ratings
                     do, with a minus: "-rating".
    `groups`         the column whose equal values are one image.
    `dim`            numbers of the joint space, learned from the best captions; 0: the vectors share a space (CLIP's).
    `penalty`        holds the weights down; none: chosen by images held out.
    `folds`, `seed`  of the cross-fitting.
    """

    image: str = "clip_image"
    text: str = "clip_text"
    ranks: str = "caption_rank"
    groups: str = "image"
    dim: int = 0
    penalty: float | None = None
    folds: int = 5
    seed: int = 0

    name: ClassVar[str] = "caption-reward"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise InputError(f"caption-reward: folds={self.folds}: cross-validation needs at least two")
        if self.dim < 0 or (self.penalty is not None and not self.penalty > 0):
            raise InputError(
                f"caption-reward: dim={self.dim} is at least 0, penalty={self.penalty} above 0, or none"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.image, self.text, *columns_of(self.ranks), self.groups)))

    @property
    def gives(self) -> tuple[pa.Field, ...]:
        return (
            score("caption_reward"),
            flag("caption_reward_best"),
            detail("caption_reward_rank", pa.int32()),
        )

    def fit(self, view: View) -> FittedTable:
        """Train and judge. Raises InputError where fewer images have captions of different ranks than folds, or than 4."""
        pairs = read_pairs(view, self.image, self.text, self.groups)
        if not len(pairs):
            return pairs.answer(self, {})
        found = caption_reward(
            pairs.images,
            pairs.texts,
            numbers(view.compute(self.ranks), self.ranks)[pairs.rows],
            pairs.groups,
            dim=self.dim,
            folds=self.folds,
            seed=self.seed,
            penalty=self.penalty,
        )
        best = np.zeros(len(pairs), np.bool_)
        best[choose_caption(found.score, pairs.groups)] = True
        values = {
            "caption_reward": found.score.astype(np.float32),
            "caption_reward_best": best,
            "caption_reward_rank": rank_captions(found.score, pairs.groups).astype(np.int32),
        }
        return pairs.answer(self, values, _notes(found))


def _notes(found: CaptionRewards) -> tuple[str, ...]:
    told = (
        f"of {counted(found.pairs, 'pair')} of captions that people told apart, models that had not seen the image "
        f"order {found.agreement:.1%} alike (50 % is random)"
    )
    if found.agreement >= _WEAK:
        return (told,)
    return (f"{told}: these vectors, or so few rankings, tell little about what people prefer",)
