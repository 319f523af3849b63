"""Columns and answers of a view as arrays, in the order of ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.contracts import View
from curate.errors import InputError
from curate.fitting import columns_of, numbers

__all__ = ["check_columns", "needed", "read_scores", "read_truth"]


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
            f"none of {len(answers)} items has a value of {truth!r}: there is no answer to learn from"
        )
    return answers
