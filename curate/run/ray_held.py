"""What a view's pieces become, kept by the workers of a Ray cluster while work goes on in rounds (`contracts.Held`).

A state lives in one worker and is asked there. Whichever worker dies, and whenever: its states are made anew, by it when it is
back or else by another, and told again what they were told. Which worker holds what changes no answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from curate.contracts import View
from curate.counting import counted
from curate.errors import CurateError
from curate.pieces import Piece, failed, named
from curate.run.ray_worker import Args, Gone, Missing

if TYPE_CHECKING:
    from curate.run.ray_runner import RayRunner

__all__ = ["HeldByRay"]

PATIENCE = 30.0
"""Seconds that a worker has to come, or to come back, before the others do without it; the last one has all the time."""
T = TypeVar("T")

MAX_DEATHS = 5
"""So many workers may die in one round."""


@dataclass(eq=False)
class HeldByRay:
    """The driver's side: where each piece is, and what all of them were told."""

    runner: RayRunner
    made_by: Callable[[View, int], Any]
    pieces: Sequence[Piece]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    told: list[tuple[str, Args]] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)
    deaths: int = 0
    maker: Any = None

    @property
    def firsts(self) -> Sequence[int]:
        return [piece.first for piece in self.pieces]

    def ask(self, method: str, *args: Any) -> list[Any]:
        return list(self._round("ask", method, self._everyone(), args).values())

    def ask_some(self, method: str, given: Mapping[int, Args]) -> dict[int, Any]:
        return self._round("ask", method, given, ())

    def tell(self, method: str, *args: Any) -> list[Any]:
        answers = self._round("tell", method, self._everyone(), args)
        self.told.append((method, args))
        return list(answers.values())

    def open(self) -> None:
        """Give the pieces out among the workers that there are, and have their states made."""
        self.maker = self.runner.put(self.made_by)
        self.workers = self.runner.at_hand(len(self.pieces), PATIENCE)
        self.place = {i: self.workers[i % len(self.workers)] for i in range(len(self.pieces))}
        self._have_made(list(range(len(self.pieces))))

    def close(self) -> None:
        """Have the states dropped."""
        self.runner.send(dict.fromkeys(self.workers, ("drop", self.session)))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _everyone(self) -> dict[int, Args]:
        return dict.fromkeys(range(len(self.pieces)), ())

    def _round(self, verb: str, method: str, own: Mapping[int, Args], shared: Args) -> dict[int, Any]:
        """Ask until everyone has answered."""
        answers: dict[int, Any] = {}
        sent, self.deaths = self.runner.put(shared), 0
        while left := {number: args for number, args in own.items() if number not in answers}:
            parcels, told = self._by_worker(left), len(self.told)
            calls = {w: (verb, self.session, method, mine, sent, told) for w, mine in parcels.items()}
            for answer in self._answers(calls):
                if isinstance(answer, Missing):
                    self._have_made(answer.numbers)
                else:
                    answers |= answer
        return {number: answers[number] for number in own}

    def _have_made(self, numbers: Sequence[int]) -> None:
        """States of these pieces, made where they belong; one that dies of it is found to lack them when it is asked."""
        pieces = self._by_worker({number: self.pieces[number] for number in numbers})
        calls = {w: ("make", self.session, self.maker, mine, self.told) for w, mine in pieces.items()}
        for _ in self._answers(calls):
            pass

    def _by_worker(self, items: Mapping[int, T]) -> dict[int, dict[int, T]]:
        parcels: dict[int, dict[int, T]] = {}
        for number, item in items.items():
            parcels.setdefault(self.place[number], {})[number] = item
        return parcels

    def _answers(self, calls: Mapping[int, tuple[Any, ...]]) -> Iterator[Any]:
        """What the living answer; the dead are seen to."""
        for worker, answer in list(self.runner.answers(self.runner.send(calls))):
            if isinstance(answer, CurateError):
                raise answer
            if isinstance(answer, Gone):
                self._replace(worker, answer)
            else:
                yield answer

    def _replace(self, worker: int, gone: Gone) -> None:
        """Wait for a worker to come back, and where it does not, let the others hold what it held."""
        mine = [number for number, place in self.place.items() if place == worker]
        self.deaths += 1
        self.runner.say(
            f"a worker died and {counted(len(mine), 'piece is', 'pieces are')} read again: {gone.why}"
        )
        if self.deaths >= MAX_DEATHS:
            why = (
                f"{counted(self.deaths, 'worker')} died in one round (out of memory, or a crash): {gone.why}"
            )
            raise failed(named(self.made_by), self.pieces[mine[0]], why)
        if self.runner.is_back(worker, PATIENCE if len(self.workers) > 1 else None):
            return
        self.workers.remove(worker)
        for i, number in enumerate(mine):
            self.place[number] = self.workers[i % len(self.workers)]
