"""What most fitting scorers share: reading a view in the order of ids, and answers in a table handed out by position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import PIECE_ROWS, ROW, Vectors, View, reason_name, role_of
from curate.errors import ExpressionError, InputError, SchemaError
from curate.memory import ArrayVectors

__all__ = [
    "Blanked",
    "FittedTable",
    "answered",
    "by_piece",
    "columns_of",
    "number_pieces",
    "numbers",
    "open_vectors",
    "order_by_id",
    "piece_rows",
    "read_labels",
    "read_vectors",
    "true_rows",
    "without_lists",
]

Mask = npt.NDArray[np.bool_]

PIECE_NUMBERS = 1 << 26
"""About so many numbers of a column of vectors are one piece of a view: 256 MB."""


@dataclass(frozen=True, eq=False)
class FittedTable:
    """A scorer whose answers are known: row i of `table` belongs to row i of the view it was fitted on.

    `notes` are things a person should read before trusting the answers. `classes` is the order of the classes in
    vectors of probabilities.
    """

    name: str
    version: int
    gives: tuple[pa.Field, ...]
    table: pa.Table
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    needs: tuple[str, ...] = field(default=("id",))

    processes: ClassVar[bool] = False

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        taken = self.table.take(batch.column(ROW)).combine_chunks()
        columns = [column.combine_chunks() for column in taken.columns]
        return pa.record_batch(columns, schema=self.table.schema)


def answered(
    component: Any,
    rows: npt.NDArray[np.int64],
    values: Mapping[str, Any],
    reasons: npt.NDArray[np.object_],
    *,
    notes: Sequence[str] = (),
    classes: tuple[str, ...] = (),
) -> FittedTable:
    """A fitted scorer that gives these rows their values, and every other row null and its reason.

    `rows` (m,) rows of the view; `values` by name of the fields in `component.gives`, (m,) NumPy or Arrow arrays, in
    which NaN and None are null (none are needed where m is 0); `reasons` (n,) by row of the view, None where the row
    was answered: one that has both is null.
    """
    place = np.full(len(reasons), -1, np.int64)
    place[rows] = np.arange(len(rows))
    place[reasons != None] = -1  # noqa: E711 - element by element
    take = pa.array(place, pa.int64(), mask=place < 0)
    own = [_arrow(values[f.name], f.type) if len(rows) else pa.nulls(0, f.type) for f in component.gives]
    names = [*(f.name for f in component.gives), reason_name(component.name)]
    table = pa.table([*(column.take(take) for column in own), pa.array(reasons, pa.string())], names)
    return FittedTable(
        component.name, component.version, tuple(component.gives), table, tuple(notes), tuple(classes)
    )


def _arrow(values: Any, type_: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values if pa.types.is_list(type_) else values.cast(type_)
    values = np.asarray(values)
    if values.dtype == object:
        return pa.array(values, type_, from_pandas=True)
    return pa.array(values, from_pandas=True).cast(type_)


def piece_rows(view: View, column: str) -> int:
    """Rows of a piece of a view whose vectors `column` are read: fewer where they are long."""
    try:
        width = view.vectors(column).shape[1]
    except SchemaError:  # lists that came with the items, or vectors still to be made: opening a piece tells
        return PIECE_ROWS
    return int(np.clip(PIECE_NUMBERS // max(1, width), 1024, PIECE_ROWS))


def by_piece(firsts: Sequence[int], rows: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.int64]]:
    """Of rows of a view, cut into pieces that begin with the rows `firsts`: which of them each piece has, as places in `rows`."""
    owner = np.searchsorted(firsts, rows, side="right") - 1
    order = np.argsort(owner, kind="stable")
    pieces, starts = np.unique(owner[order], return_index=True)
    return dict(zip(pieces.tolist(), np.split(order, starts[1:]), strict=False))


def order_by_id(view: View) -> npt.NDArray[np.int64]:
    """The rows in the order of their ids, so that a fit does not depend on the order of import."""
    import polars as pl

    ids = pl.Series("id", view.to_arrow(["id"]).column("id"))
    return ids.arg_sort().to_numpy().astype(np.int64)


def read_labels(view: View, column: str, rows: npt.NDArray[np.int64]) -> pa.Array:
    """Labels as strings of these rows, in their order. Raises SchemaError for a column of lists."""
    labels = view.to_arrow([column]).column(0)
    if pa.types.is_nested(labels.type):
        raise SchemaError(
            f"column {column!r} holds {labels.type}: one label of each item is meant. Sets of labels are for "
            "multilabel-errors, missing-labels and label-probs"
        )
    labels = labels.take(pa.array(rows)).cast(pa.string())
    return labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels


def read_vectors(view: View, column: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
    """Vectors of these rows as (n, d) float32 or float64, NaN where null.

    Columns of lists that came with the items count, too. Raises SchemaError where the lists are of several lengths.
    """
    try:
        values = view.vectors(column).take(rows)
    except SchemaError:
        field_ = view.to_arrow([column]).schema.field(column)
        if role_of(field_) == "vector" or not _is_lists(field_.type):
            raise  # vectors of which some are still to be made are no lists: to take them for null would be wrong
        return _read_lists(view, column, rows)
    values = values if values.dtype in (np.float32, np.float64) else values.astype(np.float32)
    null = np.asarray(view.to_arrow([column]).column(0).is_null())[rows]
    if null.any():
        values = values.copy()
        values[null] = np.nan
    return values


def without_lists(view: View, column: str) -> bool:
    """Whether a column of lists that came with the items has none in these rows: nobody knows, then, how wide it is."""
    values = view.to_arrow([column])
    field_ = values.schema.field(column)
    return role_of(field_) != "vector" and _is_lists(field_.type) and values.column(0).null_count == len(view)


def open_vectors(view: View, column: str) -> tuple[Vectors, Mask]:
    """A column of vectors without reading it all, and (n,) which rows are null; lists that came with the items count, too.

    Raises SchemaError where the lists are of several lengths.
    """
    null = np.asarray(view.to_arrow([column]).column(0).is_null(), bool)
    try:
        return view.vectors(column), null
    except SchemaError:
        return ArrayVectors(read_vectors(view, column, np.arange(len(view)))), null


@dataclass(frozen=True, eq=False)
class Blanked:
    """Vectors of which the rows `hidden` (n,) are `fill` throughout, whatever lies there; float64 as such, others float32."""

    inner: Vectors
    hidden: Mask
    fill: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float64 if self.inner.dtype == np.float64 else np.float32)

    def __len__(self) -> int:
        return len(self.inner)

    def chunks(self) -> Iterator[npt.NDArray[Any]]:
        start = 0
        for chunk in self.inner.chunks():
            for low in range(0, len(chunk), 8192):
                piece = chunk[low : low + 8192]
                yield self._blank(piece, self.hidden[start : start + len(piece)])
                start += len(piece)

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        return self._blank(self.inner.take(rows), self.hidden[rows])

    def to_numpy(self) -> npt.NDArray[Any]:
        return self._blank(self.inner.to_numpy(), self.hidden)

    def _blank(self, values: npt.NDArray[Any], hidden: Mask) -> npt.NDArray[Any]:
        if values.dtype == self.dtype and not hidden.any():
            return values
        values = values.astype(self.dtype)
        values[hidden] = self.fill
        return values


def _is_lists(type_: pa.DataType) -> bool:
    lists = pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_)
    return bool(lists and (pa.types.is_floating(type_.value_type) or pa.types.is_integer(type_.value_type)))


def _read_lists(view: View, column: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
    lists = view.to_arrow([column]).column(0).take(pa.array(rows, pa.int64()))
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), -1))
    widths = np.unique(lengths[lengths >= 0])
    if len(widths) != 1:
        raise SchemaError(
            f"column {column!r} holds lists of {widths.tolist()[:5]} numbers: one length is meant"
        )
    values = np.asarray(pc.list_flatten(lists).cast(pa.float64()))
    matrix = np.full((len(rows), int(widths[0])), np.nan)
    matrix[lengths >= 0] = values.reshape(-1, int(widths[0]))
    return matrix


def true_rows(view: View, expression: str) -> Mask:
    """(n,) where a column or expression is true; null is no. Raises InputError where it is neither true nor false nor a number."""
    return np.asarray(np.nan_to_num(numbers(view.compute(expression), expression)) != 0, bool)


def numbers(values: pa.ChunkedArray, expression: str, *, compact: bool = False) -> npt.NDArray[np.floating]:
    """What an expression gave, as float64 with NaN for null; with `compact`, float32 stays float32.

    Raises InputError where it is not a number.
    """
    pieces = number_pieces(values, expression, compact=compact)
    array: npt.NDArray[np.floating] = np.concatenate(pieces)
    return array


def number_pieces(
    values: pa.ChunkedArray, expression: str, *, compact: bool = False
) -> list[npt.NDArray[np.floating]]:
    """The same in pieces, one at least, without a copy where they are as they should be; do not write to them."""
    kind = values.type
    number = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    if not number or pa.types.is_temporal(kind):
        raise InputError(f"{expression!r} gives {kind}, and a number is needed")
    type_ = pa.float32() if compact and pa.types.is_float32(kind) else pa.float64()
    pieces = [_as_numpy(chunk, type_) for chunk in values.chunks]
    return pieces or [np.empty(0, np.float32 if pa.types.is_float32(type_) else np.float64)]


def _as_numpy(chunk: pa.Array, type_: pa.DataType) -> npt.NDArray[np.floating]:
    """By buffers, nulls aside: pyarrow's own ways import pandas where they can."""
    chunk = chunk.cast(pa.int8()) if pa.types.is_boolean(chunk.type) else chunk
    chunk = chunk.cast(type_)
    chunk = chunk.fill_null(float("nan")) if chunk.null_count else chunk
    dtype = np.dtype(np.float32 if pa.types.is_float32(type_) else np.float64)
    return np.frombuffer(chunk.buffers()[1] or b"", dtype, len(chunk), chunk.offset * dtype.itemsize)


def columns_of(expression: str) -> tuple[str, ...]:
    """The columns an expression reads, sorted: what a component that is given one needs.

    Raises ExpressionError where it cannot be parsed. What it may contain is for the view to say, when it computes it.
    """
    if expression.isidentifier():
        return (expression,)
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(expression, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        first = str(error).partition("\n")[0]
        raise ExpressionError(
            f"{expression!r} cannot be read: {first}. Write an expression over columns"
        ) from error
    return tuple(sorted({column.name for column in tree.find_all(exp.Column)}))
