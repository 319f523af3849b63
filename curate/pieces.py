"""Work on a view by pieces: how it is cut, who does it, and the crew that every view has by itself, this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from curate.contracts import Held, View
from curate.errors import CurateError, RunError

__all__ = [
    "HERE",
    "Crew",
    "Here",
    "Piece",
    "Task",
    "attempted",
    "cut",
    "failed",
    "named",
    "put",
    "share",
    "spread",
]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Piece:
    """`rows` rows of a view that begin with its row `first`, as a view of their own."""

    view: View
    first: int
    rows: int

    def __str__(self) -> str:
        return f"rows {self.first:,} to {self.first + self.rows - 1:,}"


@dataclass(frozen=True)
class Task(Generic[T]):
    """One of many things to be done with a whole view."""

    number: int
    what: T

    def __str__(self) -> str:
        return f"task {self.number}"


class Crew(Protocol):
    """Those who work. Results are told in the order of the tasks, whoever is ready first; what happens when a task fails is
    said at `contracts.View.spread`. A task is pure, and may be begun again."""

    def each(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """`function(task)` of every task, lazily, in their order. `str(task)` names it in errors."""
        ...

    def hold(self, make: Callable[[View, int], Any], pieces: Sequence[Piece]) -> AbstractContextManager[Held]:
        """What `make` makes of each piece, while the block lasts."""
        ...


class Here:
    """Works on one after another, in this process."""

    def each(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        for task in tasks:
            yield attempted(function, task)

    @contextmanager
    def hold(self, make: Callable[[View, int], Any], pieces: Sequence[Piece]) -> Iterator[Held]:
        making = partial(put, make)
        states = [attempted(making, piece) for piece in pieces]
        try:
            yield _HeldHere(pieces, states)
        finally:
            states.clear()  # whoever still has a name for what was held does not keep it


HERE = Here()


@dataclass(frozen=True, eq=False)
class _HeldHere:
    pieces: Sequence[Piece]
    states: Sequence[Any]

    @property
    def firsts(self) -> Sequence[int]:
        return [piece.first for piece in self.pieces]

    def ask(self, method: str, *args: Any) -> list[Any]:
        return [self._ask(number, method, args) for number in range(len(self.states))]

    def ask_some(self, method: str, given: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        return {number: self._ask(number, method, args) for number, args in given.items()}

    tell = ask  # nothing is ever made anew here

    def _ask(self, number: int, method: str, args: tuple[Any, ...]) -> Any:
        call = getattr(self.states[number], method)
        return attempted(lambda piece: call(*args), self.pieces[number], method)


def attempted(function: Callable[[T], R], task: T, name: str = "") -> R:
    """What a function says of a task. Raises CurateError as it comes; RunError, naming the task, for any other."""
    try:
        return function(task)
    except CurateError:
        raise
    except Exception as error:
        raise failed(name or named(function), task, f"{type(error).__name__}: {error}") from error


def failed(name: str, task: object, why: str) -> RunError:
    """The error that says what could not be done, and why."""
    return RunError(f"{name} failed on {task}: {why}")


def named(function: Callable[..., Any]) -> str:
    """What a function is called, whatever it was wrapped in here or by its author."""
    while isinstance(function, partial):
        inner = function.args[0] if function.func in (put, _put_whole) else function.func
        function = inner
    return getattr(function, "__name__", type(function).__name__)


# --- What views share ---------------------------------------------------------------------------------------------------


def spread(crew: Crew, function: Callable[[View, int], R], pieces: Sequence[Piece]) -> Iterator[R]:
    """`View.spread` of a view that is cut already."""
    return crew.each(partial(put, function), pieces)


def share(crew: Crew, function: Callable[[View, T], R], view: View, tasks: Iterable[T]) -> Iterator[R]:
    """`View.share`."""
    return crew.each(partial(_put_whole, function, view), (Task(i, what) for i, what in enumerate(tasks)))


def cut(sizes: Sequence[int], rows: int) -> list[tuple[int, int]]:
    """Parts with so many rows each in runs of at least `rows` rows (the last may have fewer): first part, one past the last.

    Runs without a row are left out.
    """
    runs, start, held = [], 0, 0
    for stop, size in enumerate(sizes, 1):
        held += size
        if held >= rows or (stop == len(sizes) and held):
            runs.append((start, stop))
            start, held = stop, 0
    return runs


def put(function: Callable[[View, int], R], piece: Piece) -> R:
    """What a function says of a piece."""
    return function(piece.view, piece.first)


def _put_whole(function: Callable[[View, T], R], view: View, task: Task[T]) -> R:
    return function(view, task.what)
