"""Labels as numbers of classes: what is none is refused by naming rows, and classes are named by columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curate.arrays.labels import as_codes, check_enough, check_several, check_strangers, name_classes
from curate.errors import InputError


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 1],
        np.array([0.0, 1.0, 1.0]),
        np.array([False, True, True]),
        np.array([0, 1, 1], np.uint8),
        np.array([0, 1.0, np.int8(1)], object),
    ],
    ids=lambda labels: str(getattr(labels, "dtype", "list")),
)
def test_whole_numbers_of_any_kind_are_labels(labels: Any) -> None:
    codes = as_codes(labels, 3, 2)
    assert codes.dtype == np.int64 and codes.tolist() == [0, 1, 1]


def test_names_are_places_among_the_classes() -> None:
    for labels in (["b", "a", "b"], np.array(["b", "a", "b"]), np.array(["b", "a", "b"], object)):
        assert as_codes(labels, 3, 3, classes=("b", "a", "unused")).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "k", "classes", "message"),
    [
        ([0, 2, 1], 2, None, r"1 of 3 labels lie outside 0 \.\.\. 1 \(row 1: 2\)"),
        ([0, -1, 9], None, None, r"outside 0 \.\.\. K - 1 \(row 1: -1\)"),
        ([0, 1], 2, None, r"labels have shape \(2,\): one for each of the 3 rows"),
        ([[0], [1], [1]], 2, None, "shape"),
        ([0, 1, np.nan], 2, None, "row 2 has nan"),
        ([0, 1, np.inf], 2, None, "row 2 has inf"),
        ([0, 0.5, 1], 2, None, r"whole numbers 0 \.\.\. 1: row 1 has 0\.5"),
        ([0, None, 1], 2, None, "row 1 has None"),
        (["a", 1, "b"], 2, ("a", "b"), "mix names and numbers: row 0 has 'a', row 1 1"),
        (["a", "b", "a"], 2, None, r"labels are names, and whole numbers 0 \.\.\. 1 are meant: np\.unique"),
        (["a", "b", "c"], 2, ("a", "b"), "1 of 3 labels are none of the classes, as row 2: 'c'; .* are a, b"),
        (["a", "b", "a"], 3, ("a", "b"), "3 columns, `classes` names 2 classes: a, b"),
        (np.array([0, 1, 2], "datetime64[s]"), 3, None, "are datetime64"),
        (np.array([0, 1, 1j]), 2, None, "are complex128"),
    ],
)
def test_labels_that_are_none_are_refused(labels: Any, k: int | None, classes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_codes(labels, 3, k, classes=classes)


def test_too_few_and_all_alike() -> None:
    check_enough({"a": 2, "b": 1}, 3)
    check_several(np.array([0, 1]))
    for wrong, message in (
        (lambda: check_enough({"a": 1, "b": 1}, 3), "2 labelled items for 3 classes"),
        (lambda: check_enough({"a": 5}, 2), "all 5 labels are 'a'"),
        (lambda: check_several(np.array([4, 4, 4]), "tokens"), "all 3 tokens are 4"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()


def test_classes_are_those_named_or_those_found() -> None:
    assert name_classes(["b", "a"], (), 2) == ("a", "b") and name_classes(["b"], ("x", "b"), 2) == ("x", "b")
    with pytest.raises(InputError, match="named twice: a, b, a"):
        name_classes((), ("a", "b", "a"), 3)
    with pytest.raises(InputError, match=r"they have 3 columns, the labels have 2 classes: a, b\. Name all"):
        name_classes(["a", "b"], (), 3, "they")
    check_strangers({"a": 1, "x": 1}, ("a", "b"))
    with pytest.raises(InputError, match="2 of 3 labels are none of the classes: x, y; the classes are a, b"):
        check_strangers({"a": 1, "x": 1, "y": 1}, ("a", "b"))
