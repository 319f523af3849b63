"""Columns of lists: token numbers that were computed elsewhere, and answers of several models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import SchemaError
from curate.scorers.text.language_model import TokenStatistics

__all__ = ["read_lists", "read_token_statistics"]

Counts = npt.NDArray[np.int64]


def read_lists(column: pa.Array, name: str) -> tuple[pa.Array, Counts]:
    """All entries of a column of lists one after the other, and how many each row has (0 where it is null).

    Raises SchemaError for a column that holds no lists.
    """
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_kind(column.type) for is_kind in kinds):
        raise SchemaError(f"column {name!r} is {column.type}: lists are needed, one for each row")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    return column.flatten(), lengths.astype(np.int64)


def read_token_statistics(
    columns: Sequence[pa.Array], names: Sequence[str]
) -> tuple[TokenStatistics, npt.NDArray[np.object_]]:
    """Token log-probabilities, and their means and deviations where three columns are given, with the reason for each
    row (None where there is none) that says no sense; such rows come back without tokens.

    A first entry that is null in the first column, of the token that follows nothing, is left out of all.
    Raises SchemaError for a column that holds no lists of numbers.
    """
    read = [_numbers(column, name) for column, name in zip(columns, names, strict=True)]
    reasons = np.full(len(columns[0]), None, object)
    for (values, lengths), name in reversed(
        list(zip(read, names, strict=True))
    ):  # the first has the last word
        reasons[_any(np.isnan(values), lengths)] = f"NaN or null among the numbers of {name!r}"
    for (_, lengths), name in zip(read[1:], names[1:], strict=True):
        reasons[lengths != read[0][1]] = f"as many numbers in {name!r} as in {names[0]!r} are needed"
    if len(read) == 3:
        reasons[_any(read[2][0] < 0, read[2][1])] = f"a standard deviation below 0 in {names[2]!r}"
    positive = _any(read[0][0] > 1e-3, read[0][1])
    reasons[positive] = f"a number above 0 in {names[0]!r}: a log-probability is not (a loss, a probability?)"
    reasons[read[0][1] == 0] = f"no token log-probabilities in {names[0]!r}"
    good = reasons == None  # noqa: E711 - element by element
    kept = [values[np.repeat(good, lengths)].astype(np.float32) for values, lengths in read]
    offsets = np.append(0, np.cumsum(np.where(good, read[0][1], 0))).astype(np.int64)
    nothing = np.empty(0, np.float32)
    means, deviations = kept[1:] if len(kept) == 3 else (nothing, nothing)
    return TokenStatistics(kept[0], means, deviations, offsets), reasons


def _numbers(column: pa.Array, name: str) -> tuple[npt.NDArray[np.float64], Counts]:
    """Entries as float64, NaN where null; without those that stand first and are null."""
    flat, lengths = read_lists(column, name)
    if not (pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type) or pa.types.is_null(flat.type)):
        raise SchemaError(f"column {name!r} holds lists of {flat.type}: lists of numbers are needed")
    values: npt.NDArray[np.float64] = flat.cast(pa.float64()).to_numpy(zero_copy_only=False)
    first = (np.cumsum(lengths) - lengths)[lengths > 0]
    missing = np.asarray(flat.is_null())[first] if len(first) else np.empty(0, np.bool_)
    if missing.any():
        values = np.delete(values, first[missing])
        lengths = lengths.copy()
        lengths[np.flatnonzero(lengths > 0)[missing]] -= 1
    return values, lengths


def _any(mask: npt.NDArray[Any], lengths: Counts) -> npt.NDArray[np.bool_]:
    """Which rows hold an entry that is marked."""
    rows = np.repeat(np.arange(len(lengths)), lengths)[mask]
    marked: npt.NDArray[np.bool_] = np.bincount(rows, minlength=len(lengths)) > 0
    return marked
