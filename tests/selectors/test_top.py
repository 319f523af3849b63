"""`top` on values worked out by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.contracts import Selection
from curate.errors import ExpressionError, InputError
from curate.selectors.threshold.order import ascending, capacity, numbers
from curate.selectors.threshold.top import Top, top_rows
from curate.testing import ArrayView, check_selector

VIEW = ArrayView(
    {
        "id": ["e", "d", "c", "b", "a"],
        "s": [0.5, None, 0.9, 0.5, 0.1],
        "t": [0.0, 9.0, 0.0, 1.0, 0.0],
        "w": list("vwxyz"),
    }
)


def choose(selector: Top, budget: object) -> Selection:
    return selector.select(VIEW, budget, np.random.default_rng(0))  # type: ignore[arg-type]


def test_highest_first_and_equal_values_by_id() -> None:
    chosen = choose(Top("s"), 3)
    assert chosen.index.tolist() == [2, 3, 0]  # 0.9, then 0.5 of "b" before 0.5 of "e"
    np.testing.assert_allclose(chosen.gain, [0.9, 0.5, 0.5])
    assert chosen.reason == "among the 3 highest of 5 by s"
    assert chosen.seconds is not None and chosen.seconds > 0


def test_a_tie_at_the_cut_goes_to_the_lower_id() -> None:
    assert choose(Top("s"), 2).index.tolist() == [2, 3]


def test_lowest_turns_the_order() -> None:
    chosen = choose(Top("s", lowest=True), 2)
    assert chosen.index.tolist() == [4, 3]
    assert chosen.reason == "among the 2 lowest of 5 by s"


def test_null_is_never_chosen() -> None:
    assert choose(Top("s"), 1.0).index.tolist() == [2, 3, 0, 4]
    with pytest.raises(InputError, match="only 4 of 5 items have a value of 's'"):
        choose(Top("s"), 5)


def test_an_expression_over_columns() -> None:
    assert choose(Top("s + t"), 1).index.tolist() == [3]  # 1.5
    assert Top("s").needs == ("id", "s")
    assert Top('greatest(t, s) + "s" * 2').needs == ("id", "s", "t")
    with pytest.raises(ExpressionError, match="cannot be read"):
        _ = Top("s +* ) t").needs


def test_random_is_the_mean_of_what_could_be_chosen() -> None:
    chosen = choose(Top("s"), 2)
    assert chosen.random["objective"] == pytest.approx(0.7)
    assert chosen.random["random"] == pytest.approx((0.5 + 0.9 + 0.5 + 0.1) / 4)


def test_text_is_no_number() -> None:
    with pytest.raises(InputError, match="'w' gives string"):
        choose(Top("w"), 2)


def test_true_and_false_rank_as_one_and_zero() -> None:
    assert choose(Top("t > 0"), 2).index.tolist() == [3, 1]  # "b" before "d"


def test_conformance() -> None:
    check_selector(Top("s"), VIEW, 3)
    check_selector(Top("t", lowest=True), VIEW, "60%")


def test_infinite_values_rank_but_give_no_gain() -> None:
    view = ArrayView({"id": ["a", "b", "c"], "s": [1.0, np.inf, -np.inf]})
    chosen = Top("s").select(view, 2, np.random.default_rng(0))
    assert chosen.index.tolist() == [1, 0]
    assert chosen.gain is None and chosen.random == {}


def test_numbers_keep_nulls_as_nan_and_take_decimals() -> None:
    np.testing.assert_array_equal(numbers(pa.chunked_array([[1, None]]), "x"), [1.0, np.nan])
    with pytest.raises(InputError, match="timestamp"):
        numbers(pa.chunked_array([pa.array([0], pa.timestamp("s"))]), "x")


def test_a_fraction_stops_at_what_there_is_and_a_count_does_not() -> None:
    assert capacity(0.5, 10, 3, "x") == 3
    assert capacity("50%", 10, 3, "x") == 3
    assert capacity("3", 10, 3, "x") == 3
    for budget in (4, "4"):
        with pytest.raises(InputError, match="only 3 of 10"):
            capacity(budget, 10, 3, "x")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_top_rows_is_the_head_of_the_full_sort(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(values)))
    ids = data.draw(st.permutations([f"{i:02d}" for i in range(len(values))]))
    expected = sorted(range(len(values)), key=lambda i: (-values[i], ids[i]))[:count]
    assert top_rows(np.array(values, float), pa.array(ids), count).tolist() == expected
    assert ascending(-np.array(values, float), pa.array(ids)).tolist()[:count] == expected


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12), unique=True, min_size=1, max_size=20
    ),
    st.data(),
)
def test_ties_go_by_the_bytes_of_the_id_however_long(ids: list[str], data: st.DataObject) -> None:
    values = np.array([data.draw(st.integers(0, 2)) for _ in ids], np.float32)
    expected = sorted(range(len(ids)), key=lambda i: (-values[i], ids[i].encode()))
    got = top_rows(values, pa.array(ids), len(ids))
    assert got.tolist() == expected


def test_ids_are_looked_up_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.selectors.threshold.order._BLOCK", 2)
    ids = pa.array(["same-head-3", "same-head-1", "b", "a", "same-head-2"])
    assert top_rows(np.zeros(5), ids, 5).tolist() == [3, 2, 1, 4, 0]


def test_compact_numbers_stay_short_and_null_is_nan() -> None:
    short = numbers(pa.chunked_array([[1.5, None], [2.5]], pa.float32()), "x", compact=True)
    assert short.dtype == np.float32 and np.array_equal(short, [1.5, np.nan, 2.5], equal_nan=True)
    assert numbers(pa.chunked_array([[1.5]], pa.float32()), "x").dtype == np.float64
    sliced = pa.chunked_array([pa.array([9.0, 1.0, None, 4.0]).slice(1, 2)])
    assert np.array_equal(numbers(sliced, "x"), [1.0, np.nan], equal_nan=True)
