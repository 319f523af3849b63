"""A reward from ranked captions, and the choice of a caption: by hand and against planted preferences."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.alignment import choose_caption, rank_captions, train_reward
from curate.scorers.alignment.pairs.captions import ranked_pairs

NAN = float("nan")


def test_pairs_ranks_and_choice_by_hand() -> None:
    groups = np.array(["a", "b", "a", "a", "b", "c"])
    pairs = ranked_pairs(np.array([2, 1, 1, 2, NAN, 1]), groups)
    told = sorted(zip(pairs.better.tolist(), pairs.worse.tolist(), pairs.tied.tolist(), strict=True))
    assert told == [(0, 3, True), (2, 0, False), (2, 3, False)]
    scores = np.array([0.1, 0.5, 0.9, 0.85, 0.5, NAN])
    assert rank_captions(scores, groups).tolist() == [3, 1, 1, 2, 1, 0]
    assert rank_captions(scores, groups, margin=0.1).tolist() == [3, 1, 1, 1, 1, 0]
    assert choose_caption(scores, groups).tolist() == [1, 2]


def test_one_pair_by_hand() -> None:
    # one pair, features apart by 1: the slope sigmoid(-w) = penalty w is solved
    for penalty in (0.5, 2.0):
        w = train_reward(np.array([[1.0], [0.0]]), np.array([1, 2]), np.zeros(2), penalty=penalty).weights[0]
        assert np.isclose(1 / (1 + np.exp(w)), penalty * w)


def test_planted_preferences_are_learned_and_ties_hold_back() -> None:
    rng = np.random.default_rng(0)
    features, truth = rng.normal(size=(400, 6)), np.array([2.0, -1, 0.5, 0, 0, 0])
    groups = np.arange(400) // 4
    ranks = rank_captions(features @ truth + rng.logistic(size=400), groups)
    model = train_reward(features[:200], ranks[:200], groups[:200])
    assert np.corrcoef(model.weights, truth)[0, 1] > 0.95
    pairs = ranked_pairs(ranks[200:], groups[200:])
    scores = model.score(features[200:])
    assert (scores[pairs.better] > scores[pairs.worse]).mean() > 0.75  # 0.5 at random
    tied = np.where(ranks <= 2, 1, 2)
    held = train_reward(features[:200], tied[:200], groups[:200])
    assert np.linalg.norm(held.weights) < np.linalg.norm(model.weights)
    order = rng.permutation(200)
    again = train_reward(features[order], ranks[order], groups[order])
    assert np.allclose(again.weights, model.weights)


def test_bad_input_is_told() -> None:
    x = np.ones((4, 2))
    with pytest.raises(InputError, match="nothing to learn from"):
        train_reward(x, np.ones(4), np.zeros(4))
    with pytest.raises(InputError, match="nothing to learn from"):
        train_reward(x, np.arange(4), np.arange(4))
    with pytest.raises(InputError, match="a row for each"):
        train_reward(x * NAN, np.arange(4), np.zeros(4))
    with pytest.raises(InputError, match="penalty=0"):
        train_reward(x, np.arange(4), np.zeros(4), penalty=0)
    with pytest.raises(InputError, match="3 groups for 4 captions"):
        choose_caption(np.ones(4), np.zeros(3))
    with pytest.raises(InputError, match="margin=-1"):
        rank_captions(np.ones(4), np.zeros(4), margin=-1)
    with pytest.raises(InputError, match=r"\(n, 2\) was learned"):
        train_reward(np.eye(4)[:, :2], np.arange(4), np.zeros(4)).score(np.ones((2, 3)))
