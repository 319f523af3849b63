"""Vectors of a view, memory-mapped from Arrow files: nothing is read before it is touched, nothing copied unasked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.counting import counted
from curate.errors import CorruptionError, InputError, SchemaError

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of one Arrow file that belong to a view: all of them, or those at `rows` (ascending positions). `bring` is called
    before the file is opened."""

    path: Path
    column: str
    length: int
    rows: npt.NDArray[np.int64] | None = None
    bring: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return self.length if self.rows is None else len(self.rows)

    @cached_property
    def column_data(self) -> pa.FixedSizeListArray:
        """The whole column as one memory-mapped Arrow array."""
        self.bring()
        column = map_column(self.path, self.column)
        if not pa.types.is_fixed_size_list(column.type):
            raise SchemaError(
                f"{self.column!r} holds {column.type}: rows of different lengths are not vectors"
            )
        if len(column) != self.length:
            raise CorruptionError(
                f"{self.path} holds {counted(len(column), 'row')} of {self.column!r}, not {self.length}"
            )
        return column

    @cached_property
    def values(self) -> Array:
        """The file's rows (n, dim); zero-copy, unless some are null: those become NaN (0 for integers)."""
        column = self.column_data
        inner = _plain(column.values)  # not `.flatten()`: that would copy
        dim, dtype = column.type.list_size, numpy_dtype(inner.type)
        flat = np.frombuffer(inner.buffers()[1], dtype, len(inner), inner.offset * dtype.itemsize)
        table = flat[column.offset * dim : (column.offset + len(column)) * dim].reshape(-1, dim)
        if column.null_count:
            table = table.copy()
            table[~self._valid] = np.nan if np.issubdtype(table.dtype, np.floating) else 0
        return table

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which of the piece's rows have a vector."""
        return self._valid if self.rows is None else self._valid[self.rows]

    @cached_property
    def _valid(self) -> npt.NDArray[np.bool_]:
        known = self.column_data.is_valid()
        bits = np.frombuffer(known.buffers()[1], np.uint8)
        return np.unpackbits(bits, bitorder="little")[known.offset : known.offset + len(known)].astype(
            np.bool_
        )

    def read(self) -> Array:
        """The piece's own rows: a view where they are consecutive, else a copy."""
        if self.rows is None or not len(self.rows):
            return self.values if self.rows is None else self.values[:0]
        first, last = int(self.rows[0]), int(self.rows[-1]) + 1
        return self.values[first:last] if last - first == len(self.rows) else self.values[self.rows]

    def take(self, rows: npt.NDArray[np.int64]) -> Array:
        """A copy of these of the piece's rows."""
        return self.values[rows if self.rows is None else self.rows[rows]]


@dataclass(frozen=True, eq=False)
class Blank:
    """Rows of a part in which the scorer could answer none, so that there is no file: NaN (0 for integers)."""

    length: int
    type: pa.FixedSizeListType

    def __len__(self) -> int:
        return self.length

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """None of the rows has a vector."""
        return np.zeros(self.length, np.bool_)

    def read(self) -> Array:
        """All rows."""
        dtype = numpy_dtype(self.type.value_type)
        fill = np.nan if np.issubdtype(dtype, np.floating) else 0
        return np.full((self.length, self.type.list_size), fill, dtype)

    def take(self, rows: npt.NDArray[np.int64]) -> Array:
        """These rows."""
        return self.read()[rows]


class PartVectors:
    """The vectors of a view's rows, one piece per item part (`contracts.Vectors`).

    A row that could not be scored (null) is a row of NaN, or of zeros for integer vectors; `valid` tells which.
    """

    def __init__(self, column: str, pieces: Sequence[Piece | Blank], type_: pa.FixedSizeListType) -> None:
        self._column, self._pieces = column, [p for p in pieces if len(p)]
        self._starts = np.cumsum([0, *(len(p) for p in self._pieces)])
        self._shape = int(self._starts[-1]), int(type_.list_size)
        self._dtype = numpy_dtype(type_.value_type)

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._dtype

    def __len__(self) -> int:
        return self._shape[0]

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """Which rows have a vector (n,): false where the scorer gave null."""
        return np.concatenate([p.valid for p in self._pieces]) if self._pieces else np.empty(0, np.bool_)

    def chunks(self) -> Iterator[Array]:
        """The pieces in row order, each (n, dim); zero-copy where the view takes consecutive rows without nulls."""
        for piece in self._pieces:
            yield self._checked(piece.read())

    def take(self, rows: npt.NDArray[np.int64]) -> Array:
        """A copy of these rows, in the order asked for. Negative or too large ones raise InputError."""
        rows = np.asarray(rows, np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise InputError(
                f"row {int(rows.max())} of {self._column!r}, which has {counted(len(self), 'row')}, counted from 0"
            )
        out = np.empty((len(rows), self._shape[1]), self._dtype)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(owner, kind="stable")
        hit, begins = np.unique(owner[order], return_index=True)
        for i, mine in zip(hit, np.split(order, begins[1:]), strict=False):
            out[mine] = self._checked(self._pieces[i].take(rows[mine] - self._starts[i]))
        return out

    def to_numpy(self) -> Array:
        """All rows as one array: zero-copy if there is one piece, a copy otherwise."""
        if len(self._pieces) == 1:
            return self._checked(self._pieces[0].read())
        out = np.empty(self._shape, self._dtype)
        for start, chunk in zip(self._starts, self.chunks(), strict=False):
            out[start : start + len(chunk)] = chunk
        return out

    def _checked(self, chunk: Array) -> Array:
        if chunk.shape[1] != self._shape[1] or chunk.dtype != self._dtype:
            raise SchemaError(
                f"{self._column!r} holds vectors of {self._shape[1]} {self._dtype} and of {chunk.shape[1]} {chunk.dtype}: "
                "score it again under one configuration"
            )
        return chunk

    def __repr__(self) -> str:
        return f"<vectors {self._column!r}: {self._shape[0]} x {self._shape[1]} {self._dtype}>"


def map_column(path: Path, column: str) -> pa.Array:
    """A column of an Arrow file as one array over a memory map."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        arrays = [b.column(b.schema.get_field_index(column)) for b in batches]
    except (OSError, pa.ArrowException) as error:
        raise CorruptionError(
            f"{path} cannot be read: {error}. Run `curate verify` to list what is damaged or missing."
        ) from error
    if len(arrays) == 1:
        return arrays[0]
    return pa.concat_arrays(arrays) if arrays else pa.nulls(0, reader.schema.field(column).type)


def numpy_dtype(type_: pa.DataType) -> np.dtype[Any]:
    """NumPy's name for an Arrow number type; pyarrow's own `to_pandas_dtype` wants pandas in some versions."""
    names = {"halffloat": "float16", "float": "float32", "double": "float64"}
    return np.dtype(names.get(str(type_), str(type_)))


def _plain(values: pa.Array) -> pa.Array:
    if values.null_count:
        raise SchemaError("a vector holds a null among its numbers")
    return values
