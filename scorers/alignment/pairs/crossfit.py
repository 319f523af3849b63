"""Scores of pairs by models that have not seen them: what is learned is whether a pair fits, not that it was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError
from curate.scorers.alignment.pairs.embedder import JointEmbedder, check_pairs, train_joint

__all__ = ["PairScores", "deal_groups", "pair_filter", "told_apart"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Trainer = Callable[[Floats, Floats, Ints], JointEmbedder]
_CHANCE = 2000
"""Wrong partners drawn to know what chance looks like."""


class PairScores(NamedTuple):
    """`score` (n,) float64: how many standard deviations of chance pairs a pair's cosine lies above their mean, higher =
    keep; `fold` (n,) int64: whose model judged it; `auroc`: how often a trusted pair, judged by a model that has not seen
    it, scores above a chance pair of the same fold; 0.5 at random."""

    score: Floats
    fold: Ints
    auroc: float


def pair_filter(
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    *,
    trusted: npt.NDArray[np.bool_] | None = None,
    groups: npt.NDArray[Any] | None = None,
    folds: int = 5,
    seed: int = 0,
    train: Trainer | None = None,
) -> PairScores:
    """How well image and text of each pair fit, by joint embedders trained on the pairs you trust.

    `images` (n, d), `texts` (n, e) finite; `trusted` (n,) bool: the pairs to learn from, all without it; `groups` (n,):
    rows that must not teach about one another (captions of one picture, copies). Groups are dealt to `folds`, those with
    trusted pairs evenly; each pair is judged by the model of the trusted pairs of all other folds, trusted or not, so that
    no model has seen anything of its group. Each model's cosines are measured in deviations from those of `texts`
    exchanged at random between the trusted pairs it has not seen: models differ in scale, and 0 is a pair put together by
    chance. `train` (images, texts, groups) gives a JointEmbedder: `train_joint` as it stands, if None.

    Raises InputError for fewer than two folds, fewer trusted groups than folds, or where `train_joint` does.
    """
    images, texts, codes = check_pairs(images, texts, groups)
    known = np.ones(len(codes), bool) if trusted is None else np.asarray(trusted, bool)
    if known.shape != codes.shape:
        raise InputError(f"{known.shape} marks of trust for {counted(len(codes), 'pair')}: one each")
    fold = deal_groups(codes, known, folds, seed)
    fit = train or (lambda x, y, g: train_joint(x, y, groups=g, seed=seed))
    score = np.empty(len(codes))
    wins = []
    for part in range(folds):
        judged, taught = fold == part, known & (fold != part)
        model = fit(images[taught], texts[taught], codes[taught])
        unseen = np.flatnonzero(judged & known)
        chance = _chance(model, images[unseen], texts[unseen], (codes[unseen], seed))
        if not len(chance):  # one trusted group in this fold: chance is looked for among those it was taught
            seen = np.flatnonzero(taught)
            chance = _chance(model, images[seen], texts[seen], (codes[seen], seed))
        found = model.score(images[judged], texts[judged])
        score[judged] = (found - chance.mean()) / max(float(chance.std()), 1e-9)
        wins.append((model.score(images[unseen], texts[unseen]), chance))
    score = np.where(np.isnan(score), 0.0, score)  # a vector at the mean says nothing: like chance
    shares = [told_apart(own, other) for own, other in wins]
    return PairScores(score, fold, float(np.average(shares, weights=[len(own) for own, _ in wins])))


def deal_groups(codes: Ints, known: npt.NDArray[np.bool_], folds: int, seed: int) -> Ints:
    """A fold in 0 ... folds - 1 per row, (n,): groups whole, those with a `known` row dealt first and evenly.

    Raises InputError for fewer than two folds, or fewer groups with a known row than folds or 4.
    """
    if folds < 2:
        raise InputError(f"folds={folds}: cross-validation needs at least two")
    count = int(codes.max()) + 1
    has = np.bincount(codes[known], minlength=count) > 0
    if has.sum() < max(folds, 4):
        raise InputError(
            f"{counted(has.sum(), 'group')} with a trusted pair for {counted(folds, 'fold')}: trust more pairs (some "
            "hundred teach much), or ask for fewer folds"
        )
    shuffled = np.random.default_rng(seed).permutation(count)
    order = np.concatenate([shuffled[has[shuffled]], shuffled[~has[shuffled]]])
    dealt = np.empty(count, np.int64)
    dealt[order] = np.arange(count) % folds
    return dealt[codes]


def told_apart(own: Floats, other: Floats) -> float:
    """How often a value of `own` lies above one of `other`, ties half: the area under the ROC curve. NaN where one is
    empty."""
    if not len(own) or not len(other):
        return float("nan")
    ordered = np.sort(other)
    below = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")
    return float(below.mean() / (2 * len(other)))


def _chance(model: JointEmbedder, images: Floats, texts: Floats, drawn: tuple[Ints, int]) -> Floats:
    """Cosines of images and texts of different groups, drawn at random; empty where there is but one group."""
    codes, seed = drawn
    if len(codes) < 2 or (codes == codes[0]).all():
        return np.empty(0)
    rng = np.random.default_rng(seed)
    size = max(_CHANCE, 4 * len(codes))
    left, right = rng.integers(0, len(codes), (2, size))
    apart = codes[left] != codes[right]
    x, y = model.embed_images(images), model.embed_texts(texts)
    cosines = np.einsum("ij,ij->i", x[left[apart]], y[right[apart]])
    return np.asarray(cosines[~np.isnan(cosines)])
