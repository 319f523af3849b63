"""One worker of a Ray cluster, as it sees itself: it runs tasks, keeps what these loaded, and holds states of pieces."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from curate.contracts import View
from curate.errors import CurateError
from curate.pieces import Piece, attempted, named, put
from curate.run.runner import attempt
from curate.store import places

__all__ = ["Args", "Gone", "Keeper", "Missing", "Worker"]

Args = tuple[Any, ...]
Told = Sequence[tuple[str, Args]]


class Worker:
    """Lives in a process of its own, where what a task has loaded stays loaded. It finds modules where the driver does."""

    def __init__(self, path: list[str]) -> None:
        sys.path += [place for place in path if place not in sys.path]
        self.known: tuple[str, Callable[[Any], Any] | None] = "", None
        self.keeper = Keeper()

    def run(self, name: str, function: list[Any], task: Any) -> Any:
        """The outcome, or the CurateError that is the user's to see. `function` refers to what `name` names."""
        try:
            if self.known[0] != name:
                import ray

                self.known = name, ray.get(function[0])
            return attempt(self.known[1], task).without_task()  # type: ignore[arg-type]
        except CurateError as error:
            return error
        finally:
            places.tidy()

    def keep(self, verb: str, *args: Any) -> Any:
        """What its `Keeper` answers, or the CurateError that is the user's to see."""
        try:
            return getattr(self.keeper, verb)(*args)
        except CurateError as error:
            return error
        finally:
            places.tidy()

    def ready(self) -> None:
        """Answers once the process is there."""


@dataclass(frozen=True)
class Gone:
    """The worker died: killed, its node left, or too little memory."""

    why: str


@dataclass(frozen=True)
class Missing:
    """A worker's answer where it does not hold these pieces: it is new, or was started again."""

    numbers: Sequence[int]


@dataclass(eq=False)
class _State:
    """What became of a piece, and how often it was told something since."""

    value: Any
    piece: Piece
    told: int

    def ask(self, method: str, args: Args) -> Any:
        """What it answers."""
        return attempted(lambda _: getattr(self.value, method)(*args), self.piece, method)


class Keeper:
    """What one worker holds, by session and number of the piece."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, int], _State] = {}

    def make(
        self, session: str, make: Callable[[View, int], Any], pieces: Mapping[int, Piece], told: Told
    ) -> None:
        """Make states of these pieces, and bring them to where they were."""
        for number, piece in pieces.items():
            state = _State(attempted(partial(put, make), piece, named(make)), piece, len(told))
            for method, args in told:
                state.ask(method, args)
            self.states[session, number] = state

    def ask(self, session: str, method: str, own: Mapping[int, Args], shared: Args, told: int) -> Any:
        """`state.method(*own, *shared)` of these pieces, by number; or which of them are `Missing`: not held, or not in the
        state after they were told so many things (what they were told twice, because the answer was lost, say)."""
        here = {number: self.states.get((session, number)) for number in own}
        missing = [number for number, state in here.items() if state is None or state.told != told]
        if missing:
            return Missing(missing)
        return {n: state.ask(method, (*own[n], *shared)) for n, state in here.items() if state is not None}

    def tell(self, session: str, method: str, own: Mapping[int, Args], shared: Args, told: int) -> Any:
        """The same where it changes them."""
        answers = self.ask(session, method, own, shared, told)
        if not isinstance(answers, Missing):
            for number in own:
                self.states[session, number].told += 1
        return answers

    def drop(self, session: str) -> None:
        """Let go of what a session held."""
        self.states = {key: state for key, state in self.states.items() if key[0] != session}
