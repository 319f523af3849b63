"""The workers of a run as the crew of its views: they find what they read, and who waits is told how far they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from curate.contracts import Held, View
from curate.counting import counted
from curate.pieces import Piece
from curate.run import progress

if TYPE_CHECKING:
    from curate.run.context import RunContext

__all__ = ["RunCrew"]

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class RunCrew:
    """`curate.pieces.Crew`: the run's workers. Where they read what is published, it is before they begin."""

    context: RunContext

    def each(self, function: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """See `Crew`."""
        self.context.share_news()
        told = _Told(self.context, "piece", "pieces")
        for answer in self.context.runner.each(function, tasks):
            told.one_more()
            yield answer

    @contextmanager
    def hold(self, make: Callable[[View, int], Any], pieces: Sequence[Piece]) -> Iterator[Held]:
        """See `Crew`."""
        self.context.share_news()
        with self.context.runner.hold(make, pieces) as held:
            over = f"over {counted(len(pieces), 'piece')}"
            yield _HeldInRounds(held, _Told(self.context, f"round {over}", f"rounds {over}"))


@dataclass(eq=False)
class _Told:
    """Counts what is done, and notes it every ten seconds."""

    context: RunContext
    one: str
    many: str
    done: int = 0
    last: float = field(default_factory=time.monotonic)

    def one_more(self) -> None:
        self.done += 1
        if time.monotonic() - self.last >= progress.LOG_EVERY:
            self.last = time.monotonic()
            steps = self.context.run.steps
            self.context.progress.note(
                f"{steps[-1].title if steps else 'run'}: {counted(self.done, self.one, self.many)} done"
            )


@dataclass(frozen=True, eq=False)
class _HeldInRounds:
    held: Held
    told: _Told

    @property
    def firsts(self) -> Sequence[int]:
        return self.held.firsts

    def ask(self, method: str, *args: Any) -> list[Any]:
        self.told.one_more()
        return self.held.ask(method, *args)

    def ask_some(self, method: str, given: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        return self.held.ask_some(method, given)

    def tell(self, method: str, *args: Any) -> list[Any]:
        self.told.one_more()
        return self.held.tell(method, *args)
