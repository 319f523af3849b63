"""Numbers and names from wherever they are kept: the same array, or a sentence that says why there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from curate.arrays.conversion import as_array, as_numbers, as_rows
from curate.errors import InputError

ROWS = np.array([[0.5, -2.0, 3.0], [4.0, 0.25, -1.5]], np.float32)
WHOLE = np.array([3, 0, 2, 2])
NAMES = ["b", "a", "b", "c"]


def torch_of(values: Any, dtype: str = "float32", grad: bool = False) -> Any:
    torch = pytest.importorskip("torch")
    return torch.tensor(values, dtype=getattr(torch, dtype), requires_grad=grad)


def pandas() -> Any:
    return pytest.importorskip("pandas")


class ByDlpack:
    """What gives itself by DLPack alone."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **how: Any) -> Any:
        return self.array.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


class ByArray:
    """What offers `__array__`."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return ROWS


MATRICES: dict[str, Callable[[], Any]] = {
    "list": lambda: ROWS.tolist(),
    "tuple of arrays": lambda: tuple(ROWS),
    "float16": lambda: ROWS.astype(np.float16),
    "fortran": lambda: np.asfortranarray(ROWS),
    "tensor": lambda: torch_of(ROWS),
    "tensor with gradients": lambda: torch_of(ROWS, grad=True),
    "double tensor with gradients": lambda: torch_of(ROWS, "float64", grad=True),
    "bfloat16": lambda: torch_of(ROWS, "bfloat16"),
    "bfloat16 with gradients": lambda: torch_of(ROWS, "bfloat16", grad=True),
    "list of tensors with gradients": lambda: list(torch_of(ROWS, grad=True)),
    "transposed tensor": lambda: torch_of(ROWS.T.copy(), grad=True).T,
    "DLPack": lambda: ByDlpack(ROWS),
    "__array__": ByArray,
    "polars frame": lambda: pl.DataFrame(ROWS, schema=["x", "y", "z"]),
    "lazy polars frame": lambda: pl.DataFrame(ROWS, schema=["x", "y", "z"]).lazy(),
    "polars series of lists": lambda: pl.Series(ROWS.tolist()),
    "polars series of arrays": lambda: pl.Series(ROWS.tolist(), dtype=pl.Array(pl.Float32, 3)),
    "arrow table": lambda: pa.table(dict(zip("xyz", ROWS.T, strict=True))),
    "arrow batch": lambda: pa.record_batch(dict(zip("xyz", map(pa.array, ROWS.T), strict=True))),
    "arrow lists": lambda: pa.array(ROWS.tolist()),
    "arrow fixed lists": lambda: pa.array([None, *ROWS.tolist()], pa.list_(pa.float32(), 3)).slice(1),
    "arrow chunks": lambda: pa.chunked_array([[row] for row in ROWS.tolist()]),
    "table of one column of lists": lambda: pa.table({"v": ROWS.tolist()}),
    "pandas frame": lambda: pandas().DataFrame(ROWS),
    "nullable pandas frame": lambda: pandas().DataFrame(ROWS).convert_dtypes(),
    "pandas frame of several types": lambda: pandas().DataFrame(
        {"x": ROWS[:, 0], "y": ROWS[:, 1].astype(float), "z": ROWS[:, 2]}
    ),
}


@pytest.mark.parametrize("form", MATRICES)
def test_rows_of_any_form_are_the_same_rows(form: str) -> None:
    rows = as_rows(MATRICES[form]())
    assert rows.dtype.kind == "f" and rows.shape == ROWS.shape and np.array_equal(rows, ROWS)


COLUMNS: dict[str, Callable[[], Any]] = {
    "list": lambda: WHOLE.tolist(),
    "range": lambda: [3, 0, 2, 2],
    "tensor": lambda: torch_of(WHOLE, "int64"),
    "small tensor": lambda: torch_of(WHOLE, "uint8"),
    "tensors": lambda: list(torch_of(WHOLE, "int32")),
    "polars": lambda: pl.Series(WHOLE),
    "arrow": lambda: pa.array(WHOLE),
    "arrow chunks": lambda: pa.chunked_array([WHOLE[:1], WHOLE[1:]]),
    "arrow decimals": lambda: pa.array(WHOLE).cast(pa.decimal128(30, 2)),
    "pandas": lambda: pandas().Series(WHOLE, index=[9, 8, 7, 6]),
    "nullable pandas": lambda: pandas().Series(WHOLE, dtype="Int64"),
    "pandas index": lambda: pandas().Index(WHOLE),
}


@pytest.mark.parametrize("form", COLUMNS)
def test_columns_of_any_form_are_the_same_numbers(form: str) -> None:
    column = as_numbers(COLUMNS[form]())
    assert column.ndim == 1 and np.array_equal(column, WHOLE)


@pytest.mark.parametrize(
    "names",
    [
        lambda: NAMES,
        lambda: np.array(NAMES),
        lambda: pl.Series(NAMES),
        lambda: pl.Series(NAMES, dtype=pl.Categorical),
        lambda: pa.array(NAMES, pa.large_string()),
        lambda: pa.array(NAMES).dictionary_encode(),
        lambda: pandas().Series(NAMES),
        lambda: pandas().Series(NAMES, dtype="category"),
        lambda: np.array(NAMES, np.dtypes.StringDType()),
    ],
)
def test_names_stay_names(names: Callable[[], Any]) -> None:
    assert as_array(names()).tolist() == NAMES


def test_an_array_is_not_copied_and_a_mapped_one_stays_mapped(tmp_path: Path) -> None:
    assert as_rows(ROWS) is ROWS
    np.save(tmp_path / "rows.npy", ROWS)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert as_rows(mapped) is mapped
    tensor = torch_of(ROWS, grad=True)
    assert as_rows(tensor).__array_interface__["data"][0] == tensor.data_ptr()


def test_what_is_missing_is_nan_or_none() -> None:
    for column in (pa.array([1, None, 3]), pl.Series([1, None, 3]), pl.Series([1.0, None, 3.0])):
        assert np.array_equal(as_numbers(column), [1, np.nan, 3], equal_nan=True)
    assert as_array(pl.Series(["a", None])).tolist() == ["a", None]
    hidden = np.ma.array([1.0, 2.0], mask=[False, True])
    assert np.array_equal(as_numbers(hidden), [1, np.nan], equal_nan=True)
    assert as_numbers(np.ma.array([1, 2])).tolist() == [1, 2]


def test_names_and_numbers_in_one_list_stay_what_they_are() -> None:
    assert as_array(["a", 1]).tolist() == ["a", 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            lambda: ROWS.astype(complex),
            "v is complex128: numbers are meant; take the real part, or the length",
        ),
        (lambda: torch_of(ROWS, "complex64"), "v is complex64: numbers"),
        (lambda: np.array([[1.0, None]], object), "v is object: numbers are meant, and row 0 has None"),
        (lambda: np.array(NAMES), "v is <U1: numbers are meant"),
        (lambda: np.array([0], "datetime64[s]"), "v is datetime64"),
        (lambda: np.zeros(2, [("a", int)]), r"v is \[\('a'"),
        (
            lambda: [[1.0, 2.0], [3.0]],
            "v is no array: row 0 has 2 values and row 1 1 value; rows of one length",
        ),
        (lambda: [1.0, [2.0]], "row 0 has one value and row 1 1 value"),
        (lambda: pa.array([[1.0, 2.0], [3.0]]), "row 0 has 2 values and row 1 1"),
        (lambda: pa.chunked_array([[[1.0, 2.0]], [[3.0]]]), "lists of several lengths"),
        (lambda: pa.array([[1.0], None]), "nothing in 1 row, as row 1"),
        (lambda: pl.DataFrame({"x": [1.0], "name": ["a"]}), "columns that are no numbers .'name'.: choose"),
        (lambda: pandas().DataFrame({"x": [1.0], "name": ["a"]}), "columns that are no numbers .'name'."),
        (lambda: np.ma.array([1, 2], mask=[False, True]), "masked in 1 place, as in row 1"),
        (lambda: None, "v is a NoneType: an array, a tensor, a column, a frame or a list is meant"),
        (lambda: {"a": [1]}, "v is a dict"),
        (lambda: {1, 2}, "v is a set"),
        (lambda: (x for x in [1]), "v is a generator"),
        (lambda: torch_of(ROWS).to_sparse(), "v is a tensor that cannot be taken"),
        (lambda: torch_of(ROWS).to("meta"), "v is a tensor that cannot be taken"),
    ],
)
def test_what_is_none_is_said(values: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_numbers(values(), "v")


def test_a_number_and_a_block_are_no_rows() -> None:
    for values in (3.0, [1.0, 2.0], np.zeros((2, 2, 2))):
        with pytest.raises(InputError, match="rows, dimensions"):
            as_rows(values)


def test_nothing_heavy_is_imported_for_it() -> None:
    code = (
        "import sys, numpy as np; from curate.arrays.conversion import as_rows\n"
        "as_rows([[1.0]]); as_rows(np.eye(2))\n"
        "print({'torch', 'pandas', 'polars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
