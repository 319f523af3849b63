"""Vectors to join by id: predicted probabilities and embeddings from .npy, .npz, Parquet, Arrow, or memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from curate.arrays.conversion import as_array
from curate.counting import counted
from curate.errors import InputError, UnknownNameError
from curate.formats.arrays import plain, to_text
from curate.formats.locate import absolute, find_files, is_url, suffix_of

__all__ = ["read_vectors", "vectors_ahead"]

_IDS = ("ids", "id")
_IDS_FROM = (".npy", ".txt", ".csv", ".tsv", ".parquet", ".pq", ".arrow", ".feather")
_QUICKLY = 64 << 20
"""Bytes of a file of ids that may be read to learn how many there are."""
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
    if listed is not None:
        _check_ids(len(listed), len(values), what)
    return listed, values


def vectors_ahead(source: str, *, ids: str | None = None, key: str | None = None) -> tuple[int, bool] | None:
    """How many rows `read_vectors` would give, and whether with ids, from what the files say of themselves; None for files
    on other machines. Raises what `read_vectors` raises, as far as that can be told so."""
    if any(is_url(absolute(path)) for path in (source, ids) if path):
        return None
    path = find_files(absolute(source))[0]
    rows, own = _look(path, key)
    listed = _count_ids(_find_ids(ids)) if ids else None
    if listed is not None:
        _check_ids(listed, rows, path)
    return rows, bool(ids) or own


def _look(path: str, key: str | None) -> tuple[int, bool]:
    """(rows, whether there are ids beside them) of a file, of which no more than headers are read."""
    with _readable(path):
        if suffix_of(path) == ".npz" and Path(path).is_file():
            with np.load(path, allow_pickle=False) as stored:
                arrays = _stored(stored)
                array = arrays[_choose(arrays, key, path)]
                _check(array, path)
                return array.shape[0], any(name in arrays for name in _IDS)
        if suffix_of(path) in (".parquet", ".pq"):
            told = pq.ParquetFile(path)
            ids, _ = _from_table(told.schema_arrow.empty_table(), key, path)
            return told.metadata.num_rows, ids is not None
    ids, values = _read_file(path, key, None)  # what is mapped is not read
    return len(_check(values, path)), ids is not None


def _count_ids(path: str) -> int | None:
    """How many ids a file holds; None where that takes long to tell. Raises InputError for a format without ids."""
    if suffix_of(path) not in _IDS_FROM or os.path.getsize(path) < _QUICKLY:  # noqa: PTH202
        return len(_ids(path) or ())
    return None


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Inside, what a file cannot be read for becomes an InputError."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, OSError, EOFError, KeyError, BadZipFile, pa.ArrowException) as error:
        objects = "allow_pickle" in str(error) or "Python objects" in str(error)
        hint = " (arrays of Python objects are never loaded)" if objects else ""
        raise InputError(f"{path} cannot be read: {error}{hint}") from error


def _read_file(path: str, key: str | None, column: str | None) -> tuple[Any, Values]:
    suffix = suffix_of(path)
    with _readable(path):
        if suffix == ".npy":
            if key is not None:
                raise InputError(f"{path} holds one array: key={key!r} belongs to .npz files and tables")
            return None, np.load(path, mmap_mode="r", allow_pickle=False)
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _pick(_stored(arrays), key or column, path)
        if suffix in (".parquet", ".pq"):
            return _from_table(pq.read_table(path), key or column, path)
        if suffix in (".arrow", ".feather", ".ipc"):
            return _from_table(_read_ipc(path), key or column, path)
    raise InputError(
        f"{path}: vectors are read from .npy, .npz, .parquet and .arrow files, not {suffix or 'this'}"
    )


class _Lazy:
    """An array of an .npz, read only if it is picked."""

    def __init__(self, arrays: Any, name: str) -> None:
        self._arrays, self._name = arrays, name
        with arrays.zip.open(f"{name}.npy") as file:
            major, _ = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            self.shape, _, self.dtype = read(file)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Values:
        return np.asarray(self._arrays[self._name], dtype=dtype)


def _stored(arrays: Any) -> dict[str, _Lazy]:
    """The arrays of an .npz by their names."""
    there = set(arrays.zip.namelist())
    return {name: _Lazy(arrays, name) for name in arrays.files if f"{name}.npy" in there}


def _pick(arrays: Mapping[str, Any], key: str | None, what: str) -> tuple[Any, Values]:
    """(ids, values) out of named arrays: the one named, or the only one that is two-dimensional."""
    ids = next((np.asarray(arrays[name]) for name in _IDS if name in arrays), None)
    return ids, np.asarray(arrays[_choose(arrays, key, what)])


def _choose(arrays: Mapping[str, Any], key: str | None, what: str) -> str:
    """The name of the array that is meant."""
    if key is not None:
        if key not in arrays:
            raise UnknownNameError(f"array of {what}", key, arrays)
        return key
    shapes = {name: np.shape(array) for name, array in arrays.items() if name not in _IDS}
    two = [name for name, shape in shapes.items() if len(shape) == 2]
    if len(two) != 1:
        there = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing but ids"
        raise InputError(f"{what} holds {there}: say which is meant with key=")
    return two[0]


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
        raise InputError(
            f"column {name!r} of {what} has {counted(column.null_count, 'empty row')}: leave them out"
        )
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
                f"column {name!r} of {what} has lists of {widths[0]} to {counted(widths[-1], 'number')}: not one width"
            )
        width = int(widths[0]) if len(widths) else 0
        pieces.append(chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), width))
    if len({piece.shape[1] for piece in pieces}) > 1:
        raise InputError(f"column {name!r} of {what} has lists of different length")
    return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]


def _check(values: Any, what: str) -> Any:
    if values.dtype.kind not in "fiub":
        raise InputError(f"{what} is of dtype {values.dtype}: expected numbers")
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{what} has the shape {values.shape}: expected (rows, columns), both at least 1")
    return values


def _check_ids(ids: int, rows: int, what: str) -> None:
    if ids != rows:
        raise InputError(
            f"{what} has {counted(rows, 'row')}, and {counted(ids, 'id is', 'ids are')} given for them"
        )


def _ids(source: Any) -> pa.Array | None:
    if source is None:
        return None
    if isinstance(source, (str, os.PathLike)):
        source = _read_ids(_find_ids(source))
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


def _find_ids(source: str | os.PathLike[str]) -> str:
    try:
        return find_files(absolute(source))[0]
    except InputError as error:
        raise InputError(f"ids: {error}") from None


def _read_ids(path: str) -> Any:
    suffix = suffix_of(path)
    if suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if suffix == ".txt":
        return Path(path).read_text("utf-8").splitlines()
    if suffix in _IDS_FROM:
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
