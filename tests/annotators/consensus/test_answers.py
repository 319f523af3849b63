"""Reading answers: frames of every kind, duplicates, nulls, mixed types, several questions."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.annotators.consensus import aggregate, read_answers
from curate.errors import InputError, SchemaError

ROWS = {"item": ["b", "a", "b", "c"], "annotator": [2, 1, 1, 2], "value": ["no", "yes", "yes", "no"]}


def test_codes_are_sorted_by_item_then_annotator() -> None:
    read = read_answers(ROWS)
    assert read.item.tolist() == [0, 1, 1, 2]
    assert read.annotator.tolist() == [0, 0, 1, 1]
    assert read.values.gather(read.value).to_list() == ["yes", "yes", "no", "no"]
    assert read.start.tolist() == [0, 1, 3, 4] and read.per_item.tolist() == [1, 2, 1]
    assert (read.items.to_list(), read.annotators.to_list()) == (["a", "b", "c"], [1, 2])
    assert read.shape == (3, 2, 2) and len(read) == 4


def test_every_kind_of_frame_gives_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    expected = aggregate(ROWS)
    table = pa.table(ROWS)
    frames = [
        pl.DataFrame(ROWS),
        pl.LazyFrame(ROWS),
        table,
        table.to_batches()[0],
        pandas.DataFrame(ROWS),
        pandas.DataFrame(ROWS, index=[7, 7, 8, 9]),
        pandas.DataFrame(ROWS).astype({"item": "category"}),
        table.set_column(2, "value", table["value"].dictionary_encode()),
        {name: np.array(column) for name, column in ROWS.items()},
    ]
    for frame in frames:
        assert aggregate(frame).with_columns(pl.col("item", "value").cast(pl.String)).equals(expected)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([3, 1, 3], pl.Int64),
        (["x", "y", "x"], pl.String),
        ([True, False, True], pl.Boolean),
        ([1.0, 2.0, 1.0], pl.Float64),
    ],
)
def test_values_keep_their_type(values: list[object], dtype: pl.DataType) -> None:
    settled = aggregate({"item": [1, 1, 1], "annotator": [1, 2, 3], "value": values}, "majority")
    assert settled["value"].dtype == dtype
    assert settled["value"].to_list() == [values[0]]
    assert settled["probability"].to_list() == pytest.approx([2 / 3])


def test_a_null_or_skipped_value_is_no_answer() -> None:
    frame = pl.DataFrame(
        {
            "item": ["a", "a", "b", "c", "d"],
            "annotator": ["x", "y", "x", "x", "x"],
            "value": [1.0, 2.0, None, float("nan"), 1.0],
            "skipped": [False, True, False, None, None],
        }
    )
    read = read_answers(frame)
    assert read.items.to_list() == ["a", "d"] and read.unanswered.to_list() == ["b", "c"]
    settled = aggregate(frame, "majority")
    assert settled["item"].to_list() == ["a", "d", "b", "c"]
    assert settled["value"].to_list() == [1.0, 1.0, None, None]
    assert settled["probability"].to_list() == [1.0, 1.0, None, None]


def test_of_several_answers_by_one_person_the_newest_counts() -> None:
    now = datetime(2026, 1, 1)
    rows = {"item": [1, 1, 1], "annotator": ["x", "x", "y"], "value": ["old", "new", "new"]}
    for name, moments in (
        ("time", [5, 9, 1]),
        ("created_at", [now, now + timedelta(seconds=1), now]),
        ("round", [1, 2, 1]),
        ("time", [None, 3, 3]),
    ):
        read = read_answers({**rows, name: moments})
        assert read.values.gather(read.value).to_list() == ["new", "new"] and read.replaced == 1
        back = {name: list(reversed(column)) for name, column in {**rows, name: moments}.items()}
        assert aggregate(back).equals(aggregate({**rows, name: moments}))


def test_time_comes_before_round() -> None:
    rows = {"item": [1, 1], "annotator": ["x", "x"], "value": ["a", "b"], "time": [2, 1], "round": [1, 2]}
    assert read_answers(rows).values.to_list() == ["a", "b"]
    assert aggregate(rows)["value"].to_list() == ["a"]


def test_equal_duplicates_are_one_answer_and_contradictions_are_named() -> None:
    same = {"item": [1, 1, 1], "annotator": ["x", "x", "y"], "value": ["a", "a", "b"]}
    assert len(read_answers(same)) == 2
    clash = {**same, "value": ["a", "b", "b"]}
    with pytest.raises(InputError, match=r"item 1 by 'x': 'a' and 'b'.*`time`"):
        read_answers(clash)
    with pytest.raises(InputError, match="at the same time"):
        read_answers({**clash, "time": [4, 4, 4]})


def test_mixed_types_name_their_rows() -> None:
    pandas = pytest.importorskip("pandas")
    rows = {"item": [1, 2, 3], "annotator": ["x", "y", "z"], "value": ["1", 1, "2"]}
    with pytest.raises(SchemaError, match=r"'value' mixes types: int \(row 1: 1\), str \(row 0: '1'\)"):
        read_answers(rows)
    with pytest.raises(SchemaError, match=r"'value' mixes types.*row 1"):
        read_answers(pandas.DataFrame(rows))
    with pytest.raises(SchemaError, match="'annotator' mixes types"):
        read_answers({**rows, "value": [1, 1, 1], "annotator": ["x", 2, "z"]})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(SchemaError, match=r"no column 'annotator', 'value': there is 'item', 'worker'"):
        read_answers({"item": [1], "worker": [2]})
    with pytest.raises(SchemaError, match="int is no frame"):
        read_answers(3)
    with pytest.raises(InputError, match="the frame is empty"):
        aggregate(pl.DataFrame(schema={"item": pl.Int64, "annotator": pl.Int64, "value": pl.Int64}))
    with pytest.raises(InputError, match="all 1 row is skipped or without a value"):
        aggregate(
            pl.DataFrame(
                {"item": [1], "annotator": [1], "value": [None]}, schema_overrides={"value": pl.String}
            )
        )
    with pytest.raises(InputError, match=r"2 answers have no annotator, in rows \[1, 3\]"):
        read_answers({**ROWS, "annotator": ["x", None, "y", None]})
    with pytest.raises(InputError, match=r"1 answer has no item, in rows \[0\]"):
        read_answers({**ROWS, "item": [None, "a", "b", "c"]})
    with pytest.raises(SchemaError, match="different length"):
        read_answers({**ROWS, "value": ["x"]})


def test_values_say_what_is_possible_and_in_which_order() -> None:
    read = read_answers(ROWS, values=["yes", "unsure", "no"])
    assert read.value.tolist() == [0, 0, 2, 2] and read.shape[2] == 3
    with pytest.raises(InputError, match=r"answers 'no' \(rows \[0, 3\]\) are none of `values`"):
        read_answers(ROWS, values=["yes"])
    with pytest.raises(InputError, match="twice"):
        read_answers(ROWS, values=["yes", "no", "yes"])
    with pytest.raises(SchemaError, match="Int64"):
        read_answers(ROWS, values=[1, 2])
    with pytest.raises(SchemaError, match="mixes types"):
        read_answers(ROWS, values=["yes", 2])
    with pytest.raises(InputError, match="read already"):
        read_answers(read, values=["yes"])
    assert read_answers(read) is read


def test_one_question_is_chosen_of_several() -> None:
    frame = {**ROWS, "control": ["mood", "mood", "tone", "tone"]}
    with pytest.raises(InputError, match=r"2 questions \('mood', 'tone'\)"):
        read_answers(frame)
    assert aggregate(frame, control="tone")["item"].to_list() == ["b", "c"]
    with pytest.raises(InputError, match="no answers have control 'colour'"):
        read_answers(frame, control="colour")
    with pytest.raises(SchemaError, match="no column 'control'"):
        read_answers(ROWS, control="tone")
    one = {**ROWS, "control": ["mood"] * 4}
    assert len(read_answers(one)) == 4


def test_a_frame_as_it_comes_back_from_an_annotation_tool_is_understood() -> None:
    when = datetime(2026, 1, 1)
    frame = pl.DataFrame(
        {
            "item": ["a", "a", "a", "b"],
            "annotator": ["ann", "bob", "bob", "ann"],
            "round": [1, 1, 2, 1],
            "control": ["choice"] * 4,
            "value": ["x", "y", "x", None],
            "skipped": [False, False, False, True],
            "created_at": [when, when, when + timedelta(hours=1), when],
            "touched": [True, False, True, None],
            "model_version": ["m1", None, None, "m1"],
        }
    )
    read = read_answers(frame)
    assert read.touched is not None and read.touched.tolist() == [1.0, 1.0]
    assert aggregate(frame)["value"].to_list() == ["x", None]


def test_rows_keep_their_meaning() -> None:
    read = read_answers({**ROWS, "seconds": [4.0, None, 2.0, 1.0]})
    assert np.isnan(read.seconds).tolist() == [True, False, False, False]  # type: ignore[arg-type]
    fewer = read.rows(np.array([False, True, True, True]))
    assert fewer.items.to_list() == ["b", "c"] and fewer.annotators.to_list() == [1, 2]
    assert fewer.start.tolist() == [0, 2, 3] and fewer.item.tolist() == [0, 0, 1]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 5), st.sampled_from("wxyz")), st.sampled_from("abc"), min_size=1, max_size=20
    ),
    st.randoms(use_true_random=False),
    st.sampled_from(["auto", "majority", "dawid-skene", "one-coin", "mace", "glad", "ordinal-median"]),
)
def test_any_answers_have_a_consensus_that_no_order_of_rows_changes(
    given_: dict[tuple[int, str], str], random: object, method: str
) -> None:
    rows = [(item, who, value) for (item, who), value in given_.items()]
    frame = pl.DataFrame(rows, ["item", "annotator", "value"], orient="row")
    read = {"values": ["a", "b", "c"]}
    settled = aggregate(frame, method, **read)  # type: ignore[arg-type]
    assert settled["item"].to_list() == sorted({item for item, _ in given_})
    assert settled["probability"].is_between(0, 1).all() and set(settled["value"]) <= set("abc")
    random.shuffle(rows)  # type: ignore[attr-defined]
    moved = aggregate(pl.DataFrame(rows, ["item", "annotator", "value"], orient="row"), method, **read)  # type: ignore[arg-type]
    assert moved.equals(settled)
