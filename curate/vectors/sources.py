"""Rows to choose from, wherever they lie: in memory, or in a column of a view that is read by whoever works on it.

What is asked of them gives the same bytes for both, and for a view however it is cut and whoever works on it: rows are
brought up one by one, blocks are of fixed size in the order of the rows, and sums are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from curate.choosing import finite_rows
from curate.contracts import Vectors, View
from curate.counting import counted
from curate.errors import InputError, SchemaError
from curate.fitting import PIECE_NUMBERS, piece_rows, read_vectors, without_lists
from curate.vectors.rows import Floats, Ints, prepare
from curate.vectors.sums import to_units, unit_for

__all__ = [
    "BLOCK",
    "AtHand",
    "Change",
    "Column",
    "Source",
    "Squared",
    "Where",
    "along",
    "blocks",
    "flags",
    "largest",
    "mean",
    "read_rows",
    "rows_of",
    "shifted",
    "squares",
    "survey",
]

T = TypeVar("T")
R = TypeVar("R")
Mask = npt.NDArray[np.bool_]
Change = Callable[[Floats], Floats]
"""Makes rows of rows, each of its own alone."""

BLOCK = 8192
"""Rows that are worked on at a time."""
_LONG = 1e17


class Source(Protocol):
    """n rows of d numbers, float32."""

    def __len__(self) -> int: ...
    def take(self, rows: Ints | slice) -> Floats:
        """These rows: (m, d), not to be written to."""
        ...

    def part(self, rows: Ints) -> Source:
        """These rows, in this order."""
        ...

    def mapped(self, change: Change) -> Source:
        """The rows as `change` makes them."""
        ...

    def spread(self, function: Callable[[Floats], R]) -> Iterator[R]:
        """`function(x)` of runs of rows that together are all of them, in any order."""
        ...

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        """`function(rows, task)` with all rows, in the order of the tasks. Functions are module-level ones, or partials."""
        ...


@dataclass(frozen=True, eq=False)
class AtHand:
    """Rows in memory."""

    x: Floats

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Ints | slice) -> Floats:
        return self.x[rows]

    def part(self, rows: Ints) -> AtHand:
        return AtHand(self.x[rows])

    def mapped(self, change: Change) -> AtHand:
        return AtHand(change(self.x))

    def spread(self, function: Callable[[Floats], R]) -> Iterator[R]:
        yield function(self.x)

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        return (function(self, task) for task in tasks)


class Where(NamedTuple):
    """A column of a view, which rows of it are meant, as bits, and what is to be made of them."""

    column: str
    bits: npt.NDArray[np.uint8]
    changes: tuple[Change, ...]


@dataclass(frozen=True, eq=False)
class Column:
    """The rows `rows` of a view, in this order, of which the vectors `column` are finite: read where and when they are needed.

    `cost` is the expression of what each costs, for those who choose where rows are held.
    """

    view: View
    column: str
    rows: Ints
    changes: tuple[Change, ...] = ()
    cost: str | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self) * int(self.take(slice(0, 1)).shape[1])

    @cached_property
    def vectors(self) -> Vectors | None:
        """The column; None where it holds lists that came with the items: those are read whole, once and here, or by pieces."""
        try:
            return self.view.vectors(self.column)
        except SchemaError:
            return None

    @cached_property
    def lists(self) -> npt.NDArray[np.floating]:
        """All rows of such lists."""
        return read_vectors(self.view, self.column, self.rows)

    def take(self, rows: Ints | slice) -> Floats:
        found = self.lists[rows] if self.vectors is None else self.vectors.take(self.rows[rows])
        return _changed(found, self.changes)

    def part(self, rows: Ints) -> Column:
        made = replace(self, rows=self.rows[rows])
        made.__dict__["vectors"] = self.vectors
        if self.vectors is None:
            made.__dict__["lists"] = self.lists[rows]
        return made

    def mapped(self, change: Change) -> Column:
        made = replace(self, changes=(*self.changes, change))
        for name in {"vectors", "lists", "bits"} & self.__dict__.keys():  # what is open is not opened again
            made.__dict__[name] = self.__dict__[name]
        return made

    def spread(self, function: Callable[[Floats], R]) -> Iterator[R]:
        reading = partial(_of_piece, function, self.where)
        return self.view.spread(reading, piece_rows(self.view, self.column))

    def share(self, function: Callable[[Source, T], R], tasks: Iterable[T]) -> Iterator[R]:
        if self.vectors is None:
            return (function(self, task) for task in tasks)
        return self.view.share(_Opened(function, (self.column, self.rows, self.changes), self._opened), tasks)

    @cached_property
    def _opened(self) -> _Rows:
        """What tasks that are done in this process have opened."""
        return _Rows()

    @property
    def where(self) -> Where:
        """What pieces of the view are to know."""
        return Where(self.column, self.bits, self.changes)

    @cached_property
    def bits(self) -> npt.NDArray[np.uint8]:
        """Which rows of the view these are, packed."""
        mask = np.zeros(len(self.view), bool)
        mask[self.rows] = True
        return np.packbits(mask)


class _Rows:
    """Rows of a view that were opened, for the next task; they do not travel."""

    def __init__(self) -> None:
        self.of: tuple[View, Source] | None = None

    def __reduce__(self) -> tuple[type[_Rows], tuple[()]]:
        return _Rows, ()


class _Opened(Generic[T, R]):
    """A function of rows and a task as one of a view and a task; rows once opened stay so for the next, and in memory if few."""

    def __init__(
        self, function: Callable[[Source, T], R], of: tuple[str, Ints, tuple[Change, ...]], kept: _Rows
    ) -> None:
        self.function, self.of, self.kept = function, of, kept

    def __call__(self, view: View, task: T) -> R:
        if self.kept.of is None or self.kept.of[0] is not view:
            column = Column(view, *self.of)
            few = column.size <= PIECE_NUMBERS
            self.kept.of = view, AtHand(column.take(slice(None))) if few else column
        return self.function(self.kept.of[1], task)


def _of_piece(function: Callable[[Floats], R], where: Where, piece: View, first: int) -> R:
    return function(read_rows(piece, where, np.flatnonzero(flags(where.bits, first, len(piece)))))


def read_rows(piece: View, where: Where, rows: Ints) -> Floats:
    """Rows of a piece that are known to be finite."""
    if not len(rows):
        return np.empty((0, 0), np.float32)
    try:
        x = piece.vectors(where.column).take(rows)
    except SchemaError:  # lists that came with the items
        x = read_vectors(piece, where.column, rows)
    return _changed(x, where.changes)


def flags(bits: npt.NDArray[np.uint8], first: int, count: int) -> Mask:
    """Of bits for all rows those of `count` rows from `first` on."""
    low = first // 8
    return np.unpackbits(bits[low : (first + count + 7) // 8])[first - 8 * low :][:count].astype(bool)


def _changed(x: npt.NDArray[Any], changes: tuple[Change, ...]) -> Floats:
    x = np.ascontiguousarray(x, np.float32)
    for change in changes:
        x = change(x)
    return x


def rows_of(x: npt.NDArray[Any] | Source) -> Source:
    """Rows in memory, seen to (`prepare`), or what is a source already."""
    return x if isinstance(x, (AtHand, Column)) else AtHand(prepare(x))


def blocks(n: int) -> list[slice]:
    """n rows in blocks, the same whoever works on them."""
    return [slice(low, min(low + BLOCK, n)) for low in range(0, n, BLOCK)]


def survey(view: View, column: str) -> Mask:
    """Which rows (n,) of a view have finite vectors.

    Raises InputError for one that is longer than float32 can square, SchemaError for vectors of several lengths.
    """
    found = list(view.spread(partial(_look, column), piece_rows(view, column)))
    widths = sorted({width for _, _, width in found} - {0})
    if len(widths) > 1:
        raise SchemaError(f"column {column!r} holds lists of {widths[:5]} numbers: one length is meant")
    known = [np.unpackbits(bits, count=size) for bits, size, _ in found]
    return np.concatenate([np.empty(0, np.uint8), *known]).astype(bool)


def _look(column: str, piece: View, first: int) -> tuple[npt.NDArray[np.uint8], int, int]:
    n = len(piece)
    if without_lists(piece, column):
        return np.packbits(np.zeros(n, bool)), n, 0
    x = read_vectors(piece, column, np.arange(n))
    known = finite_rows(x)
    if x.size and max(float(np.nanmax(x, initial=0)), -float(np.nanmin(x, initial=0))) > _LONG:
        long = np.flatnonzero(known & (np.abs(x).max(1) > _LONG))
        if len(long):
            raise InputError(
                f"{counted(len(long), f'row of {column!r} is', f'rows of {column!r} are')} too long, as row "
                f"{first + int(long[0])}: leave them out"
            )
    return np.packbits(known), n, x.shape[1]


# --- What rows are, taken together ----------------------------------------------------------------------------------


def along(x: npt.NDArray[Any], direction: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """x . direction of each row, (m,): the same for a row whatever lies beside it, which is not so of a matrix product."""
    return np.asarray(np.einsum("ij,j->i", x, direction))


def squares(x: Floats) -> Floats:
    """The squared length of each row, (m, 1)."""
    return np.asarray(np.einsum("ij,ij->i", x, x)[:, None])


def shifted(centre: Floats, x: Floats) -> Floats:
    """The rows about a point."""
    return x - centre


class Told(Protocol):
    """Rows of which something can be told by those who have them."""

    def __len__(self) -> int: ...
    def spread(self, function: Callable[[Floats], R]) -> Iterator[R]: ...


@dataclass(frozen=True, eq=False)
class Squared:
    """The squared lengths of rows as rows of one number."""

    rows: Told

    def __len__(self) -> int:
        return len(self.rows)

    def spread(self, function: Callable[[Floats], R]) -> Iterator[R]:
        return self.rows.spread(partial(_of_squares, function))


def _of_squares(function: Callable[[Floats], R], x: Floats) -> R:
    return function(squares(x))


def largest(source: Told) -> float:
    """The largest number, without its sign."""
    return max(source.spread(_largest), default=0.0)


def mean(source: Told, most: float | None = None) -> npt.NDArray[np.float64]:
    """The mean row (d,). `most` no number is larger than, without its sign; it is looked for where it is not known.

    Numbers are rounded to units (`clustering.unit_for`), so that the sum is exact.
    """
    n, most = len(source), largest(source) if most is None else most
    unit = unit_for(n, most)
    sums = [total for total in source.spread(partial(_units, unit)) if len(total)]
    return np.asarray(np.sum(sums, axis=0) / max(1, n))


def _largest(x: Floats) -> float:
    return max(float(x.max(initial=0)), -float(x.min(initial=0)))


def _units(unit: float, x: Floats) -> npt.NDArray[np.float64]:
    """The sum of the rows, each number rounded to whole units."""
    total = np.zeros(x.shape[1])
    step = max(1, (1 << 15) // max(1, x.shape[1]))
    for low in range(0, len(x), step):
        total += to_units(x[low : low + step], unit).sum(0)
    return total
