"""Which caption of an image to keep: a reward learned from people's rankings of captions (Compress & Align)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.counting import counted
from curate.errors import InputError

__all__ = ["Preferences", "Reward", "choose_caption", "rank_captions", "ranked_pairs", "train_reward"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_STEPS = 50


class Preferences(NamedTuple):
    """Pairs of captions of one image: rows of the `better` and the `worse` (p,) int64; `tied` (p,) bool: ranked equal."""

    better: Ints
    worse: Ints
    tied: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Reward:
    """What `train_reward` learned: `weights` (d,) on features."""

    weights: Floats

    def score(self, features: npt.NDArray[Any]) -> Floats:
        """(n, d) in, (n,) out, higher = preferred; only differences mean anything. NaN where a row holds one."""
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.weights):
            raise InputError(f"features of shape {features.shape}: (n, {len(self.weights)}) was learned")
        return np.asarray(features @ self.weights)


def ranked_pairs(ranks: npt.NDArray[Any], groups: npt.NDArray[Any]) -> Preferences:
    """Every two ranked captions of one image as a preference.

    `ranks` (n,): 1 = best, equal = as good, NaN = nobody ranked it; `groups` (n,): the image. Raises InputError for
    another length.
    """
    ranks, codes = np.asarray(ranks, np.float64), _codes(groups, len(ranks))
    known = np.flatnonzero(~np.isnan(ranks))
    order = known[np.lexsort((ranks[known], codes[known]))]
    found = []
    for apart in range(1, len(order)):  # as many rounds as the longest list of captions
        left, right = order[:-apart], order[apart:]
        same = codes[left] == codes[right]
        if not same.any():
            break
        found.append(np.stack([left[same], right[same]]))
    pairs = np.concatenate(found, axis=1) if found else np.empty((2, 0), np.int64)
    return Preferences(pairs[0], pairs[1], ranks[pairs[0]] == ranks[pairs[1]])


def train_reward(
    features: npt.NDArray[Any], ranks: npt.NDArray[Any], groups: npt.NDArray[Any], *, penalty: float = 1.0
) -> Reward:
    """A linear reward from ranked captions: it minimises the sum over pairs of -log sigmoid(r_better - r_worse) plus
    `penalty` / 2 |weights|^2. A tie counts as half a win for either, which draws the two together.

    `features` (n, d), finite: what is known of an image with its caption, such as the text's vector beside the products of
    both sides in a joint space. `ranks`, `groups` as in `ranked_pairs`. Convex and without randomness.
    Raises InputError where shapes do not fit, features are not finite, or no two captions of an image differ in rank.
    Source: Compress & Align (UCSC-VLAA); its loss is the usual one of Bradley and Terry, the exact form and its handling of
    ties UNVERIFIED. Ours is linear on vectors, theirs a network on pixels.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) != len(ranks) or not np.isfinite(features).all():
        raise InputError(
            f"features of shape {features.shape} for {counted(len(ranks), 'rank')}: finite, a row for each"
        )
    if not penalty > 0:
        raise InputError(
            f"penalty={penalty}: above 0, or weights grow without end where all pairs are told apart"
        )
    pairs = ranked_pairs(ranks, groups)
    if pairs.tied.all():
        raise InputError("no two captions of one image differ in rank: there is nothing to learn from")
    apart = features[pairs.better] - features[pairs.worse]
    target = np.where(pairs.tied, 0.5, 1.0)
    weights = np.zeros(features.shape[1])
    for _ in range(_STEPS):
        chance = np.exp(-np.logaddexp(0, -(apart @ weights)))
        slope = apart.T @ (target - chance) - penalty * weights
        curve = (apart * (chance * (1 - chance))[:, None]).T @ apart + penalty * np.eye(len(weights))
        step, now = np.linalg.solve(curve, slope), _loss(apart, target, weights, penalty)
        while _loss(apart, target, weights + step, penalty) > now and np.abs(step).max() > 1e-10:
            step = step / 2  # Newton's step, halved until it helps
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return Reward(weights)


def rank_captions(scores: npt.NDArray[Any], groups: npt.NDArray[Any], *, margin: float = 0.0) -> Ints:
    """The place of each caption among those of its image, (n,) int64: 1 = best, 0 where the score is NaN.

    A caption less than or just `margin` below the best of a rank shares that rank; the next one after m captions has place
    m + 1. Raises InputError for another length or a margin below 0.
    """
    scores, codes = np.asarray(scores, np.float64), _codes(groups, len(scores))
    if not margin >= 0:
        raise InputError(f"margin={margin}: 0 or more")
    ranks = np.zeros(len(scores), np.int64)
    last, first, place, count = -1, 0.0, 0, 0
    for row in np.lexsort((-scores, codes)).tolist():
        if np.isnan(scores[row]):
            continue
        if codes[row] != last:
            last, first, place, count = int(codes[row]), float(scores[row]), 1, 0
        elif scores[row] < first - margin:
            first, place = float(scores[row]), count + 1
        count += 1
        ranks[row] = place
    return ranks


def choose_caption(scores: npt.NDArray[Any], groups: npt.NDArray[Any]) -> Ints:
    """The row of the best caption of each image, (images,) int64 in the order of rows; of equal ones the first.

    An image whose scores are all NaN has none. Then `top` keeps the best share of these. Raises InputError for another length.
    """
    scores, codes = np.asarray(scores, np.float64), _codes(groups, len(scores))
    known = np.flatnonzero(~np.isnan(scores))
    order = known[np.lexsort((known, -scores[known], codes[known]))]
    firsts = np.unique(codes[order], return_index=True)[1]
    return np.sort(order[firsts])


def _codes(groups: npt.NDArray[Any], n: int) -> Ints:
    if len(groups) != n:
        raise InputError(f"{counted(len(groups), 'group')} for {counted(n, 'caption')}: the image of each")
    return np.asarray(np.unique(np.asarray(groups), return_inverse=True)[1], np.int64)


def _loss(apart: Floats, target: Floats, weights: Floats, penalty: float) -> float:
    z = apart @ weights
    return float((np.logaddexp(0, z) - target * z).sum() + penalty * weights @ weights / 2)
