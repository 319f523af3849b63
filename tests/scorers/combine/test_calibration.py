"""Scores on the scale of people's ratings: planted weights, folds by group, odds, staircases, and real ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.errors import InputError
from curate.scorers.combine import calibrate, contributions, learn, learning_curve, spearman
from curate.scorers.combine.calibration import (
    _common_share,
    _fit_linear,
    _fit_ordinal,
    _staircase,
    deal_groups,
)
from curate.scorers.combine.combined import Combine
from curate.scorers.combine.shares import ScoreContributions
from curate.testing import ArrayView, check_analysis, check_scorer

optimize = pytest.importorskip("scipy.optimize", reason="extra noise not installed")


def planted(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A good column in odd units, a weak and a useless one; ratings 1 to 5."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=n)
    scores = np.column_stack(
        [
            1e4 + 50 * (quality + 0.5 * rng.normal(size=n)),
            quality + 2 * rng.normal(size=n),
            rng.normal(size=n),
        ]
    )
    return scores, np.clip(np.round(3 + 1.2 * quality + 0.4 * rng.normal(size=n)), 1, 5)


@pytest.mark.parametrize("method", ["linear", "ordinal", "isotonic"])
def test_a_combination_on_the_scale_of_the_ratings(method: Any) -> None:
    scores, ratings = planted()
    truth = np.where(np.arange(300) < 200, ratings, np.nan)
    found = calibrate(scores, truth, method=method)
    assert found.weights[0] > 2 * found.weights[1] > 4 * max(found.weights[2], 0.01)
    unseen = np.isnan(truth)
    assert np.abs(found.score[unseen] - ratings[unseen]).mean() < 0.6
    assert found.score[unseen].mean() == pytest.approx(ratings[unseen].mean(), abs=0.25)
    assert spearman(ratings[~unseen], found.score[~unseen]) > 0.78
    if method != "linear":
        assert found.score.min() >= 1 and found.score.max() <= 5


def test_no_column_counts_against_itself() -> None:
    scores, ratings = planted()
    scores[:, 2] = -ratings
    found = calibrate(scores, ratings)
    assert (found.weights >= 0).all()
    context = calibrate(scores[:, :2], ratings, context=scores[:, 2:])
    assert context.context[0] < -0.5  # as context it may move the rating either way
    assert spearman(ratings, context.score) > spearman(ratings, found.score) + 0.05


def test_no_item_is_scored_by_a_model_that_saw_its_group() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(50), 4)
    mark = rng.normal(size=50)[group]  # says which group, and nothing else
    ratings = 3 + rng.normal(size=50)[group]
    scores = np.column_stack([mark**i for i in range(1, 6)])
    apart = calibrate(scores, ratings, groups=group)
    assert np.ptp(apart.score) == 0 or spearman(ratings, apart.score) < 0.3
    fold, folds = deal_groups(group, 5, 0)
    assert folds == 5 and all(len(set(fold[group == g])) == 1 for g in range(50))
    assert np.bincount(fold).tolist() == [40] * 5
    assert deal_groups(group, 5, 1)[0].tolist() != fold.tolist()
    assert deal_groups([0, 0, 1], 5, 0)[1] == 2


def test_the_fit_is_a_ridge_with_a_common_mean() -> None:
    scores, ratings = planted()
    model = _fit_linear(scores, ratings, 3, 100.0)
    features = model.features(scores)
    centred = features - features.mean(0)
    rows = np.vstack([centred, 10 * np.eye(4)])
    expected = optimize.nnls(rows, np.concatenate([ratings - ratings.mean(), np.zeros(4)]))[0]
    assert model.coefficients == pytest.approx(expected, abs=1e-8)
    stiff = _fit_linear(scores, ratings, 3, 1e9)
    loose = _fit_linear(scores, ratings, 3, 1e-3)
    assert stiff.weights().sum() < 0.01 < loose.weights()[2] + loose.weights()[0]


def test_columns_that_say_the_same_share_one_voice() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 400))
    scores = np.column_stack([a, a, a, b])
    share = _fit_linear(scores, a + b + rng.normal(size=400), 4, 10.0)._share
    assert share == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2], abs=0.01)


def test_the_share_of_a_groups_mean_by_hand() -> None:
    code, size = np.array([0, 0, 1, 1]), np.array([2, 2])
    # within: 4 * 0.5 / 2 = 1; spread of means: 2 * 8 + 2 * 8 = 32; between: (32 - 1) / (4 - 8 / 4) = 15.5
    assert _common_share(np.array([1.5, 2.5, -2.5, -1.5]) * 2**0.5, code, size) == pytest.approx(
        1 - (1 / 32) ** 0.5
    )
    assert _common_share(np.array([1.0, -1, 1, -1]), code, size).tolist() == [0, 0]  # groups do not differ
    assert _common_share(np.arange(4.0), np.arange(4), np.ones(4, int)).tolist() == [0] * 4


def test_what_is_peculiar_to_a_group_does_not_pass_for_what_a_column_is_worth() -> None:
    near: list[tuple[float, float]] = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(30), 8)
        scores = rng.normal(size=(30, 2))[group] + rng.normal(size=(240, 2))
        ratings = scores[:, 0] + 3 * rng.normal(size=30)[group] + 0.5 * rng.normal(size=240)
        fits = [_fit_linear(scores, ratings, 2, 1.0, group=own) for own in (group, np.arange(240))]
        near.append(tuple(float(np.abs(fit.weights() / scores.std(0) - [1, 0]).sum()) for fit in fits))  # type: ignore[arg-type]
    with_groups, without = np.mean(near, 0)
    assert with_groups < 0.4 * without


@pytest.mark.parametrize("method", ["linear", "ordinal", "isotonic"])
def test_folds_do_not_disorder_the_items(method: Any) -> None:
    """Of a worthless column nothing is known, which must not come out as the opposite of the truth."""
    ratings = planted(60)[1]
    found = calibrate(np.ones((60, 1)), ratings, folds=20, method=method).score
    assert found == pytest.approx(np.full(60, ratings.mean()), abs=0.1 if method == "ordinal" else 1e-9)


def test_odds_of_two_levels_are_a_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    y = (x[:, 0] + rng.logistic(size=400) > 0.3).astype(float)
    model = _fit_linear(x, y, 1, 1e-9)
    _fit_ordinal(model, x, y)
    peer = linear_model.LogisticRegression(C=np.inf).fit(x / x.std(), y)
    assert model.weights()[0] == pytest.approx(peer.coef_[0, 0], rel=1e-3)
    assert model.predict(x) == pytest.approx(peer.predict_proba(x / x.std())[:, 1], abs=1e-3)


def test_the_staircase_by_hand() -> None:
    places, heights = _staircase(np.array([1.0, 2, 3, 3, 4]), np.array([1.0, 3, 2, 0, 5]))
    assert places.tolist() == [1, 2, 3, 4]
    assert heights.tolist() == pytest.approx([1, 5 / 3, 5 / 3, 5])


def test_missing_values_and_items_without_any() -> None:
    scores, ratings = planted()
    scores[0], scores[1, 0] = np.nan, np.nan
    found = calibrate(scores, ratings)
    assert np.isnan(found.score[0]) and not np.isnan(found.score[1:]).any()
    constant = np.column_stack([scores, np.full(300, 7.0)])
    assert calibrate(constant, ratings).weights[3] == 0


def test_units_and_rows_play_no_part() -> None:
    scores, ratings = planted()
    other = calibrate(scores * [1e-3, 5, 1e6] + [3, -2, 1], ratings)
    assert other.score == pytest.approx(calibrate(scores, ratings).score, abs=1e-6)
    assert calibrate(scores, ratings, seed=1).score.tolist() != calibrate(scores, ratings).score.tolist()
    assert calibrate(scores, ratings, folds=3).folds == 3


def test_bad_input_is_named() -> None:
    scores, ratings = planted(40)
    with pytest.raises(InputError, match="at least 10"):
        calibrate(scores, np.where(np.arange(40) < 9, ratings, np.nan))
    with pytest.raises(InputError, match="all 40 ratings are 3"):
        calibrate(scores, np.full(40, 3.0))
    with pytest.raises(InputError, match="of 1 group"):
        calibrate(scores, ratings, groups=np.zeros(40))
    with pytest.raises(InputError, match="infinite"):
        calibrate(scores, np.where(np.arange(40) == 3, np.inf, ratings))
    with pytest.raises(InputError, match="infinite"):
        calibrate(np.where(scores > 1e4, np.inf, scores), ratings)
    with pytest.raises(InputError, match="linear, ordinal or isotonic"):
        calibrate(scores, ratings, method="cubic")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="one row of each"):
        calibrate(scores, ratings, context=np.ones((3, 1)))
    with pytest.raises(InputError, match="folds=1"):
        calibrate(scores, ratings, folds=1)
    with pytest.raises(InputError, match="groups hold one kind"):
        learn(scores, ratings > 3, groups=ratings > 3, folds=2)
    with pytest.raises(InputError, match="learns nothing"):
        learning_curve(scores, ratings, "rank-mean")
    with pytest.raises(InputError, match="at least 60"):
        learning_curve(scores, ratings)
    with pytest.raises(InputError, match="repeats"):
        learning_curve(scores, ratings, repeats=1)


def test_a_curve_rises_where_there_is_more_to_learn_and_is_flat_where_not() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 12))
    y = z @ np.linspace(0, 1, 12) + 3 * rng.normal(size=300)
    many = learning_curve(z, y, repeats=8)
    one = learning_curve(z[:, -1:], y, repeats=8)
    assert many.mean[0] < many.mean[-1] - 0.02
    assert many.doubled.value > one.doubled.value
    assert one.mean[-1] - one.mean[0] < 0.02
    assert (many.low <= many.mean).all() and (many.mean <= many.high).all()
    assert many.at == many.ratings[-1] == 225
    assert many.doubled.low <= many.doubled.value <= many.doubled.high
    assert learning_curve(z, y, repeats=8).mean.tolist() == many.mean.tolist()
    grouped = learning_curve(z, y, groups=np.arange(300) // 10, repeats=5, seed=1)
    assert grouped.at == 230


def everything() -> ArrayView:
    scores, ratings = planted()
    return ArrayView(
        {
            "id": [f"{i:03d}" for i in range(300)],
            "a": scores[:, 0],
            "b": scores[:, 1],
            "c": scores[:, 2],
            "rating": [*ratings[:250], *[None] * 50],
            "prompt": [None if i == 7 else f"p{i // 5}" for i in range(300)],
            "model": ["xyz"[i % 3] for i in range(300)],
        }
    )


def test_the_scorer_learns_from_ratings_by_group_with_context() -> None:
    view = everything()
    scorer = Combine(("a", "b"), "linear", "rating", groups="prompt", context=("model", "0 - c"))
    assert scorer.needs == ("a", "b", "rating", "model", "c", "prompt")
    check_scorer(scorer, view)
    notes = scorer.fit(view).notes
    assert notes[0].startswith("learned from 250 answers") and "model=y" in notes[0]
    assert any(note.startswith("a brings +") for note in notes)
    learned = Combine(("a", "b"), "learned", "rating", groups="prompt").fit(view)
    assert "log-odds of ranks" in learned.notes[0]
    assert "to the log-odds" in Combine(("a",), "ordinal", "rating").fit(view).notes[0]
    with pytest.raises(InputError, match="context is for"):
        Combine(("a",), context=("c",))
    with pytest.raises(InputError, match="linear needs answers"):
        Combine(("a",), "linear")
    many = ArrayView(
        {"id": [str(i) for i in range(60)], "a": [1.0] * 60, "r": [1.0] * 60, "w": list(map(str, range(60)))}
    )
    with pytest.raises(InputError, match="60 different texts"):
        Combine(("a",), "linear", "r", context=("w",)).fit(many)


def test_the_analysis_says_what_more_ratings_would_bring() -> None:
    analysis = ScoreContributions(
        ("a", "b", "c"), "rating", "linear", groups="prompt", context=("model",), curve=True, repeats=50
    )
    found = check_analysis(analysis, everything())
    curve = next(f for f in found.findings if f.title == "What more answers would bring")
    assert "Twice as many would bring" in curve.text
    assert "More answers would hardly pay" in curve.text
    with pytest.raises(InputError, match="no learning curve"):
        ScoreContributions(("a",), "rating", curve=True)
    with pytest.raises(InputError, match="context is for"):
        ScoreContributions(("a",), "rating", context=("b",))


def test_intervals_by_group_are_wider_where_groups_are_alike() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 10)
    x = rng.normal(size=30)[group] + 0.1 * rng.normal(size=300)
    y = x + rng.normal(size=30)[group]
    single = contributions(x[:, None], y, "rank-mean", repeats=100).combined
    whole = contributions(x[:, None], y, "rank-mean", repeats=100, groups=group).combined
    assert whole.high - whole.low > 1.8 * (single.high - single.low)


def test_tifa_by_prompt(data_dir: Path) -> None:
    file = data_dir / "t2i_ratings" / "tifa" / "human_annotations_with_scores.json"
    items = json.loads(file.read_text())
    keys = sorted(items)
    columns = [
        name for name in items[keys[0]] if name.startswith(("tifa", "clip", "mete", "bleu", "rouge", "spice"))
    ]
    scores = np.array([[items[key][name] for name in columns] for key in keys])
    ratings = np.array([items[key]["human_avg"] for key in keys])
    prompts = [items[key]["text_id"] for key in keys]
    maker = np.array([key[len(items[key]["text_id"]) + 1 :] for key in keys])
    context = (maker[:, None] == np.unique(maker)).astype(float)
    assert scores.shape == (800, 10) and context.shape[1] == 5
    alone = calibrate(scores, ratings, groups=prompts, folds=10)
    assert spearman(ratings, alone.score) > 0.68  # a plain ridge reaches 0.673; the best column 0.592
    with_maker = calibrate(scores, ratings, groups=prompts, context=context, folds=10)
    assert spearman(ratings, with_maker.score) >= 0.695
