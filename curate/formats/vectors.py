"""Vectors to join by id: predicted probabilities and embeddings from .npy, .npz, Parquet, Arrow, or memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from curate.arrays.conversion import as_array
from curate.errors import InputError, UnknownNameError
from curate.formats.arrays import plain, to_text
from curate.formats.locate import absolute, find_files, suffix_of

__all__ = ["read_vectors"]

_IDS = ("ids", "id")
_NUMBERED = re.compile(r"^(.*?)_?(\d+)$")

Values = npt.NDArray[Any]


def read_vectors(
    source: Any, *, ids: Any = None, key: str | None = None, column: str | None = None
) -> tuple[pa.Array | None, Values]:
    """(ids as text, or None where rows are known by order alone; values (n, d) of a numeric dtype).

    `source`  .npy (memory-mapped), .npz, .parquet, .arrow/.feather file, or an array, a dict {"ids", "<values>"}, or
              an Arrow, pandas or Polars table with a list column or numbered numeric columns (p0, p1, ...).
    `ids`     an array or list, or a file of ids: .npy, a one-column .csv/.txt, or a table with the column `id`.
    `key`     the array in an .npz or dict; in a table the same as `column`: the list column, or the common beginning of
              numbered ones.

    Values are not judged: NaN and numbers out of range are for the step that uses them to count and refuse.
    Raises InputError where the shape is not (n, d), the dtype is not numeric, or ids and rows differ in number.
    """
    what = "the array"
    found: Any = None
    if isinstance(source, (str, os.PathLike)):
        what = find_files(absolute(source))[0]
        found, values = _read_file(what, key, column)
    elif isinstance(source, Mapping):
        found, values = _pick({str(name): value for name, value in source.items()}, key or column, "the dict")
    elif isinstance(source, (np.ndarray, list, tuple)) or hasattr(source, "detach"):
        values = as_array(source, what)
    else:
        found, values = _from_table(_as_table(source), key or column, "the table")
    values = _check(values, what)
    listed = _ids(ids if ids is not None else found)
    if listed is not None and len(listed) != len(values):
        raise InputError(f"{what} has {len(values)} rows, and there are {len(listed)} ids for them")
    return listed, values


def _read_file(path: str, key: str | None, column: str | None) -> tuple[Any, Values]:
    suffix = suffix_of(path)
    try:
        if suffix == ".npy":
            if key is not None:
                raise InputError(f"{path} holds one array: key={key!r} belongs to .npz files and tables")
            return None, np.load(path, mmap_mode="r", allow_pickle=False)
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _pick({name: _Lazy(arrays, name) for name in arrays.files}, key or column, path)
        if suffix in (".parquet", ".pq"):
            return _from_table(pq.read_table(path), key or column, path)
        if suffix in (".arrow", ".feather", ".ipc"):
            return _from_table(_read_ipc(path), key or column, path)
    except InputError:
        raise
    except (ValueError, OSError, EOFError, KeyError, pa.ArrowException) as error:
        objects = "allow_pickle" in str(error) or "Python objects" in str(error)
        hint = " (arrays of Python objects are never loaded)" if objects else ""
        raise InputError(f"{path} cannot be read: {error}{hint}") from error
    raise InputError(
        f"{path}: vectors are read from .npy, .npz, .parquet and .arrow files, not {suffix or 'this'}"
    )


class _Lazy:
    """An array of an .npz, read only if it is picked."""

    def __init__(self, arrays: Any, name: str) -> None:
        self._arrays, self._name = arrays, name

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Values:
        return np.asarray(self._arrays[self._name], dtype=dtype)


def _pick(arrays: Mapping[str, Any], key: str | None, what: str) -> tuple[Any, Values]:
    """(ids, values) out of named arrays: the one named, or the only one that is two-dimensional."""
    ids = next((np.asarray(arrays[name]) for name in _IDS if name in arrays), None)
    rest = [name for name in arrays if name not in _IDS]
    if key is not None:
        if key not in arrays:
            raise UnknownNameError(f"array of {what}", key, arrays)
        return ids, np.asarray(arrays[key])
    flat = {name: np.asarray(arrays[name]) for name in rest}
    two = [name for name, array in flat.items() if array.ndim == 2]
    if len(two) != 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in flat.items()) or "nothing but ids"
        raise InputError(f"{what} holds {shapes}: say which is meant with key=")
    return ids, flat[two[0]]


def _read_ipc(path: str) -> pa.Table:
    with pa.memory_map(path) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


def _as_table(source: Any) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if hasattr(source, "__arrow_c_stream__"):
        return pa.table(source)
    raise InputError(
        f"a {type(source).__name__} holds no vectors: expected a path, an array, a dict or a table"
    )


def _from_table(table: pa.Table, key: str | None, what: str) -> tuple[Any, Values]:
    ids = next((table.column(name) for name in _IDS if name in table.column_names), None)
    names = [name for name in table.column_names if name not in _IDS]
    lists = [name for name in names if _is_vector(table.schema.field(name).type)]
    if key is not None and key in lists:
        return ids, _stack(table.column(key), key, what)
    numbered = _numbered(table, names, key)
    if key is not None and key not in numbered:
        raise UnknownNameError(f"vector column of {what}", key, [*lists, *numbered])
    if key is None and len(lists) + len(numbered) != 1:
        there = ", ".join([*lists, *(f"{start}0.." for start in numbered)]) or "no vector column"
        raise InputError(f"{what} holds {there}: say which is meant with key=")
    if key is None and lists:
        return ids, _stack(table.column(lists[0]), lists[0], what)
    chosen = numbered[key if key is not None else next(iter(numbered))]
    return ids, np.column_stack([table.column(name).to_numpy() for name in chosen])


def _is_vector(type_: pa.DataType) -> bool:
    nested = pt.is_list(type_) or pt.is_large_list(type_) or pt.is_fixed_size_list(type_)
    return bool(nested and (pt.is_floating(type_.value_type) or pt.is_integer(type_.value_type)))


def _numbered(table: pa.Table, names: list[str], key: str | None) -> dict[str, list[str]]:
    """Common beginning -> numeric columns p0, p1, ... without a gap, in order of number."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        type_ = table.schema.field(name).type
        match = _NUMBERED.match(name)
        if match and (pt.is_floating(type_) or pt.is_integer(type_)):
            groups.setdefault(match[1], {})[int(match[2])] = name
    return {
        start: [columns[i] for i in sorted(columns)]
        for start, columns in groups.items()
        if len(columns) > 1
        and max(columns) - min(columns) + 1 == len(columns)
        and (key is None or key == start)
    }


