"""A view in memory: arrays and tables as `contracts.View`, for tests and for using scorers without a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import PIECE_ROWS, ROW, Held, View
from curate.counting import counted
from curate.errors import SchemaError, UnknownNameError
from curate.pieces import HERE, Piece, share, spread

__all__ = ["ArrayVectors", "ArrayView"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class ArrayVectors:
    """`contracts.Vectors` over one 2-d array."""

    array: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape[0], self.array.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        yield self.array

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self.array[rows]

    def to_numpy(self) -> npt.NDArray[Any]:
        return self.array


class ArrayView:
    """`contracts.View` over a table in memory, with vectors given as 2-d arrays.

    A table without `id` gets "0", "1", ... A vector row that is NaN throughout is null in `to_arrow`.
    Raises SchemaError where a vector's length is not the table's, UnknownNameError for a column that is not there.
    """

    def __init__(
        self,
        table: pa.Table | pa.RecordBatch | Mapping[str, Any],
        vectors: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        elif not isinstance(table, pa.Table):
            table = pa.table(dict(table))
        if "id" not in table.column_names:
            table = table.add_column(0, "id", pa.array([str(i) for i in range(len(table))], pa.string()))
        for name, array in (vectors or {}).items():
            if array.ndim != 2 or len(array) != len(table):
                raise SchemaError(
                    f"vector {name!r} has shape {array.shape}, the table has {counted(len(table), 'row')}"
                )
            table = table.append_column(name, _fixed_size(array))
        self._table = table
        self._vectors = dict(vectors or {})

    def __len__(self) -> int:
        return len(self._table)

    @property
    def columns(self) -> list[str]:
        return list(self._table.column_names)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        wanted = self.columns if columns is None else list(columns)
        for name in wanted:
            if name not in self.columns:
                raise UnknownNameError("column", name, self.columns)
        return self._table.select(wanted)

    def batches(self, columns: Sequence[str] | None = None, rows: int = 65536) -> Iterator[pa.RecordBatch]:
        yield from self.to_arrow(columns).to_batches(max_chunksize=rows)

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str] | None = None) -> pa.Table:
        return self.to_arrow(columns).take(pa.array(rows, pa.int64()))

    def vectors(self, column: str) -> ArrayVectors:
        if column in self._vectors:
            return ArrayVectors(self._vectors[column])
        stored = self.to_arrow([column]).column(0)
        if not (pa.types.is_fixed_size_list(stored.type) or pa.types.is_list(stored.type)):
            raise SchemaError(f"column {column!r} is {stored.type}, not a vector")
        if pa.types.is_fixed_size_list(stored.type) and pa.types.is_integer(stored.type.value_type):
            return ArrayVectors(_whole_numbers(stored.combine_chunks()))
        rows = stored.to_pylist()
        widths = {len(r) for r in rows if r is not None}
        if len(widths) > 1:
            raise SchemaError(
                f"column {column!r} holds lists of {sorted(widths)[:5]} numbers: one length is meant"
            )
        fixed = pa.types.is_fixed_size_list(stored.type)
        width = stored.type.list_size if fixed else max(widths, default=0)
        held = np.array([r if r is not None else [np.nan] * width for r in rows], np.float32)
        return ArrayVectors(held.reshape(len(rows), width))

    def compute(self, expression: str) -> pa.ChunkedArray:
        return self.sql(f"select ({expression}) as value from view order by {ROW}", self.columns).column(
            "value"
        )

    def sql(self, query: str, columns: Sequence[str]) -> pa.Table:
        import duckdb

        table = self.to_arrow(columns).append_column(ROW, pa.array(np.arange(len(self)), pa.int64()))
        with duckdb.connect(config={"enable_external_access": False, "threads": 2}) as connection:
            connection.register("view", table)
            return connection.sql(query).to_arrow_table()

    @property
    def scratch(self) -> None:
        return None

    def spread(self, function: Callable[[View, int], R], rows: int | None = None) -> Iterator[R]:
        return spread(HERE, function, self._pieces(rows))

    def share(self, function: Callable[[View, T], R], tasks: Iterable[T]) -> Iterator[R]:
        return share(HERE, function, self, tasks)

    def resident(
        self, make: Callable[[View, int], Any], rows: int | None = None
    ) -> AbstractContextManager[Held]:
        return HERE.hold(make, self._pieces(rows))

    def _pieces(self, rows: int | None) -> list[Piece]:
        n, step = len(self), rows or PIECE_ROWS
        if n <= step:
            return [Piece(self, 0, n)] if n else []
        return [
            Piece(self._run(low, min(low + step, n)), low, min(step, n - low)) for low in range(0, n, step)
        ]

    def _run(self, low: int, high: int) -> ArrayView:
        """Rows `low` to `high`, without a copy."""
        part = ArrayView.__new__(ArrayView)
        part._table = self._table.slice(low, high - low)
        part._vectors = {name: array[low:high] for name, array in self._vectors.items()}
        return part

    def rearranged(self, rows: npt.NDArray[np.int64]) -> ArrayView:
        """The same items in another order."""
        table = self._table.drop_columns(list(self._vectors)) if self._vectors else self._table
        return ArrayView(table.take(pa.array(rows)), {name: a[rows] for name, a in self._vectors.items()})

    def with_null_row(self, id: str, columns: Sequence[str]) -> ArrayView:
        """One more row, a copy of the last, in which these columns are null (NaN for vectors)."""
        rows = np.append(np.arange(len(self)), len(self) - 1)
        grown = self.rearranged(rows)
        table = grown._table.drop_columns(list(self._vectors)) if self._vectors else grown._table
        for name in ("id", *(c for c in columns if c in table.column_names)):
            field = table.schema.field(name)
            last = pa.array([id if name == "id" else None], field.type)
            kept = table.column(name).slice(0, len(self)).chunks
            table = table.set_column(table.column_names.index(name), field, pa.chunked_array([*kept, last]))
        for name in set(columns) & set(self._vectors):
            grown._vectors[name] = grown._vectors[name].astype(np.float32)
            grown._vectors[name][-1] = np.nan
        return ArrayView(table, grown._vectors)


def _whole_numbers(column: pa.FixedSizeListArray) -> npt.NDArray[Any]:
    """Rows of integers as they are, 0 where null: as a store gives them."""
    width = column.type.list_size
    flat = column.values.slice(column.offset * width, len(column) * width)
    rows = np.array(flat.fill_null(0)).reshape(len(column), width)
    rows[np.asarray(column.is_null(), np.bool_)] = 0
    return rows


def _fixed_size(array: npt.NDArray[Any]) -> pa.Array:
    missing = np.isnan(array).all(1) if array.dtype.kind == "f" and array.size else np.zeros(len(array), bool)
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, array.shape[1], mask=pa.array(missing))
