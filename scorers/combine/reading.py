"""Columns and answers of a view as arrays, in the order of ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curate.contracts import View
from curate.counting import counted
from curate.errors import InputError
from curate.fitting import columns_of, numbers, read_labels

__all__ = ["check_columns", "needed", "read_context", "read_groups", "read_scores", "read_truth"]


def check_columns(name: str, columns: tuple[str, ...]) -> None:
    """Raises InputError for no column, or one that is named twice."""
    if not columns:
        raise InputError(f"{name}: name the score columns to combine, as columns: [clip_score, sharpness]")
    if len(set(columns)) < len(columns):
        raise InputError(f"{name}: a column is named twice: {', '.join(columns)}")


def needed(expressions: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that expressions read, each once."""
    return tuple(dict.fromkeys(column for text in expressions if text for column in columns_of(text)))


def read_scores(view: View, columns: tuple[str, ...], order: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The values of expressions for these rows, (n, c) float64, NaN where null. InputError for what is no number."""
    scores = np.empty((len(order), len(columns)))
    for i, column in enumerate(columns):
        scores[:, i] = numbers(view.compute(column), column)[order]
    return scores


def read_truth(view: View, truth: str, order: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The answers of these rows, (n,) float64, NaN where null. InputError where there is none, or no number."""
    answers = numbers(view.compute(truth), truth)[order].astype(np.float64)
    if np.isnan(answers).all():
        raise InputError(
            f"none of {counted(len(answers), 'item')} has a value of {truth!r}: there is no answer to learn from"
        )
    return answers


def read_groups(view: View, column: str, order: npt.NDArray[np.int64]) -> npt.NDArray[Any] | None:
    """The group of these rows as numbers, each null a group of its own; None where no column is named."""
    if not column or not len(order):
        return None
    labels = read_labels(view, column, order).dictionary_encode()
    code = np.asarray(labels.indices.fill_null(-1), np.int64)
    alone = code < 0
    code[alone] = len(labels.dictionary) + np.arange(int(alone.sum()))
    return code


def read_context(
    view: View, columns: tuple[str, ...], order: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[Any] | None, tuple[str, ...]]:
    """What is no score but may move a rating: (n, k) numbers and their names; words become a 0 or 1 for each value.

    Raises InputError for a column of more than 50 values that are no numbers.
    """
    found: list[npt.NDArray[Any]] = []
    names: list[str] = []
    for column in columns:
        values = view.compute(column)
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            found.append(numbers(values, column)[order])
            names.append(column)
            continue
        words = np.asarray(values.combine_chunks().fill_null("").to_pylist(), np.str_)[order]
        known = np.unique(words)
        if len(known) > 50:
            raise InputError(
                f"context {column!r} has {counted(len(known), 'different text')}: at most 50 can be told apart"
            )
        found += list((words == known[:, None]).astype(float))
        names += [f"{column}={word}" for word in known]
    return (np.column_stack(found) if found else None), tuple(names)
