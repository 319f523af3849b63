"""Whatever holds numbers or names - arrays, tensors, columns, frames, lists - as an array, or a sentence that says why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from curate.counting import counted
from curate.errors import InputError

__all__ = ["as_array", "as_floats", "as_numbers", "as_rows"]

Values = npt.NDArray[Any]


def as_array(values: Any, what: str = "the array") -> Values:
    """What is given as a NumPy array, without a copy where there is one already; memory-mapped ones stay mapped.

    Taken are NumPy arrays; tensors on whatever device, with gradients or without; whatever offers `__array__` or DLPack;
    series and frames of pandas and Polars, columns and tables of Arrow (columns become those of the array, lists of one
    length rows); lists. bfloat16 and other floats that NumPy does not know become float32, as do a tensor's of half precision;
    nulls are NaN among numbers and None among names. A list that mixes names and numbers stays what it is, as objects.
    Raises InputError, calling the array `what`, for what holds no rows, lists of several lengths, masked whole numbers.
    """
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values, what)
    if isinstance(values, np.ndarray):
        return _plain(values)
    for is_one, convert in _KINDS:
        if is_one(values):
            return _plain(convert(values, what))
    if not hasattr(values, "__array__") and hasattr(values, "__dlpack__"):
        return _plain(_tried(np.from_dlpack, values, what))
    array = _tried(np.asarray, values, what)
    if array.ndim == 0 and array.dtype == object:
        raise InputError(
            f"{what} is a {type(values).__name__}: an array, a tensor, a column, a frame or a list is meant"
        )
    return _plain(array)


def as_numbers(values: Any, what: str = "the array") -> Values:
    """The same of numbers: whole, floating, or true and false. Raises InputError as `as_array`, and for anything else."""
    array = as_array(values, what)
    if array.dtype.kind in "fiub":
        return array
    told = f"{what} is {array.dtype}: numbers are meant"
    if array.dtype.kind == "c":
        told += "; take the real part, or the length"
    if array.dtype == object and array.ndim:
        told += _first_odd(array)
    raise InputError(told)


def as_floats(values: Any, what: str = "the array") -> npt.NDArray[np.float64]:
    """The same in double precision; objects that are numbers count as such, and None as NaN."""
    array = as_array(values, what)
    if array.dtype == object:
        try:
            return array.astype(np.float64)
        except (TypeError, ValueError):
            pass  # told below what is no number
    return np.asarray(as_numbers(array, what), np.float64)


def as_rows(values: Any, what: str = "x") -> Values:
    """The same of rows of numbers, (n, d). Raises InputError as `as_numbers`, and for another shape."""
    rows = as_numbers(values, what)
    if rows.ndim != 2:
        raise InputError(f"{what} has shape {rows.shape}: (rows, dimensions) is meant")
    return rows


# --- From what they come ------------------------------------------------------------------------------------------


def _from_tensor(values: Any, what: str) -> Values:
    """NumPy knows no gradients, no accelerators and no bfloat16."""
    try:
        held = values.detach().cpu()
        if held.is_floating_point() and held.element_size() < 4:
            held = held.float()
        array: Values = held.numpy()
    except (TypeError, RuntimeError, NotImplementedError, AttributeError) as error:
        first = str(error).partition("\n")[0]
        raise InputError(
            f"{what} is a tensor that cannot be taken ({first}): hand over a dense one that holds its numbers"
        ) from error
    return array


def _from_list(values: Sequence[Any], what: str) -> Values:
    if len(values) and not np.isscalar(values[0]) and hasattr(values[0], "detach"):
        values = [as_array(one, what) for one in values]
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} is no array: {_ragged(values) or error}") from error
    mixed = (
        array.dtype.kind in "US" and array.ndim == 1 and not all(isinstance(v, (str, bytes)) for v in values)
    )
    return np.array(list(values), object) if mixed else array  # NumPy makes names of the numbers among them


def _ragged(values: Sequence[Any]) -> str:
    lengths = [np.shape(one)[:1] if not isinstance(one, (list, tuple)) else (len(one),) for one in values]
    row = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if row is None:
        return ""
    said = [counted(length[0], "value") if length else "one value" for length in (lengths[0], lengths[row])]
    return f"row 0 has {said[0]} and row {row} {said[1]}; rows of one length are meant"


def _from_column(values: pa.Array | pa.ChunkedArray, what: str) -> Values:
    if isinstance(values, pa.ChunkedArray):
        parts = [_from_column(chunk, what) for chunk in values.chunks if len(chunk)]
        if len({part.shape[1:] for part in parts}) > 1:
            raise InputError(f"{what} has lists of several lengths: one length is meant")
        return np.concatenate(parts) if parts else _from_column(pa.nulls(0, values.type), what)
    type_ = values.type
    if pt.is_dictionary(type_):
        return _from_column(values.dictionary_decode(), what)
    if isinstance(values, pa.ExtensionArray):
        return _from_column(values.storage, what)
    if pt.is_list(type_) or pt.is_large_list(type_) or pt.is_fixed_size_list(type_):
        return _from_lists(values, what)
    if pt.is_boolean(type_) and not values.null_count:
        return np.from_dlpack(values.cast(pa.uint8())).astype(bool)
    if pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_) or pt.is_boolean(type_):
        if values.null_count or pt.is_decimal(type_):
            values = values.cast(pa.uint8()) if pt.is_boolean(type_) else values
            values = values.cast(pa.float64()).fill_null(float("nan"))
        return np.from_dlpack(values)  # Arrow's own way imports pandas where it can
    return np.array(values.to_pylist(), object)


def _from_lists(values: pa.Array, what: str) -> Values:
    if values.null_count:
        rows = np.flatnonzero(np.asarray(values.is_null()))
        raise InputError(
            f"{what} has nothing in {counted(len(rows), 'row')}, as row {rows[0]}: leave them out"
        )
    flat, n = _from_column(values.flatten(), what), len(values)
    if pt.is_fixed_size_list(values.type):
        return flat.reshape(n, values.type.list_size, *flat.shape[1:])
    lengths = np.asarray(values.value_lengths())
    odd = np.flatnonzero(lengths != lengths[0]) if n else lengths
    if len(odd):
        raise InputError(
            f"{what} is no array: row 0 has {counted(lengths[0], 'value')} and row {odd[0]} {lengths[odd[0]]}; rows of "
            "one length are meant"
        )
    return flat.reshape(n, int(lengths[0]) if n else 0, *flat.shape[1:])


def _from_table(values: pa.Table | pa.RecordBatch, what: str) -> Values:
    columns = [
        _from_column(column, f"column {name!r} of {what}")
        for name, column in zip(values.schema.names, values.columns, strict=True)
    ]
    return _side_by_side(columns, values.schema.names, what)


def _side_by_side(columns: Sequence[Values], names: Sequence[Any], what: str) -> Values:
    if len(columns) == 1 and columns[0].ndim == 2:
        return columns[0]
    odd = [
        name
        for name, column in zip(names, columns, strict=True)
        if column.ndim != 1 or column.dtype.kind not in "fiub"
    ]
    if odd or not columns:
        told = ", ".join(map(repr, odd[:5])) if odd else "none at all"
        raise InputError(f"{what} has columns that are no numbers ({told}): choose those that are meant")
    return np.column_stack(columns)


def _from_pandas(values: Any, what: str) -> Values:
    if hasattr(values, "columns"):
        columns = [_from_pandas(values[name], what) for name in values.columns]
        return _side_by_side(columns, list(values.columns), what)
    if isinstance(values.dtype, np.dtype):
        array: Values = values.to_numpy()
        return array
    return _from_column(_tried(pa.Array.from_pandas, values, what), what)


def _from_arrow(values: Any, what: str) -> Values:
    """Of Polars, and of whatever else gives itself as Arrow."""
    if hasattr(values, "to_arrow"):
        return as_array(_tried(lambda one: one.to_arrow(), values, what), what)
    return as_array(_tried(pa.table, values, what), what)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str], Values]], ...] = (
    (lambda v: hasattr(v, "detach"), _from_tensor),
    (lambda v: isinstance(v, (list, tuple)), _from_list),
    (lambda v: isinstance(v, (pa.Array, pa.ChunkedArray)), _from_column),
    (lambda v: isinstance(v, (pa.Table, pa.RecordBatch)), _from_table),
    (lambda v: hasattr(v, "iloc"), _from_pandas),
    (lambda v: hasattr(v, "to_arrow") or hasattr(v, "__arrow_c_stream__"), _from_arrow),
    (lambda v: hasattr(v, "collect_schema"), lambda v, what: as_array(v.collect(), what)),  # a lazy frame
)
"""How to know each kind, and what makes an array of it."""


# --- What is left to see to ----------------------------------------------------------------------------------------


def _tried(convert: Any, values: Any, what: str) -> Any:
    try:
        return convert(values)
    except Exception as error:  # of packages that are not ours, nor imported here
        first = str(error).partition("\n")[0]
        raise InputError(f"{what}, a {type(values).__name__}, cannot be made an array: {first}") from error


def _plain(array: Values) -> Values:
    kind = array.dtype.kind
    if kind == "V" and array.dtype.names is None and "float" in array.dtype.name:
        return array.astype(np.float32)  # bfloat16 and narrower, of packages that teach NumPy about them
    return array.astype(object) if kind == "T" else array


def _unmasked(values: np.ma.MaskedArray[Any, Any], what: str) -> Values:
    hidden = np.ma.getmaskarray(values)
    if not hidden.any():
        return _plain(np.asarray(values))
    if values.dtype.kind == "f":
        return np.asarray(values.filled(np.nan))
    row = int(np.argwhere(hidden)[0][0])
    raise InputError(
        f"{what} is masked in {counted(int(hidden.sum()), 'place')}, as in row {row}: leave those rows out"
    )


def _first_odd(array: Values) -> str:
    flat = array.reshape(-1)
    place = next(
        (i for i, v in enumerate(flat) if not isinstance(v, (int, float, np.number, np.bool_))), None
    )
    return (
        ""
        if place is None
        else f", and row {place // max(1, array[0].size if array.ndim > 1 else 1)} has {flat[place]!r:.80}"
    )