def _stack(column: pa.ChunkedArray, name: str, what: str) -> Values:
    """A list column as (n, d). Raises InputError for nulls and lists of different length."""
    if column.null_count:
        raise InputError(f"column {name!r} of {what} has {column.null_count} empty rows: leave them out")
    pieces = []
    for chunk in column.chunks:
        if pt.is_fixed_size_list(chunk.type):
            flat = chunk.values[
                chunk.offset * chunk.type.list_size : (chunk.offset + len(chunk)) * chunk.type.list_size
            ]
            pieces.append(flat.to_numpy(zero_copy_only=False).reshape(len(chunk), chunk.type.list_size))
            continue
        widths = np.unique(np.diff(chunk.offsets.to_numpy()))
        if len(widths) > 1:
            raise InputError(
                f"column {name!r} of {what} has lists of {widths[0]} to {widths[-1]} numbers: not one width"
            )
        width = int(widths[0]) if len(widths) else 0
        pieces.append(chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), width))
    if len({piece.shape[1] for piece in pieces}) > 1:
        raise InputError(f"column {name!r} of {what} has lists of different length")
    return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]


def _check(values: Values, what: str) -> Values:
    if values.dtype.kind not in "fiub":
        raise InputError(f"{what} is of dtype {values.dtype}: expected numbers")
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{what} has the shape {values.shape}: expected (rows, columns), both at least 1")
    return values


def _ids(source: Any) -> pa.Array | None:
    if source is None:
        return None
    if isinstance(source, (str, os.PathLike)):
        source = _read_ids(find_files(absolute(source))[0])
    if isinstance(source, np.ndarray):
        if source.ndim != 1:
            raise InputError(f"ids of shape {source.shape}: expected one for each row")
        if source.dtype.kind == "S":
            source = np.char.decode(source, "utf-8")
        source = source.tolist()
    array = source if isinstance(source, (pa.Array, pa.ChunkedArray)) else pa.array(source)
    text, bad = to_text(plain(array))
    if bad:
        row, (_, reason) = next(iter(bad.items()))
        raise InputError(f"the id in row {row} {reason}")
    return text


def _read_ids(path: str) -> Any:
    suffix = suffix_of(path)
    if suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if suffix == ".txt":
        return Path(path).read_text("utf-8").splitlines()
    if suffix in (".parquet", ".pq", ".arrow", ".feather", ".csv", ".tsv"):
        table = _ids_table(path, suffix)
        name = next((name for name in _IDS if name in table.column_names), table.column_names[0])
        return table.column(name)
    raise InputError(f"{path}: ids are read from .npy, .txt, .csv, .parquet and .arrow files")


def _ids_table(path: str, suffix: str) -> pa.Table:
    if suffix in (".parquet", ".pq"):
        return pq.read_table(path)
    if suffix in (".arrow", ".feather"):
        return _read_ipc(path)
    from curate.formats.text import CsvReader

    return pa.concat_tables([piece.table for piece in CsvReader([path], max_text_bytes=1 << 20).pieces()])
