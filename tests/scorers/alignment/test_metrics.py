"""Correlations and element accuracy: by hand, beside scipy, and on real ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import InputError, UnknownNameError
from curate.scorers.alignment.metrics import (
    challenge_score,
    compare,
    element_accuracy,
    interval,
    krcc,
    logistic,
    plcc,
    srcc,
)

stats = pytest.importorskip("scipy.stats", reason="extra noise not installed")


def test_by_hand() -> None:
    assert srcc([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert krcc([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx((5 - 1) / 6)
    # ranks 1.5, 1.5, 3 against 1, 2, 3
    assert srcc([0, 0, 1], [1, 2, 3]) == pytest.approx(1.5 / np.sqrt(1.5 * 2))
    assert krcc([0, 0, 1], [1, 2, 3]) == pytest.approx(2 / np.sqrt(2 * 3))
    assert srcc([1, 2, 3], [9, 5, 1]) == krcc([1, 2, 3], [9, 5, 1]) == -1


ROWS = st.lists(st.tuples(st.integers(-4, 4), st.floats(-3, 3, width=16)), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_as_scipy_says(rows: list[tuple[int, float]]) -> None:
    x, y = (np.array(values, float) for values in zip(*rows, strict=True))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(srcc(x, y)) and np.isnan(krcc(x, y)) and np.isnan(plcc(x, y))
        return
    assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-12)
    assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y)[0], abs=1e-12)
    assert krcc(y, x) == pytest.approx(krcc(x, y), abs=1e-12)
    if np.ptp(y) > 1e-2:
        assert plcc(x, y, fit=False) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-9)


def test_tau_of_many_rows_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 300, 20000), rng.normal(size=20000)
    assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y)[0], abs=1e-12)


def test_the_logistic_has_the_form_of_the_paper() -> None:
    assert logistic([0.0], (5, 1, 0, 2))[0] == 3
    assert logistic([2.0], (5, 1, 0, -2))[0] == pytest.approx(1 + 4 / (1 + np.exp(-1)))
    assert np.isfinite(logistic([1e300, -1e300], (5, 1, 0, 1e-300))).all()


def test_a_score_that_is_a_logistic_of_the_ratings_is_perfect_after_the_fit() -> None:
    x = np.linspace(-3, 4, 60)
    y = logistic(x, (4.8, 1.2, 0.4, 0.3))
    assert plcc(x, y, fit=False) < 0.95
    assert plcc(x, y) > 0.9999
    assert plcc(-x, y) < -0.9999  # it falls where people's ratings rise, and the sign says so
    assert plcc(x * 1e6 + 1e7, y) > 0.9999


def test_the_fit_is_never_worse_than_none() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        x = rng.normal(size=30)
        y = x + rng.normal(size=30)
        assert plcc(x, y) >= plcc(x, y, fit=False)
    assert plcc([0, 1], [1, 2]) == pytest.approx(1)


def test_element_accuracy_by_hand() -> None:
    assert element_accuracy([0.9, 0.2, 0.5, 0.4], [1, 0, 0, 1]) == 0.5
    assert element_accuracy([0.5], [0.5]) == 1  # at the threshold it counts as there, on both sides
    assert element_accuracy([0.6], [0.9], threshold=0.7) == 0
    assert element_accuracy([0.6], [0.6], human_threshold=0.7) == 0
    pairs = [{"cat (animal)": 0.9, "red (color)": None}, {"two (counting)": 0.1}]
    human = [{"cat (animal)": 1.0, "red (color)": 0.0}, {"two (counting)": 1 / 3}]
    assert element_accuracy(pairs, human) == 1
    assert element_accuracy(pairs, human, missing="wrong") == pytest.approx(2 / 3)
    assert element_accuracy(pairs, human, missing="no") == 1
    assert element_accuracy([[0.9, None]], [[1, 1]], missing="no") == 0.5
    assert np.isnan(element_accuracy([[None]], [[1]]))
    assert element_accuracy([0.9, 0.9], [1, None]) == 1


def test_the_score_of_the_challenge() -> None:
    assert challenge_score(0.8, 0.6, 0.7) == pytest.approx(0.7)


def test_intervals_hold_the_value_and_groups_widen_them() -> None:
    rng = np.random.default_rng(0)
    prompt = np.repeat(np.arange(30), 10)
    x = rng.normal(size=30)[prompt] + 0.1 * rng.normal(size=300)
    y = rng.normal(size=30)[prompt] + x
    single = interval("srcc", x, y, resamples=200)
    grouped = interval("srcc", x, y, groups=prompt, resamples=200)
    assert single.value == grouped.value == srcc(x, y)
    assert single.low < single.value < single.high
    assert grouped.high - grouped.low > 1.8 * (single.high - single.low)
    assert interval("srcc", x, y, resamples=200) == single
    assert interval("srcc", x, y, resamples=200, seed=1) != single
    narrow = interval("srcc", x, y, resamples=200, level=0.5)
    assert narrow.high - narrow.low < single.high - single.low
    names = np.array([f"p{i}" for i in prompt])
    assert interval("srcc", x, y, groups=names, resamples=50).low < single.value


@pytest.mark.parametrize("metric", ["krcc", "plcc", "element_accuracy"])
def test_every_metric_has_an_interval(metric: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.random(60)
    y = np.clip(x + 0.3 * rng.normal(size=60), 0, 1)
    found = interval(metric, x, y, resamples=40)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.5


def test_coverage_of_the_interval() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for i in range(60):
        x = rng.normal(size=80)
        y = 0.5 * x + np.sqrt(0.75) * rng.normal(size=80)
        low, high = interval("srcc", x, y, resamples=100, seed=i)[1:]
        held += low <= 6 / np.pi * np.arcsin(0.25) <= high
    assert held >= 50


def test_compare_pairs_the_resamplings() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    good, bad = y + 0.5 * rng.normal(size=200), y + 3 * rng.normal(size=200)
    found = compare("srcc", good, bad, y, resamples=100)
    assert found.value == pytest.approx(srcc(good, y) - srcc(bad, y))
    assert found.low > 0
    assert compare("srcc", good, good, y, resamples=50) == (0, 0, 0)


def test_bad_input_is_named() -> None:
    for call in (srcc, krcc, plcc):
        with pytest.raises(InputError, match="3 scores and 2 human"):
            call([1, 2, 3], [1, 2])
        with pytest.raises(InputError, match="rows 1"):
            call([1, np.nan, 3], [1, 2, 3])
        with pytest.raises(InputError, match="at least two"):
            call([1], [1])
        with pytest.raises(InputError, match="not numbers"):
            call(["a", "b"], [1, 2])
    with pytest.raises(InputError, match="shape"):
        srcc(np.ones((2, 2)), [1, 2])
    with pytest.raises(InputError, match="elements differ"):
        element_accuracy([{"a": 1}], [{"b": 1}])
    with pytest.raises(InputError, match="1 predicted and 2 human"):
        element_accuracy([[1]], [[1, 0]])
    with pytest.raises(InputError, match="missing="):
        element_accuracy([1], [1], missing="zero")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="srcc"):
        interval("scc", [1, 2], [1, 2])
    with pytest.raises(InputError, match="of one group"):
        interval("srcc", [1, 2], [1, 2], groups=["a", "a"])
    with pytest.raises(InputError, match="one each"):
        interval("srcc", [1, 2], [1, 2], groups=["a"])
    with pytest.raises(InputError, match="level"):
        interval("srcc", [1, 2, 3], [1, 2, 3], level=95)
    with pytest.raises(InputError, match="resamples"):
        interval("srcc", [1, 2, 3], [1, 2, 3], resamples=2)


PUBLISHED = [
    ("clipscore_vitb32", 0.3198, 0.3318, 0.2314),
    ("tifa_mplug-large", 0.5922, 0.5967, 0.4717),
    ("tifa_blip2-flant5xl", 0.5581, 0.5590, 0.4360),
]


@pytest.mark.parametrize(("column", "spearman", "pearson", "kendall"), PUBLISHED)
def test_published_correlations_of_tifa(
    column: str, spearman: float, pearson: float, kendall: float, data_dir: Path
) -> None:
    file = data_dir / "t2i_ratings" / "tifa" / "human_annotations_with_scores.json"
    items: list[dict[str, Any]] = list(json.loads(file.read_text()).values())
    x, y = [item[column] for item in items], [item["human_avg"] for item in items]
    assert (srcc(x, y), plcc(x, y, fit=False), krcc(x, y)) == pytest.approx(
        (spearman, pearson, kendall), abs=5.1e-5
    )
    assert plcc(x, y) >= plcc(x, y, fit=False)


def test_published_correlation_of_dsg(data_dir: Path) -> None:
    from curate.formats.rated import read_dsg_answers, read_dsg_ratings
    from curate.scorers.alignment import dsg_score

    folder = data_dir / "t2i_ratings" / "dsg"
    file = folder / "vqa_answers_release" / "pali17b_dsg.csv"
    if not file.exists():
        pytest.skip(f"no {file}: the answers that j-min/DSG publishes are not in the data folder")
    ratings = read_dsg_ratings(folder / "tifa160-likert-anns.csv")
    human = dict(zip(ratings["id"].to_pylist(), ratings["score"].to_pylist(), strict=True))
    x, y = [], []
    for row in read_dsg_answers(file).to_pylist():
        if row["id"] in human:
            edges = np.array([row["children"], row["parents"]], np.int64).T
            bounds = [0, len(row["right"])]
            x.append(dsg_score(row["right"], bounds, edges, rests_on="parents")[0][0])
            y.append(human[row["id"]])
    assert srcc(x, y) == pytest.approx(0.566, abs=5.1e-4)
