"""Numbers and ordered labels: by hand, and with planted biases, spreads and outliers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from curate.annotators.consensus import (
    aggregate,
    aggregate_numbers,
    ordinal_dawid_skene,
    ordinal_median,
    read_answers,
)
from curate.errors import InputError

ROWS = {"item": [0, 0, 0, 0, 1], "annotator": list("abcda"), "value": [1.0, 2.0, 4.0, 9.0, 5.0]}


def planted(items: int = 300, seed: int = 0) -> tuple[pl.DataFrame, np.ndarray]:
    """Four careful annotators, one who answers 2 too high, two careless ones; now and then a slip of 30."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 3, items)
    bias, spread = [0, 0, 0, 0, 2, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.5, 4, 4]
    rows = []
    for i in range(items):
        for w in rng.choice(7, 4, replace=False):
            slip = 30 if rng.random() < 0.02 else 0
            rows.append((i, f"w{w}", truth[i] + bias[w] + rng.normal(0, spread[w]) + slip))
    return pl.DataFrame(rows, ["item", "annotator", "value"], orient="row"), truth


def test_mean_and_median_by_hand() -> None:
    mean, median = aggregate(ROWS, "mean"), aggregate(ROWS, "median")
    assert mean["value"].to_list() == [4.0, 5.0] and median["value"].to_list() == [3.0, 5.0]
    assert mean["probability"].null_count() == 2
    assert aggregate({**ROWS, "value": [1, 2, 4, 9, 5]}, "median")["value"].to_list() == [3.0, 5.0]


def test_bias_and_spread_are_found_and_taken_out() -> None:
    answers, truth = planted()
    found = aggregate_numbers(answers, freedom=4)
    assert found.bias[4] - found.bias[:4].mean() == pytest.approx(2, abs=0.3)
    assert (found.spread[[5, 6]] > 3 * found.spread[:4].max()).all()
    shift = (found.value - truth).mean()  # a bias that all share cannot be seen
    error = np.abs(found.value - truth - shift).mean()
    for method in ("mean", "median"):
        simple = aggregate_numbers(answers, method).value - truth  # type: ignore[arg-type]
        assert error < 0.7 * np.abs(simple - simple.mean()).mean()
    inside = np.abs(found.value - truth - shift) < 2 * found.error
    assert 0.85 < inside.mean() <= 1


def test_one_answer_stays_near_itself_and_equal_answers_are_exact() -> None:
    alone = aggregate({"item": [0], "annotator": ["a"], "value": [2.5]}, "weighted-mean")
    assert alone["value"].to_list() == pytest.approx([2.5])
    same = {"item": [0, 0, 1, 1], "annotator": list("abab"), "value": [3.5, 3.5, 7.0, 7.0]}
    assert aggregate(same)["value"].to_list() == pytest.approx([3.5, 7.0])


def test_fractions_are_averaged_by_default_and_whole_numbers_are_labels() -> None:
    answers, _ = planted(20)
    assert aggregate(answers).equals(aggregate(answers, "weighted-mean"))
    assert aggregate({**ROWS, "value": [1.0, 1.0, 4.0, 9.0, 5.0]})["value"].to_list() == [1.0, 5.0]


def test_iterations_and_tolerance_have_their_effect() -> None:
    answers, _ = planted(60)
    full = aggregate_numbers(answers).value
    assert not np.allclose(aggregate_numbers(answers, iterations=1).value, full)
    assert not np.allclose(aggregate_numbers(answers, tolerance=0.5).value, full)
    slip = {
        "item": [0] * 5 + [1] * 5,
        "annotator": list("abcde") * 2,
        "value": [1.0, 1.1, 0.9, 1.0, 9.5, 2.0, 2.1, 1.9, 2.0, 2.2],
    }
    robust, trusting = (aggregate_numbers(slip, freedom=f).value[0] for f in (1.0, 1e9))
    assert robust < trusting
    with pytest.raises(InputError, match="freedom=0"):
        aggregate_numbers(slip, freedom=0)


def test_numbers_that_are_none() -> None:
    with pytest.raises(InputError, match="about item 1 is not finite"):
        aggregate({**ROWS, "value": [1.0, 2.0, 4.0, 9.0, float("inf")]}, "mean")
    with pytest.raises(InputError, match="'mean', 'median' and 'weighted-mean' exist"):
        aggregate_numbers(ROWS, "mode")  # type: ignore[arg-type]


def test_the_ordinal_median_is_a_value_somebody_gave() -> None:
    rows = {
        "item": [0, 0, 0, 0, 1, 1],
        "annotator": list("abcdab"),
        "value": ["low", "high", "high", "mid", "low", "mid"],
    }
    found = ordinal_median(read_answers(rows, values=["low", "mid", "high"]), posterior=True)
    assert found.value.tolist() == [1, 0]  # the lower of the middle two
    assert found.probability.tolist() == [0.25, 0.5]
    assert found.posterior is not None and found.posterior[0].tolist() == [0.25, 0.25, 0.5]
    settled = aggregate(rows, "ordinal-median", values=["high", "mid", "low"])
    assert settled["value"].to_list() == ["high", "mid"]


def test_the_order_of_values_helps_where_errors_are_near_misses() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 400)
    noise = rng.choice([-1, 0, 1], (400, 4), p=[0.25, 0.5, 0.25])
    given = np.clip(truth[:, None] + noise, 0, 4)
    rows = [(i, w, int(given[i, w])) for i in range(400) for w in range(4)]
    answers = pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")
    ordinal = ordinal_dawid_skene(answers, posterior=True)
    nominal = aggregate(answers, "majority")["value"].to_numpy()
    assert np.abs(ordinal.value - truth).mean() < np.abs(nominal - truth).mean()
    assert ordinal.posterior is not None and ordinal.posterior.shape == (400, 5)
    assert ordinal_dawid_skene(answers, iterations=1).iterations == 1


@pytest.mark.data
def test_ratings_of_emotions_come_nearer_to_the_experts(data_dir: Path) -> None:
    errors = {"mean": 0.0, "median": 0.0, "weighted-mean": 0.0}
    for emotion in ("anger", "disgust", "fear", "joy", "sadness", "surprise"):
        path = data_dir / "crowd_snow2008" / "all_collected_data" / f"{emotion}.standardized.tsv"
        rows = pl.read_csv(path, separator="\t")
        answers = rows.rename({"orig_id": "item", "!amt_worker_ids": "annotator", "response": "value"})
        truth = rows.select(item="orig_id", truth="gold").unique()
        for method in errors:
            joined = truth.join(aggregate(answers, method), "item")  # type: ignore[arg-type]
            off = joined["value"].to_numpy() - joined["truth"].to_numpy()
            errors[method] += float(np.sqrt((off**2).mean())) / 6
    assert errors["weighted-mean"] < errors["mean"] < errors["median"]  # 15.5, 16.0, 18.9
