"""Columns of lists, a list of any length per item: labels of an item, labels of its tokens, probabilities of those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import View
from curate.errors import InputError, SchemaError

__all__ = [
    "Ragged",
    "choose_sets",
    "is_list",
    "names_of",
    "read_column",
    "read_sets",
    "read_strings",
    "split",
    "starts_of",
    "to_lists",
]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Lists laid end to end: `values` (sum of lengths,), `lengths` (n,) int64, -1 where the item has no list."""

    values: pa.Array
    lengths: npt.NDArray[np.int64]

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        """The item each value belongs to."""
        return np.repeat(np.arange(len(self.lengths)), np.maximum(self.lengths, 0))

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """The position of each value in its own list."""
        lengths = np.maximum(self.lengths, 0)
        return np.arange(int(lengths.sum())) - np.repeat(starts_of(lengths), lengths)

    def keep(self, items: npt.NDArray[np.bool_]) -> Ragged:
        """The lists of these items alone; the others are empty."""
        lengths = np.where(items, self.lengths, 0)
        return Ragged(self.values.filter(pa.array(items[self.owner])), lengths)


def starts_of(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each list begins, lists of these lengths laid end to end."""
    return np.asarray(np.cumsum(lengths) - lengths)


def is_list(type_: pa.DataType) -> bool:
    """Whether a column of this type holds lists, whatever their flavour."""
    types = pa.types
    return bool(types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_))


def read_column(view: View, column: str, rows: npt.NDArray[np.int64]) -> pa.Array:
    """A column of these rows, in their order, as one array."""
    taken = view.to_arrow([column]).column(0).take(pa.array(rows, pa.int64()))
    return taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken


def split(lists: pa.Array) -> Ragged:
    """A list array as values and lengths."""
    lengths = pc.fill_null(pc.list_value_length(lists), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return Ragged(pc.list_flatten(lists), lengths)


def read_strings(
    view: View, column: str, rows: npt.NDArray[np.int64], delimiter: str, keep_empty: bool = False
) -> Ragged:
    """Lists of strings, from a column of lists, or of strings that `delimiter` separates.

    White space around a string is taken off. Empty strings between delimiters are dropped unless `keep_empty`; a
    string that is empty altogether is a list without members. Raises SchemaError for a column of anything else,
    InputError for an empty delimiter where one is needed.
    """
    array = read_column(view, column, rows)
    if is_list(array.type):
        found = split(array)
        return Ragged(found.values.cast(pa.string()), found.lengths)
    if pa.types.is_nested(array.type) or pa.types.is_floating(array.type):
        raise SchemaError(
            f"column {column!r} holds {array.type}: lists of labels are meant, or strings such as 'a{delimiter}b'"
        )
    if not delimiter:
        raise InputError(
            f"column {column!r} holds {array.type}, no lists: say by which `delimiter` to split it"
        )
    text = pc.utf8_trim_whitespace(array.cast(pa.string()))
    found = split(pc.split_pattern(text, delimiter))
    values = pc.utf8_trim_whitespace(found.values)
    empty = pc.equal(values, "").to_numpy(zero_copy_only=False).astype(bool)
    if keep_empty:
        empty &= (found.lengths == 1)[found.owner]
    if not empty.any():
        return Ragged(values, found.lengths)
    fewer = np.bincount(found.owner[empty], minlength=len(found.lengths))
    return Ragged(values.filter(pa.array(~empty)), found.lengths - fewer)


def choose_sets(labels: str | tuple[str, ...], columns: Sequence[str]) -> str | tuple[str, ...]:
    """Which columns hold the labels where nobody said otherwise (`label`): `labels` where there is such a column, and for
    items without a set in it their one label."""
    if labels != "label" or "labels" not in columns:
        return labels
    return ("labels", "label") if "label" in columns else "labels"


def names_of(labels: str | tuple[str, ...]) -> tuple[str, ...]:
    """The columns, one or several."""
    return (labels,) if isinstance(labels, str) else labels


def read_sets(
    view: View, columns: str | tuple[str, ...], rows: npt.NDArray[np.int64], delimiter: str
) -> Ragged:
    """`read_strings` of the first of the columns that has a list for the item."""
    first, *others = (read_strings(view, column, rows, delimiter) for column in names_of(columns))
    for other in others:
        first = _filled(first, other)
    return first


def _filled(sets: Ragged, others: Ragged) -> Ragged:
    """The sets, with the others where there is none."""
    none = sets.lengths < 0
    if not none.any():
        return sets
    more = others.keep(none)
    owner = np.concatenate([sets.owner, more.owner])
    values = pa.concat_arrays([_whole(sets.values), _whole(more.values)])
    order = np.argsort(owner, kind="stable")
    return Ragged(values.take(pa.array(order)), np.where(none, others.lengths, sets.lengths))


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def to_lists(values: pa.Array, lengths: npt.NDArray[np.int64], null: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Values laid end to end, cut into a list per item; null where `null` (whose lengths must be 0)."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    mask = pa.array(null) if len(null) else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=mask)
