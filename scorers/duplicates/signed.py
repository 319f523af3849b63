"""Texts and signatures of a view, where its pieces are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.contracts import Held, Vectors, View
from curate.errors import SchemaError
from curate.scorers.duplicates.cosines import ColumnWork, Source
from curate.scorers.duplicates.jaccard import fold
from curate.scorers.duplicates.leaders import Rows

__all__ = ["SignedPiece", "ViewTexts", "integer_vectors"]

T = TypeVar("T")
R = TypeVar("R")
_SIGNATURES = "minhash"


def integer_vectors(view: View, column: str) -> tuple[Vectors, npt.NDArray[np.bool_]]:
    """A column of vectors of integers, and which rows have one. Raises SchemaError for a column of anything else."""
    found = view.to_arrow([column]).column(0)
    if not (pa.types.is_fixed_size_list(found.type) and pa.types.is_integer(found.type.value_type)):
        raise SchemaError(
            f"column {column!r} is {found.type}, not a vector of integers of fixed length. Score it anew"
        )
    return view.vectors(column), np.asarray(found.is_valid(), np.bool_)


class SignedPiece:
    """The signatures of a piece, which stay where they are: what is told of them are keys."""

    def __init__(self, piece: View, first: int) -> None:
        self.signatures, self.known = integer_vectors(piece, _SIGNATURES)

    def usable(self) -> npt.NDArray[np.bool_]:
        """Of each row whether it has a signature."""
        return self.known

    def width(self) -> int:
        """Numbers in a signature."""
        return int(self.signatures.shape[1])

    def keys(self, low: int, high: int) -> npt.NDArray[np.uint64]:
        """`fold` of these columns, (n,)."""
        runs = (fold(run[:, low:high]) for run in self.signatures.chunks())
        return np.concatenate([np.empty(0, np.uint64), *runs])


@dataclass(frozen=True, eq=False)
class ViewTexts:
    """`jaccard.TextWork` over a view, of which `held` are the `SignedPiece`s."""

    view: View
    held: Held
    permutations: int

    def keys(self, low: int, high: int) -> npt.NDArray[np.uint64]:
        return np.concatenate([np.empty(0, np.uint64), *self.held.ask("keys", low, high)])

    def texts(self, rows: Rows) -> pa.StringArray:
        return pc.fill_null(
            self.view.take(rows, ["text"]).column("text").combine_chunks().cast(pa.string()), ""
        )

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        return ColumnWork(self.view, _SIGNATURES).share(function, tasks)
