"""Drift over an order and between sources: planted, at chance, and what cannot be told."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from curate.errors import InputError
from curate.memory import ArrayView
from curate.scorers.noise.health.drift import Drift
from curate.scorers.noise.health.shift import mean_shift, order_drift, source_drift
from curate.scorers.noise.neighbours.search import nearest
from curate.testing import check_analysis


def neighbours(x: np.ndarray, k: int = 5) -> np.ndarray:
    return nearest(x, k, metric="cosine", backend="numpy").rows


def test_order_drift_by_hand() -> None:
    # four items, each other's neighbours in pairs (0, 1), (2, 3): mean difference 1; over all orders 5/3
    found = order_drift(np.array([[1], [0], [3], [2]]), np.arange(4), permutations=999)
    assert found.ratio == pytest.approx(0.6, abs=0.02)
    assert found.p == pytest.approx(1 / 3, abs=0.05)  # 8 of 24 orders keep both pairs together
    apart = order_drift(np.array([[2], [3], [0], [1]]), np.arange(4))
    assert apart.ratio > 1 and apart.z < 0 and apart.p > 0.5


def test_no_alarm_by_chance_and_drift_is_found() -> None:
    rng = np.random.default_rng(0)
    alarms = found = 0
    for seed in range(60):
        x = rng.normal(size=(150, 6))
        x[:, 0] += 2
        place = rng.permutation(150)
        rows = neighbours(x)
        alarms += order_drift(rows, place, permutations=99, seed=seed).p < 0.05
        x[:, 1] += 3 * (place > 100)
        found += order_drift(neighbours(x), place, permutations=99, seed=seed).p < 0.05
    assert alarms <= 8  # 3 of 60 expected
    assert found == 60


def test_equal_places_are_no_order() -> None:
    rows = neighbours(np.random.default_rng(0).normal(size=(20, 3)))
    assert order_drift(rows, np.zeros(20)) == (1.0, 0.0, 1.0)


def test_only_the_source_apart_is_told() -> None:
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 5, 400)
    x = rng.normal(size=(400, 6))
    x[:, 0] += 3
    x[sources == 2, 1] += 4
    found = source_drift(neighbours(x), sources, permutations=199)
    assert np.flatnonzero(found.p < 0.05).tolist() == [2]
    assert found.value[2] > 0.8 > 0.3 > found.chance[2]
    none = source_drift(neighbours(x), rng.permutation(sources), permutations=199)
    assert not (none.p < 0.05).any()
    strict = source_drift(neighbours(x), sources, permutations=199, alpha=1e-3)
    assert not (strict.p < 1e-3).any()  # 199 shuffles cannot say so


def test_of_two_sources_each_differs_from_the_other() -> None:
    rng = np.random.default_rng(0)
    sources = np.arange(100) % 2
    x = rng.normal(size=(100, 4)) * 0.2 + np.eye(2, 4)[sources]
    found = source_drift(neighbours(x), sources)
    assert found.p.tolist() == [1 / 500, 1 / 500]
    small = source_drift(neighbours(x), np.where(np.arange(100) < 3, 2, sources))
    assert np.isnan(small.p[2]) and small.size[2] == 3


def test_mean_shift_is_about_one_by_chance_and_finds_a_stretch() -> None:
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(1000, 5)), np.arange(1000) // 50
    calm = mean_shift(x, groups)
    assert calm.value.mean() == pytest.approx(1, abs=0.4)
    assert calm.chance == pytest.approx(np.ones(20), abs=0.15)
    assert not (calm.p < 0.05).any() and (calm.limit > calm.chance).all()
    x[groups == 7] += 1
    moved = mean_shift(x, groups)
    assert np.flatnonzero(moved.p < 0.05).tolist() == [7] and moved.value[7] > 10


def test_mean_shift_by_hand() -> None:
    # means -1 and 1 about 0, variance 1; two of four: 1/2 * (4-2)/(4-1) = 1/3 expected; 1 / (1/3) = 3
    found = mean_shift(np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([0, 0, 1, 1]), smallest=2)
    assert found.value == pytest.approx([3, 3])
    assert found.size.tolist() == [2, 2]
    assert np.isnan(mean_shift(np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([0, 0, 1, 1])).p).all()
    flat = mean_shift(np.ones((10, 2)), np.arange(10) // 5)
    assert flat.value.tolist() == [0, 0] and np.isnan(flat.p).all()
    all_in_one = mean_shift(np.arange(10.0)[:, None], np.zeros(10, int))
    assert np.isnan(all_in_one.p).all()


def test_what_does_not_fit_is_refused() -> None:
    rows = np.array([[1], [0], [0]])
    with pytest.raises(InputError, match="meant"):
        order_drift(rows, np.zeros(2))
    with pytest.raises(InputError, match="at least three"):
        order_drift(rows[:2], np.zeros(2))
    with pytest.raises(InputError, match="NaN"):
        order_drift(rows, np.array([0, np.nan, 1]))
    with pytest.raises(InputError, match="negative group"):
        source_drift(rows, np.array([0, -1, 0]))
    with pytest.raises(InputError, match="NaN"):
        mean_shift(np.array([[np.nan], [1], [1]]), np.zeros(3, int))


def planted(n: int = 300) -> ArrayView:
    """`when` brings a change of mean at 2/3 and of labels; source "s1" is another population; ids say nothing."""
    rng = np.random.default_rng(1)
    when = rng.permutation(n)
    source = np.array(["s0", "s1", "s2"])[rng.integers(0, 3, n)]
    x = rng.normal(size=(n, 6))
    x[:, 0] += 3
    x[when > 2 * n // 3, 1] += 3
    x[source == "s1", 2] += 4
    label = np.where((when > 2 * n // 3) & (rng.random(n) < 0.7), "late", "any")
    table = {
        "id": [f"{i:03d}" for i in range(n)],
        "when": when,
        "day": [dt.date(2020, 1, 1) + dt.timedelta(int(w)) for w in when],
        "source": source,
        "label": label,
        "nothing": pa_nulls(n),
    }
    return ArrayView(table, {"v": x.astype(np.float32)})


def pa_nulls(n: int) -> list[None]:
    return [None] * n


QUICK = {"embedding": "v", "permutations": 99}


def test_drift_over_time_is_serious_and_ids_are_silent() -> None:
    view = planted()
    found = check_analysis(Drift(order="when", label="label", **QUICK), view)
    assert found.summary.startswith("drift over when")
    assert {f.title for f in found.findings if f.serious} == {"Drift over when", "Labels over when"}
    by_day = Drift(order="day", **QUICK).analyse(view)
    assert by_day.findings[0].table == found.findings[0].table
    assert "2020-" in by_day.findings[0].text
    calm = check_analysis(Drift(**QUICK), view)
    assert calm.summary.startswith("no drift seen over id") and not calm.findings[0].serious


def test_sources_are_compared() -> None:
    found = check_analysis(Drift(order="", source="source", **QUICK), planted())
    assert found.summary.startswith("1 of 3 values of source differ")
    assert found.findings[0].serious and found.findings[0].table["source"].to_pylist()[0] == "s1"
    assert Drift(order="", source="source", label="label", embedding="v").needs == ("v", "source", "label")
    assert Drift(embedding="v").needs == ("v",)


def test_parameters_show() -> None:
    view = planted()
    usual = Drift(order="when", **QUICK).analyse(view)
    assert usual.findings[0].table.num_rows == 20
    assert Drift(order="when", bins=4, **QUICK).analyse(view).findings[0].table.num_rows == 4
    assert "(50 of 300 items)" in Drift(order="when", rows=50, **QUICK).analyse(view).summary
    drawn = {Drift(order="when", rows=50, seed=seed, **QUICK).analyse(view).summary for seed in range(4)}
    assert len(drawn) > 1
    assert Drift(order="when", neighbours=2, **QUICK).analyse(view).summary != usual.summary
    assert "p = 0.005" in Drift(order="when", embedding="v", permutations=199).analyse(view).summary
    lenient = Drift(order="id", alpha=0.99, **QUICK).analyse(view)
    assert lenient.summary.startswith("drift over id")


def test_missing_values_are_left_out_and_told() -> None:
    view = planted()
    table, x = view.to_arrow(["id", "when", "source"]), view.vectors("v").array.copy()
    x[:4] = np.nan
    x[4] = 0
    when, source = table["when"].to_pylist(), table["source"].to_pylist()
    when[10:20], source[10:40] = [None] * 10, [None] * 30
    spoilt = ArrayView({"id": table["id"], "when": when, "source": source}, {"v": x})
    found = check_analysis(Drift(order="when", source="source", **QUICK), spoilt)
    assert "(295 of 300 items)" in found.summary
    assert any("10 items are left out, without a value of when" in f.text for f in found.findings)
    assert any(
        "(none)" in f.table["source"].to_pylist() for f in found.findings if "source" in f.table.column_names
    )


def test_nothing_to_tell_is_said() -> None:
    view = planted(40)
    assert "no order to look at" in Drift(order="nothing", **QUICK).analyse(view).summary
    one = Drift(order="", source="nothing", **QUICK).analyse(view)
    assert "one value in all items" in one.summary
    no_labels = Drift(order="when", label="nothing", **QUICK).analyse(view)
    assert len(no_labels.findings) == 1


def test_bad_input_is_named() -> None:
    none = ArrayView({"id": ["a", "b", "c"]}, {"v": np.full((3, 2), np.nan)})
    with pytest.raises(InputError, match="0 of 3 items have a usable v"):
        Drift("v").analyse(none)
    with pytest.raises(InputError, match="of numbers, times or strings"):
        Drift("v", order="v", permutations=99).analyse(planted(30))
    for bad in (
        {"order": ""},
        {"permutations": -1},
        {"bins": 1},
        {"neighbours": 0},
        {"rows": 2},
        {"permutations": 10},
        {"alpha": 1.5},
    ):
        with pytest.raises(InputError, match="drift"):
            Drift("v", **bad)
    tiny = Drift("v", permutations=99).analyse(planted(4))
    assert tiny.findings
