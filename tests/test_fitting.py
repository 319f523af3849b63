"""What fitting scorers read from a view of a store: vectors, imported lists, and vectors that are not all there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import curate
from curate import registry
from curate.errors import InputError, SchemaError
from curate.fitting import Blanked, answered, open_vectors, read_vectors, true_rows
from curate.memory import ArrayView


def rows(*ids: str, **more: list[object]) -> list[dict[str, object]]:
    return [
        {"id": id, "text": f"text {id}", "label": "x", **{n: v[i] for n, v in more.items()}}
        for i, id in enumerate(ids)
    ]


def test_imported_lists_are_vectors_and_lengths_must_agree(tmp_path: Path) -> None:
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(rows("a", "b", "c", v=[[1.0, 2.0], None, [3.0, 4.0]]), kind="label")
        found = read_vectors(store.items, "v", np.array([2, 1, 0]))
        assert np.array_equal(found, [[3, 4], [np.nan, np.nan], [1, 2]], equal_nan=True)
        store.add(rows("d", v=[[5.0]]), kind="label")
        with pytest.raises(SchemaError, match=r"'v' holds lists of \[1, 2\] numbers"):
            read_vectors(store.items, "v", np.arange(4))


def test_vectors_that_are_not_all_made_yet_are_an_error_not_null(tmp_path: Path) -> None:
    with curate.open(tmp_path / "s.curate", create=True) as store:
        store.add(rows("a", "b"), kind="label")
        store.attach(np.eye(2, 3, dtype=np.float32), name="v", ids="rows")
        assert read_vectors(store.items, "v", np.arange(2)).tolist() == np.eye(2, 3).tolist()
        store.add(rows("c"), kind="label")
        with pytest.raises(SchemaError, match="1 of 3 items have no 'v' yet"):
            read_vectors(store.items, "v", np.arange(3))


def test_answers_go_to_their_rows_the_others_get_their_reason() -> None:
    component = registry.build("scorers", "label-errors", {})
    reasons = np.array([None, "no label", None, "no vector"], object)
    values = {
        "label_errors": np.array([0.25, np.nan]),
        "label_error": np.array([True, False]),
        "label_error_suggestion": np.array(["b", None], object),
        "label_right": np.array([0.5, 1.0], np.float32),
        "label_error_because": np.array(["x", "y"], object),
    }
    fitted = answered(component, np.array([2, 0]), values, reasons, notes=["n"], classes=("a", "b"))
    assert fitted.table["label_errors"].to_pylist() == [None, None, 0.25, None]  # NaN is null
    assert fitted.table["label_error"].to_pylist() == [False, None, True, None]
    assert fitted.table["label_error_suggestion"].to_pylist() == [None, None, "b", None]
    assert fitted.table["label_errors_reason"].to_pylist() == list(reasons)
    assert (fitted.notes, fitted.classes) == (("n",), ("a", "b"))
    none = answered(component, np.arange(0), {}, np.array(["x", "y"], object))
    assert none.table.column_names == fitted.table.column_names
    assert none.table["label_right"].to_pylist() == [None, None]


def test_a_row_with_a_value_and_a_reason_is_null() -> None:
    component = registry.build("scorers", "outlier", {})
    fitted = answered(
        component, np.arange(2), {"outlier": np.array([1.0, 2.0])}, np.array([None, "bad"], object)
    )
    assert fitted.table["outlier"].to_pylist() == [1.0, None]


def test_no_rows_of_vectors_have_their_width() -> None:
    empty = pa.array([], pa.list_(pa.float32(), 4))
    assert ArrayView(pa.table({"id": pa.array([], pa.string()), "v": empty})).vectors("v").shape == (0, 4)
    nulls = pa.array([None, None], pa.list_(pa.float32(), 4))
    assert np.isnan(ArrayView(pa.table({"id": ["a", "b"], "v": nulls})).vectors("v").to_numpy()).all()


def test_hidden_rows_are_blank_in_every_way_of_reading() -> None:
    vectors, null = open_vectors(ArrayView({"v": [[1.0, 2.0], None, [3.0, 4.0]]}), "v")
    assert null.tolist() == [False, True, False]
    column = Blanked(vectors, np.array([True, True, False]), np.nan)
    expected = [[np.nan, np.nan], [np.nan, np.nan], [3, 4]]
    assert np.array_equal(np.concatenate(list(column.chunks())), expected, equal_nan=True)
    assert np.array_equal(column.to_numpy(), expected, equal_nan=True)
    assert np.array_equal(column.take(np.array([2, 0])), [[3, 4], [np.nan, np.nan]], equal_nan=True)
    assert vectors.to_numpy()[0].tolist() == [1, 2]  # what lies beneath is as it was


def test_an_expression_that_is_null_is_not_true() -> None:
    view = ArrayView({"flag": [True, None, False], "count": [0.0, 2.0, None], "text": ["a", "b", "c"]})
    assert true_rows(view, "flag").tolist() == [True, False, False]
    assert true_rows(view, "count > 1").tolist() == [False, True, False]
    assert true_rows(view, "count").tolist() == [False, True, False]
    with pytest.raises(InputError, match="a number is needed"):
        true_rows(view, "text")
