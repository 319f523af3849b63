"""Rewards of captions by models that have not seen the rankings of their image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError
from curate.scorers.alignment.pairs.captions import Preferences, Reward, ranked_pairs, train_reward
from curate.scorers.alignment.pairs.crossfit import deal_groups
from curate.scorers.alignment.pairs.embedder import JointEmbedder, check_pairs, train_joint

__all__ = ["CaptionRewards", "caption_features", "caption_reward"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""What is tried where no penalty is given."""

_INNER = 3


class CaptionRewards(NamedTuple):
    """`score` (n,) float64, higher = preferred, mean 0 and deviation 1 in each fold; `fold` (n,) int64: whose model judged
    it; `agreement`: the share of people's `pairs` (ties left out) that models which had not seen the image order alike,
    0.5 at random, NaN where there is none."""

    score: Floats
    fold: Ints
    agreement: float
    pairs: int


def caption_features(images: Floats, texts: Floats, joint: JointEmbedder | None = None) -> list[Floats]:
    """What is known of an image with its caption, in blocks: the cosine in a joint space (n, 1), the products that it is
    the sum of (n, k), and the text's own vector of unit length (n, e).

    `images` (n, d), `texts` (n, e); without `joint` they must lie in one space. Raises InputError where they do not.
    """
    if joint is None and images.shape[1] != texts.shape[1]:
        raise InputError(
            f"image vectors of {counted(images.shape[1], 'number')} and text vectors of {texts.shape[1]}: they lie in "
            "no common space; ask for one with dim=64"
        )
    own = _unit(texts)
    u, v = (_unit(images), own) if joint is None else (joint.embed_images(images), joint.embed_texts(texts))
    products = np.nan_to_num(u * v)  # a vector at the mean says nothing
    return [products.sum(1, keepdims=True), products, own]


def caption_reward(
    images: npt.NDArray[Any],
    texts: npt.NDArray[Any],
    ranks: npt.NDArray[Any],
    groups: npt.NDArray[Any],
    *,
    dim: int = 64,
    folds: int = 5,
    seed: int = 0,
    penalty: float | None = None,
) -> CaptionRewards:
    """How well people would like each caption of its image, learned from their rankings of others (Compress & Align).

    `images` (n, d), `texts` (n, e) finite, row i an image with one of its captions; `ranks` (n,): 1 = best, equal = as
    good, NaN = nobody ranked it; `groups` (n,): the image. Images are dealt to `folds`; each caption is judged by a
    linear reward (`train_reward`) on the rankings of the other folds' images. Its features are those of
    `caption_features`, each block brought to the same spread; the joint space of `dim` numbers is the closed form of
    `train_joint` on the best captions, dim=0 takes the vectors as they are (CLIP's). `penalty` holds the weights down;
    None: of 1 to 1000 the one under which held-out images of the others are predicted best.
    Raises InputError for shapes that do not fit, fewer images with a preference than folds or than 4, or where
    `train_joint` does.
    """
    images, texts, codes = check_pairs(images, texts, groups)
    ranks = np.asarray(ranks, np.float64)
    if ranks.shape != codes.shape:
        raise InputError(
            f"{ranks.shape} ranks for {counted(len(codes), 'caption')}: one each, NaN where nobody ranked it"
        )
    if dim < 0:
        raise InputError(f"dim={dim}: 0 or more")
    known, best = _told(ranks, codes)
    fold = deal_groups(codes, known, folds, seed)
    score = np.zeros(len(codes))
    right: list[Floats] = []
    for part in range(folds):
        judged, taught = fold == part, known & (fold != part)
        lead = taught & best
        joint = train_joint(images[lead], texts[lead], groups=codes[lead], dim=dim, epochs=0) if dim else None
        features = _scaled(caption_features(images, texts, joint), taught)
        reward = _train(features[taught], ranks[taught], codes[taught], (penalty, seed))
        found = reward.score(features[judged])
        score[judged] = (found - found.mean()) / max(float(found.std()), 1e-9)
        unseen = judged & known
        right.append(_ordered(reward.score(features[unseen]), ranked_pairs(ranks[unseen], codes[unseen])))
    every = np.concatenate(right)
    return CaptionRewards(score, fold, float(every.mean()) if len(every) else float("nan"), len(every))


def _told(ranks: Floats, codes: Ints) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows belong to an image with two different ranks and have one, and which of them are its best."""
    ranked = ~np.isnan(ranks)
    low, high = np.full(codes.max() + 1, np.inf), np.full(codes.max() + 1, -np.inf)
    np.minimum.at(low, codes[ranked], ranks[ranked])
    np.maximum.at(high, codes[ranked], ranks[ranked])
    known = ranked & (low < high)[codes]
    return known, known & (ranks == low[codes])


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0))


def _scaled(blocks: list[Floats], taught: npt.NDArray[np.bool_]) -> Floats:
    """Blocks side by side, each with a total variance of 1 over the rows that teach, so that none outweighs another."""
    made = []
    for block in blocks:
        centred = block - block[taught].mean(0)
        made.append(centred / np.sqrt(max(float((centred[taught] ** 2).mean(0).sum()), 1e-12)))
    return np.concatenate(made, axis=1)


def _train(features: Floats, ranks: Floats, codes: Ints, how: tuple[float | None, int]) -> Reward:
    penalty, seed = how
    if penalty is None:
        penalty = _choose(features, ranks, codes, seed)
    return train_reward(features, ranks, codes, penalty=penalty)


def _choose(features: Floats, ranks: Floats, codes: Ints, seed: int) -> float:
    """The penalty with the least loss on held-out images; the largest of equals."""
    own = np.unique(codes, return_inverse=True)[1]
    parts = np.random.default_rng(seed).permutation(int(own.max()) + 1)[own] % _INNER
    losses = np.zeros(len(PENALTIES))
    for part in range(_INNER):
        taught, held = parts != part, parts == part
        pairs = ranked_pairs(ranks[held], own[held])
        if not taught.any() or not held.any():
            return PENALTIES[-1]
        for i, penalty in enumerate(PENALTIES):
            reward = train_reward(features[taught], ranks[taught], own[taught], penalty=penalty)
            found = reward.score(features[held])
            apart = found[pairs.better] - found[pairs.worse]
            losses[i] += np.where(
                pairs.tied, np.logaddexp(0, apart) - apart / 2, np.logaddexp(0, -apart)
            ).sum()
    return PENALTIES[len(PENALTIES) - 1 - int(np.argmin(losses[::-1]))]


def _ordered(score: Floats, pairs: Preferences) -> Floats:
    """For each pair that is not tied, 1 where the better one scores higher, 0 where lower, 0.5 where equal."""
    apart = (score[pairs.better] - score[pairs.worse])[~pairs.tied]
    return np.asarray(np.heaviside(apart, 0.5))
