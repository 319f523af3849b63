"""`regression-errors`: OUTRE exact and fast, local deviations by hand, planted errors, numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from curate.errors import InputError, SchemaError
from curate.scorers.noise.structure import outre as module
from curate.scorers.noise.structure.outre import mean_near_distance, outre
from curate.scorers.noise.structure.predictions import out_of_fold_predictions
from curate.scorers.noise.structure.regression import RegressionErrors
from curate.scorers.noise.structure.residuals import local_deviation, regression_errors
from curate.testing import ArrayView, check_scorer, score_all

SHAPES = ["normal", "skewed", "heavy", "ratings", "constant prediction", "lone"]


def draw(shape: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of many shapes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y, p = x.copy(), x + rng.normal(0, 0.3, n)
    if shape == "skewed":
        y, p = np.exp(x), np.exp(p)
    elif shape == "heavy":
        y = x + 0.2 * rng.standard_t(1.5, n)
    elif shape == "ratings":
        y = np.clip(np.round(1.5 * x + 3), 1, 5)
        p = 1.5 * p + 3
    elif shape == "constant prediction":
        p = np.zeros(n)
    elif shape == "lone":
        y[0] = 1e4
    return y, p


@pytest.mark.parametrize("shape", SHAPES)
def test_few_items_are_scored_as_cleanlab_does(shape: str) -> None:
    rank = pytest.importorskip("cleanlab.regression.rank", reason="extra noise")
    y, p = draw(shape, 301)
    np.testing.assert_allclose(outre(y, p), rank.get_label_quality_scores(y, p), rtol=1e-6, atol=1e-9)
    residual = regression_errors(y, p, method="residual").score
    expected = rank.get_label_quality_scores(y, p, method="residual")
    assert spearmanr(residual, -np.abs(y - p))[0] == pytest.approx(1)
    assert (np.diff(expected[np.argsort(residual)]) >= -1e-12).all()


def test_outre_by_hand() -> None:
    y, p = np.array([0.0, 1.0, 2.0, 5.0]), np.array([0.0, 1.0, 2.0, 1.0])
    points = np.stack([(y - 2) / np.sqrt(3.5), 5 * ((p - y) + 1) / np.sqrt(3)], axis=1)
    nearest = [min(np.hypot(*(points[i] - points[j])) for j in range(4) if j != i) for i in range(4)]
    half = np.array(nearest) / 2  # the two nearest of four, one of them itself
    np.testing.assert_allclose(outre(y, p), np.exp(-half / np.median(half)))
    all_of_them = np.array([np.mean([np.hypot(*(a - b)) for b in points]) for a in points])
    np.testing.assert_allclose(outre(y, p, neighbours=1.0), np.exp(-all_of_them / np.median(all_of_them)))
    assert not np.allclose(outre(y, p, residual_scale=1.0), outre(y, p))


@pytest.mark.parametrize("shape", SHAPES)
def test_many_items_are_scored_nearly_the_same(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y, p = draw(shape, 4000)
    monkeypatch.setattr(module, "_EXACT", 1000)
    fast = outre(y, p)
    monkeypatch.setattr(module, "_EXACT", 4000)
    exact = outre(y, p)
    assert np.abs(fast - exact).max() < 0.003
    assert spearmanr(fast, exact)[0] > 0.9999


def test_points_on_a_line_or_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EXACT", 100)
    line = np.stack([np.linspace(0, 1, 1001), np.zeros(1001)], axis=1)
    fast = mean_near_distance(line, 501)
    monkeypatch.setattr(module, "_EXACT", 2000)
    np.testing.assert_allclose(fast, mean_near_distance(line, 501), atol=1e-3)
    monkeypatch.setattr(module, "_EXACT", 100)
    np.testing.assert_allclose(mean_near_distance(np.ones((200, 2)), 100), 0, atol=1e-12)


def test_local_deviation_by_hand_with_one_bin() -> None:
    p = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    y = p + np.array([1.0, 2.0, 3.0, 4.0, 30.0])
    deviation, expected = local_deviation(y, p)
    np.testing.assert_allclose(expected, p + 3)
    np.testing.assert_allclose(deviation, np.array([-2, -1, 0, 1, 27]) / 1.4826)


def test_deviation_is_measured_by_what_is_usual_at_a_prediction() -> None:
    rng = np.random.default_rng(0)
    p = np.linspace(1, 100, 4000)
    y = p + rng.normal(0, 0.1 * p)
    y[20] += 3  # thirty times the spread down there, a third of that up there
    found = regression_errors(y, p)
    assert found.score.argmin() == 20 and found.flagged[20] and found.flagged.mean() < 0.01
    assert regression_errors(y, p, method="residual").score.argmin() != 20
    assert found.deviation[20] > 4 and found.suggested[20] == pytest.approx(p[20], abs=0.6)
    low = np.abs(found.deviation[:1000]).mean() / np.abs(found.deviation[-1000:]).mean()
    assert 0.5 < low < 1.5  # drawn towards what is usual over all


def test_the_bias_of_predictions_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(0, 1, 2000)
    p = 0.5 * y + rng.normal(0, 0.05, 2000)  # pulled to the mean
    found = regression_errors(y, p)
    assert np.abs(found.suggested - y).mean() < 0.4 * np.abs(p - y).mean()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 1000), st.floats(0.1, 1e6), st.floats(-1e6, 1e6))
def test_scores_do_not_mind_the_unit(n: int, seed: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(seed)
    y, p = rng.normal(size=n), rng.normal(size=n)
    for method in ("local", "residual", "outre"):
        one = regression_errors(y, p, method=method)
        other = regression_errors(y * scale + shift, p * scale + shift, method=method)
        np.testing.assert_allclose(one.score, other.score, rtol=1e-3, atol=1e-4)
        assert ((one.score >= 0) & (one.score <= 1)).all()


def test_the_cut_decides_what_is_flagged() -> None:
    y, p = draw("normal", 1000)
    counts = [int(regression_errors(y, p, cut=cut).flagged.sum()) for cut in (1, 2, 3.5)]
    assert counts[0] > counts[1] > counts[2]
    # of a normal distribution
    assert counts[0] == pytest.approx(317, abs=60) and counts[1] == pytest.approx(46, abs=25)


def test_predictions_that_are_exact_for_most() -> None:
    p = np.arange(20.0)
    y = p.copy()
    assert (regression_errors(y, p).score == 1).all()
    y[3] += 1
    found = regression_errors(y, p)
    assert found.score.argmin() == 3 and found.flagged.tolist() == [i == 3 for i in range(20)]


@pytest.mark.parametrize("model", ["ridge", "knn", "random-forest"])
def test_predictions_out_of_fold_mind_wrong_numbers_little(model: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    clean = x @ [1.0, 2.0, 3.0]
    y = clean + rng.normal(0, 0.1, 200)
    wrong = rng.choice(200, 10, replace=False)
    y[wrong] += rng.choice([-1, 1], 10) * 15
    predicted = out_of_fold_predictions(x, y, model=model, folds=2)  # type: ignore[arg-type]
    assert np.median(np.abs(predicted - clean)) < {"ridge": 0.2, "knn": 2.0, "random-forest": 2.0}[model]
    assert np.array_equal(predicted, out_of_fold_predictions(x, y, model=model, folds=2))  # type: ignore[arg-type]
    assert regression_errors(y, predicted).flagged[wrong].mean() > 0.9


def test_seed_folds_and_groups_change_predictions() -> None:
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 3)), 2, axis=0)
    y = np.repeat(rng.normal(size=40), 2)  # nothing to learn but from the twin
    plain = out_of_fold_predictions(x, y, model="knn")
    assert not np.array_equal(plain, out_of_fold_predictions(x, y, model="knn", seed=1))
    assert not np.array_equal(plain, out_of_fold_predictions(x, y, model="knn", folds=3))
    twins = np.repeat(np.arange(40), 2)
    apart = out_of_fold_predictions(x, y, model="random-forest", folds=2)
    together = out_of_fold_predictions(x, y, model="random-forest", folds=2, groups=twins)
    assert np.abs(together - y).mean() > np.abs(apart - y).mean()


def planted(n: int = 120) -> tuple[ArrayView, list[int]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    y = x @ [1.0, 2.0, 3.0] + rng.normal(0, 0.2, n)
    p = x @ [1.0, 2.0, 3.0]
    wrong = [4, 40, 77]
    y[wrong] += [6, -7, 8]
    table = {"id": [f"{i:03d}" for i in range(n)], "label": y, "forecast": p}
    return ArrayView({k: list(v) for k, v in table.items()}, {"pixel_embedding": x}), wrong


@pytest.mark.parametrize("scorer", [RegressionErrors(), RegressionErrors(predictions="forecast")])
def test_planted_numbers_are_flagged_and_replaced(scorer: RegressionErrors) -> None:
    view, wrong = planted()
    check_scorer(scorer, view, planted=("000", "040"))
    scored = score_all(scorer, view)
    assert np.flatnonzero(scored["value_issue"].to_numpy()).tolist() == wrong
    better = scored["suggested_value"].to_numpy()[wrong]
    np.testing.assert_allclose(better, view.to_arrow()["forecast"].to_numpy()[wrong], atol=0.6)
    assert np.sign(scored["value_deviation"].to_numpy()[wrong]).tolist() == [1, -1, 1]


def test_parameters_of_the_scorer_reach_the_model() -> None:
    view, _ = planted()
    base = score_all(RegressionErrors(), view)
    changes = [{"model": "knn"}, {"folds": 3}, {"seed": 1}, {"method": "outre"}, {"method": "residual"}]
    for change in changes:
        other = score_all(RegressionErrors(**change), view)
        assert not other["regression_errors"].equals(base["regression_errors"]), change
    assert score_all(RegressionErrors(cut=1), view)["value_issue"].to_numpy().sum() > 10
    assert RegressionErrors(labels="y", embedding="e").needs == ("y", "e")


def test_strings_that_read_as_numbers_are_numbers_and_others_say_why() -> None:
    view, _ = planted()
    table = view.to_arrow(["id", "label", "forecast"])
    text = [f" {v:.17g} " for v in table["label"].to_pylist()]
    scorer = RegressionErrors(predictions="forecast")
    whole = score_all(scorer, view)
    assert score_all(scorer, ArrayView(table.set_column(1, "label", [text]))).equals(whole)
    text[2], text[5], text[6] = "much", None, "nan"
    forecast = table["forecast"].to_pylist()
    forecast[8], forecast[9] = None, float("inf")
    spoilt = ArrayView({"id": table["id"], "label": text, "forecast": forecast})
    scored = score_all(scorer, spoilt)
    bad = [2, 5, 6, 8, 9]
    assert [scored["regression_errors_reason"][i].as_py() for i in bad] == [
        "label 'much' is no finite number",
        "no label",
        "label 'nan' is no finite number",
        "no prediction",
        "prediction inf is no finite number",
    ]
    rest = np.setdiff1d(np.arange(120), bad)
    assert score_all(scorer, spoilt.rearranged(rest)).equals(scored.take(rest))


def test_what_is_wrong_as_a_whole_is_an_error() -> None:
    y, p = draw("normal", 50)
    with pytest.raises(InputError, match=r"all 50 labels are 1\.0"):
        regression_errors(np.ones(50), p)
    with pytest.raises(InputError, match="nothing to predict"):
        out_of_fold_predictions(p[:, None], np.ones(50))
    with pytest.raises(InputError, match="row 7"):
        regression_errors(np.where(np.arange(50) == 7, np.nan, y), p)
    with pytest.raises(InputError, match="row 7"):
        outre(np.where(np.arange(50) == 7, np.inf, y), p)
    for wrong in ({"neighbours": 0.0}, {"neighbours": 1.5}, {"residual_scale": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            outre(y, p, **wrong)
    with pytest.raises(InputError, match="shape"):
        regression_errors(y, p[:-1])
    with pytest.raises(InputError, match="cut=0"):
        regression_errors(y, p, cut=0)
    with pytest.raises(InputError, match="cut=-1"):
        RegressionErrors(cut=-1)
    with pytest.raises(InputError, match="folds=1"):
        RegressionErrors(folds=1)
    with pytest.raises(InputError, match="one target per item"):
        out_of_fold_predictions(p[:, None], y[:-1])
    with pytest.raises(SchemaError, match="numbers are meant"):
        RegressionErrors(predictions="p").fit(ArrayView({"label": [[1.0]], "p": [1.0]}))


def test_useless_and_in_sample_predictions_are_noted() -> None:
    y, p = draw("normal", 200)
    table = {"label": list(y), "useless": list(p[::-1]), "seen": list(y + 1e-6), "fair": list(p)}
    notes = {
        name: RegressionErrors(predictions=name).fit(ArrayView(table)).notes
        for name in table
        if name != "label"
    }
    assert "say little" in notes["useless"][0] and "in-sample" in notes["seen"][0] and not notes["fair"]
